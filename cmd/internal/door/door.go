// Package door is where requests come in: it writes requests, cancels and changes of the registry, and answers only what
// the log has acknowledged. It decides nothing about an invocation.
package door

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"deed/domain"
	"deed/domain/partition"
	"deed/eventstore"
	"deed/projections/functions"
	"deed/projections/invocations"
	"deed/projections/operations"
	"deed/runtime/files"
)

// Blobs holds modules, and payloads over domain.MaxInline.
type Blobs interface {
	Put(ctx context.Context, data []byte) (domain.Digest, error)
	Get(ctx context.Context, d domain.Digest) ([]byte, error)
}

// Checker refuses a module that cannot run, with words for a person. It has these files; nil: none.
type Checker interface {
	Check(ctx context.Context, module []byte, tree *files.Tree, limits domain.Limits) error
}

// Door accepts. All fields are required unless they say otherwise.
type Door struct {
	Log       eventstore.Log // of invocations, with producers of the doors' own
	Functions eventstore.Log // the registry's
	Registry  *functions.Registry

	OperationsLog eventstore.Log
	Operations    *operations.Model

	Model   *invocations.Model
	Blobs   Blobs
	Modules Checker
	Keys    Keys       // nil: calls with an idempotency key are refused
	Slots   func() int // the partition for the next request: one that this node owns when it owns any
	Now     func() time.Time
	Random  func([]byte)

	// MaxOpen is how many invocations may be open before no more are accepted; 0: no bound.
	MaxOpen int
	// Clock is why this node's clock keeps it from accepting; nil if it does not. May be nil itself.
	Clock func() error
	// Skewed is told how far this node's clock is ahead of the broker's, if that is too far. May be nil.
	Skewed func(ahead time.Duration)

	// BrokerTime is the latest time that the broker gave a record which this node has read; zero if it gives none. May be nil.
	BrokerTime func() time.Time

	// Target returns a *domain.Rejection of a target that this deployment cannot have. May be nil.
	Target func(f domain.FunctionID, t domain.Target) error

	keyWait  time.Duration // tests shorten keyPatience
	inFlight atomic.Int64  // requests that are being appended
	clock    comparison
	turns    [64]sync.Mutex // of who changes a function, by its name
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

// Call is a request to run a function.
type Call struct {
	Function  domain.FunctionID
	Qualifier string // a version's name, or ! and an alias's; "" for what was deployed last
	Event     []byte
	Trace     string // W3C traceparent; "" if none
	Memory    int64  // bytes, instead of the function's own limit; 0: the function's own
	// Sync says that the caller waits for the result: the function's policy is not applied, nobody else is told of the
	// outcome, and it is not listed among the asynchronous invocations.
	Sync bool
	// Value is a header or a cookie of the call, by which aliases may route. May be nil.
	Value func(kind, param string) string
}

// Invoke accepts an event for what was deployed last of a function. Errors are Accept's.
func (d *Door) Invoke(ctx context.Context, f domain.FunctionID, event []byte, trace string) (Accepted, error) {
	return d.Accept(ctx, Call{Function: f, Event: event, Trace: trace})
}

// Accept accepts a call. Errors are a *domain.Rejection (nothing was written), an *Unacknowledged, or ours.
func (d *Door) Accept(ctx context.Context, c Call) (Accepted, error) {
	if len(c.Event) > domain.MaxPayload {
		return Accepted{}, TooLarge("the event", len(c.Event))
	}
	req, err := d.pin(c)
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
	return d.submit(ctx, req, c.Event, c.Trace, began)
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

// pin is what a request pins, less what is the request's own.
func (d *Door) pin(c Call) (domain.InvocationRequested, error) {
	var draw [2]byte
	d.Random(draw[:])
	value := c.Value
	if value == nil {
		value = func(string, string) string { return "" }
	}
	req, err := d.resolve(c.Function, c.Qualifier, int(binary.BigEndian.Uint16(draw[:]))%100, value)
	if c.Memory > 0 {
		req.Limits.Memory = c.Memory
	}
	if c.Sync {
		req.Sync, req.Policy = true, domain.Policy{}
	}
	return req, err
}

// Pin is what a child's request pins, less what is the request's own. Owners ask it.
func (d *Door) Pin(f domain.FunctionID, qualifier string, draw int) (domain.InvocationRequested, error) {
	return d.resolve(f, qualifier, draw, func(string, string) string { return "" })
}

func (d *Door) resolve(f domain.FunctionID, qualifier string, draw int, value func(kind, param string) string) (domain.InvocationRequested, error) {
	fn, v, err := d.Registry.Deployment(f, qualifier, func(a domain.Alias) string { return a.Route(draw, value) })
	if err != nil {
		return domain.InvocationRequested{}, err
	}
	return domain.InvocationRequested{Function: fn.ID, Version: v.Version, Code: v.Code, Files: v.Files, Limits: v.Limits, Env: v.Env, Policy: v.Policy}, nil
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
		ID: cid, Subject: id, At: domain.InstantOf(now), Project: row.State.Function.Project, Event: domain.CancelRequested{Force: force, By: by},
	}, now)
	return err
}

