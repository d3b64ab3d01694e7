package operations_test

import (
	"errors"
	"testing"

	"deed/domain"
	"deed/projections/operations"

	"pgregory.net/rapid"
)

func id(n int) domain.InvocationID {
	return domain.NewInvocationID(1000, 0, [8]byte{byte(n >> 8), byte(n)})
}

// applier applies events, each as a record of its own.
type applier struct {
	m      *operations.Model
	offset int64
}

func (a *applier) apply(e domain.Event) error {
	a.offset++
	return a.m.Apply(a.offset, domain.Record{ID: domain.UUID{byte(a.offset)}, At: domain.Instant(a.offset), Type: e.Type(), Event: e})
}

// TestSteps: what may follow what.
func TestSteps(t *testing.T) {
	a, b := domain.UUID{1}, domain.UUID{2}
	f := &applier{m: operations.New()}
	for n, step := range []struct {
		event domain.Event
		ok    bool
	}{
		{domain.OperationPlanned{ID: a}, false}, // of none
		{domain.OperationRequested{ID: a, Kind: domain.Redrive}, true},
		{domain.OperationRequested{ID: a, Kind: domain.Redrive}, false},
		{domain.OperationRequested{ID: b, Kind: domain.Redrive}, true},
		{domain.OperationPlanned{ID: a, Total: 4}, true},
		{domain.OperationPlanned{ID: a, Total: 5}, false},
		{domain.OperationSettled{ID: a, Step: 1}, false}, // not begun
		{domain.OperationAdvanced{ID: a, Step: 2, Old: []domain.InvocationID{id(1)}, New: []domain.InvocationID{id(11)}}, false},
		{domain.OperationAdvanced{ID: a, Step: 1}, false}, // of nobody
		{domain.OperationAdvanced{ID: a, Step: 1, Old: []domain.InvocationID{id(1), id(2)}, New: []domain.InvocationID{id(11)}}, false},
		{domain.OperationAdvanced{ID: a, Step: 1, Old: []domain.InvocationID{id(1), id(2)}, New: []domain.InvocationID{id(11), id(12)}}, true},
		{domain.OperationAdvanced{ID: a, Step: 1, Old: []domain.InvocationID{id(3)}, New: []domain.InvocationID{id(13)}}, false}, // twice
		{domain.OperationAdvanced{ID: a, Step: 2, Old: []domain.InvocationID{id(3)}, New: []domain.InvocationID{id(13)}}, false}, // under way
		{domain.OperationAdvanced{ID: b, Step: 1, Old: []domain.InvocationID{id(4), id(2)}, New: []domain.InvocationID{id(14), id(22)}}, false},
		{domain.OperationEnded{ID: a}, false}, // under way
		{domain.OperationPaused{ID: a}, true},
		{domain.OperationPaused{ID: a}, false},
		{domain.OperationSettled{ID: a, Step: 1, Problems: []string{operations.Lost, "gone"}}, true}, // though it is paused
		{domain.OperationSettled{ID: a, Step: 1}, false},
		{domain.OperationAdvanced{ID: a, Step: 2, Old: []domain.InvocationID{id(1)}, New: []domain.InvocationID{id(31)}}, false}, // paused
		{domain.OperationResumed{ID: a}, true},
		{domain.OperationResumed{ID: a}, false},
		{domain.OperationAdvanced{ID: a, Step: 2, Old: []domain.InvocationID{id(1)}, New: []domain.InvocationID{id(31)}}, true},                // was lost
		{domain.OperationAdvanced{ID: b, Step: 1, Old: []domain.InvocationID{id(4), id(2)}, New: []domain.InvocationID{id(14), id(22)}}, true}, // failed in a
		{domain.OperationEnded{ID: b, By: "me"}, true},                                                                                         // somebody stops it: its step is settled all the same
		{domain.OperationSettled{ID: b, Step: 1}, true},
		{domain.OperationResumed{ID: b}, false},
		{domain.OperationSettled{ID: a, Step: 2}, true},
		{domain.OperationEnded{ID: a}, true},
		{domain.OperationEnded{ID: a}, false},
		{domain.KeyRevoked{Access: "x"}, false},
	} {
		err := f.apply(step.event)
		if (err == nil) != step.ok {
			t.Errorf("%d: %+v: %v", n, step.event, err)
		}
		if r := (*domain.Rejection)(nil); err != nil && step.event.Type() != "KeyRevoked" && !errors.As(err, &r) {
			t.Errorf("%d: %v is not for people", n, err)
		}
	}
	got, _ := f.m.Get(a)
	if got.Done != 1 || got.Failed != 1 || len(got.Again) != 0 || !got.Ended {
		t.Errorf("%+v", got)
	}
	for old, want := range map[domain.InvocationID]domain.InvocationID{id(1): id(31), id(2): id(22), id(4): id(14), id(3): {}} {
		if as, _ := f.m.Redriven(old); as != want {
			t.Errorf("%s was redriven as %s, not %s", old, as, want)
		}
	}
	if len(f.m.Pending()) != 0 || len(f.m.List("")) != 2 {
		t.Errorf("pending %d, all %d", len(f.m.Pending()), len(f.m.List("")))
	}
}

