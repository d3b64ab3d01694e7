package partition_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"deed/domain"
	"deed/domain/partition"

	"pgregory.net/rapid"
)

// history draws a log that doors, honest owners and zombies wrote together; confused adds owners in force that write what
// does not follow.
func history(t *rapid.T, confused bool) []domain.Record {
	w := &world{t: t, fold: partition.Whole(), now: zero}
	w.claim()
	for range rapid.IntRange(1, 50).Draw(t, "steps") {
		w.now += domain.Instant(rapid.SampledFrom([]int{0, 1, 900, 5_000, 40_000}).Draw(t, "pause"))
		switch rapid.IntRange(0, 19).Draw(t, "what happens") {
		case 0, 1, 2:
			w.request()
		case 3, 4:
			w.door(domain.Record{Subject: w.pick(), Event: domain.CancelRequested{Force: rapid.Bool().Draw(t, "force")}})
		case 5:
			w.claim()
		case 6:
			w.own(domain.InvocationID{}, domain.PartitionOwned{Renewal: true, LogTime: w.now - w.behind(), Protocol: domain.Protocol})
		case 7:
			w.append(w.zombie())
		case 8:
			w.carry()
		case 9:
			w.door(domain.Record{Subject: w.fresh(), Type: "InvocationRequested", Problem: "not JSON"})
		case 10:
			if confused {
				w.own(w.pick(), nonsense().Draw(t, "nonsense"))
			}
		default:
			w.act()
		}
	}
	return w.log
}

type world struct {
	t      *rapid.T
	fold   *partition.Fold
	log    []domain.Record
	now    domain.Instant
	ids    []domain.InvocationID
	made   int
	epoch  uint64
	stamps []domain.Stamp // of all claims; the last one is in force
}

func (w *world) append(r domain.Record) {
	if r.Event != nil {
		r.Type = r.Event.Type()
	}
	w.fold.Apply(int64(len(w.log)), &r)
	w.log = append(w.log, r)
}

func (w *world) claim() {
	w.epoch += uint64(rapid.IntRange(1, 3).Draw(w.t, "epoch"))
	s := domain.Stamp{Epoch: w.epoch, Owner: domain.OwnerID{byte(len(w.stamps) + 1)}}
	w.stamps = append(w.stamps, s)
	w.append(domain.Record{ID: domain.OwnerRecordID(s.Owner, 0), At: w.now, Stamp: s, Event: domain.PartitionOwned{LogTime: w.fold.LogTime() - w.behind(), Protocol: domain.Protocol}})
}

// behind is how far an owner's clock, or its view of the log, lags.
func (w *world) behind() domain.Instant {
	return domain.Instant(rapid.SampledFrom([]int{0, 0, 20_000}).Draw(w.t, "behind"))
}

func (w *world) own(id domain.InvocationID, e domain.Event) {
	s := &w.stamps[len(w.stamps)-1]
	s.Seq++
	at := w.now
	if i := w.fold.Get(id); i != nil {
		at = max(at, i.At)
	}
	w.append(domain.Record{ID: domain.OwnerRecordID(s.Owner, s.Seq), Subject: id, At: at, Stamp: *s, Event: e})
}

func (w *world) door(r domain.Record) {
	r.ID, r.At = domain.UUID{0xd0, byte(len(w.log)), byte(len(w.log) >> 8)}, w.now
	w.append(r)
}

func (w *world) fresh() domain.InvocationID {
	w.made++
	id := domain.NewInvocationID(w.now-domain.Instant(rapid.SampledFrom([]int{0, 50, 119_000, 130_000}).Draw(w.t, "age")), 0, [8]byte{byte(w.made)})
	w.ids = append(w.ids, id)
	return id
}

// pick is an id that some record named, or one that none did.
func (w *world) pick() domain.InvocationID {
	if len(w.ids) == 0 {
		return domain.NewInvocationID(zero, 0, [8]byte{0xff})
	}
	return rapid.SampledFrom(w.ids).Draw(w.t, "id")
}

