package domain_test

import (
	"testing"
	"time"

	"deed/domain"

	"pgregory.net/rapid"
)

// The laws hold for any event in any state that can be reached by any events at all, sensible or not; and, where states
// are made up whole, for those, too.

var (
	anID   = domain.NewInvocationID(1_767_225_600_000, 1, [8]byte{1})
	owners = []domain.OwnerID{{}, {1}, {2}}
	sinks  = []domain.Target{"", "obs://told/yes", "obs://told/no", "function:next"}
)

func times() *rapid.Generator[domain.Instant] {
	return rapid.Map(rapid.Int64Range(-1000, 200_000), func(ms int64) domain.Instant { return anID.T0() + domain.Instant(ms) })
}

func policies() *rapid.Generator[domain.Policy] {
	return rapid.Custom(func(t *rapid.T) domain.Policy {
		if !rapid.Bool().Draw(t, "set") {
			return domain.Policy{}
		}
		return domain.Policy{
			Set: true, MaxRetries: rapid.IntRange(0, domain.MaxRetriesLimit).Draw(t, "retries"), MaxAge: time.Minute,
			OnSuccess: rapid.SampledFrom(sinks).Draw(t, "on success"), OnFailure: rapid.SampledFrom(sinks).Draw(t, "on failure"),
		}
	})
}

func requests() *rapid.Generator[domain.InvocationRequested] {
	return rapid.Custom(func(t *rapid.T) domain.InvocationRequested {
		return domain.InvocationRequested{
			ID: anID, Function: domain.NativeFunction("echo"), Version: "1", Policy: policies().Draw(t, "policy"),
			Deadline: times().Draw(t, "deadline"), Hops: rapid.SampledFrom([]int{0, 0, 0, 1, domain.MaxHops}).Draw(t, "hops"),
		}
	})
}

func kinds() *rapid.Generator[domain.FailureKind] { return rapid.SampledFrom(domain.FailureKinds()) }

// madeUp is a state that no history need lead to.
func madeUp() *rapid.Generator[domain.Invocation] {
	return rapid.Custom(func(t *rapid.T) domain.Invocation {
		n := rapid.IntRange(0, 5)
		i := domain.Invocation{
			ID: anID, Known: rapid.Bool().Draw(t, "known"), Policy: policies().Draw(t, "policy"), Deadline: times().Draw(t, "deadline"),
			Hops: rapid.SampledFrom([]int{0, domain.MaxHops}).Draw(t, "hops"), Broken: rapid.Bool().Draw(t, "broken"), At: times().Draw(t, "at"),
			Cancel: rapid.Bool().Draw(t, "cancel"), Force: rapid.Bool().Draw(t, "force"), Started: n.Draw(t, "started"), Done: n.Draw(t, "done"),
			Success: rapid.Bool().Draw(t, "success"), CodeFails: n.Draw(t, "code fails"), Lost: n.Draw(t, "lost"),
			Kind: rapid.SampledFrom(append(domain.FailureKinds(), domain.NoFailure)).Draw(t, "kind"), Retry: n.Draw(t, "retry"), Due: times().Draw(t, "due"),
			Outcome: rapid.SampledFrom([]domain.Outcome{domain.Open, domain.Open, domain.Succeeded, domain.Failed, domain.Discarded}).Draw(t, "outcome"),
		}
		i.Notified.Owed, i.Notified.Settled = rapid.Bool().Draw(t, "owed"), rapid.Bool().Draw(t, "settled")
		i.Notified.Sink = rapid.SampledFrom(sinks).Draw(t, "sink")
		return i
	})
}

// events is any event at all, carried states included.
func events() *rapid.Generator[domain.Event] {
	return rapid.OneOf(ownEvents(), rapid.Custom(func(t *rapid.T) domain.Event {
		switch rapid.IntRange(0, 7).Draw(t, "other event") {
		case 0:
			return requests().Draw(t, "request")
		case 1:
			return domain.InvocationCarried{State: madeUp().Draw(t, "state")}
		case 2:
			return domain.RequestRefused{}
		case 3:
			return domain.PartitionOwned{}
		case 4:
			return domain.ClusterFormed{}
		case 5:
			return domain.FunctionDeployed{}
		case 6:
			return domain.FunctionDeleted{}
		default:
			return domain.PolicyChanged{}
		}
	}))
}

