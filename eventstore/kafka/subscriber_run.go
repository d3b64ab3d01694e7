package kafka

import (
	"context"
	"errors"
	"time"

	"deed/eventstore"
)

const (
	againAfter   = 5 * time.Second // a partition that cannot be read is tried again
	groupAnswers = 5 * time.Second // at most, for what needs an answer of the group when a window ends
)

var errEnded = errors.New("the window has ended")

// run fetches until the window is ended, and commits meanwhile.
func (w *window) run() {
	defer close(w.fetched)
	committing := make(chan struct{})
	go func() {
		defer close(committing)
		tick := time.NewTicker(w.config.CommitEvery)
		defer tick.Stop()
		for {
			select {
			case <-w.fetching.Done():
				return
			case <-tick.C:
				w.commit(w.fetching)
			}
		}
	}()
	next := int64(-1)
	for w.fetching.Err() == nil {
		err := w.fetch(&next)
		if w.fetching.Err() != nil {
			break
		}
		w.log.Error("a partition cannot be consumed; trying again", "partition", w.partition, "offset", next, "error", err)
		_ = wait(w.fetching, againAfter)
	}
	<-committing
}

// fetch follows the partition, from the group's position on or from next if that is known.
func (w *window) fetch(next *int64) error {
	if *next < 0 {
		at, err := w.member.Committed(w.fetching, w.partition)
		if err != nil {
			return err
		}
		if at.Offset < 0 {
			if at.Offset, _, err = w.source.Bounds(w.fetching, w.partition); err != nil {
				return err
			}
		}
		w.mu.Lock()
		w.mark, w.written = at.Offset, at.Offset
		w.mu.Unlock()
		*next = at.Offset
	}
	return w.source.Follow(w.fetching, w.partition, *next, func(batch []eventstore.Message) error {
		n := w.take(batch)
		if n > 0 {
			*next = batch[n-1].Offset + 1
		}
		if n < len(batch) {
			return errEnded
		}
		return nil
	})
}

// commit writes the low-water mark if it is not written yet.
func (w *window) commit(ctx context.Context) {
	w.mu.Lock()
	mark := w.mark
	todo := mark > w.written
	w.mu.Unlock()
	if !todo {
		return
	}
	switch err := w.member.Commit(ctx, w.partition, eventstore.Position{Offset: mark}); {
	case err == nil:
		w.mu.Lock()
		w.written = mark
		w.mu.Unlock()
	case errors.Is(err, eventstore.ErrNotMember):
		w.giveUp() // somebody else has it, or will; revoked is about to be called
	case ctx.Err() == nil:
		w.log.Warn("a position was not committed; trying again", "partition", w.partition, "offset", mark, "error", err)
	}
}

// giveUp ends everything about the window but what handlers do.
func (w *window) giveUp() {
	w.stop()
	w.stopHanding() // before the workers are waited for
	w.kill()
}

// end drains the window and returns when nothing of it is left.
func (w *window) end() {
	w.stop()
	<-w.fetched
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), groupAnswers)
	held, err := w.member.Holds(ctx, w.partition)
	cancel()
	if held || err != nil {
		w.drain()
	}
	w.giveUp()
	w.workers.Wait()
	if held || err != nil {
		ctx, cancel = context.WithTimeout(context.WithoutCancel(w.ctx), groupAnswers)
		defer cancel()
		w.commit(ctx)
	}
}

// drain waits until every item at or below the highest one that was begun has ended, or, if nothing is handed out any
// more, until nothing is with a handler; and not for longer than DrainTimeout.
func (w *window) drain() {
	late := time.AfterFunc(w.config.DrainTimeout, w.giveUp)
	defer late.Stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.draining = true
	for n, i := range w.span {
		if i.record.Offset > w.begun {
			w.span = w.span[:n]
			break
		}
	}
	for len(w.span) > 0 && (!w.over || w.running > 0) {
		w.room.Wait()
	}
}