func (w *world) request() {
	sinks := []domain.Target{"", "obs://told/x", "function:next"}
	r := domain.InvocationRequested{ID: w.fresh(), Function: domain.NativeFunction("echo"), Version: "1", Hops: rapid.SampledFrom([]int{0, 0, 0, domain.MaxHops - 1, domain.MaxHops}).Draw(w.t, "hops")}
	r.Policy = domain.Policy{
		Set: true, MaxRetries: rapid.IntRange(0, domain.MaxRetriesLimit).Draw(w.t, "retries"), MaxAge: time.Minute,
		OnSuccess: rapid.SampledFrom(sinks).Draw(w.t, "on success"), OnFailure: rapid.SampledFrom(sinks).Draw(w.t, "on failure"),
	}
	r.Deadline = r.ID.T0().Add(r.Policy.MaxAge)
	w.door(domain.Record{Subject: r.ID, Event: r})
}

// act does what an honest owner may do next about some invocation.
func (w *world) act() {
	id := w.pick()
	e := w.fold.Get(id)
	if e == nil {
		return
	}
	i, at := e.Invocation, max(w.now, e.At)
	var c domain.Command
	switch {
	case i.Running() && i.By != w.stamps[len(w.stamps)-1].Owner:
		c = domain.Finish{Event: domain.AttemptFailed{Kind: domain.FailedLost}}
	case i.Running() && rapid.Bool().Draw(w.t, "succeeds"):
		c = domain.Finish{Event: domain.AttemptSucceeded{}}
	case i.Running():
		c = domain.Finish{Event: domain.AttemptFailed{Kind: rapid.SampledFrom(domain.FailureKinds()).Draw(w.t, "kind")}}
	case i.Open() && i.Ready(at):
		c = domain.Begin{At: at}
	case i.Open():
		c = domain.Advance{At: at}
	case !i.Notified.Owed:
		c = domain.Notify{Record: domain.Bytes([]byte("{}"))}
	case !i.Settled():
		w.tell(i)
		return
	default:
		return
	}
	if a, ok := i.Decide(domain.Advance{At: at}); ok == nil && len(a) > 0 {
		c = domain.Advance{At: at} // what follows goes before what may begin
	}
	events, err := i.Decide(c)
	if err != nil {
		w.t.Fatalf("an honest owner's %#v is refused: %v", c, err)
	}
	for _, ev := range events {
		w.own(id, ev)
	}
}

// tell delivers the notification, or not.
func (w *world) tell(i domain.Invocation) {
	n := i.Notified
	_, _, child := n.Sink.Function(i.Function)
	switch {
	case rapid.IntRange(0, 3).Draw(w.t, "down") == 0:
		w.own(i.ID, domain.NotificationFailed{Sink: n.Sink, ID: n.ID, Try: n.Tries + 1, Due: w.now + 1000})
	case child && i.Hops >= domain.MaxHops:
		w.own(i.ID, domain.NotificationAbandoned{Sink: n.Sink, ID: n.ID, Reason: "lineage"})
	case child:
		c := domain.InvocationRequested{
			ID: domain.ChildID(i.ID, i.EndedAt, n.ID), Function: domain.NativeFunction("next"), Parent: i.ID, Root: i.LineageRoot(),
			Hops: i.Hops + 1, Sink: n.Sink, Notification: n.ID, Deadline: w.now + 60_000,
		}
		w.own(c.ID, c)
		w.ids = append(w.ids, c.ID)
	default:
		w.own(i.ID, domain.NotificationDelivered{Sink: n.Sink, ID: n.ID})
	}
}

// carry restates an invocation; a cancel may land before the restatement does.
func (w *world) carry() {
	id := w.pick()
	e := w.fold.Get(id)
	if e == nil || e.Settled() {
		return
	}
	state := e.Invocation
	if rapid.Bool().Draw(w.t, "cancel meanwhile") {
		w.door(domain.Record{Subject: id, Event: domain.CancelRequested{Force: rapid.Bool().Draw(w.t, "force")}})
	}
	w.own(id, domain.InvocationCarried{State: state})
}