// ownEvents is any event about a known invocation, but for the carried state.
func ownEvents() *rapid.Generator[domain.Event] {
	return rapid.Custom(func(t *rapid.T) domain.Event {
		n, sink := rapid.IntRange(0, 9).Draw(t, "attempt"), rapid.SampledFrom(sinks).Draw(t, "sink")
		switch rapid.IntRange(0, 11).Draw(t, "event") {
		case 0:
			return domain.CancelRequested{Force: rapid.Bool().Draw(t, "force")}
		case 1:
			return domain.AttemptStarted{Attempt: n}
		case 2:
			return domain.AttemptSucceeded{Attempt: n}
		case 3:
			return domain.AttemptFailed{Attempt: n, Kind: kinds().Draw(t, "kind"), Error: "e"}
		case 4:
			return domain.RetryScheduled{Attempt: n, Due: times().Draw(t, "due")}
		case 5:
			return domain.InvocationSucceeded{Attempts: n}
		case 6:
			return domain.InvocationFailed{Attempts: n, Condition: domain.SystemError, Kind: domain.FailedPlatform, Error: "e"}
		case 7:
			return domain.InvocationDiscarded{Attempts: n, Condition: domain.Canceled, Reason: "r"}
		case 8:
			return domain.NotificationOwed{Sink: sink, ID: domain.UUID{byte(n)}, ValidUntil: times().Draw(t, "valid until")}
		case 9:
			return domain.NotificationDelivered{Sink: sink}
		case 10:
			return domain.NotificationFailed{Sink: sink, Try: n, Due: times().Draw(t, "due")}
		default:
			return domain.NotificationAbandoned{Sink: sink, Reason: "expired"}
		}
	})
}

// step is an event with its time and its writer. A timely one is fitted to the state, so that histories get somewhere.
func step(t *rapid.T, i domain.Invocation) (domain.Event, domain.Instant, domain.OwnerID) {
	at, by := times().Draw(t, "at"), rapid.SampledFrom(owners).Draw(t, "by")
	e := ownEvents().Draw(t, "event")
	if rapid.IntRange(0, 3).Draw(t, "timely") > 0 {
		switch x := e.(type) {
		case domain.AttemptStarted:
			x.Attempt, at = i.Started+1, min(at, i.Deadline)
			e = x
		case domain.AttemptSucceeded:
			x.Attempt = i.Started
			e = x
		case domain.AttemptFailed:
			x.Attempt = i.Started
			e = x
		case domain.RetryScheduled:
			x.Attempt = i.Started + 1
			e = x
		case domain.NotificationOwed:
			x.Sink = i.Owes()
			e = x
		}
	}
	return e, at, by
}

// states is a state that some history leads to, or one made up.
func states() *rapid.Generator[domain.Invocation] {
	return rapid.OneOf(madeUp(), rapid.Custom(func(t *rapid.T) domain.Invocation {
		i := domain.Invocation{}.Evolve(requests().Draw(t, "request"), anID.T0(), domain.OwnerID{})
		for range rapid.IntRange(0, 16).Draw(t, "events") {
			i = i.Evolve(step(t, i))
		}
		return i
	}))
}

// TestEvolveIsTotalAndIdempotent: any event in any state gives a state; what does not fit changes nothing; twice is once.
func TestEvolveIsTotalAndIdempotent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		i, e := states().Draw(t, "state"), events().Draw(t, "event")
		at, by := times().Draw(t, "at"), rapid.SampledFrom(owners).Draw(t, "by")
		once := i.Evolve(e, at, by)
		if m := i.Fit(e, at); m != domain.Fits && once != i {
			t.Fatalf("%s does not fit (%s), and changes\n%+v\nto\n%+v", e.Type(), m, i, once)
		}
		if twice := once.Evolve(e, at, by); twice != once {
			t.Fatalf("%s again changes\n%+v\nto\n%+v", e.Type(), once, twice)
		}
		if again := i.Evolve(e, at, by); again != once {
			t.Fatalf("%s gives\n%+v\nthen\n%+v", e.Type(), once, again)
		}
		if i.Evolve(nil, at, by) != i {
			t.Fatal("no event changes something")
		}
	})
}

