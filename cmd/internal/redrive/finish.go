package redrive

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"deed/cmd/internal/door"
	"deed/domain"
	"deed/projections/invocations"
	"deed/projections/operations"
	"deed/runtime/worker"
)

// finish does what a step says, and says what became of it. accept appends the request of the ith; of one that it does not
// know the end of, the log is asked. If we crash in between, whoever finishes the step next knows of none.
func (o *Redriver) finish(ctx context.Context, op operations.Operation, step domain.OperationAdvanced, accept func(i int, req domain.InvocationRequested) error) error {
	settled := domain.OperationSettled{ID: op.ID, Step: step.Step, Problems: make([]string, len(step.Old)), Places: make([]string, len(step.Old))}
	undecided := make([]error, len(step.Old))
	places := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for i, old := range step.Old {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			settled.Places[i], settled.Problems[i], undecided[i] = o.one(ctx, op, old, step.New[i], func(req domain.InvocationRequested) error { return accept(i, req) })
		})
	}
	all.Wait()
	if err := errors.Join(undecided...); err != nil {
		return err
	}
	if empty(settled.Problems) {
		settled.Problems = nil
	}
	if empty(settled.Places) {
		settled.Places = nil
	}
	return o.Door.Operate(ctx, settled)
}

func empty(list []string) bool {
	for _, s := range list {
		if s != "" {
			return false
		}
	}
	return true
}

// one acts on one invocation. A problem is an answer; an error says that there is none yet.
func (o *Redriver) one(ctx context.Context, op operations.Operation, old, id domain.InvocationID, accept func(domain.InvocationRequested) error) (place, problem string, err error) {
	row, err := o.Door.Find(ctx, old)
	if err == nil && row.State.Function.Project != op.Project {
		err = o.Door.NoInvocation(old)
	}
	if err == nil && op.Kind == domain.Renotify {
		return o.renotify(ctx, row, id, accept)
	}
	var req domain.InvocationRequested
	if err == nil {
		req, err = o.Door.Request(ctx, row, op.Pinned)
	}
	if err != nil {
		problem, err = answer(err)
		return "", problem, err
	}
	problem, err = o.accept(ctx, id, req, accept)
	return "", problem, err
}

// answer makes a problem of what will not mend itself.
func answer(err error) (problem string, _ error) {
	if r := (*domain.Rejection)(nil); errors.As(err, &r) && r.Code != domain.CodeUnavailable {
		words, _ := domain.CutText(r.Error(), domain.MaxError/8)
		return words, nil
	}
	return "", err
}

// accept makes an invocation of a request.
func (o *Redriver) accept(ctx context.Context, id domain.InvocationID, req domain.InvocationRequested, accept func(domain.InvocationRequested) error) (problem string, err error) {
	err = accept(req)
	unknown := (*door.Unacknowledged)(nil)
	if !errors.As(err, &unknown) {
		return answer(err)
	}
	taken, err := o.Door.Settle(ctx, id, req)
	if err == nil && !taken {
		problem = operations.Lost
	}
	return problem, err
}

// renotify delivers a notification again that was abandoned: the same record, under the same id. What a function is told is a
// new invocation of it.
func (o *Redriver) renotify(ctx context.Context, row invocations.Row, id domain.InvocationID, accept func(domain.InvocationRequested) error) (place, problem string, err error) {
	i := row.State
	if !i.Notified.Abandoned {
		return "", fmt.Sprintf("no notification of %s was abandoned", i.ID), nil
	}
	record, err := o.Door.Owed(ctx, row)
	if err != nil {
		problem, err = answer(err)
		return "", problem, err
	}
	if target, qualifier, ok := i.Notified.Sink.Function(i.Function); ok {
		switch { // what an owner gave up for good stays given up
		case i.Hops >= domain.MaxHops:
			return "", fmt.Sprintf("the lineage from %s has %d links, the most that are allowed: %s is not called", i.LineageRoot(), domain.MaxHops, target.Name), nil
		case len(record) > domain.MaxPayload:
			return "", fmt.Sprintf("the record has %d bytes; the limit of an event is %d", len(record), domain.MaxPayload), nil
		}
		req, err := o.Door.Pin(target, qualifier, 0)
		if err == nil {
			req.Redrives = i.ID
			req.Payload, err = o.Door.Store(ctx, record)
		}
		if err == nil {
			problem, err = o.accept(ctx, id, req, accept)
		} else {
			problem, err = answer(err)
		}
		return "invocation " + id.String(), problem, err
	}
	limited, cancel := context.WithTimeout(ctx, deliverWithin)
	defer cancel()
	place, err = o.Sink.Deliver(limited, worker.Notification{ID: i.Notified.ID, Target: i.Notified.Sink, Invocation: i, Record: record})
	if err != nil && ctx.Err() == nil {
		problem, _ = domain.CutText(err.Error(), domain.MaxError/8) // it may be asked for again
		err = nil
	}
	return place, problem, err
}
