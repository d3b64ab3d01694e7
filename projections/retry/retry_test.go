package retry_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"deed/domain"
	"deed/domain/partition"
	"deed/projections/retry"
)

// The laws of the derivation: over a settled log it derives nothing, and over any prefix of a log, at the time of what the
// owner wrote next, exactly that, if it was a decision, and else nothing.

const zero domain.Instant = 1_767_225_600_000

// run is one recorded log: an owner acts on a few invocations until all are settled, with functions that fail by chance
// and people who cancel.
func run(t *testing.T, seed uint64) []domain.Record {
	t.Helper()
	chance := rand.New(rand.NewPCG(seed, 1))
	fold, now := partition.Whole(), zero
	var log []domain.Record
	stamp := domain.Stamp{Epoch: 1, Owner: domain.OwnerID{1}}
	put := func(r domain.Record) {
		r.At, r.Type = now, r.Event.Type()
		if v := fold.Apply(int64(len(log)), &r); !v.Effective() {
			t.Fatalf("seed %d: %s is %s", seed, r.Type, v)
		}
		log = append(log, r)
	}
	own := func(id domain.InvocationID, e domain.Event) {
		stamp.Seq++
		put(domain.Record{Subject: id, Stamp: stamp, Event: e})
	}
	put(domain.Record{Stamp: stamp, Event: domain.PartitionOwned{LogTime: now, Protocol: domain.Protocol}})
	ids := make([]domain.InvocationID, 3)
	for n := range ids {
		ids[n] = domain.NewInvocationID(now, 0, [8]byte{byte(seed), byte(seed >> 8), byte(n)})
		put(domain.Record{Subject: ids[n], Event: domain.InvocationRequested{
			ID: ids[n], Function: domain.NativeFunction("echo"), Deadline: now.Add(20 * time.Second), Hops: 15 + chance.IntN(12)/11,
			Policy: domain.Policy{Set: true, MaxRetries: chance.IntN(4), MaxAge: 20 * time.Second, OnFailure: "obs://told/no"},
		}})
	}
	kinds := domain.FailureKinds()
	for steps := 0; fold.Unsettled() > 0; steps++ {
		if steps > 2000 {
			t.Fatalf("seed %d: no end", seed)
		}
		now += domain.Instant(chance.IntN(800))
		id := ids[chance.IntN(len(ids))]
		i := fold.Get(id).Invocation
		if chance.IntN(25) == 0 && i.Fit(domain.CancelRequested{}, now) == domain.Fits {
			put(domain.Record{Subject: id, Event: domain.CancelRequested{}})
			continue
		}
		var events []domain.Event
		switch {
		case i.Settled():
			continue
		case i.Running() && chance.IntN(3) == 0:
			events, _ = i.Decide(domain.Finish{Event: domain.AttemptSucceeded{}})
		case i.Running():
			events, _ = i.Decide(domain.Finish{Event: domain.AttemptFailed{Kind: kinds[chance.IntN(len(kinds))], Error: "words"}})
		case i.Open():
			if events, _ = i.Decide(domain.Advance{At: now}); len(events) == 0 && i.Ready(now) {
				events, _ = i.Decide(domain.Begin{At: now})
			}
		case !i.Notified.Owed:
			events, _ = i.Decide(domain.Notify{Record: domain.Bytes([]byte("{}"))})
		default:
			events = []domain.Event{domain.NotificationDelivered{Sink: i.Notified.Sink, ID: i.Notified.ID}}
		}
		for _, e := range events {
			own(id, e)
		}
	}
	return log
}

func TestDerive(t *testing.T) {
	var derive retry.Projection
	seen := map[string]int{}
	for seed := range uint64(300) {
		log := run(t, seed)
		fold := partition.Whole()
		for n := range log {
			r := &log[n]
			if e := fold.Get(r.Subject); e != nil && r.Stamp.IsOwner() {
				got := derive.Derive(e.Invocation, r.At)
				switch r.Event.(type) {
				case domain.RetryScheduled, domain.InvocationSucceeded, domain.InvocationFailed, domain.InvocationDiscarded:
					seen[r.Type]++
					if len(got) != 1 || got[0] != r.Event {
						t.Fatalf("seed %d, offset %d: derived %+v; the owner wrote %+v", seed, n, got, r.Event)
					}
				default:
					if len(got) != 0 {
						t.Fatalf("seed %d, offset %d: derived %+v before %+v", seed, n, got, r.Event)
					}
				}
			}
			fold.Apply(int64(n), r)
		}
		end := log[len(log)-1].At
		fold.Entries(func(e *partition.Entry) bool {
			for _, at := range []domain.Instant{0, end, end.Add(24 * time.Hour)} {
				if got := derive.Derive(e.Invocation, at); len(got) != 0 {
					t.Fatalf("seed %d: settled, and derived %+v", seed, got)
				}
			}
			return true
		})
	}
	for _, name := range []string{"RetryScheduled", "InvocationSucceeded", "InvocationFailed", "InvocationDiscarded"} {
		if seen[name] < 50 {
			t.Errorf("%d of %s: the logs are too tame", seen[name], name)
		}
	}
}

// TestCrash: an owner that died between an outcome and its decision is followed by one that decides the same, at its own time.
func TestCrash(t *testing.T) {
	id := domain.NewInvocationID(zero, 0, [8]byte{1})
	i := domain.Invocation{}.Evolve(domain.InvocationRequested{ID: id, Deadline: zero.Add(time.Hour), Policy: domain.Policy{Set: true, MaxRetries: 1, MaxAge: time.Hour}}, zero, domain.OwnerID{})
	i = i.Evolve(domain.AttemptStarted{Attempt: 1}, zero, domain.OwnerID{1}).Evolve(domain.AttemptFailed{Attempt: 1, Kind: domain.FailedTrap}, zero+5, domain.OwnerID{1})
	for _, at := range []domain.Instant{zero + 5, zero + 60_000} {
		want := domain.RetryScheduled{Attempt: 2, Due: at.Add(domain.Backoff(domain.UUID(id), 1))}
		if got := (retry.Projection{}).Derive(i, at); len(got) != 1 || got[0] != domain.Event(want) {
			t.Errorf("%+v, not %+v", got, want)
		}
	}
}
