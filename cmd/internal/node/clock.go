package node

import (
	"context"
	"fmt"
	"sync"
	"time"

	"deed/domain/partition"
	"deed/eventstore"
	"deed/runtime/worker"
)

// clock is a node's. With a broker whose time can be compared it is the machine's. With the embedded broker there is nothing
// to compare with, and it never goes back, nor behind the time of the log: were the machine's clock set back by an hour, every
// request would be too late for the log, and every retry wait, for an hour.
type clock struct {
	forward bool

	mu   sync.Mutex
	base time.Time // what the clock showed
	at   time.Time // when, on the monotonic clock
}

// Now is the time.
func (c *clock) Now() time.Time {
	wall := wallClock()
	if !c.forward {
		return wall
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	on := time.Now()
	shown := c.base.Add(on.Sub(c.at))
	if !wall.Before(shown) || c.base.IsZero() {
		c.base, c.at = wall.Round(0), on
		return wall
	}
	return shown
}

// atLeast moves a clock that is behind. It reports how far.
func (c *clock) atLeast(t time.Time) time.Duration {
	behind := t.Sub(c.Now())
	if behind <= 0 || !c.forward {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.base, c.at = t.Round(0), time.Now()
	return behind
}

func (n *Node) now() time.Time { return n.clock.Now() }

// Now is the node's time, which on its own broker never goes back.
func (n *Node) Now() time.Time { return n.now() }

// brokerTime is the latest time that the broker gave a record which was read; zero if it gives none.
func (n *Node) brokerTime() time.Time {
	if ms := n.latest.Load(); ms > 0 {
		return time.UnixMilli(ms)
	}
	return time.Time{}
}

// Batch implements projections.Subscriber: it keeps the broker's latest time.
func (n *Node) Batch(_ *partition.Fold, batch []eventstore.Judged) {
	last := &batch[len(batch)-1].Message
	if !last.ByBroker {
		return
	}
	for at, seen := last.Time.UnixMilli(), n.latest.Load(); at > seen; seen = n.latest.Load() {
		if n.latest.CompareAndSwap(seen, at) {
			return
		}
	}
}

// skewed is told by an owner that this node's clock is wrong. The node gives all partitions up and is not ready; after a
// minute it takes its place in the group again, and the owners' claims compare anew (a claim moves no log time).
func (n *Node) skewed(ahead time.Duration) {
	n.skew.Store(int64(ahead))
	select {
	case n.skews <- ahead:
	default:
	}
}

// clockPause is how long a node whose clock was found wrong stays out of the group.
const clockPause = time.Minute

// Run shares in the partitions until ctx ends, then drains: nothing is begun any more, running attempts may end within the
// grace period, the group is left.
func (n *Node) Run(ctx context.Context) error {
	var operators sync.WaitGroup
	operators.Go(func() { n.operate(ctx) })
	defer operators.Wait()
	for {
		term, leave := context.WithCancel(ctx)
		watched := make(chan bool, 1)
		go func() {
			select {
			case <-n.skews:
				leave()
				watched <- true
			case <-term.Done():
				watched <- false
			}
		}()
		err := n.group.Run(term, n.assigned, n.revoked)
		leave()
		if out := <-watched; !out || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(clockPause):
		}
		n.skew.Store(0)
	}
}

// clockTrouble is why the node's clock keeps it from serving; nil if it does not.
func (n *Node) clockTrouble() error {
	if ahead := time.Duration(n.skew.Load()); ahead != 0 {
		return fmt.Errorf("the clock of this node is %s ahead of the broker's (negative: behind); allowed are %s", ahead.Round(time.Second), worker.MaxSkew)
	}
	return nil
}
