package door

import (
	"context"
	"errors"
	"fmt"
	"time"

	"deed/domain"
	"deed/projections/invocations"
)

// Again is an invocation that is to be run again, as another one. Its id is made before anything is written, so that a record
// elsewhere can name it first.
type Again struct {
	ID domain.InvocationID

	began time.Time
}

// Identify makes the id of an Again. It is good for AckWithin.
func (d *Door) Identify() (Again, error) {
	if err := d.admits(); err != nil {
		return Again{}, err
	}
	id, began, err := d.identify(d.Slots())
	return Again{id, began}, err
}

// Request is the request that redrives an invocation: its event, for what its function is now, or, pinned, for what it was.
// The error is a *domain.Rejection if it can never be.
func (d *Door) Request(ctx context.Context, old invocations.Row, pinned bool) (domain.InvocationRequested, error) {
	if !old.State.Known || old.State.Outcome == domain.Open {
		return domain.InvocationRequested{}, domain.Reject(domain.CodeConflict, fmt.Sprintf("invocation %s has no outcome yet", old.State.ID), "")
	}
	if old.Request < 0 {
		return domain.InvocationRequested{}, domain.Reject(domain.CodeConflict, fmt.Sprintf("the request of %s is not in the log any more", old.State.ID), "")
	}
	_, r, err := d.Record(ctx, old.Partition, old.Request)
	if err != nil {
		return domain.InvocationRequested{}, err
	}
	was, ok := r.Event.(domain.InvocationRequested)
	if !ok {
		return was, domain.Reject(domain.CodeConflict, fmt.Sprintf("the request of %s cannot be read", old.State.ID), "")
	}
	req := domain.InvocationRequested{Function: was.Function, Version: was.Version, Code: was.Code, Files: was.Files, Limits: was.Limits, Policy: was.Policy, Env: was.Env}
	if !pinned {
		if req, err = d.pin(Call{Function: was.Function}); err != nil {
			return req, err
		}
	}
	req.Redrives, req.Payload = was.ID, was.Payload
	return req, nil
}

// Redrive accepts the request under the id. Errors are Accept's; of an *Unacknowledged, Settle tells what became.
func (d *Door) Redrive(ctx context.Context, a Again, req domain.InvocationRequested) error {
	req.ID, req.Deadline = a.ID, a.ID.T0().Add(req.Policy.Age())
	d.inFlight.Add(1)
	defer d.inFlight.Add(-1)
	offset, err := d.append(ctx, d.Log, req.ID.Slot(), domain.Record{ID: domain.RequestRecordID(req.ID), Subject: req.ID, At: req.ID.T0(), Event: req}, a.began)
	if err == nil {
		err = d.compareClocks(ctx, req.ID.Slot(), offset, a.began)
	}
	if err != nil {
		return &Unacknowledged{req.ID, "", err}
	}
	return nil
}

// Settle reports whether a request that was, or may have been, appended under an id took effect (true) or never can (false).
// It appends it once more, for the same reason as a call with an idempotency key does. The error says that it cannot be said
// yet.
func (d *Door) Settle(ctx context.Context, id domain.InvocationID, req domain.InvocationRequested) (taken bool, err error) {
	if taken, settled := d.settled(req.Function, id); settled {
		return taken, nil
	}
	ctx, cancel := context.WithTimeout(ctx, d.patience())
	defer cancel()
	if row, err := d.Find(ctx, id); err == nil && row.State.Known {
		return true, nil
	}
	if d.past(id) {
		taken, settled := d.settled(req.Function, id)
		if !settled {
			err = fmt.Errorf("what became of request %s is not known: the read model keeps the newest %s invocations of a function", id, thousands(d.Model.Keeps()))
		}
		return taken, err
	}
	unwritten := d.Redrive(ctx, Again{id, d.Now()}, req)
	if err := d.Model.Until(ctx, func() (settled bool) {
		taken, settled = d.settled(req.Function, id)
		return settled
	}); err != nil {
		return false, fmt.Errorf("what became of request %s is not known yet: %w", id, errors.Join(unwritten, err))
	}
	return taken, nil
}
