package worker

import (
	"context"
	"errors"
	"fmt"

	"deed/domain"
	"deed/domain/partition"
	"deed/eventstore"
)

// step looks at the folded state of one invocation and does the next thing about it, if anything. It is called whenever
// something may have changed; called once too often it does nothing.
func (o *Owner) step(id domain.InvocationID) {
	if o.phase != acting && o.phase != draining {
		return
	}
	e := o.fold.Get(id)
	if e == nil || o.fold.Quarantine(id) != "" {
		o.letGo(id)
		return
	}
	l := o.alive(id)
	if l.pending > 0 {
		return // decide on folded state only
	}
	if len(l.then) > 0 { // what came to an end meanwhile
		then := l.then
		l.then = nil
		for _, fn := range then {
			fn()
		}
		return
	}
	switch {
	case e.Running():
		o.stepRunning(e, l)
	case e.Open():
		o.stepOpen(e, l)
	default:
		o.stepTerminal(e, l)
	}
}

// letGo lets go of an invocation that is settled, or was never known.
func (o *Owner) letGo(id domain.InvocationID) {
	l := o.live[id]
	if l == nil {
		return
	}
	o.leaveRuns(l)
	o.release(l)
	if !l.telling && !l.writing && l.pending <= 0 {
		delete(o.live, id)
	}
}

// stepRunning runs an attempt whose AttemptStarted was read back, or names one lost whose worker is gone.
func (o *Owner) stepRunning(e *partition.Entry, l *live) {
	switch {
	case e.By != o.stamp.Owner:
		o.decide(e, domain.AttemptFailed{Kind: domain.FailedLost, Error: "its worker died, or lost the partition, while the attempt ran"})
	case l.running != nil:
		if e.Cancel && e.Force && !l.ended {
			l.running(ErrCanceled) // unless an outcome is on its way: then that counts
		}
	case !l.ended && l.prepared != nil:
		o.run(e, l)
	}
}

// decide appends how the running attempt ended together with all that follows from it and can be said at once. A part
// that is missing after a crash follows from the state, and the next owner appends it.
func (o *Owner) decide(e *partition.Entry, outcome domain.Event) {
	events, err := e.Decide(domain.Finish{Event: outcome})
	if err != nil {
		o.log.Error("outcome refused", "invocation", e.ID, "error", err)
		return
	}
	o.follow(e, e.Invocation, e.Last, events, nil)
}

// follow enqueues events, then what the state behind them leads to: a retry or the end, and what that owes if its bytes
// are at hand.
func (o *Owner) follow(e *partition.Entry, i domain.Invocation, cause domain.UUID, events []domain.Event, bytes *exchange) {
	for len(events) > 0 {
		for _, ev := range events {
			r := o.record(ev, e.ID, cause)
			r.At = max(r.At, i.At)
			if m := i.Fit(ev, r.At); m != domain.Fits {
				// Whoever derived it is wrong. It would be void, and this would go on for ever.
				o.log.Error("a decision does not fit", "invocation", e.ID, "type", ev.Type(), "misfit", string(m))
				o.stamp.Seq--
				return
			}
			r.Correlation, r.Project = i.Root, i.Function.Project
			i, cause = i.Evolve(ev, r.At, o.stamp.Owner), r.ID
			o.enqueue(r, e.ID)
			if o.phase == away || o.phase == folding {
				return // the enqueue gave the partition up
			}
		}
		events = o.d.Retry.Derive(i, max(o.now(), i.At))
		if len(events) == 0 && bytes != nil && o.d.Notify.Owes(i) {
			record := o.d.Notify.Record(i, bytes.request, bytes.response)
			if domain.EncodedLen(record) <= domain.MaxInline {
				events = o.d.Notify.Derive(i, domain.Bytes(record))
			}
			bytes = nil
		}
	}
}

// exchange is what went in and what came out.
type exchange struct{ request, response []byte }

// stepOpen decides between the end, a retry, and the next attempt now.
func (o *Owner) stepOpen(e *partition.Entry, l *live) {
	now := o.time(e, l)
	if events := o.d.Retry.Derive(e.Invocation, now); len(events) > 0 {
		o.leaveRuns(l)
		o.follow(e, e.Invocation, e.Last, events, nil)
		return
	}
	o.wakeAt(e.ID, l, e.WakeAt(now))
	if o.phase == draining {
		return
	}
	if (l.granted || l.ticket == nil) && e.Ready(now) && o.d.Funcs.MaxInstances(e.Function) == 0 {
		o.throttle(e, l)
		return
	}
	if l.ticket != nil || l.preparing {
		if l.granted && !l.preparing && l.prepared == nil {
			o.prepare(e, l)
		}
		return
	}
	if l.retryAt > o.now() {
		o.wakeAt(e.ID, l, l.retryAt.Add(l.ahead))
		return
	}
	if !e.Ready(now) {
		return
	}
	id, round := e.ID, o.round
	l.ticket, l.granted = o.d.Runs.Enter(Want{
		Key: e.Function.String(), Limit: o.d.Funcs.MaxInstances(e.Function), Weight: e.Limits.Memory + e.Files.Size, Urgent: e.Done > 0,
	}, func(t *Ticket) {
		o.do(round, func() { o.granted(id, t) })
	})
	if l.granted {
		o.prepare(e, l)
	} else {
		o.keep(l)
	}
}