// findWithin bounds how long Find waits for the read model to catch up.
const findWithin = 5 * time.Second

// Find is the invocation as the read model has it. An id that the model does not know is unknown only once the model has
// read its partition up to the end as it is now.
func (d *Door) Find(ctx context.Context, id domain.InvocationID) (invocations.Row, error) {
	if id.Slot() >= d.Log.Partitions() {
		return invocations.Row{}, d.NoInvocation(id)
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
	return invocations.Row{}, d.NoInvocation(id)
}

// NoInvocation says that there is none of that id, as far as the read model knows: it may have dropped it. The words are the
// same for all ids that old, so that they tell nobody which of them are another project's.
func (d *Door) NoInvocation(id domain.InvocationID) error {
	words, hint := fmt.Sprintf("there is no invocation %s", id), "deed list shows the newest ones"
	if id.T0() <= d.Model.Dropped(domain.FunctionID{}) {
		words = fmt.Sprintf("there is no invocation %s in the read model, which keeps the newest %s of a function; this one may be older", id, thousands(d.Model.Keeps()))
	}
	return domain.Reject(domain.CodeNotFound, words, hint)
}

// thousands is n with commas.
func thousands(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

// Behind is how many records the read model is behind the log as it ends now, over all partitions. What it reads of a
// partition's history beside the tail does not count. Errors are the log's: the broker did not say where it ends.
func (d *Door) Behind(ctx context.Context) (int64, error) {
	var behind int64
	for p := range d.Log.Partitions() {
		start, end, err := d.Log.Bounds(ctx, p)
		if err != nil {
			return 0, err
		}
		behind += max(0, end-max(start, d.Model.Next(p)))
	}
	return behind, nil
}

// Wait is the invocation once it is terminal, or as it stands when ctx ends (with ctx's error). If the read model drops it
// between two looks, which takes very many others meanwhile, the error is Find's of what it does not know.
func (d *Door) Wait(ctx context.Context, id domain.InvocationID) (invocations.Row, error) {
	row, err := d.Find(ctx, id)
	if err != nil {
		return row, err
	}
	dropped := false
	err = d.Model.Until(ctx, func() bool {
		now, ok := d.Model.Get(id)
		if dropped = !ok; dropped {
			return true
		}
		row = now
		return row.State.Outcome != domain.Open || row.Refused != ""
	})
	if dropped {
		return row, d.NoInvocation(id)
	}
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
	_, result, err := d.LastAttempt(ctx, row)
	return result, err
}

// LastAttempt is how the last attempt ended, an AttemptSucceeded or an AttemptFailed, and what it printed; nil if none did.
func (d *Door) LastAttempt(ctx context.Context, row invocations.Row) (domain.Event, []byte, error) {
	if row.Outcome < 0 {
		return nil, nil, nil
	}
	_, r, err := d.Record(ctx, row.Partition, row.Outcome)
	if err != nil {
		return nil, nil, err
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
		b, err := d.Blobs.Get(ctx, p.Digest)
		return r.Event, b, err
	}
	return r.Event, p.Inline, nil
}

// Owed is the notification record that an invocation owes, or owed: the bytes that its target is told. The error is a
// *domain.Rejection if there is none, or none any more.
func (d *Door) Owed(ctx context.Context, row invocations.Row) ([]byte, error) {
	for _, ref := range slices.Backward(row.Refs) {
		if ref.Reason != partition.Effective {
			continue
		}
		_, r, err := d.Record(ctx, row.Partition, ref.Offset)
		if err != nil {
			return nil, err
		}
		var p domain.Payload
		switch e := r.Event.(type) {
		case domain.NotificationOwed:
			p = e.Record
		case domain.InvocationCarried:
			if !e.State.Notified.Owed {
				continue
			}
			p = e.Record
		default:
			continue
		}
		if p.Stored {
			return d.Blobs.Get(ctx, p.Digest)
		}
		return p.Inline, nil
	}
	return nil, domain.Reject(domain.CodeNotFound, fmt.Sprintf("invocation %s owes nobody a notification", row.State.ID), "")
}
