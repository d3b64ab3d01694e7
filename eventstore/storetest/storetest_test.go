package storetest_test

import (
	"errors"
	"slices"
	"testing"

	"deed/eventstore"
	"deed/eventstore/memory"
	"deed/eventstore/storetest"
)

func grow(log eventstore.Log, partitions int) error {
	log.(*memory.Log).Grow(partitions)
	return nil
}

func TestMemory(t *testing.T) {
	storetest.Exercise(t, func(*testing.T) eventstore.Log { return memory.New(3) }, grow)
}

func TestMemoryGroup(t *testing.T) {
	storetest.ExerciseMembership(t, func(*testing.T) storetest.Group {
		l := memory.New(4)
		return storetest.Group{Member: memory.NewGroup(l).Membership, Grow: l.Grow}
	})
}

// TestFaultyWithoutFaults: with nothing to do it is a log like any other.
func TestFaultyWithoutFaults(t *testing.T) {
	storetest.Exercise(t, func(*testing.T) eventstore.Log { return storetest.NewFaulty(memory.New(3)) }, func(log eventstore.Log, partitions int) error {
		return grow(log.(*storetest.Faulty).Log, partitions)
	})
}

func value(v string) func([]eventstore.Message) bool {
	return func(r []eventstore.Message) bool { return string(r[0].Value) == v }
}

func TestFaulty(t *testing.T) {
	l := storetest.NewFaulty(memory.New(1))
	l.Fail(value("fail"))
	l.FailAfterPersisting(value("late"))
	l.Lose(value("lose"))
	l.Lose(value("never"))

	type answer struct {
		value  string
		offset int64
		err    error
	}
	var got []answer // on the log's goroutine; Close orders it before the reads below
	for _, v := range []string{"a", "fail", "b", "late", "lose", "fail", "late", "lose"} {
		l.Append(0, []eventstore.Message{{Value: []byte(v)}}, func(offset int64, err error) {
			got = append(got, answer{v, offset, err})
		})
	}
	stored, err := l.Read(t.Context(), 0, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	if l.Pending() != 1 {
		t.Errorf("%d instructions are left, want the one that nothing matched", l.Pending())
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	want := []struct {
		value             string
		offset            int64
		injected, unknown bool
	}{
		{"a", 0, false, false},
		{"fail", -1, true, false},
		{"b", 1, false, false},
		{"late", -1, true, true},
		{"lose", -1, true, true},
		{"fail", 3, false, false},
		{"late", 4, false, false},
		{"lose", 5, false, false},
	}
	if len(got) != len(want) {
		t.Fatalf("%d answers, want %d", len(got), len(want))
	}
	for i, w := range want {
		g := got[i]
		if g.value != w.value || g.offset != w.offset || (g.err != nil) != w.injected ||
			errors.Is(g.err, storetest.ErrInjected) != w.injected || errors.Is(g.err, eventstore.ErrUnknownOutcome) != w.unknown {
			t.Errorf("answer %d: %+v, want %+v", i, g, w)
		}
	}
	var values []string
	for _, m := range stored {
		values = append(values, string(m.Value))
	}
	if want := []string{"a", "b", "late", "fail", "late", "lose"}; !slices.Equal(values, want) {
		t.Errorf("the log holds %q, want %q", values, want)
	}

	l.Fail(nil)
	closed := make(chan error, 1)
	l.Append(0, []eventstore.Message{{}}, func(_ int64, err error) { closed <- err })
	if err := <-closed; !errors.Is(err, eventstore.ErrClosed) {
		t.Error("append after close:", err)
	}
}
