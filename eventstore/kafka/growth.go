package kafka

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"deed/eventstore"
)

const (
	mostPartitions = 4096
	growthAsked    = 5 * time.Second // so often a log asks for its partition count when nobody else does
)

// growth is a log's partition count, which follows the topic's. A count that went up was heard of by every producer, so
// that none of them refuses a partition that the log accepts.
type growth struct {
	count atomic.Int64  // raised under mu, when those who waited for it have had their turn; never lowered
	ask   chan struct{} // of one: somebody waits

	mu      sync.Mutex // guards the rest
	waiting []stranger // in the order of the calls
	closed  bool
}

// stranger waits for a partition that the log has not heard of. then is called once, with growth locked: with nil if the
// partition is there.
type stranger struct {
	partition int
	then      func(error)
}

// known reports whether the log has heard of the partition.
func (l *Log) known(partition int) bool {
	return partition >= 0 && int64(partition) < l.growth.count.Load()
}

// meet calls then when it is known whether the partition is there, which may be at once. Calls for one partition keep
// their order.
func (l *Log) meet(partition int, then func(error)) {
	g := &l.growth
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.closed:
		then(eventstore.ErrClosed)
	case partition < 0 || partition >= mostPartitions:
		then(fmt.Errorf("partition %d of %s is not one of 0 to %d", partition, l.topic, mostPartitions-1))
	case l.known(partition):
		then(nil)
	default:
		g.waiting = append(g.waiting, stranger{partition, then})
		g.wake()
	}
}

func (g *growth) wake() {
	select {
	case g.ask <- struct{}{}:
	default:
	}
}

// check waits until it is known whether the partition is there.
func (l *Log) check(ctx context.Context, partition int) error {
	if l.known(partition) {
		return nil
	}
	there := make(chan error, 1)
	l.meet(partition, func(err error) { there <- err })
	select {
	case err := <-there:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// grow asks the cluster for the partition count every 5 s, and when somebody waits for a partition, until the log is
// closed. What it costs is one small request for each.
func (l *Log) grow() {
	defer close(l.grown)
	t := time.NewTicker(growthAsked)
	defer t.Stop()
	for {
		select {
		case <-l.open.Done():
			return
		case <-t.C:
		case <-l.growth.ask:
		}
		l.growth.mu.Lock()
		asking := len(l.growth.waiting)
		l.growth.mu.Unlock()
		count, err := l.counted(l.open)
		l.growth.raise(l.topic, count, asking, err)
	}
}

// counted is how many partitions there are by the word of the cluster, and of every producer's client. An error comes
// with the count as it was known before.
func (l *Log) counted(ctx context.Context) (int, error) {
	before := int(l.growth.count.Load())
	refreshed := l.cluster.refresh(ctx, l.topic) // fails also when a new partition has no leader yet, and that is no reason to wait
	all, err := l.cluster.client.Partitions(l.topic)
	if err != nil {
		return before, err
	}
	count := len(all)
	if count <= before {
		return before, refreshed
	}
	for _, p := range l.producers {
		for _, pipe := range p.pipes {
			err = within(ctx, func() error { return pipe.client.RefreshMetadata(l.topic) })
			if ctx.Err() != nil {
				return before, err
			}
			heard, err := pipe.client.Partitions(l.topic)
			if err != nil {
				return before, err
			}
			count = min(count, len(heard))
		}
	}
	return max(before, count), nil
}

// raise gives the first of those who wait an answer, and the others if theirs is known now.
func (g *growth) raise(topic string, count, asking int, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var left []stranger
	for i, s := range g.waiting {
		switch {
		case s.partition < count:
			s.then(nil)
		case i >= asking:
			left = append(left, s) // came when the question was under way
		case err != nil:
			s.then(fmt.Errorf("partition %d of %s is not one of 0 to %d, and no others were heard of: %w", s.partition, topic, count-1, err))
		default:
			s.then(fmt.Errorf("partition %d of %s is not one of 0 to %d", s.partition, topic, count-1))
		}
	}
	if g.waiting = left; len(left) > 0 {
		g.wake()
	}
	g.count.Store(int64(count)) // last: whoever sees it goes ahead of the queue
}

// close refuses those who wait.
func (g *growth) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for _, s := range g.waiting {
		s.then(eventstore.ErrClosed)
	}
	g.waiting = nil
}
