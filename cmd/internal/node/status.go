package node

import (
	"context"
	"slices"
	"strings"
	"time"

	"deed/domain"
	"deed/domain/partition"
)

// PartitionStatus is how one partition stands, as this node reads it.
type PartitionStatus struct {
	Partition  int
	Owner      string // the node that claimed it last; "" if nobody ever did
	Epoch      uint64
	Here       bool  // this node acts on it
	End        int64 // the offset after its last record; -1 if the broker did not say
	Lag        int64 // records that this node has not read yet
	Committed  int64 // where the next owner would begin; -1 if nothing was committed
	Open       int   // invocations that are not settled
	OldestWait time.Duration
	Void       int64
	LogTime    domain.Instant
}

// Status is how the partitions stand. It asks the broker, within ctx.
func (n *Node) Status(ctx context.Context) []PartitionStatus {
	var out []PartitionStatus
	n.eachPart(func(p int, part *part) {
		s := PartitionStatus{Partition: p, End: -1, Committed: -1, Here: part.owner.Acting()}
		looked := make(chan struct{})
		ok := part.tail.Do(func(f *partition.Fold) {
			defer close(looked)
			s.Owner, s.Epoch, s.Open, s.Void, s.LogTime = f.Claim().Node, f.Owner().Epoch, f.Unsettled(), f.Void(), f.LogTime()
			now := domain.InstantOf(n.now())
			f.Entries(func(e *partition.Entry) bool {
				if e.Open() {
					s.OldestWait = max(s.OldestWait, now.Sub(e.ID.T0()))
				}
				return true
			})
			s.Lag = f.Next()
		})
		if ok {
			select {
			case <-looked:
			case <-ctx.Done():
				return
			}
		}
		next := s.Lag
		s.Lag = 0
		if _, end, err := n.Door.Log.Bounds(ctx, p); err == nil {
			s.End, s.Lag = end, max(0, end-next)
		}
		if at, err := n.group.Committed(ctx, p); err == nil {
			s.Committed = at.Offset
		}
		out = append(out, s)
	})
	return out
}

// Alarms are what a person must look at, the newest last.
func (n *Node) Alarms() []string {
	n.alarmsMu.Lock()
	defer n.alarmsMu.Unlock()
	return slices.Clone(n.alarms)
}

// maxAlarms is how many are kept.
const maxAlarms = 100

func (n *Node) alarm(_ int, what string) {
	n.alarmsMu.Lock()
	defer n.alarmsMu.Unlock()
	if len(n.alarms) > 0 && strings.EqualFold(n.alarms[len(n.alarms)-1], what) {
		return
	}
	if len(n.alarms) == maxAlarms {
		n.alarms = append(n.alarms[:0], n.alarms[1:]...)
	}
	n.alarms = append(n.alarms, what)
}