// zombie is a record of an owner that is not in force: an earlier one, or one that never claimed.
func (w *world) zombie() domain.Record {
	return staleRecord(w.t, w.fold.Owner(), w.stamps, w.pick(), w.now)
}

func staleRecord(t *rapid.T, inForce domain.Stamp, claims []domain.Stamp, id domain.InvocationID, at domain.Instant) domain.Record {
	s := domain.Stamp{Epoch: inForce.Epoch + uint64(rapid.IntRange(0, 1).Draw(t, "nobody's epoch")), Owner: domain.OwnerID{0xee}}
	if len(claims) > 0 && rapid.Bool().Draw(t, "an earlier owner's") {
		if earlier := rapid.SampledFrom(claims).Draw(t, "claim"); earlier.Epoch < inForce.Epoch {
			s = earlier
		}
	}
	if inForce.Epoch > 0 && rapid.IntRange(0, 3).Draw(t, "the owner's, of another epoch") == 0 {
		s = domain.Stamp{Epoch: inForce.Epoch - 1, Owner: inForce.Owner}
	}
	s.Seq = rapid.OneOf(rapid.Just(s.Seq+1), rapid.Just(inForce.Seq+1), rapid.Uint64Range(0, 30)).Draw(t, "seq")
	r := domain.Record{Subject: id, At: at, Stamp: s}
	switch rapid.IntRange(0, 5).Draw(t, "kind of zombie") {
	case 0:
		r.Event = domain.PartitionOwned{Renewal: true, LogTime: at + 1_000_000, Protocol: domain.Protocol}
	case 1:
		r.Stamp.Epoch = min(r.Stamp.Epoch, inForce.Epoch)
		r.Event = domain.PartitionOwned{LogTime: at + 1_000_000, Protocol: domain.Protocol}
	case 2:
		r.Event = domain.InvocationCarried{State: domain.Invocation{ID: id, Known: true, Outcome: domain.Failed, Policy: domain.Policy{OnFailure: "obs://told/x"}}}
	case 3:
		r.Type, r.Problem = "InvocationRequested", "not JSON"
	case 4:
		r.Event = domain.InvocationRequested{ID: domain.NewInvocationID(at, 0, [8]byte{0xab}), Parent: id}
	default:
		r.Event = nonsense().Draw(t, "event")
	}
	if r.Event != nil {
		r.Type = r.Event.Type()
	}
	return r
}

// nonsense is an event of an owner that need not follow from anything.
func nonsense() *rapid.Generator[domain.Event] {
	return rapid.Custom(func(t *rapid.T) domain.Event {
		n := rapid.IntRange(0, 8).Draw(t, "attempt")
		sink := rapid.SampledFrom([]domain.Target{"", "obs://told/x", "function:next"}).Draw(t, "sink")
		return rapid.SampledFrom([]domain.Event{
			domain.AttemptStarted{Attempt: n},
			domain.AttemptSucceeded{Attempt: n},
			domain.AttemptFailed{Attempt: n, Kind: domain.FailedLost},
			domain.AttemptFailed{Attempt: n, Kind: domain.FailedExit},
			domain.RetryScheduled{Attempt: n, Due: zero},
			domain.InvocationSucceeded{Attempts: n},
			domain.InvocationFailed{Attempts: n, Condition: domain.SystemError},
			domain.InvocationDiscarded{Condition: domain.Throttled},
			domain.NotificationOwed{Sink: sink},
			domain.NotificationDelivered{Sink: sink},
			domain.NotificationFailed{Sink: sink, Try: n},
			domain.NotificationAbandoned{Sink: sink},
			domain.RequestRefused{},
			domain.ClusterFormed{},
			domain.PolicyChanged{},
		}).Draw(t, "nonsense")
	})
}

// fold folds the records from offset 0.
func fold(log []domain.Record) *partition.Fold {
	f := partition.Whole()
	for n := range log {
		f.Apply(int64(n), &log[n])
	}
	return f
}

