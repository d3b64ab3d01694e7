package projections_test

import (
	"context"
	"testing"

	"deed/domain"
	"deed/domain/partition"
	"deed/eventstore"
	"deed/eventstore/memory"
	"deed/projections"
	"deed/projections/invocations"
)

// TestHistoryReachesOverTheTailsBeginning: what was open at the marker where the tail begins, and was settled before that
// marker was committed, is void to the tail; the history tells the rest of it, whichever of the two is faster.
func TestHistoryReachesOverTheTailsBeginning(t *testing.T) {
	told := domain.Policy{Set: true, MaxAge: domain.MinAge, OnSuccess: "function:next"}
	id := func(n byte) domain.InvocationID { return domain.NewInvocationID(1000, 0, [8]byte{n}) }
	request := func(n byte, p domain.Policy) domain.InvocationRequested {
		return domain.InvocationRequested{ID: id(n), Function: domain.NativeFunction("f"), Version: "1", Limits: domain.DefaultLimits(), Policy: p, Deadline: 90_000}
	}
	log := memory.New(1)
	stamp := domain.Stamp{Epoch: 1, Owner: domain.OwnerID{1}}
	own := func(subject domain.InvocationID, e domain.Event) {
		r := domain.Record{ID: domain.OwnerRecordID(stamp.Owner, stamp.Seq), Subject: subject, At: 1000, Stamp: stamp, Event: e}
		stamp.Seq++
		write(t, log, r)
	}
	open := func(e domain.InvocationRequested) {
		write(t, log, domain.Record{ID: domain.RequestRecordID(e.ID), Subject: e.ID, At: 1000, Event: e})
	}
	own(domain.InvocationID{}, domain.PartitionOwned{Protocol: domain.Protocol, LogTime: 1000})
	open(request(1, domain.Policy{}))
	open(request(2, told))
	open(request(3, domain.Policy{}))
	open(request(6, domain.Policy{})) // it is restated, and open for as long as it likes
	own(id(3), domain.AttemptStarted{Attempt: 1})
	own(id(3), domain.AttemptSucceeded{Attempt: 1})
	own(id(3), domain.InvocationSucceeded{Attempts: 1})
	own(domain.InvocationID{}, domain.PartitionOwned{Renewal: true, Protocol: domain.Protocol, LogTime: 1000})
	const begin = 8
	own(id(1), domain.AttemptStarted{Attempt: 1})
	own(id(1), domain.AttemptSucceeded{Attempt: 1})
	own(id(2), domain.AttemptStarted{Attempt: 1})
	open(request(4, domain.Policy{}))
	own(id(6), domain.InvocationCarried{State: domain.Invocation{ID: id(6), Known: true, Function: domain.NativeFunction("f"), Version: "1", Limits: domain.DefaultLimits(), Deadline: 90_000}})
	own(id(1), domain.InvocationSucceeded{Attempts: 1})
	own(id(2), domain.AttemptSucceeded{Attempt: 1})
	own(id(2), domain.InvocationSucceeded{Attempts: 1})
	note := domain.NotificationID(id(2), "function:next", domain.Succeeded)
	own(id(2), domain.NotificationOwed{Sink: "function:next", ID: note, ValidUntil: 99_000, Record: domain.Bytes([]byte("{}"))})
	child := request(5, domain.Policy{})
	child.ID, child.Parent, child.Root, child.Hops, child.Sink, child.Notification = domain.ChildID(id(2), 1000, note), id(2), id(2), 1, "function:next", note
	own(child.ID, child)
	_, end, _ := log.Bounds(t.Context(), 0)

	for _, historyFirst := range []bool{true, false} {
		m := invocations.New(1)
		m.Begin(0, begin, true)
		first := partition.New()
		history := func() {
			if err := projections.Backfill(t.Context(), log, 0, first, begin, m.History); err != nil {
				t.Fatal(err)
			}
			m.Complete(0)
		}
		if historyFirst {
			history()
		}
		ctx, cancel := context.WithCancel(t.Context())
		_ = projections.NewTail(log, 0, partition.At(begin), m, until{end, cancel}).Run(ctx)
		if !historyFirst {
			history()
		}
		for n, refs := range map[byte]int{1: 4, 2: 6, 3: 4} {
			row, ok := m.Get(id(n))
			if !ok || row.State.Outcome != domain.Succeeded || !row.State.Settled() || row.Stale || len(row.Refs) != refs || row.Outcome < 0 {
				t.Errorf("history first %t: %d is %+v", historyFirst, n, row)
			}
			for _, r := range row.Refs {
				if r.Reason != partition.Effective {
					t.Errorf("history first %t: %d: offset %d is %s", historyFirst, n, r.Offset, r.Reason)
				}
			}
		}
		if row, ok := m.Get(child.ID); !ok || row.State.Status() != domain.Waiting || len(row.Refs) != 1 {
			t.Errorf("history first %t: the child is %+v", historyFirst, row)
		}
		if row, ok := m.Get(id(6)); !ok || row.State.Status() != domain.Waiting || len(row.Refs) != 2 || row.Request >= begin {
			t.Errorf("history first %t: what was restated is %+v", historyFirst, row)
		}
		if n := m.Unsettled(); n != 3 {
			t.Errorf("history first %t: %d are not settled, want 3", historyFirst, n)
		}
	}
}

func write(t *testing.T, log *memory.Log, r domain.Record) {
	t.Helper()
	m, err := eventstore.Encode("c", 0, &r)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	log.Append(0, []eventstore.Message{m}, func(_ int64, err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
