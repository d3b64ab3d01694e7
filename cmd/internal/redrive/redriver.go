// Package redrive carries out the operations of deed.operations: one node at a time does, a step at a time. A step is in the
// log before anything is done, and is done only once it was folded back; what a node left undone when it died, the next one
// settles first.
package redrive

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"deed/cmd/internal/door"
	"deed/domain"
	"deed/projections/invocations"
	"deed/projections/operations"
	"deed/runtime/worker"
)

// Redriver acts while Run runs. All fields are required.
type Redriver struct {
	Door   *door.Door
	Rows   *invocations.Model
	Model  *operations.Model
	Sink   worker.Sink // of every kind of target but functions
	Logger *slog.Logger
}

const (
	tryAgain = time.Second // after a step that could not be begun, or settled
	atOnce   = 32          // of one step

	deliverWithin = 30 * time.Second // as long as an owner gives a delivery
)

// Run carries out what is pending, until ctx ends. Several operations take turns, step by step.
func (o *Redriver) Run(ctx context.Context) {
	plans := map[domain.UUID]*plan{}
	for ctx.Err() == nil {
		before := o.Model.Next() // first: what comes behind it ends the rest
		pending := o.Model.Pending()
		known := map[domain.UUID]bool{}
		wait := time.Duration(-1) // for a change
		for _, op := range pending {
			known[op.ID] = true
			p := plans[op.ID]
			if p == nil {
				p = &plan{}
				plans[op.ID] = p
			}
			if left := time.Until(p.next); left > 0 {
				wait = least(wait, left)
				continue
			}
			now, _ := o.Model.Get(op.ID) // it may have been paused since
			if err := o.step(ctx, now, p); err != nil {
				if ctx.Err() != nil {
					return
				}
				p.next = time.Now().Add(tryAgain)
				if p.said != err.Error() {
					o.Logger.Warn("an operation cannot go on; trying again", "operation", op.ID, "error", err)
					p.said = err.Error()
				}
			} else {
				p.said = ""
			}
			wait = least(wait, max(time.Until(p.next), 0))
		}
		for id := range plans {
			if !known[id] {
				delete(plans, id)
			}
		}
		o.rest(ctx, before, wait)
	}
}

// least is the shorter of two waits, of which one below 0 is none.
func least(a, b time.Duration) time.Duration {
	if a < 0 {
		return b
	}
	return min(a, b)
}

// rest waits until something was folded behind an offset, or for so long.
func (o *Redriver) rest(ctx context.Context, before int64, wait time.Duration) {
	if wait >= 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, wait)
		defer cancel()
	}
	_ = o.Model.Until(ctx, func() bool { return o.Model.Next() != before })
}

// step does the next thing of an operation.
func (o *Redriver) step(ctx context.Context, op operations.Operation, p *plan) error {
	switch {
	case op.UnderWay():
		return o.settle(ctx, op)
	case op.Ended || op.Paused:
		return nil
	case !op.Planned:
		return o.plan(ctx, op, p)
	}
	if !p.made {
		p.fill(o.choose(op))
	}
	next := o.next(op, p, min(op.Rate, domain.MaxStep))
	if len(next) == 0 {
		return o.Door.Operate(ctx, domain.OperationEnded{ID: op.ID})
	}
	p.next = time.Now().Add(time.Duration(len(next)) * time.Second / time.Duration(op.Rate))
	return o.advance(ctx, op, next)
}

// advance begins a step and settles it.
func (o *Redriver) advance(ctx context.Context, op operations.Operation, old []domain.InvocationID) error {
	e := domain.OperationAdvanced{ID: op.ID, Step: op.Step + 1, Old: old, New: make([]domain.InvocationID, len(old))}
	ids := make([]door.Again, len(old))
	for i := range old {
		var err error
		if ids[i], err = o.Door.Identify(); err != nil {
			return err // too much is open, say: nothing was written
		}
		e.New[i] = ids[i].ID
	}
	if err := o.Door.Operate(ctx, e); err != nil {
		if rejected := (*domain.Rejection)(nil); errors.As(err, &rejected) {
			return nil // another operation was faster with one of them, or this one was paused: it is looked at again
		}
		return err
	}
	return o.finish(ctx, op, e, func(i int, req domain.InvocationRequested) error { return o.Door.Redrive(ctx, ids[i], req) })
}

// settle ends a step that another node began, or this one before it was told that it was no more the one that acts.
func (o *Redriver) settle(ctx context.Context, op operations.Operation) error {
	return o.finish(ctx, op, op.Current, func(i int, _ domain.InvocationRequested) error {
		return &door.Unacknowledged{ID: op.Current.New[i]} // nobody knows
	})
}
