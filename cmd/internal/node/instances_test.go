package node

import (
	"testing"
	"time"

	"deed/domain"
	"deed/projections/functions"
	"deed/runtime/wasm/wasmtest"
	"deed/runtime/worker"
)

// limit sets how many attempts of a function may run at once.
func limit(t *testing.T, n *Node, f domain.FunctionID, most int) {
	t.Helper()
	if _, err := n.Door.Change(t.Context(), f, func(now functions.Function, _ bool) (domain.Event, error) {
		return domain.ConcurrencyLimited{Function: now.ID, Expected: now.Revision, Max: most}, nil
	}); err != nil {
		t.Fatal(err)
	}
}

// accept accepts n calls of a function.
func accept(t *testing.T, n *Node, f domain.FunctionID, count int) (ids []domain.InvocationID) {
	t.Helper()
	for range count {
		a, err := n.Door.Invoke(t.Context(), f, nil, "")
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, a.ID)
	}
	return ids
}

// TestDisabledFunction: what waits of a function that may not run is discarded as throttled, and whoever is to be told is told;
// with the limit gone it runs again.
func TestDisabledFunction(t *testing.T) {
	n := running(t, Config{})
	f := deploy(t, n, "echo", wasmtest.Echo(), domain.DefaultLimits(), domain.Policy{Set: true, MaxAge: time.Hour, OnFailure: "obs://told/bad"})
	limit(t, n, f, 0)
	for _, id := range accept(t, n, f, 3) {
		row, err := n.Door.Wait(t.Context(), id)
		if s := row.State; err != nil || s.Outcome != domain.Discarded || s.Cond != domain.Throttled || s.Started != 0 || s.Reason == "" {
			t.Errorf("%v %+v", err, s)
		}
		if err := n.Model.Until(t.Context(), func() bool { row, _ := n.Model.Get(id); return row.State.Settled() && !row.State.Notified.Abandoned }); err != nil {
			t.Error("nobody was told: ", err)
		}
	}
	limit(t, n, f, domain.NoMaxInstances)
	row, err := n.Door.Wait(t.Context(), accept(t, n, f, 1)[0])
	if err != nil || row.State.Outcome != domain.Succeeded {
		t.Errorf("enabled again: %v %+v", err, row.State)
	}
}

// TestMaxInstances: never more attempts run than a limit allows, and one that is raised lets those in that wait.
func TestMaxInstances(t *testing.T) {
	n := running(t, Config{})
	long := domain.DefaultLimits()
	long.Timeout = time.Minute
	f := deploy(t, n, "sleepy", wasmtest.Sleep(3600e9), long, domain.Policy{})
	limit(t, n, f, 2)
	ids := accept(t, n, f, 5)
	started := func() (now int) {
		for _, id := range ids {
			if row, _ := n.Model.Get(id); row.State.Running() {
				now++
			}
		}
		return now
	}
	until := func(want int) {
		t.Helper()
		if err := n.Model.Until(t.Context(), func() bool { return started() >= want }); err != nil {
			t.Fatal(err)
		}
	}
	until(2)
	// Behind this one's outcome all that was to be started has been.
	echo := deploy(t, n, "echo", wasmtest.Echo(), domain.DefaultLimits(), domain.Policy{})
	for _, id := range accept(t, n, echo, 8) {
		if _, err := n.Door.Wait(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if got := started(); got != 2 {
		t.Errorf("%d run, the limit is 2", got)
	}
	limit(t, n, f, 4)
	until(4)
	if got := started(); got != 4 {
		t.Errorf("%d run, the limit is 4", got)
	}
	limit(t, n, f, 5)
	n.runs.Limit(f.String(), 1) // as if the node owned one partition only
	n.share()                   // as when it owns the others, too
	until(5)
	for _, id := range ids {
		if err := n.Door.Cancel(t.Context(), id, true, "test"); err != nil {
			t.Error(err)
		}
	}
	for _, id := range ids {
		if _, err := n.Door.Wait(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
}

// TestReservedCodeStays: what is reserved is loaded though nobody called it, and stays however little memory there is.
func TestReservedCodeStays(t *testing.T) {
	n := running(t, Config{Memory: 8}) // one byte for code
	kept := deploy(t, n, "kept", wasmtest.Echo(), domain.DefaultLimits(), domain.Policy{})
	reserve := func(count int) {
		t.Helper()
		for range 2 { // the node acts on a change before it reads the next one
			if _, err := n.Door.Change(t.Context(), kept, func(now functions.Function, _ bool) (domain.Event, error) {
				return domain.InstancesReserved{Function: now.ID, Expected: now.Revision, Qualifier: domain.LatestVersion, Count: count}, nil
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	reserve(1)
	for i, want := range []bool{true, false} {
		deploy(t, n, "other", wasmtest.Print(string(rune('a'+i)), 0), domain.DefaultLimits(), domain.Policy{})
		if loaded := n.engine.Loaded(worker.Code{Module: domain.DigestOf(wasmtest.Echo())}); loaded != want {
			t.Errorf("the code of a reserved version is loaded: %t, with %d other deployments", loaded, i+1)
		}
		reserve(0)
	}
	row, err := n.Door.Wait(t.Context(), accept(t, n, kept, 1)[0])
	if err != nil || row.State.Outcome != domain.Succeeded {
		t.Errorf("forgotten code: %v %+v", err, row.State)
	}
}
