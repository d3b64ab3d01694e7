package main

import (
	"fmt"
	"testing"

	"deed/domain"
	code "deed/domain/partition"
	"deed/integration/model/partition"

	"pgregory.net/rapid"
)

// The model is the dumb twin of the code: both fold the same logs, written by doors, owners and zombies that obey nobody, and
// must agree about every record and every state. A record of the model is one of the code's but for an outcome, which is
// followed by what it owes; so an owner's record number n is 2n-1 there, and 2n is what it owes or a filler.

const (
	retries = 1
	tick    = 60_000 // ms; the admission window is two of them
	dawn    = domain.Instant(1_767_225_600_000)
)

type twins struct {
	t     *rapid.T
	rules partition.Rules
	model *partition.Fold
	code  *code.Fold
	log   []partition.Rec
	wire  [][]domain.Record
	next  int64

	now    int8
	owners []*claimant
	looked []look
	ids    [partition.MaxInv]domain.InvocationID

	accepted [partition.MaxInv]int8 // t0 of each
	child    bool                   // invocation 1 is the child of 0, and no door's
}

type claimant struct{ own, epoch, seq uint8 }

// look is what an owner saw of an invocation, to restate it later.
type look struct {
	id    uint8
	model partition.Inv
	code  domain.Invocation
}

func newTwins(t *rapid.T) *twins {
	w := &twins{t: t, code: code.Whole()}
	w.rules = partition.Rules{Fence: partition.ByEpoch, Seq: true, Window: 2, MaxCode: retries, MaxLost: domain.MaxLost, CarryOR: true, CarryFrom: true, StartGuard: true}
	w.model = partition.NewFold(&w.rules, 0)
	w.child = rapid.Bool().Draw(t, "with a child")
	for id := range w.ids {
		w.accepted[id] = int8(rapid.IntRange(0, 8).Draw(t, "accepted at"))
		w.ids[id] = domain.NewInvocationID(at(w.accepted[id]), 0, [8]byte{byte(id + 1)})
	}
	return w
}

func at(n int8) domain.Instant { return dawn + domain.Instant(n)*tick }

// ownerID is an owner's id; 0 is a door.
func ownerID(own uint8) domain.OwnerID { return domain.OwnerID{0xaa, own} }

// translate is the record, or two, in the words of the code.
func (w *twins) translate(r partition.Rec, carried domain.Invocation) []domain.Record {
	stamp := func(n uint64) domain.Stamp {
		return domain.Stamp{Epoch: uint64(r.Ep), Owner: ownerID(r.Own), Seq: n}
	}
	id := w.ids[r.ID]
	target := domain.Target("obs://told/x")
	if r.ID == 0 {
		target = "function:next"
	}
	policy := domain.Policy{Set: true, MaxRetries: retries, MaxAge: domain.MaxAgeLimit, OnSuccess: target, OnFailure: target}
	request := domain.InvocationRequested{ID: id, Function: domain.NativeFunction("f"), Version: "1", Policy: policy, Deadline: at(120)}
	marker := domain.PartitionOwned{LogTime: at(r.T), Protocol: domain.Protocol}
	one := func(e domain.Event) []domain.Record {
		return []domain.Record{{Type: e.Type(), Subject: id, At: dawn, Event: e}}
	}
	var first, second domain.Event = nil, domain.RequestRefused{}
	switch r.K {
	case partition.Claim:
		return []domain.Record{{Type: marker.Type(), Stamp: stamp(0), At: dawn, Event: marker}}
	case partition.Request:
		return one(request)
	case partition.Cancel:
		return one(domain.CancelRequested{})
	case partition.Renew:
		marker.Renewal = true
		first = marker
	case partition.Start:
		first = domain.AttemptStarted{Attempt: int(r.N)}
	case partition.Succeed:
		first = domain.AttemptSucceeded{Attempt: int(r.N)}
	case partition.Fail:
		first = domain.AttemptFailed{Attempt: int(r.N), Kind: domain.FailedExit}
	case partition.Lost:
		first = domain.AttemptFailed{Attempt: int(r.N), Kind: domain.FailedLost}
	case partition.Terminal:
		first = map[byte]domain.Event{
			'S': domain.InvocationSucceeded{}, 'F': domain.InvocationFailed{Condition: domain.SystemError}, 'D': domain.InvocationDiscarded{Condition: domain.Throttled},
		}[r.Out]
		second = domain.NotificationOwed{Sink: target, ID: domain.UUID{0x0e, r.ID}}
	case partition.Settle:
		first = domain.NotificationDelivered{Sink: target, ID: domain.UUID{0x0e, r.ID}}
	case partition.Child:
		request.Parent, request.Sink, request.Notification, request.Hops = w.ids[0], "function:next", domain.UUID{0x0e, 0}, 1
		first = request
	case partition.Carry:
		first = domain.InvocationCarried{State: carried}
	}
	records := []domain.Record{
		{Type: first.Type(), Subject: id, At: dawn, Stamp: stamp(2*uint64(r.Seq) - 1), Event: first},
		{Type: second.Type(), Subject: id, At: dawn, Stamp: stamp(2 * uint64(r.Seq)), Event: second},
	}
	if r.K == partition.Renew {
		records[0].Subject = domain.InvocationID{}
	}
	return records
}

