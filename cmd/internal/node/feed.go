package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"deed/cmd/internal/door"
	"deed/domain"
	"deed/domain/partition"
	"deed/eventstore"
	"deed/projections"
)

// feed copies the notification records of a partition into deed.notifications, for consumers who want just those: into the
// partition of the same number, in the order in which they were owed, those that took effect. The node does it that acts on
// the partition. It is a reader with a state of its own, and the state is what it wrote: the last message names the record
// that it was made of, and a marker from which a fold knows all that follows. So a crash makes at most the last ones stand
// twice, with the same id.
//
// While it is up with the tail it is fed by it. What it missed, because it was not the one that acts, it reads by itself.
type feed struct {
	p       int
	from    eventstore.Log
	to      eventstore.Log
	tail    *projections.Tail
	blobs   door.Blobs
	cluster func() string
	acts    func() bool
	marker  func(context.Context) (int64, error) // the committed one; -1: none
	first   func(context.Context) (*partition.Fold, error)
	fed     func() domain.NotificationsFed // the position that was noted last
	note    func(context.Context, domain.NotificationsFed) error
	warn    func(error)

	most int   // notifications in memory; beyond it they are read again
	idle int64 // records without any notification behind which the position is noted: how far the next one reads

	wake chan struct{} // there is something to do: it acts, or ceases to, or something is owed

	mu    sync.Mutex // guards what follows
	live  bool       // what the tail hands over is queued
	upto  int64      // the tail has handed over all before
	queue []owed
}

// owed is a notification on its way.
type owed struct {
	offset  int64
	message eventstore.Message
	state   domain.Invocation
}

const (
	feedMost  = 4096
	feedIdle  = 50_000
	feedRetry = time.Second
	feedNote  = 10 * time.Minute // the topic may be given a retention: then its last message is not there for ever
)

func (f *feed) poke() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Batch implements projections.Subscriber.
func (f *feed) Batch(_ *partition.Fold, batch []eventstore.Judged) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.live {
		return
	}
	for i := range batch {
		if j := &batch[i]; owes(j) {
			f.queue = append(f.queue, owed{j.Message.Offset, j.Message, j.After})
		}
	}
	f.upto = batch[len(batch)-1].Message.Offset + 1
	if len(f.queue) > f.most {
		f.live, f.queue = false, nil
	}
	f.poke()
}

func owes(j *eventstore.Judged) bool {
	_, ok := j.Record.Event.(domain.NotificationOwed)
	return ok && j.Verdict.Effective()
}

// run feeds until ctx ends.
func (f *feed) run(ctx context.Context) {
	for ctx.Err() == nil {
		if f.acts() {
			err := f.term(ctx)
			f.mu.Lock()
			f.live, f.queue = false, nil
			f.mu.Unlock()
			if err != nil && ctx.Err() == nil {
				f.warn(err)
				select {
				case <-ctx.Done():
				case <-time.After(feedRetry):
				}
				continue
			}
		}
		select {
		case <-ctx.Done():
		case <-f.wake:
		}
	}
}

// errBehind ends a term in which more was owed than is kept in memory: the next one reads it.
var errBehind = errors.New("more is owed than was told")

// term catches up and goes on, while the node acts on the partition.
func (f *feed) term(ctx context.Context) error {
	at, err := f.position(ctx)
	if err != nil {
		return err
	}
	until := make(chan int64, 1)
	if !f.tail.Do(func(fold *partition.Fold) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.live, f.queue, f.upto = true, nil, fold.Next()
		until <- fold.Next()
	}) {
		return errors.New("the tail has ended")
	}
	var end int64
	select {
	case end = <-until:
	case <-ctx.Done():
		return nil
	}
	if err := f.catchUp(ctx, &at, end); err != nil {
		return err
	}
	noted, since := at.Upto, time.Now()
	for f.acts() {
		f.mu.Lock()
		live, queue, upto := f.live, f.queue, f.upto
		f.queue = nil
		f.mu.Unlock()
		if !live {
			return errBehind
		}
		if err := f.tell(ctx, &at, queue); err != nil {
			return err
		}
		if upto-at.Upto > f.idle || at.Upto > noted && time.Since(since) > feedNote {
			at.Upto = max(at.Upto, upto)
			if err := f.remark(ctx, &at); err != nil {
				return err
			}
			if err := f.note(ctx, at); err != nil {
				return err
			}
			noted, since = at.Upto, time.Now()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-f.wake:
		}
	}
	return nil
}

