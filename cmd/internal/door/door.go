// Package door is where requests come in: it writes requests, cancels and changes of the registry, and answers only what
// the log has acknowledged. It decides nothing about an invocation.
package door

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"deed/domain"
	"deed/eventstore"
	"deed/projections/functions"
	"deed/projections/invocations"
)

// Blobs holds modules, and payloads over domain.MaxInline.
type Blobs interface {
	Put(ctx context.Context, data []byte) (domain.Digest, error)
	Get(ctx context.Context, d domain.Digest) ([]byte, error)
}

// Checker refuses a module that cannot run, with words for a person.
type Checker interface {
	Check(ctx context.Context, module []byte, limits domain.Limits) error
}

// Door accepts. All fields are required unless they say otherwise.
type Door struct {
	Log       eventstore.Log // of invocations, with producers of the doors' own
	Functions eventstore.Log // the registry's
	Registry  *functions.Registry
	Model     *invocations.Model
	Blobs     Blobs
	Modules   Checker
	Keys      Keys       // nil: calls with an idempotency key are refused
	Slots     func() int // the partition for the next request: one that this node owns when it owns any
	Now       func() time.Time
	Random    func([]byte)

	// MaxOpen is how many invocations may be open before no more are accepted; 0: no bound.
	MaxOpen int
	// Clock is why this node's clock keeps it from accepting; nil if it does not. May be nil itself.
	Clock func() error
	// Skewed is told how far this node's clock is ahead of the broker's, if that is too far. May be nil.
	Skewed func(ahead time.Duration)

	// BrokerTime is the latest time that the broker gave a record which this node has read; zero if it gives none. May be nil.
	BrokerTime func() time.Time

	keyWait  time.Duration // tests shorten keyPatience
	inFlight atomic.Int64  // requests that are being appended
	clock    comparison
}

// AckWithin is A of the protocol: a request is answered with success only if the log acknowledged it within this time of
// its acceptance, by the wall clock and by the monotonic one (a laptop sleeps).
const AckWithin = 30 * time.Second

// Unacknowledged says that a request was appended and not acknowledged in time. Whether it will run is unknown.
type Unacknowledged struct {
	ID  domain.InvocationID
	Key string // the call's idempotency key: with one, the same call may be made again
	Err error
}

func (u *Unacknowledged) Error() string {
	return fmt.Sprintf("request %s was not acknowledged by the log: %v", u.ID, u.Err)
}
func (u *Unacknowledged) Unwrap() error { return u.Err }

// Accepted is where an accepted request stands.
type Accepted struct {
	ID       domain.InvocationID
	Replayed bool // an earlier call with the same idempotency key was accepted
}

// Invoke accepts an event for the newest version of a function. Errors are a *domain.Rejection (nothing was written), an
// *Unacknowledged, or ours.
func (d *Door) Invoke(ctx context.Context, f domain.FunctionID, event []byte, trace string) (Accepted, error) {
	if len(event) > domain.MaxPayload {
		return Accepted{}, TooLarge("the event", len(event))
	}
	req, err := d.Pin(f)
	if err != nil {
		return Accepted{}, err
	}
	d.inFlight.Add(1)
	defer d.inFlight.Add(-1)
	if err := d.admits(); err != nil {
		return Accepted{}, err
	}
	var began time.Time
	if req.ID, began, err = d.identify(d.Slots()); err != nil {
		return Accepted{}, err
	}
	req.Deadline = req.ID.T0().Add(req.Policy.Age())
	return d.submit(ctx, req, event, trace, began)
}

// admits refuses, before anything is written, what this node could not see through.
func (d *Door) admits() error {
	if d.Clock != nil {
		if err := d.Clock(); err != nil {
			return domain.Reject(domain.CodeUnavailable, err.Error(), "set the clock, or ask another node")
		}
	}
	if open := d.Model.Unsettled() + int(d.inFlight.Load()); d.MaxOpen > 0 && open > d.MaxOpen {
		return domain.Reject(domain.CodeUnavailable, fmt.Sprintf("%d invocations are open, the most that are allowed", d.MaxOpen), "try again when some have ended; --max-open allows more")
	}
	return nil
}

// TooLarge is the rejection of something over domain.MaxPayload.
func TooLarge(what string, n int) error {
	size := "more than that"
	if n > 0 {
		size = fmt.Sprintf("%d bytes", n)
	}
	return domain.Reject(domain.CodeTooLarge, fmt.Sprintf("%s has %s; the limit is %d bytes (6 MiB)", what, size, domain.MaxPayload),
		"put large data into an object store and send its address")
}

// Pin is what a request of the function's newest version pins, less what is the request's own. Owners use it for children.
func (d *Door) Pin(f domain.FunctionID) (domain.InvocationRequested, error) {
	fn, err := d.Registry.Get(f)
	if err != nil {
		return domain.InvocationRequested{}, err
	}
	v := fn.Latest()
	return domain.InvocationRequested{Function: f, Version: v.Version, Code: v.Code, Limits: v.Limits, Env: v.Env, Policy: fn.Policy}, nil
}

