package worker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"deed/domain"
	"deed/domain/partition"
)

// stepTerminal brings the notification that an outcome owes to its end: first the record into the log, then, when that was
// read back, the delivery, then the receipt.
func (o *Owner) stepTerminal(e *partition.Entry, l *live) {
	o.leaveRuns(l)
	switch n := e.Notified; {
	case l.writing || l.telling || l.tell != nil:
	case o.phase == draining:
	case !n.Owed:
		o.write(e, l)
	case n.Due > o.time(e, l):
		o.wakeAt(e.ID, l, n.Due)
	default:
		id, round := e.ID, o.round
		t, now := o.d.Tells.Enter(Want{Key: string(n.Sink), Urgent: n.Tries > 0}, func(t *Ticket) {
			o.do(round, func() {
				if l := o.live[id]; l != nil && l.tell == t { // else it was given back meanwhile
					o.tell(id)
				}
			})
		})
		l.tell = t
		if now {
			o.tell(id)
		}
	}
}

// write makes the record of a notification whose payloads are not at hand, and appends it.
func (o *Owner) write(e *partition.Entry, l *live) {
	l.writing = true
	o.release(l)
	i, from, outcome, round, ctx := e.Invocation, e.From, e.Outcome, o.round, o.ctx
	go func() {
		var record domain.Payload
		request, err := o.fetch(ctx, from, i.ID)
		var response []byte
		if err == nil && outcome >= 0 {
			response, err = o.fetchResult(ctx, outcome)
		}
		if err == nil {
			record, err = o.store(ctx, o.d.Notify.Record(i, request.event, response))
		}
		o.do(round, func() { o.written(i.ID, record, err) })
	}()
}

func (o *Owner) written(id domain.InvocationID, record domain.Payload, err error) {
	l, e := o.live[id], o.fold.Get(id)
	if l == nil {
		return
	}
	l.writing = false
	if e == nil {
		o.letGo(id)
		return
	}
	if l.pending > 0 {
		l.then = append(l.then, func() { o.written(id, record, err) })
		return
	}
	if err != nil {
		o.log.Warn("notification record cannot be made; trying again", "invocation", id, "error", err)
		round := o.round
		time.AfterFunc(retryPrepare, func() { o.do(round, func() { o.step(id) }) })
		return
	}
	o.follow(e, e.Invocation, e.Last, o.d.Notify.Derive(e.Invocation, record), nil)
	o.settleDrain()
}

func (o *Owner) fetchResult(ctx context.Context, offset int64) ([]byte, error) {
	r, err := o.readRecord(ctx, offset)
	if err != nil {
		return nil, err
	}
	switch e := r.Event.(type) {
	case domain.AttemptSucceeded:
		return o.load(ctx, e.Result)
	case domain.AttemptFailed:
		return o.load(ctx, e.Result)
	case domain.InvocationCarried:
		return o.load(ctx, e.Result)
	default:
		return nil, nil
	}
}

// tell delivers. The terminal fact and NotificationOwed were read back: a sink is never told what the log may yet say is
// void. Delivered without a receipt, it is delivered again: the same id, the same bytes.
func (o *Owner) tell(id domain.InvocationID) {
	l, e := o.live[id], o.fold.Get(id)
	if l == nil || e == nil || l.tell == nil {
		return
	}
	if l.pending > 0 || !e.Notified.Owed || e.Notified.Settled {
		o.leaveTells(l)
		return
	}
	l.telling = true
	i, owed, round, ctx := e.Invocation, e.Owed, o.round, o.ctx
	go func() {
		ctx, cancel := context.WithTimeout(ctx, deliverTimeout)
		defer cancel()
		next, err := o.deliver(ctx, i, owed)
		o.do(round, func() { o.told(id, next, err) })
	}()
}

func (o *Owner) leaveTells(l *live) {
	if l.tell != nil {
		o.d.Tells.Leave(l.tell)
		l.tell = nil
	}
}