// TestDecideFits: whatever is decided in a state fits it, changes it, and is decided once only.
func TestDecideFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		i := states().Draw(t, "state")
		at := max(times().Draw(t, "at"), i.At)
		c := rapid.OneOf(
			rapid.Just[domain.Command](domain.Advance{At: at}),
			rapid.Just[domain.Command](domain.Begin{At: at}),
			rapid.Just[domain.Command](domain.Finish{Event: domain.AttemptSucceeded{}}),
			rapid.Just[domain.Command](domain.Throttle{Reason: "disabled"}),
			rapid.Just[domain.Command](domain.Notify{Record: domain.Bytes([]byte("{}"))}),
			rapid.Map(kinds(), func(k domain.FailureKind) domain.Command {
				return domain.Finish{Event: domain.AttemptFailed{Kind: k, Error: "e"}}
			}),
			rapid.Map(ownEvents(), func(e domain.Event) domain.Command { return domain.Finish{Event: e} }),
		).Draw(t, "command")
		decided, err := i.Decide(c)
		if again, _ := i.Decide(c); len(again) != len(decided) || len(again) > 0 && !same(again[0], decided[0]) {
			t.Fatalf("%#v decides %v, then %v", c, decided, again)
		}
		if err != nil {
			if len(decided) > 0 {
				t.Fatalf("%#v is refused (%v) and decides %v", c, err, decided)
			}
			return
		}
		for _, e := range decided {
			if m := i.Fit(e, at); m != domain.Fits {
				t.Fatalf("%#v decides %#v, which does not fit (%s)\n%+v", c, e, m, i)
			}
			next := i.Evolve(e, at, owners[1])
			if next == i {
				t.Fatalf("%#v decides %#v, which changes nothing", c, e)
			}
			i = next
		}
		if more, err := i.Decide(c); len(decided) > 0 && err == nil && len(more) > 0 {
			t.Fatalf("%#v decides %#v, and then %#v", c, decided, more)
		}
	})
}

// same compares events that hold slices.
func same(a, b domain.Event) bool {
	x, ok := a.(domain.NotificationOwed)
	if !ok {
		_, bytes := a.(domain.AttemptSucceeded)
		_, failed := a.(domain.AttemptFailed)
		return bytes || failed || a == b
	}
	y, ok := b.(domain.NotificationOwed)
	return ok && x.ID == y.ID && x.Sink == y.Sink && x.ValidUntil == y.ValidUntil && string(x.Record.Inline) == string(y.Record.Inline)
}

// TestHistoryLaws: along any history, attempts are bounded, an outcome is for ever, a cancel is never forgotten, nothing
// starts after it or after the deadline, and what is settled stays so.
func TestHistoryLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		i := domain.Invocation{}.Evolve(requests().Draw(t, "request"), anID.T0(), domain.OwnerID{})
		bound := 1 + i.Policy.Retries() + domain.MaxLost
		for range rapid.IntRange(0, 60).Draw(t, "events") {
			was := i
			e, at, by := step(t, i)
			i = i.Evolve(e, at, by)
			switch {
			case i.Started > bound:
				t.Fatalf("%d attempts; %d are allowed", i.Started, bound)
			case i.Done > i.Started || i.Started-i.Done > 1:
				t.Fatalf("%d attempts started, %d done", i.Started, i.Done)
			case i.Started > was.Started && (was.Cancel || at > was.Deadline || was.Running() || was.Success):
				t.Fatalf("started at %s in %+v", at, was)
			case was.Outcome != domain.Open && (i.Outcome != was.Outcome || i.Cond != was.Cond || i.Reason != was.Reason || i.EndedAt != was.EndedAt):
				t.Fatalf("%s changed an outcome: %+v to %+v", e.Type(), was, i)
			case was.Settled() && i != was:
				t.Fatalf("%s changed what is settled: %+v to %+v", e.Type(), was, i)
			case was.Cancel && !i.Cancel || was.Force && !i.Force:
				t.Fatalf("%s made a cancel forgotten", e.Type())
			case i.At < was.At:
				t.Fatalf("%s moved time from %s back to %s", e.Type(), was.At, i.At)
			case i.Outcome == domain.Succeeded && !i.Success || i.Success && i.Outcome != domain.Open && i.Outcome != domain.Succeeded:
				t.Fatalf("the outcome is not what the last attempt says: %+v", i)
			}
		}
	})
}