// picture is what a fold knows, without offsets: equal pictures are equal outcomes.
type picture struct {
	owner   domain.Stamp
	logTime domain.Instant
	open    int
	states  map[domain.InvocationID]domain.Invocation
}

func pictureOf(f *partition.Fold) picture {
	p := picture{f.Owner(), f.LogTime(), f.Unsettled(), map[domain.InvocationID]domain.Invocation{}}
	f.Entries(func(e *partition.Entry) bool { p.states[e.ID] = e.Invocation; return true })
	return p
}

// differ says how two pictures differ; "" if they do not.
func (p picture) differ(q picture) string {
	if p.owner != q.owner || p.logTime != q.logTime || p.open != q.open || len(p.states) != len(q.states) {
		return fmt.Sprintf("%v %s, %d open of %d\n%v %s, %d open of %d", p.owner, p.logTime, p.open, len(p.states), q.owner, q.logTime, q.open, len(q.states))
	}
	for id, i := range p.states {
		if j := q.states[id]; i != j {
			return fmt.Sprintf("%s:\n%+v\n%+v", id, i, j)
		}
	}
	return ""
}

// TestFoldTwice: the fold is a function of the records: two readers have equal states, offsets included.
func TestFoldTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := history(t, true)
		f, g := fold(log), fold(log)
		if d := pictureOf(f).differ(pictureOf(g)); d != "" {
			t.Fatal(d)
		}
		if f.Next() != int64(len(log)) || f.Void() != g.Void() {
			t.Fatalf("next %d of %d, void %d and %d", f.Next(), len(log), f.Void(), g.Void())
		}
		f.Entries(func(e *partition.Entry) bool {
			if *e != *g.Get(e.ID) {
				t.Fatalf("%+v\n%+v", *e, *g.Get(e.ID))
			}
			return true
		})
	})
}

// TestCopiesAndZombies: a copy of a record that counted, anywhere behind it, and a record of an owner that is not in force,
// anywhere, are void and change nothing.
func TestCopiesAndZombies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := history(t, true)
		want := pictureOf(fold(log))
		f := partition.Whole()
		var counted []domain.Record
		var claims []domain.Stamp
		offset := int64(0)
		intrude := func(r domain.Record, what string) {
			before := f.Owner()
			if v := f.Apply(offset, &r); v.Effective() {
				t.Fatalf("%s is effective: %+v, in force %+v", what, r, before)
			}
			if f.Touched() != nil {
				t.Fatalf("%s touched %+v", what, *f.Touched())
			}
			offset++
		}
		for n := range log {
			r := log[n]
			if f.Apply(offset, &r).Effective() {
				counted = append(counted, r)
				if c, ok := r.Event.(domain.PartitionOwned); ok && !c.Renewal {
					claims = append(claims, r.Stamp)
				}
			}
			offset++
			switch rapid.IntRange(0, 3).Draw(t, "intruder") {
			case 0:
				intrude(rapid.SampledFrom(counted).Draw(t, "copied"), "a copy")
			case 1:
				intrude(staleRecord(t, f.Owner(), claims, rapid.SampledFrom(log).Draw(t, "of").Subject, r.At), "a zombie's record")
			}
		}
		if d := want.differ(pictureOf(f)); d != "" {
			t.Fatal(d)
		}
	})
}

