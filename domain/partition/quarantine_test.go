package partition

import (
	"testing"

	"deed/domain"
)

// TestQuarantine: a record whose fold panics sets its invocation aside, and nothing else: the count of its owner goes on.
func TestQuarantine(t *testing.T) {
	trouble = func(r *domain.Record) {
		if r.Type == "AttemptSucceeded" {
			panic("planted")
		}
	}
	defer func() { trouble = nil }()
	f := New()
	ids := []domain.InvocationID{domain.NewInvocationID(1000, 0, [8]byte{1}), domain.NewInvocationID(1000, 0, [8]byte{2})}
	owner := domain.OwnerID{1}
	var offset int64
	apply := func(seq uint64, id domain.InvocationID, e domain.Event, want Reason) {
		t.Helper()
		r := domain.Record{Type: e.Type(), Subject: id, Event: e, At: 1000}
		if seq > 0 {
			r.Stamp = domain.Stamp{Epoch: 1, Owner: owner, Seq: seq}
		}
		if v := f.Apply(offset, &r); v.Reason != want {
			t.Errorf("%d %s: %s, want %q", offset, e.Type(), v, want)
		}
		offset++
	}
	claim := domain.Record{Type: "PartitionOwned", Stamp: domain.Stamp{Epoch: 1, Owner: owner}, Event: domain.PartitionOwned{Protocol: domain.Protocol}}
	f.Apply(offset, &claim)
	offset++
	for _, id := range ids {
		apply(0, id, domain.InvocationRequested{ID: id, Deadline: 9000}, Effective)
	}
	apply(1, ids[0], domain.AttemptStarted{Attempt: 1}, Effective)
	apply(2, ids[1], domain.AttemptStarted{Attempt: 1}, Effective)
	apply(3, ids[0], domain.AttemptSucceeded{Attempt: 1}, Quarantined)
	apply(4, ids[1], domain.AttemptFailed{Attempt: 1, Kind: domain.FailedExit}, Effective)
	apply(5, ids[0], domain.AttemptFailed{Attempt: 1, Kind: domain.FailedExit}, Quarantined)
	apply(0, ids[0], domain.CancelRequested{}, Quarantined)
	if f.Quarantine(ids[0]) == "" || f.Quarantine(ids[1]) != "" || !f.Get(ids[0]).Running() {
		t.Errorf("%q %q %+v", f.Quarantine(ids[0]), f.Quarantine(ids[1]), f.Get(ids[0]))
	}
}