// append writes one record and waits for the acknowledgement, at most AckWithin of began.
func (d *Door) append(ctx context.Context, log eventstore.Log, p int, r domain.Record, began time.Time) (int64, error) {
	m, err := eventstore.Encode(d.Registry.Cluster().String(), p, &r)
	if err != nil {
		return 0, err
	}
	type ack struct {
		offset int64
		err    error
	}
	acked := make(chan ack, 1)
	log.Append(p, []eventstore.Message{m}, func(offset int64, err error) { acked <- ack{offset, err} })
	timeout := time.NewTimer(AckWithin - d.Now().Sub(began))
	defer timeout.Stop()
	select {
	case a := <-acked:
		now := d.Now()
		if wall := domain.InstantOf(now).Sub(domain.InstantOf(began)); a.err == nil && max(wall, now.Sub(began)) > AckWithin {
			a.err = fmt.Errorf("acknowledged after more than %s: %w", AckWithin, eventstore.ErrUnknownOutcome)
		}
		return a.offset, a.err
	case <-timeout.C:
		return 0, fmt.Errorf("no acknowledgement within %s: %w", AckWithin, eventstore.ErrUnknownOutcome)
	case <-ctx.Done():
		return 0, fmt.Errorf("the client went away: %w", eventstore.ErrUnknownOutcome)
	}
}

// Cancel asks that an invocation end. Recorded is all it says; the outcome says what became of it.
func (d *Door) Cancel(ctx context.Context, id domain.InvocationID, force bool, by string) error {
	row, err := d.Find(ctx, id)
	if err != nil {
		return err
	}
	if row.State.Outcome != domain.Open {
		return domain.Reject(domain.CodeConflict, fmt.Sprintf("invocation %s has ended already: %s", id, row.State.Outcome), "deed history "+id.String()+" shows how")
	}
	var cid domain.UUID
	d.Random(cid[:])
	cid[6], cid[8] = cid[6]&0x0f|0x40, cid[8]&0x3f|0x80
	now := d.Now()
	_, err = d.append(ctx, d.Log, id.Slot(), domain.Record{
		ID: cid, Subject: id, At: domain.InstantOf(now), Event: domain.CancelRequested{Force: force, By: by},
	}, now)
	return err
}

// findWithin bounds how long Find waits for the read model to catch up.
const findWithin = 5 * time.Second

// Find is the invocation as the read model has it. An id that the model does not know is unknown only once the model has
// read its partition up to the end as it is now.
func (d *Door) Find(ctx context.Context, id domain.InvocationID) (invocations.Row, error) {
	unknown := domain.Reject(domain.CodeNotFound, fmt.Sprintf("there is no invocation %s", id), "deed list shows the newest ones")
	if id.Slot() >= d.Log.Partitions() {
		return invocations.Row{}, unknown
	}
	if row, ok := d.Model.Get(id); ok && !row.Stale {
		return row, nil
	}
	ctx, cancel := context.WithTimeout(ctx, findWithin)
	defer cancel()
	_, end, err := d.Log.Bounds(ctx, id.Slot())
	if err != nil {
		return invocations.Row{}, err
	}
	whole := func() bool { return d.Model.Next(id.Slot()) >= end && !d.Model.Partial(id.Slot()) }
	if err := d.Model.Until(ctx, whole); err != nil {
		return invocations.Row{}, domain.Reject(domain.CodeUnavailable, "the read model is behind the log; try again", "")
	}
	if row, ok := d.Model.Get(id); ok {
		return row, nil
	}
	return invocations.Row{}, unknown
}

// Wait is the invocation once it is terminal, or as it stands when ctx ends (with ctx's error).
func (d *Door) Wait(ctx context.Context, id domain.InvocationID) (invocations.Row, error) {
	row, err := d.Find(ctx, id)
	if err != nil {
		return row, err
	}
	err = d.Model.Until(ctx, func() bool {
		row, _ = d.Model.Get(id)
		return row.State.Outcome != domain.Open || row.Refused != ""
	})
	return row, err
}

// Record reads one record back from the log, whole.
func (d *Door) Record(ctx context.Context, p int, offset int64) (eventstore.Message, domain.Record, error) {
	ms, err := d.Log.Read(ctx, p, offset, 1)
	if err != nil {
		return eventstore.Message{}, domain.Record{}, err
	}
	if len(ms) == 0 || ms[0].Offset != offset {
		return eventstore.Message{}, domain.Record{}, fmt.Errorf("partition %d has no record at offset %d", p, offset)
	}
	return ms[0], eventstore.Decode(ms[0]), nil
}

// Result is what the last attempt printed.
func (d *Door) Result(ctx context.Context, row invocations.Row) ([]byte, error) {
	if row.Outcome < 0 {
		return nil, nil
	}
	_, r, err := d.Record(ctx, row.Partition, row.Outcome)
	if err != nil {
		return nil, err
	}
	var p domain.Payload
	switch e := r.Event.(type) {
	case domain.AttemptSucceeded:
		p = e.Result
	case domain.AttemptFailed:
		p = e.Result
	default:
	}
	if p.Stored {
		return d.Blobs.Get(ctx, p.Digest)
	}
	return p.Inline, nil
}