// TestDoorsCommute: a door's record may land before or behind what concerns other invocations; it is all the same.
func TestDoorsCommute(t *testing.T) {
	concerns := func(r domain.Record) []domain.InvocationID {
		if q, ok := r.Event.(domain.InvocationRequested); ok {
			return []domain.InvocationID{q.ID, q.Parent}
		}
		return []domain.InvocationID{r.Subject}
	}
	apart := func(a, b domain.Record) bool {
		_, marker := a.Event.(domain.PartitionOwned)
		_, markerToo := b.Event.(domain.PartitionOwned)
		door := !a.Stamp.IsOwner() || !b.Stamp.IsOwner()
		return door && !marker && !markerToo && !slices.ContainsFunc(concerns(a), func(id domain.InvocationID) bool {
			return !id.IsZero() && slices.Contains(concerns(b), id)
		})
	}
	rapid.Check(t, func(t *rapid.T) {
		log := history(t, true)
		want := pictureOf(fold(log))
		moved := slices.Clone(log)
		for range rapid.IntRange(1, 80).Draw(t, "swaps") {
			if n := rapid.IntRange(0, len(moved)-1).Draw(t, "n"); n+1 < len(moved) && apart(moved[n], moved[n+1]) {
				moved[n], moved[n+1] = moved[n+1], moved[n]
			}
		}
		if d := want.differ(pictureOf(fold(moved))); d != "" {
			t.Fatal(d)
		}
	})
}

// TestFoldLaws: along any log, attempts are bounded, an outcome is for ever, a cancel is never forgotten, nothing starts
// behind one or behind the deadline, log time and epochs only rise, and the count of the unsettled is right.
func TestFoldLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := history(t, true)
		f := partition.Whole()
		before := pictureOf(f)
		for n := range log {
			r := log[n]
			v := f.Apply(int64(n), &r)
			after := pictureOf(f)
			if after.logTime < before.logTime || after.owner.Epoch < before.owner.Epoch {
				t.Fatalf("%d: log time or epoch fell", n)
			}
			if !v.Effective() {
				after.owner.Seq = before.owner.Seq // what does not fit is counted all the same
				if d := before.differ(after); d != "" {
					t.Fatalf("%d: void (%s), and changes something: %s", n, v, d)
				}
			}
			open := 0
			for id, i := range after.states {
				was := before.states[id]
				if !i.Settled() {
					open++
				}
				switch bound := 1 + i.Policy.Retries() + domain.MaxLost; {
				case i.Started > bound:
					t.Fatalf("%d: %d attempts; %d are allowed", n, i.Started, bound)
				case i.Started > was.Started && (was.Cancel || r.At > was.Deadline || i.Started != was.Started+1):
					t.Fatalf("%d: started in %+v", n, was)
				case was.Outcome != domain.Open && (i.Outcome != was.Outcome || i.Cond != was.Cond || i.EndedAt != was.EndedAt || i.Reason != was.Reason):
					t.Fatalf("%d: an outcome changed from %+v to %+v", n, was, i)
				case was.Settled() && i != was:
					t.Fatalf("%d: what is settled changed from %+v to %+v", n, was, i)
				case was.Cancel && !i.Cancel || was.Force && !i.Force:
					t.Fatalf("%d: a cancel is forgotten", n)
				}
			}
			if open != f.Unsettled() {
				t.Fatalf("%d: %d are unsettled, %d are counted", n, open, f.Unsettled())
			}
			before = pictureOf(f)
		}
	})
}

// TestHole: behind a hole nothing of that epoch counts any more; the next claim does.
func TestHole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := history(t, false)
		f := fold(log)
		want := pictureOf(f)
		s := f.Owner()
		next := f.Next()
		for range rapid.IntRange(1, 10).Draw(t, "behind the hole") {
			s.Seq += uint64(rapid.IntRange(1, 3).Draw(t, "seq"))
			if s.Seq == f.Owner().Seq+1 {
				s.Seq++
			}
			r := domain.Record{Subject: rapid.SampledFrom(log).Draw(t, "of").Subject, At: zero, Stamp: s, Event: nonsense().Draw(t, "event")}
			if v := f.Apply(next, &r); v.Effective() {
				t.Fatalf("behind a hole: %+v", r)
			}
			next++
		}
		if d := want.differ(pictureOf(f)); d != "" {
			t.Fatal(d)
		}
		claim := domain.Record{Stamp: domain.Stamp{Epoch: s.Epoch + 1, Owner: domain.OwnerID{0xcc}}, Event: domain.PartitionOwned{Protocol: domain.Protocol}}
		if v := f.Apply(next, &claim); !v.Effective() {
			t.Fatalf("the next claim: %s", v)
		}
	})
}
