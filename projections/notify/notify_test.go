package notify_test

import (
	"bytes"
	"testing"
	"time"

	"deed/domain"
	"deed/domain/partition"
	"deed/projections/notify"
)

const zero domain.Instant = 1_767_225_600_000

// recorded is a log of three invocations, to the last word: a success after a retry, a discard, and one whose policy tells
// nobody of a success. What went in and out is in the records.
func recorded() []domain.Record {
	var log []domain.Record
	fold, now := partition.Whole(), zero
	stamp := domain.Stamp{Epoch: 1, Owner: domain.OwnerID{1}}
	put := func(r domain.Record) {
		now += 100
		r.At, r.Type = now, r.Event.Type()
		fold.Apply(int64(len(log)), &r)
		log = append(log, r)
	}
	own := func(id domain.InvocationID, e domain.Event) {
		stamp.Seq++
		put(domain.Record{Subject: id, Stamp: stamp, Event: e})
	}
	ids := []domain.InvocationID{domain.NewInvocationID(zero, 0, [8]byte{1}), domain.NewInvocationID(zero, 0, [8]byte{2}), domain.NewInvocationID(zero, 0, [8]byte{3})}
	put(domain.Record{Stamp: stamp, Event: domain.PartitionOwned{LogTime: zero, Protocol: domain.Protocol}})
	for n, id := range ids {
		p := domain.Policy{Set: true, MaxRetries: 1, MaxAge: time.Hour, OnFailure: "function:repair"}
		if n == 0 {
			p.OnSuccess = "obs://told/yes"
		}
		put(domain.Record{Subject: id, Event: domain.InvocationRequested{
			ID: id, Function: domain.NativeFunction("echo"), Version: "1", Policy: p, Deadline: zero.Add(time.Hour), Payload: domain.Bytes([]byte("in")),
		}})
	}
	put(domain.Record{Subject: ids[1], Event: domain.CancelRequested{}})
	for fold.Unsettled() > 0 {
		for _, id := range ids {
			i := fold.Get(id).Invocation
			c := domain.Command(domain.Advance{At: now + 100})
			switch {
			case i.Settled():
				continue
			case i.Running() && (i.Started == 2 || id != ids[0]):
				c = domain.Finish{Event: domain.AttemptSucceeded{Result: domain.Bytes([]byte("out"))}}
			case i.Running():
				c = domain.Finish{Event: domain.AttemptFailed{Kind: domain.FailedTrap, Error: "unreachable", Result: domain.Bytes([]byte("half"))}}
			case i.Open() && i.Ready(now+100) && !i.Success && !i.Cancel:
				c = domain.Begin{At: now + 100}
			case !i.Open() && !i.Notified.Owed:
				request, result := payloads(log, id)
				c = domain.Notify{Record: domain.Bytes(domain.NotificationRecord(i, request, result))}
			case !i.Open() && i.Notified.Tries == 0:
				own(id, domain.NotificationFailed{Sink: i.Notified.Sink, ID: i.Notified.ID, Try: 1, Due: now})
				continue
			case !i.Open():
				own(id, domain.NotificationDelivered{Sink: i.Notified.Sink, ID: i.Notified.ID})
				continue
			}
			events, _ := i.Decide(c)
			for _, e := range events {
				own(id, e)
			}
			now += 100
		}
	}
	return log
}

// payloads is what went in and the last that came out, read from the records.
func payloads(log []domain.Record, id domain.InvocationID) (request, result []byte) {
	for _, r := range log {
		if r.Subject != id {
			continue
		}
		switch e := r.Event.(type) {
		case domain.InvocationRequested:
			request = e.Payload.Inline
		case domain.AttemptSucceeded:
			result = e.Result.Inline
		case domain.AttemptFailed:
			result = e.Result.Inline
		}
	}
	return request, result
}

// TestDerive: over any prefix of a log the derivation gives the NotificationOwed that the owner wrote next, byte for byte,
// if that is what came next, and else nothing; over the whole log nothing.
func TestDerive(t *testing.T) {
	var p notify.Projection
	log := recorded()
	fold := partition.Whole()
	owed := 0
	for n := range log {
		r := &log[n]
		if e := fold.Get(r.Subject); e != nil && r.Stamp.IsOwner() {
			i := e.Invocation
			request, result := payloads(log[:n], i.ID)
			got := p.Derive(i, domain.Bytes(p.Record(i, request, result)))
			want, is := r.Event.(domain.NotificationOwed)
			switch {
			case is != p.Owes(i):
				t.Fatalf("offset %d: owes %t before %+v", n, p.Owes(i), r.Event)
			case !is && len(got) != 0:
				t.Fatalf("offset %d: derived %+v before %+v", n, got, r.Event)
			case is && len(got) != 1:
				t.Fatalf("offset %d: derived %+v, not %+v", n, got, want)
			case is:
				owed++
				g, _ := got[0].(domain.NotificationOwed)
				if g.Sink != want.Sink || g.ID != want.ID || g.ValidUntil != want.ValidUntil || !bytes.Equal(g.Record.Inline, want.Record.Inline) {
					t.Fatalf("offset %d: derived %+v, not %+v", n, g, want)
				}
			}
		}
		if v := fold.Apply(int64(n), r); !v.Effective() {
			t.Fatalf("offset %d: %s is %s", n, r.Type, v)
		}
	}
	if owed != 2 {
		t.Errorf("%d notifications were owed, not 2", owed)
	}
	fold.Entries(func(e *partition.Entry) bool {
		if !e.Settled() || p.Owes(e.Invocation) || len(p.Derive(e.Invocation, domain.Payload{})) != 0 {
			t.Errorf("over the whole log something is still owed: %+v", e.Invocation)
		}
		return true
	})
}

// TestValidity: delivery is tried for a day from the end on, whenever the record of it was made.
func TestValidity(t *testing.T) {
	for _, r := range recorded() {
		if o, ok := r.Event.(domain.NotificationOwed); ok {
			if d := r.At.Sub(o.ValidUntil.Add(-domain.NotificationValidity)); d < 0 || d > time.Minute {
				t.Errorf("valid until %s, owed at %s", o.ValidUntil, r.At)
			}
		}
	}
}