// append folds a record on both sides and compares the verdicts.
func (w *twins) append(r partition.Rec, records []domain.Record) {
	want := w.model.Apply(len(w.log), r)
	for n := range records {
		v := w.code.Apply(w.next, &records[n])
		w.next++
		if n == 0 && v.Effective() != want {
			w.t.Fatalf("%d: %s: the model says %v, the code %s", len(w.log), r, want, v)
		}
	}
	w.log, w.wire = append(w.log, r), append(w.wire, records)
	w.compare(r)
}

func (w *twins) compare(r partition.Rec) {
	if o := w.code.Owner(); w.model.Have && (uint8(o.Epoch) != w.model.Ep || w.model.Ep > 0 && o.Owner != ownerID(w.model.Own)) {
		w.t.Fatalf("behind %s: the owner is %d/%d in the model, %+v in the code", r, w.model.Own, w.model.Ep, o)
	}
	for n, m := range w.model.Inv {
		var c domain.Invocation
		if e := w.code.Get(w.ids[n]); e != nil {
			c = e.Invocation
		}
		terms := map[byte]domain.Outcome{0: domain.Open, 'S': domain.Succeeded, 'F': domain.Failed, 'D': domain.Discarded}
		same := c.Known == m.Known && c.Cancel == m.Cancel && c.Started == int(m.Started) && c.Done == int(m.Done) && c.Success == m.OK &&
			c.CodeFails == int(m.Code) && c.Lost == int(m.LostN) && c.Outcome == terms[m.Term] && c.Settled() == m.Settled &&
			(m.Started == 0 || c.By == ownerID(m.By))
		if !same {
			w.t.Fatalf("behind %d, %s: invocation %d\nmodel %+v\ncode  %+v", len(w.log)-1, r, n, m, c)
		}
	}
}

// follows is what an honest owner, or a door, would do next about an invocation.
func (w *twins) follows(id uint8) partition.Kind {
	i := w.model.Inv[id]
	switch {
	case !i.Known && id == 1 && w.child:
		return partition.Child
	case !i.Known:
		return partition.Request
	case i.Term != 0 && id == 0 && w.child:
		return partition.Child
	case i.Term != 0:
		return partition.Settle
	case i.Started > i.Done:
		return rapid.SampledFrom([]partition.Kind{partition.Succeed, partition.Fail, partition.Lost}).Draw(w.t, "ends")
	case i.OK || i.Cancel || i.Code > retries || i.LostN > domain.MaxLost:
		return partition.Terminal
	default:
		return partition.Start
	}
}