// throttle ends an invocation whose function is disabled: it would be run, and must not be.
func (o *Owner) throttle(e *partition.Entry, l *live) {
	o.leaveRuns(l)
	events, err := e.Decide(domain.Throttle{Reason: e.Function.Name + " is disabled: its max instances are 0"})
	if err != nil {
		o.log.Error("throttle refused", "invocation", e.ID, "error", err)
		return
	}
	o.follow(e, e.Invocation, e.Last, events, nil)
}

func (o *Owner) granted(id domain.InvocationID, t *Ticket) {
	if l := o.live[id]; l != nil && l.ticket == t { // else it was given back meanwhile
		l.granted = true
		o.step(id)
	}
}

// prepare does what can fail before the guest runs — fetching the module, compiling, fetching the event — before
// AttemptStarted is written: it spends no attempt.
func (o *Owner) prepare(e *partition.Entry, l *live) {
	if e.Done > 0 && !e.Ready(o.time(e, l)) {
		o.leaveRuns(l)
		return
	}
	if l.kept != nil && o.d.Engine.Loaded(codeOf(&e.Invocation)) {
		o.start(e, l, &prepared{env: l.kept.env, event: l.kept.event})
		return
	}
	if l.request != nil && o.d.Engine.Loaded(codeOf(&e.Invocation)) {
		if p, ok := fromRequest(eventstore.Decode(*l.request)); ok && !p.Payload.Stored {
			o.start(e, l, &prepared{env: p.Env, event: p.Payload.Inline})
			return
		}
	}
	l.preparing = true
	id, code, from, round, ctx := e.ID, codeOf(&e.Invocation), e.From, o.round, o.ctx
	go func() {
		p, err := o.fetch(ctx, from, id)
		if err == nil {
			err = o.d.Engine.Load(ctx, code)
		}
		o.do(round, func() { o.preparedNow(id, p, err) })
	}()
}

func (o *Owner) preparedNow(id domain.InvocationID, p *prepared, err error) {
	l, e := o.live[id], o.fold.Get(id)
	if l == nil || e == nil {
		return
	}
	l.preparing = false
	if err != nil {
		if l.unprepared++; l.unprepared&(l.unprepared-1) == 0 { // 1, 2, 4, …: what is missing may be missing for long
			o.log.Warn("attempt cannot be prepared; it waits, spending no attempt", "invocation", id, "function", e.Function.Name, "tries", l.unprepared, "error", err)
		}
		o.leaveRuns(l)
		l.retryAt = o.now().Add(min(retryPrepare<<min(l.unprepared-1, 5), maxRetryPrepare))
		o.step(id)
		return
	}
	if o.phase == draining || l.ticket == nil || !l.granted || l.pending > 0 || !e.Open() || e.Running() || !e.Ready(o.time(e, l)) {
		o.leaveRuns(l)
		o.step(id)
		return
	}
	o.start(e, l, p)
}

// start appends AttemptStarted. The run begins when it was read back and is effective: acknowledged is not enough, it may
// stand behind a newer claim. (Speculation, running the first attempt meanwhile, would begin here.)
func (o *Owner) start(e *partition.Entry, l *live, p *prepared) {
	l.prepared, l.ended = p, false
	var seed [16]byte
	o.d.Random(seed[:])
	at := o.time(e, l)
	events, err := e.Decide(domain.Begin{At: at, Seed: seed})
	if err != nil {
		o.leaveRuns(l)
		return
	}
	o.point("before attempt started")
	for _, ev := range events {
		r := o.record(ev, e.ID, e.Last)
		r.At, r.Correlation, r.Project = max(r.At, at), e.Root, e.Function.Project
		if r.At > e.Deadline { // the clock moved on between the decision and the stamp
			o.stamp.Seq--
			o.leaveRuns(l)
			o.wakeAt(e.ID, l, r.At)
			return
		}
		l.prepared.seed, l.prepared.at = seed, r.At // the guest's clock begins at what the log says
		o.enqueue(r, e.ID)
	}
}

