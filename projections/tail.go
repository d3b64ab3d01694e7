// Package projections derives: it runs the fold of each partition once and feeds what comes of it to whoever asks.
// Nothing in it acts on the world, and nothing it derives is a second truth: all of it can be folded again from the log.
package projections

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"deed/domain"
	"deed/domain/partition"
	"deed/eventstore"
)

// Subscriber is fed every record of a partition, judged, in order and in batches, on the goroutine that owns the fold: it
// may look at the fold then, and must not block.
type Subscriber interface {
	Batch(fold *partition.Fold, batch []eventstore.Judged)
}

// ErrStopped says that a record of a newer version must not be skipped: the reader stops rather than fold differently.
var ErrStopped = errors.New("the log holds records of a newer version of Deed")

// Tail is the one reader of a partition in a node: one fetch, one decoding, one fold. One goroutine owns the fold; what
// must happen between two batches is handed to it with Do.
type Tail struct {
	log       eventstore.Log
	partition int
	fold      *partition.Fold
	chain     eventstore.Chain
	subs      []Subscriber

	mu   sync.Mutex // guards todo and ended
	todo []func(*partition.Fold)
	more chan struct{}
	over bool
}

// NewTail is a tail of one partition that begins where the fold does. Subscribers are fed in the order given.
func NewTail(log eventstore.Log, p int, fold *partition.Fold, subs ...Subscriber) *Tail {
	return &Tail{log: log, partition: p, fold: fold, subs: subs, more: make(chan struct{}, 1)}
}

// Chain is the digest of the log up to the fold's position, and whether it can be stated (eventstore.Chain). It is for
// functions that run by Do or on a batch.
func (t *Tail) Chain() (domain.Digest, bool) { return t.chain.At() }

// Do runs fn on the goroutine that owns the fold, after what was handed over before. It never blocks. It reports false,
// and drops fn, once the tail has ended.
func (t *Tail) Do(fn func(*partition.Fold)) bool {
	t.mu.Lock()
	if t.over {
		t.mu.Unlock()
		return false
	}
	t.todo = append(t.todo, fn)
	t.mu.Unlock()
	select {
	case t.more <- struct{}{}:
	default:
	}
	return true
}

// Run follows the partition until ctx ends, the log cannot be read on, a record must not be skipped (ErrStopped), or what was
// folded is not what its owner read (eventstore.ErrDiverged).
func (t *Tail) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	from := t.fold.Next()
	batches := make(chan []eventstore.Judged, 4) // decoding runs ahead of folding
	go func() {
		cancel(t.log.Follow(ctx, t.partition, from, func(ms []eventstore.Message) error {
			batch := make([]eventstore.Judged, len(ms))
			for i, m := range ms {
				batch[i] = eventstore.Judged{Message: m, Record: eventstore.DecodeLean(m)}
			}
			select {
			case batches <- batch:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}))
		close(batches)
	}()
	defer func() {
		cancel(nil)
		for range batches { //nolint:revive // waits for the reader to end
		}
		t.mu.Lock()
		t.over, t.todo = true, nil
		t.mu.Unlock()
	}()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case batch, ok := <-batches:
			if !ok {
				return context.Cause(ctx)
			}
			if err := t.apply(batch); err != nil {
				return err
			}
		case <-t.more:
			t.mu.Lock()
			todo := t.todo
			t.todo = nil
			t.mu.Unlock()
			for _, fn := range todo {
				fn(t.fold)
			}
		}
	}
}

func (t *Tail) apply(batch []eventstore.Judged) error {
	for i := range batch {
		j := &batch[i]
		j.Verdict = t.fold.Apply(j.Message.Offset, &j.Record)
		if j.Verdict.Stop() {
			return fmt.Errorf("partition %d, offset %d: %s (%s): %w", t.partition, j.Message.Offset, j.Record.Type, j.Verdict.Reason, ErrStopped)
		}
		if e := t.fold.Touched(); e != nil {
			j.After = e.Invocation
		}
		if err := t.chain.Add(j); err != nil {
			return err
		}
	}
	for _, s := range t.subs {
		s.Batch(t.fold, batch)
	}
	return nil
}