func (w *twins) own(k partition.Kind, id uint8, honest bool) {
	o := rapid.SampledFrom(w.owners).Draw(w.t, "owner")
	if honest {
		o = w.owners[len(w.owners)-1]
	}
	i := w.model.Inv[id]
	r := partition.Rec{K: k, ID: id, Own: o.own, Ep: o.epoch, N: i.Started, T: w.now - int8(rapid.IntRange(0, 2).Draw(w.t, "behind"))}
	if k == partition.Start {
		r.N++
	}
	if !honest && rapid.IntRange(0, 9).Draw(w.t, "another attempt") == 0 {
		r.N = uint8(rapid.IntRange(0, 4).Draw(w.t, "attempt"))
	}
	if k == partition.Terminal {
		r.Out = rapid.SampledFrom([]byte{'S', 'F', 'D'}).Draw(w.t, "outcome")
		if honest && i.OK {
			r.Out = 'S'
		}
	}
	if k == partition.Child {
		r.ID = 1
	}
	var carried domain.Invocation
	if k == partition.Carry {
		if len(w.looked) == 0 {
			return
		}
		l := rapid.SampledFrom(w.looked).Draw(w.t, "what was seen")
		r.ID, r.St, carried = l.id, l.model, l.code
	}
	o.seq++
	if !honest && rapid.IntRange(0, 19).Draw(w.t, "hole") == 0 {
		o.seq++
	}
	r.Seq = o.seq
	w.append(r, w.translate(r, carried))
}

func (w *twins) step() {
	id := uint8(rapid.IntRange(0, partition.MaxInv-1).Draw(w.t, "invocation"))
	k := partition.Kind(rapid.IntRange(int(partition.Claim), int(partition.Carry)).Draw(w.t, "kind"))
	honest := rapid.IntRange(0, 3).Draw(w.t, "honest") > 0
	if honest {
		k = w.follows(id)
	}
	w.now += int8(rapid.SampledFrom([]int{0, 0, 0, 0, 0, 0, 0, 1}).Draw(w.t, "time"))
	switch what := rapid.IntRange(0, 9).Draw(w.t, "what"); {
	case what == 0 && len(w.log) > 0: // a copy of what stands in the log
		n := rapid.IntRange(0, len(w.log)-1).Draw(w.t, "copied")
		w.append(w.log[n], w.wire[n])
	case what == 1: // an owner looks at an invocation
		if e := w.code.Get(w.ids[id]); e != nil && e.Known && !e.Settled() {
			w.looked = append(w.looked, look{id, w.model.Inv[id], e.Invocation})
		}
	case k == partition.Claim || len(w.owners) == 0:
		o := &claimant{own: uint8(len(w.owners) + 1), epoch: w.model.Ep + uint8(rapid.IntRange(0, 2).Draw(w.t, "epoch"))}
		if o.epoch == 0 {
			o.epoch = 1
		}
		w.owners = append(w.owners, o)
		r := partition.Rec{K: partition.Claim, Own: o.own, Ep: o.epoch, T: max(w.now-int8(rapid.IntRange(0, 2).Draw(w.t, "behind")), 0)}
		w.append(r, w.translate(r, domain.Invocation{}))
	case k == partition.Request && id == 1 && w.child || k == partition.Child && (!w.child || !w.model.Inv[0].Known):
	case k == partition.Request:
		r := partition.Rec{K: k, ID: id, T: w.accepted[id]}
		w.append(r, w.translate(r, domain.Invocation{}))
	case k == partition.Cancel:
		r := partition.Rec{K: k, ID: id}
		w.append(r, w.translate(r, domain.Invocation{}))
	default:
		w.own(k, id, honest)
	}
}

// TestTwins: the code's fold and the model's agree about every record and every state, along any log; so do the folds that
// begin at a marker which the model calls good.
func TestTwins(t *testing.T) {
	seen := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		w := newTwins(t)
		for range rapid.IntRange(5, 100).Draw(t, "steps") {
			w.step()
		}
		for n, i := range w.model.Inv {
			seen[fmt.Sprintf("%d known %v, started %d, %c, settled %v", n, i.Known, min(i.Started, 2), max(i.Term, '-'), i.Settled)]++
		}
	})
	for what, n := range seen {
		t.Log(n, what)
	}
}
