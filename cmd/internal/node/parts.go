package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"deed/domain/partition"
	"deed/eventstore"
	"deed/projections"
	"deed/runtime/worker"
)

// part is what a node has of one partition: its one reader, and the owner that acts when the partition is this node's.
type part struct {
	tail  *projections.Tail
	owner *worker.Owner
	feed  *feed
	start int64 // where the tail began
}

// relay breaks the circle of tail and owner, who need one another.
type relay struct{ owner *worker.Owner }

func (r *relay) Batch(f *partition.Fold, b []eventstore.Judged) { r.owner.Batch(f, b) }

// part is the partition p; nil if it is not opened yet.
func (n *Node) part(p int) *part {
	n.partsMu.RLock()
	defer n.partsMu.RUnlock()
	if p < 0 || p >= len(n.parts) {
		return nil
	}
	return n.parts[p]
}

// eachPart calls fn for the partitions that are open.
func (n *Node) eachPart(fn func(p int, part *part)) {
	n.partsMu.RLock()
	parts := n.parts
	n.partsMu.RUnlock()
	for p, part := range parts {
		if part != nil {
			fn(p, part)
		}
	}
}

// openPart begins to read a partition: at the marker that the owners have committed, so that what is read does not grow with
// the log. The read model gets what lies before it beside, from the log's beginning.
func (n *Node) openPart(ctx context.Context, p int, log eventstore.Log) error {
	start, end, err := log.Bounds(ctx, p)
	if err != nil {
		return err
	}
	at, err := n.group.Committed(ctx, p)
	if err != nil {
		return err
	}
	if err := eventstore.CheckPosition(ctx, log, p, at, start, end); err != nil {
		return err
	}
	first, err := projections.FirstMarker(ctx, log, p, start)
	if err != nil {
		return err
	}
	fold := first
	if at.Offset > first.Next() {
		fold = partition.At(at.Offset)
	}
	begin := fold.Next()
	behind := begin > first.Next() // asked now: where it is not, the tail goes on with first
	n.Model.Begin(p, begin, behind)
	relay := &relay{}
	feed, err := n.newFeed(ctx, p, log)
	if err != nil {
		return err
	}
	tail := projections.NewTail(log, p, fold, n, n.poison, n.Model, feed, relay)
	relay.owner = worker.NewOwner(n.deps, p, tail)
	feed.tail, feed.acts = tail, relay.owner.Acting
	n.partsMu.Lock()
	for len(n.parts) <= p {
		n.parts = append(slices.Clip(n.parts), nil) // readers hold the old slice
	}
	parts := append([]*part(nil), n.parts...)
	parts[p] = &part{tail: tail, owner: relay.owner, feed: feed, start: begin}
	n.parts = parts
	n.partsMu.Unlock()
	n.goRead(func() error { return tail.Run(n.run) })
	n.readers.Go(func() { feed.run(n.run) })
	if behind {
		n.goRead(func() error {
			defer n.Model.Complete(p)
			return projections.Backfill(n.run, log, p, first, begin, func(batch []eventstore.Judged) {
				if len(batch) > 0 && batch[0].Message.Offset < begin { // what is behind it the tail has counted
					n.poison.Batch(first, batch)
				}
				n.Model.History(batch)
			})
		})
	}
	return nil
}

// assigned is told by the group; a partition that is new may not be open yet.
func (n *Node) assigned(p int) {
	for n.run.Err() == nil {
		if part := n.part(p); part != nil {
			part.owner.Assign()
			return
		}
		if err := n.grow(n.run); err != nil {
			n.config.Logger.Warn("new partition cannot be opened; trying again", "partition", p, "error", err)
		}
		if n.part(p) == nil {
			select {
			case <-n.run.Done():
			case <-time.After(growEvery / 10):
			}
		}
	}
}

func (n *Node) revoked(p int) {
	part := n.part(p)
	if part == nil {
		return
	}
	grace, cancel := context.WithTimeout(n.run, n.config.Grace)
	defer cancel()
	part.owner.Revoke(grace)
}

// growEvery is how often a node looks whether the topic has got more partitions.
const growEvery = 5 * time.Second

// watchGrowth opens partitions that the topic gets while the node runs.
func (n *Node) watchGrowth() {
	n.every(growEvery, func() bool {
		if err := n.grow(n.run); err != nil && n.run.Err() == nil {
			n.config.Logger.Warn("new partitions cannot be opened; trying again", "error", err)
		}
		return true
	})
}

// every calls fn again and again until the node is closed or fn has enough.
func (n *Node) every(d time.Duration, fn func() bool) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-n.run.Done():
			return
		case <-tick.C:
		}
		if !fn() {
			return
		}
	}
}

// grow opens the partitions that are not open yet.
func (n *Node) grow(ctx context.Context) error {
	n.growing.Lock()
	defer n.growing.Unlock()
	for p := range n.Door.Log.Partitions() {
		if n.part(p) == nil {
			if err := n.openPart(ctx, p, n.Door.Log); err != nil {
				return fmt.Errorf("open partition %d: %w", p, err)
			}
		}
	}
	return nil
}

// nextSlot is a partition that this node owns, in turn; any if it owns none.
func (n *Node) nextSlot() int {
	n.partsMu.RLock()
	parts := n.parts
	n.partsMu.RUnlock()
	count := len(parts)
	from := int(n.slot.Add(1) % uint64(count)) //nolint:gosec // below 4096
	for i := range count {
		if p := (from + i) % count; parts[p] != nil && parts[p].owner.Acting() {
			return p
		}
	}
	return from
}

// catchUp waits until the tails have folded the log up to its end as it is now, or one of them cannot go on.
func (n *Node) catchUp(ctx context.Context, log eventstore.Log) error {
	ctx, cancel := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	defer func() { cancel(nil); <-watched }()
	go func() {
		defer close(watched)
		select {
		case err := <-n.failed:
			n.failed <- err // whoever runs the node asks, too
			cancel(err)
		case <-ctx.Done():
		}
	}()
	for p := range log.Partitions() {
		_, end, err := log.Bounds(ctx, p)
		if err != nil {
			return err
		}
		if err := n.Model.Until(ctx, func() bool { return n.Model.Next(p) >= end }); err != nil {
			return err
		}
	}
	n.caught.Store(true)
	return nil
}