// TestEagerOwnerIsBounded: an owner that decides nothing and starts again and again is stopped by the state alone, and not
// before its function has had its due: all the retries of the policy, and all the lost attempts beside them.
func TestEagerOwnerIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := requests().Draw(t, "request")
		q.Hops, q.Deadline = 0, anID.T0().Add(time.Hour)
		i := domain.Invocation{}.Evolve(q, anID.T0(), domain.OwnerID{})
		for range 20 {
			i = i.Evolve(domain.AttemptStarted{Attempt: i.Started + 1}, anID.T0(), owners[1])
			i = i.Evolve(domain.AttemptFailed{Attempt: i.Started, Kind: kinds().Draw(t, "kind")}, anID.T0(), owners[1])
		}
		retries := q.Policy.Retries()
		if i.Started > 1+retries+domain.MaxLost || i.CodeFails > 1+retries || i.Lost > 1+domain.MaxLost {
			t.Fatalf("%d attempts, %d failed, %d lost, with %d retries", i.Started, i.CodeFails, i.Lost, retries)
		}
		if i.CodeFails <= retries && i.Lost <= domain.MaxLost {
			t.Fatalf("stopped after %d failed and %d lost, with %d retries", i.CodeFails, i.Lost, retries)
		}
	})
}

// TestHonestOwnerEnds: an owner that does what is decided, whatever the function does, whenever somebody cancels, comes to
// an end, by itself, in a bounded number of events, and never waits for what cannot come.
func TestHonestOwnerEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		i := domain.Invocation{}.Evolve(requests().Draw(t, "request"), anID.T0(), domain.OwnerID{})
		now := anID.T0()
		for n := 0; i.Open(); n++ {
			if n > 60 {
				t.Fatalf("no end after %d steps: %+v", n, i)
			}
			now += domain.Instant(rapid.IntRange(0, 3000).Draw(t, "pause"))
			if rapid.IntRange(0, 15).Draw(t, "cancel") == 0 {
				i = i.Evolve(domain.CancelRequested{}, now, domain.OwnerID{})
			}
			var c domain.Command
			switch {
			case i.Running() && rapid.IntRange(0, 3).Draw(t, "works") == 0:
				c = domain.Finish{Event: domain.AttemptSucceeded{}}
			case i.Running():
				c = domain.Finish{Event: domain.AttemptFailed{Kind: kinds().Draw(t, "kind")}}
			default:
				c = domain.Advance{At: now}
			}
			decided, err := i.Decide(c)
			if err != nil {
				t.Fatal(err)
			}
			if len(decided) == 0 {
				if !i.Ready(now) {
					if i.WakeAt(now) <= now {
						t.Fatalf("nothing follows, nothing is ready, and nothing wakes at %s: %+v", now, i)
					}
					now = i.WakeAt(now)
					continue
				}
				if decided, err = i.Decide(domain.Begin{At: now}); err != nil {
					t.Fatal(err)
				}
			}
			for _, e := range decided {
				i = i.Evolve(e, now, owners[1])
			}
		}
	})
}

// TestDecideRefuses shows the words of the cases in which a command that must have an effect cannot have it.
func TestDecideRefuses(t *testing.T) {
	at := anID.T0()
	fresh := domain.Invocation{}.Evolve(domain.InvocationRequested{ID: anID, Deadline: at + 60_000, Policy: domain.Policy{Set: true, MaxRetries: 1, MaxAge: time.Minute}}, at, domain.OwnerID{})
	running := fresh.Evolve(domain.AttemptStarted{Attempt: 1}, at, owners[1])
	done := running.Evolve(domain.AttemptSucceeded{Attempt: 1}, at, owners[1])
	tests := []struct {
		name    string
		i       domain.Invocation
		c       domain.Command
		code    domain.Code
		misfits string
	}{
		{"of nothing", domain.Invocation{}, domain.Begin{At: at}, domain.CodeConflict, "unknown-invocation"},
		{"while it runs", running, domain.Begin{At: at}, domain.CodeConflict, "attempt-out-of-order"},
		{"after success", done, domain.Begin{At: at}, domain.CodeConflict, "attempt-out-of-order"},
		{"after a cancel", fresh.Evolve(domain.CancelRequested{}, at, domain.OwnerID{}), domain.Begin{At: at}, domain.CodeConflict, "canceled"},
		{"too late", fresh, domain.Begin{At: at + 60_001}, domain.CodeConflict, "past-deadline"},
		{"no attempt runs", fresh, domain.Finish{Event: domain.AttemptSucceeded{}}, domain.CodeConflict, "attempt-out-of-order"},
		{"no outcome", running, domain.Finish{Event: domain.CancelRequested{}}, domain.CodeInvalid, "does not end an attempt"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			decided, err := tt.i.Decide(tt.c)
			check(t, err, tt.code, tt.misfits)
			if len(decided) > 0 {
				t.Errorf("refused, and decided: %v", decided)
			}
		})
	}
}