// TestNothingTwice: whatever several nodes append, no invocation is in two steps that took effect, unless the first had not
// done it; and two readers agree.
func TestNothingTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		one, two := &applier{m: operations.New()}, &applier{m: operations.New()}
		done := map[string]int{} // how often it stands in steps that were done, or may be
		under := map[domain.UUID]domain.OperationAdvanced{}
		ops := []domain.UUID{{1}, {2}, {3}, {4}}
		kind := func(op domain.UUID) domain.OperationKind {
			return []domain.OperationKind{domain.Redrive, domain.Renotify}[op[0]%2]
		}
		for n := range rapid.IntRange(1, 60).Draw(t, "events") {
			op := rapid.SampledFrom(ops).Draw(t, "op")
			var e domain.Event
			switch rapid.IntRange(0, 9).Draw(t, "kind") {
			case 0, 1:
				e = domain.OperationRequested{ID: op, Kind: kind(op)}
			case 2:
				e = domain.OperationPaused{ID: op}
			case 3:
				e = domain.OperationResumed{ID: op}
			case 4, 5, 6:
				a := domain.OperationAdvanced{ID: op, Step: rapid.IntRange(1, 4).Draw(t, "step")}
				for _, old := range rapid.SliceOfNDistinct(rapid.IntRange(0, 8), 1, 3, rapid.ID[int]).Draw(t, "old") {
					a.Old, a.New = append(a.Old, id(old)), append(a.New, id(1000+10*n+len(a.New)))
				}
				e = a
			default:
				e = domain.OperationSettled{ID: op, Step: rapid.IntRange(1, 4).Draw(t, "step"), Problems: rapid.SliceOfN(rapid.SampledFrom([]string{"", "", "gone", operations.Lost}), 0, 3).Draw(t, "problems")}
			}
			err, other := one.apply(e), two.apply(e)
			if (err == nil) != (other == nil) {
				t.Fatalf("two readers disagree on %+v: %v, %v", e, err, other)
			}
			if err != nil {
				continue
			}
			switch e := e.(type) {
			case domain.OperationAdvanced:
				under[e.ID] = e
				for _, old := range e.Old {
					if done[string(kind(e.ID))+old.String()]++; done[string(kind(e.ID))+old.String()] > 1 {
						t.Fatalf("%s of %s twice", kind(e.ID), old)
					}
				}
			case domain.OperationSettled:
				for i, old := range under[e.ID].Old {
					if i < len(e.Problems) && e.Problems[i] != "" {
						done[string(kind(e.ID))+old.String()]--
					}
				}
			}
		}
	})
}