// run runs the attempt on a goroutine of its own; the place in the pool bounds how many.
func (o *Owner) run(e *partition.Entry, l *live) {
	o.point("after attempt started")
	ctx, cancel := context.WithCancelCause(o.ctx)
	l.running = cancel
	p, id, round, n := l.prepared, e.ID, o.round, e.Started
	if e.Cancel && e.Force {
		cancel(ErrCanceled)
	}
	a := Attempt{
		Code: codeOf(&e.Invocation), Name: e.Function.Name, Event: p.event, Limits: e.Limits, Seed: p.seed, Start: p.at,
		Env: append([]domain.EnvVar{
			{Name: "DEED_REQUEST_ID", Value: id.String()},
			{Name: "DEED_ATTEMPT", Value: fmt.Sprint(n)},
			{Name: "DEED_DEADLINE_MS", Value: fmt.Sprint(int64(p.at.Add(e.Limits.Timeout)))},
			{Name: "DEED_FUNCTION", Value: e.Function.Name},
			{Name: "DEED_FUNCTION_VERSION", Value: e.Version},
		}, p.env...),
	}
	go func() {
		outcome := o.d.Engine.Run(ctx, a)
		o.point("after run")
		result := resultOf(outcome)
		outcome = o.storeResult(ctx, outcome)
		cancel(nil)
		o.do(round, func() { o.finished(id, outcome, &exchange{p.event, result}) })
	}()
}

// finished appends the outcome of a run, and what follows, in one call.
func (o *Owner) finished(id domain.InvocationID, outcome domain.Event, bytes *exchange) {
	l, e := o.live[id], o.fold.Get(id)
	if l == nil || e == nil || !e.Running() {
		return
	}
	if l.pending > 0 { // a restatement is under way, which nothing may overlap
		l.then = append(l.then, func() { o.finished(id, outcome, bytes) })
		return
	}
	o.point("before outcome")
	l.running, l.ended = nil, true
	events, err := e.Decide(domain.Finish{Event: outcome})
	if err != nil {
		o.leaveRuns(l)
		o.log.Error("outcome refused", "invocation", id, "error", err)
		return
	}
	o.follow(e, e.Invocation, e.Last, events, bytes)
	o.leaveRuns(l) // now that the end has its time: who begins in this one's place begins behind it, in the log, too
	o.settleDrain()
}

func resultOf(e domain.Event) []byte {
	switch e := e.(type) {
	case domain.AttemptSucceeded:
		return e.Result.Inline
	case domain.AttemptFailed:
		return e.Result.Inline
	default:
		return nil
	}
}

// storeResult moves a result that is too large for the log to the blob store, first: the event must never name bytes that
// are not there.
func (o *Owner) storeResult(ctx context.Context, outcome domain.Event) domain.Event {
	p, err := o.store(context.WithoutCancel(ctx), resultOf(outcome))
	if err != nil {
		return domain.AttemptFailed{Kind: domain.FailedPlatform, Error: "the result could not be stored: " + err.Error()}
	}
	switch e := outcome.(type) {
	case domain.AttemptSucceeded:
		e.Result = p
		return e
	case domain.AttemptFailed:
		e.Result = p
		return e
	default:
		return outcome
	}
}

func (o *Owner) store(ctx context.Context, b []byte) (domain.Payload, error) {
	if domain.EncodedLen(b) <= domain.MaxInline {
		return domain.Bytes(b), nil
	}
	d, err := o.d.Blobs.Put(ctx, b)
	return domain.Payload{Stored: true, Digest: d, Size: int64(len(b))}, err
}

func (o *Owner) load(ctx context.Context, p domain.Payload) ([]byte, error) {
	if !p.Stored {
		return p.Inline, nil
	}
	return o.d.Blobs.Get(ctx, p.Digest)
}

// fetch reads the event of an invocation again, from the record that opened or restated it.
func (o *Owner) fetch(ctx context.Context, from int64, id domain.InvocationID) (*prepared, error) {
	r, err := o.readRecord(ctx, from)
	if err != nil {
		return nil, err
	}
	req, ok := fromRequest(r)
	if !ok {
		if r.Event == nil { // it will end as undecodable, with what can be said of it
			return &prepared{}, nil
		}
		return nil, fmt.Errorf("offset %d holds %s, not the request of %s", from, r.Type, id)
	}
	b, err := o.load(ctx, req.Payload)
	return &prepared{env: req.Env, event: b}, err
}

func fromRequest(r domain.Record) (domain.InvocationRequested, bool) {
	switch e := r.Event.(type) {
	case domain.InvocationRequested:
		return e, true
	case domain.InvocationCarried:
		return domain.InvocationRequested{Env: e.Env, Payload: e.Request}, true
	default:
		return domain.InvocationRequested{}, false
	}
}

func (o *Owner) readRecord(ctx context.Context, offset int64) (domain.Record, error) {
	ms, err := o.d.Log.Read(ctx, o.p, offset, 1)
	if err != nil {
		return domain.Record{}, err
	}
	if len(ms) == 0 || ms[0].Offset != offset {
		return domain.Record{}, fmt.Errorf("partition %d has no record at offset %d", o.p, offset)
	}
	return eventstore.Decode(ms[0]), nil
}

var errNoSink = errors.New("no sink of that kind")