// position is how far the topic is: all that was owed before Upto was told.
func (f *feed) position(ctx context.Context) (at domain.NotificationsFed, err error) {
	at = f.fed()
	start, end, err := f.to.Bounds(ctx, f.p)
	if err != nil || start == end {
		return at, err
	}
	ms, err := f.to.Read(ctx, f.p, end-1, 1)
	if err != nil || len(ms) == 0 {
		return at, err
	}
	offset, marker, err := eventstore.CopiedFrom(ms[len(ms)-1])
	if err == nil && offset >= at.Upto {
		at.Upto, at.Marker = offset+1, marker
	}
	return at, err
}

// catchUp reads what was owed from the position to where the tail was.
func (f *feed) catchUp(ctx context.Context, at *domain.NotificationsFed, end int64) error {
	if at.Upto >= end {
		return nil
	}
	fold, err := f.first(ctx)
	if err != nil {
		return err
	}
	if at.Marker >= fold.Next() {
		fold = partition.At(at.Marker)
	}
	reached := errors.New("reached")
	err = f.from.Follow(ctx, f.p, fold.Next(), func(ms []eventstore.Message) error {
		var queue []owed
		for _, m := range ms {
			if m.Offset >= end || !f.acts() {
				break
			}
			j := eventstore.Judged{Message: m, Record: eventstore.DecodeLean(m)}
			if j.Verdict = fold.Apply(m.Offset, &j.Record); j.Verdict.Stop() {
				return fmt.Errorf("partition %d, offset %d: %s (%s): %w", f.p, m.Offset, j.Record.Type, j.Verdict.Reason, projections.ErrStopped)
			}
			if e := fold.Touched(); e != nil && m.Offset >= at.Upto && owes(&j) {
				queue = append(queue, owed{m.Offset, m, e.Invocation})
			}
		}
		if err := f.tell(ctx, at, queue); err != nil {
			return err
		}
		switch {
		case fold.Next() >= end:
			return reached
		case !f.acts(): // not all was told, so what the tail hands over must not follow
			return errBehind
		}
		return nil
	})
	if errors.Is(err, reached) {
		err = nil
	}
	return err
}

// remark takes the newest marker that the position is behind of.
func (f *feed) remark(ctx context.Context, at *domain.NotificationsFed) error {
	m, err := f.marker(ctx)
	if err == nil && m > at.Marker && m <= at.Upto {
		at.Marker = m
	}
	return err
}

// tell appends, and waits until all of it is acknowledged.
func (f *feed) tell(ctx context.Context, at *domain.NotificationsFed, queue []owed) error {
	if len(queue) == 0 {
		return nil
	}
	last := queue[len(queue)-1].offset
	at.Upto = queue[0].offset
	if err := f.remark(ctx, at); err != nil {
		return err
	}
	var records []eventstore.Message
	for _, o := range queue {
		m, err := f.copy(ctx, o, at.Marker)
		if err != nil {
			return err
		}
		if m != nil {
			records = append(records, *m)
		}
	}
	if len(records) == 0 {
		at.Upto = last + 1
		return nil
	}
	done := make(chan error, 1)
	f.to.Append(f.p, records, func(_ int64, err error) { done <- err })
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("copy notifications: %w", err)
		}
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	at.Upto = last + 1
	return nil
}

// copy is the message of what is owed; nil if its record cannot be read, which is said and holds up nobody.
func (f *feed) copy(ctx context.Context, o owed, marker int64) (*eventstore.Message, error) {
	r := eventstore.Decode(o.message)
	e, ok := r.Event.(domain.NotificationOwed)
	if !ok {
		f.warn(fmt.Errorf("the record at offset %d is passed over: %s", o.offset, r.Problem))
		return nil, nil
	}
	record := e.Record.Inline
	if e.Record.Stored {
		var err error
		if record, err = f.blobs.Get(ctx, e.Record.Digest); err != nil {
			return nil, err
		}
	}
	m, err := eventstore.Notification(f.cluster(), e.ID, o.state, e.Sink, record)
	if err != nil {
		f.warn(fmt.Errorf("the record at offset %d is passed over: %w", o.offset, err))
		return nil, nil //nolint:nilerr // as it says
	}
	m.Time = o.message.Time
	m = eventstore.Copied(m, e.ID, o.offset, marker)
	return &m, nil
}
