package partition_test

import (
	"testing"

	"deed/domain"
	"deed/domain/partition"

	"pgregory.net/rapid"
)

// unsettled is what a fold knows of what is not settled.
func unsettled(f *partition.Fold) map[domain.InvocationID]domain.Invocation {
	states := map[domain.InvocationID]domain.Invocation{}
	f.Entries(func(e *partition.Entry) bool {
		if !e.Settled() {
			states[e.ID] = e.Invocation
		}
		return true
	})
	return states
}

// late draws a log in which copies of doors' records turn up at any later time, and log time moves on.
func late(t *rapid.T) []domain.Record {
	log := history(t, false)
	var out []domain.Record
	var doors []domain.Record
	f := partition.Whole()
	for _, r := range log {
		out = append(out, r)
		f.Apply(int64(len(out)-1), &r)
		if !r.Stamp.IsOwner() {
			doors = append(doors, r)
		}
		if len(doors) > 0 && rapid.IntRange(0, 4).Draw(t, "late copy") == 0 {
			out = append(out, rapid.SampledFrom(doors).Draw(t, "copied"))
		}
	}
	return out
}

// TestForgetting: a fold that remembers of what is settled only the id, and that only for a while, judges every record as one
// that forgets nothing does.
func TestForgetting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole, compact := partition.Whole(), partition.New()
		for n, r := range late(t) {
			a, b := whole.Apply(int64(n), &r), compact.Apply(int64(n), &r)
			if a.Effective() != b.Effective() {
				t.Fatalf("%d %s: %s with all of the history, %s without", n, r.Type, a, b)
			}
			if (whole.Touched() == nil) != (compact.Touched() == nil) || whole.Touched() != nil && *whole.Touched() != *compact.Touched() {
				t.Fatalf("%d %s: %+v\n%+v", n, r.Type, whole.Touched(), compact.Touched())
			}
			if whole.Unsettled() != compact.Unsettled() || whole.Owner() != compact.Owner() || whole.LogTime() != compact.LogTime() {
				t.Fatalf("%d %s: %d %d", n, r.Type, whole.Unsettled(), compact.Unsettled())
			}
		}
	})
}

// TestStartAtMarker: a reader that begins at a marker which some fold found committable agrees for ever with one that began at
// offset 0: about the owner, the count, log time, and every invocation that is not settled; so does a reader that begins at
// a marker which that reader found committable.
func TestStartAtMarker(t *testing.T) {
	starts, far := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		log := late(t)
		whole, first := partition.Whole(), partition.New()
		readers := []*partition.Fold{first}
		var last int64 = -1
		for n, r := range log {
			offset := int64(n)
			whole.Apply(offset, &r)
			for _, f := range readers {
				f.Apply(offset, &r)
			}
			want := unsettled(whole)
			for k, f := range readers {
				if f.Owner() != whole.Owner() || f.LogTime() != whole.LogTime() {
					t.Fatalf("%d %s: reader %d: owner %+v at %s, want %+v at %s", n, r.Type, k, f.Owner(), f.LogTime(), whole.Owner(), whole.LogTime())
				}
				got := unsettled(f)
				if len(got) != len(want) || f.Unsettled() != len(want) {
					t.Fatalf("%d %s: reader %d knows %d unsettled, want %d", n, r.Type, k, len(got), len(want))
				}
				for id, i := range want {
					if got[id] != i {
						t.Fatalf("%d %s: reader %d: %+v\nwant %+v", n, r.Type, k, got[id], i)
					}
				}
			}
			from := readers[rapid.IntRange(0, len(readers)-1).Draw(t, "who commits")]
			if m, ok := from.Committable(); ok && m.Offset > last && len(readers) < 12 {
				last = m.Offset
				starts++
				if offset-m.Offset > 2 {
					far++
				}
				g := partition.At(m.Offset)
				for k := m.Offset; k <= offset; k++ {
					if v := g.Apply(k, &log[k]); k == m.Offset && !v.Effective() {
						t.Fatalf("the marker at %d is %s", k, v)
					}
				}
				readers = append(readers, g)
			}
		}
	})
	t.Logf("%d starts, %d of them more than two records back", starts, far)
	if starts < 20 {
		t.Errorf("%d starts: too few to show anything", starts)
	}
}

// TestNoMarker: a fold that is to begin at what is not a marker stops.
func TestNoMarker(t *testing.T) {
	f := partition.At(7)
	r := domain.Record{Type: "CancelRequested", Subject: domain.NewInvocationID(zero, 0, [8]byte{1}), Event: domain.CancelRequested{}}
	if v := f.Apply(7, &r); !v.Stop() || f.Next() != 7 {
		t.Errorf("%s, next %d", v, f.Next())
	}
	r = domain.Record{Type: "PartitionOwned", Stamp: domain.Stamp{Epoch: 9, Owner: domain.OwnerID{1}, Seq: 44}, Event: domain.PartitionOwned{Renewal: true, LogTime: zero, Protocol: domain.Protocol, Node: "n"}}
	if v := f.Apply(7, &r); !v.Effective() || f.Owner() != r.Stamp || f.LogTime() != zero || f.Claim().Node != "n" {
		t.Errorf("%s, %+v", v, f.Owner())
	}
}

// TestCommitUnderTraffic: while requests come in some invocation was always opened just before a marker. The marker is good once
// log time has passed its admission window, unless a copy of its request stands behind the marker.
func TestCommitUnderTraffic(t *testing.T) {
	for _, copied := range []bool{false, true} {
		f := partition.New()
		stamp := domain.Stamp{Epoch: 1, Owner: domain.OwnerID{1}}
		var next int64
		apply := func(e domain.Event, id domain.InvocationID, owner bool) int64 {
			r := domain.Record{Type: e.Type(), Subject: id, At: zero, Event: e}
			if owner {
				r.Stamp = stamp
				stamp.Seq++
			}
			if v := f.Apply(next, &r); !v.Effective() && !copied {
				t.Fatalf("%d %s: %s", next, r.Type, v)
			}
			next++
			return next - 1
		}
		renew := func(at domain.Instant) int64 {
			return apply(domain.PartitionOwned{Renewal: true, LogTime: at, Protocol: domain.Protocol}, domain.InvocationID{}, true)
		}
		open := func(n byte, at domain.Instant) domain.InvocationRequested {
			q := domain.InvocationRequested{ID: domain.NewInvocationID(at, 0, [8]byte{n}), Deadline: at + 1000}
			apply(q, q.ID, false)
			return q
		}
		end := func(q domain.InvocationRequested) {
			apply(domain.InvocationDiscarded{Condition: domain.EventAgeExceeded}, q.ID, true)
		}
		claim := apply(domain.PartitionOwned{LogTime: zero, Protocol: domain.Protocol}, domain.InvocationID{}, true)
		first := open(1, zero)
		end(first)
		second := open(2, zero+1000)
		middle := renew(zero + 2000) // both were opened just before
		if copied {
			apply(first, first.ID, false)
		}
		open(3, zero+3000) // never ends: it holds every later marker back
		end(second)
		if m, ok := f.Committable(); !ok || m.Offset != claim {
			t.Fatalf("within the window: %+v %v, want the claim at %d", m, ok, claim)
		}
		renew(zero + 200_000)
		want := middle
		if copied {
			want = claim
		}
		if m, ok := f.Committable(); !ok || m.Offset != want {
			t.Errorf("copied %v: %+v %v, want the marker at %d", copied, m, ok, want)
		}
	}
}