// deliver returns the event that settles the notification, or why it is not settled.
func (o *Owner) deliver(ctx context.Context, i domain.Invocation, owed int64) (domain.Event, error) {
	r, err := o.readRecord(ctx, owed)
	if err != nil {
		return nil, err
	}
	var payload domain.Payload
	switch e := r.Event.(type) {
	case domain.NotificationOwed:
		payload = e.Record
	case domain.InvocationCarried:
		payload = e.Record
	default:
		return nil, fmt.Errorf("offset %d holds %s, not what is owed", owed, r.Type)
	}
	if target, qualifier, ok := i.Notified.Sink.Function(i.Function); ok {
		return o.child(i, target, qualifier, payload)
	}
	if o.d.Sinks == nil {
		return nil, errNoSink
	}
	record, err := o.load(ctx, payload)
	if err != nil {
		return nil, err
	}
	o.point("before sink write")
	where, err := o.d.Sinks.Deliver(ctx, Notification{ID: i.Notified.ID, Target: i.Notified.Sink, Invocation: i, Record: record})
	o.point("after sink write")
	return domain.NotificationDelivered{Sink: i.Notified.Sink, ID: i.Notified.ID, Location: where}, err
}

// child is the function sink: the request of the target function is an owner's record in the parent's partition, which
// opens the child and settles the parent's notification at once. Nothing can crash in between.
func (o *Owner) child(i domain.Invocation, target domain.FunctionID, qualifier string, record domain.Payload) (domain.Event, error) {
	sink, id := i.Notified.Sink, i.Notified.ID
	if i.Hops >= domain.MaxHops {
		return nil, &GiveUp{"lineage", fmt.Errorf("the lineage from %s has %d links, the most that are allowed: %s is not called", i.LineageRoot(), domain.MaxHops, target.Name)}
	}
	if record.Size > domain.MaxPayload {
		return nil, &GiveUp{"payload-too-large", fmt.Errorf("the record has %d bytes; the limit of an event is %d", record.Size, domain.MaxPayload)}
	}
	req, err := o.d.Funcs.Pin(target, qualifier, int(binary.BigEndian.Uint16(id[14:]))%100)
	if err != nil {
		return nil, err
	}
	req.ID = domain.ChildID(i.ID, i.EndedAt, id)
	req.Parent, req.Root, req.Hops, req.Sink, req.Notification = i.ID, i.LineageRoot(), i.Hops+1, sink, id
	req.Payload = record
	return req, nil
}

// told appends the receipt.
func (o *Owner) told(id domain.InvocationID, settles domain.Event, err error) {
	l, e := o.live[id], o.fold.Get(id)
	if l == nil {
		return
	}
	l.telling = false
	o.leaveTells(l)
	if e == nil {
		o.letGo(id)
		return
	}
	if l.pending > 0 {
		l.then = append(l.then, func() { o.told(id, settles, err) })
		return
	}
	n := e.Notified
	if !n.Owed || n.Settled {
		return
	}
	if err != nil {
		settles = o.notTold(e, err)
	}
	o.point("before receipt")
	r := o.record(settles, id, e.Last)
	r.At, r.Correlation, r.Project = max(r.At, e.At), e.Root, e.Function.Project
	if req, ok := settles.(domain.InvocationRequested); ok {
		// The child's validity begins now: its id has the time of the parent's outcome, and delivery may have taken long.
		req.Deadline = r.At.Add(req.Policy.Age())
		r.Subject, r.Event, r.Correlation = req.ID, req, req.Root
	}
	o.enqueue(r, id)
	o.settleDrain()
}

func (o *Owner) notTold(e *partition.Entry, err error) domain.Event {
	n := e.Notified
	words, _ := domain.CutText(err.Error(), domain.MaxError)
	if give, ok := errors.AsType[*GiveUp](err); ok {
		words, _ = domain.CutText(give.Err.Error(), domain.MaxError)
		return domain.NotificationAbandoned{Sink: n.Sink, ID: n.ID, Reason: give.Reason, Error: words}
	}
	now := max(o.now(), e.At)
	due := now.Add(max(domain.Backoff(n.ID, n.Tries+1), domain.BackoffBase/4))
	if due > n.ValidUntil {
		return domain.NotificationAbandoned{Sink: n.Sink, ID: n.ID, Reason: "expired", Error: words}
	}
	return domain.NotificationFailed{Sink: n.Sink, ID: n.ID, Try: n.Tries + 1, Due: due, Error: words}
}
