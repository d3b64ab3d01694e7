package node

import (
	"log/slog"
	"testing"
	"time"

	"deed/domain"
	"deed/runtime/wasm/wasmtest"
	"deed/runtime/worker"
)

// TestTrim: what lies before an old committed marker is removed, nothing else is; a node that starts then finds its way from
// the log's new beginning, and what is open is still there.
func TestTrim(t *testing.T) {
	dir := t.TempDir()
	quick := worker.Upkeep{Tick: 20 * time.Millisecond, Renew: 50 * time.Millisecond, CarryAfter: 100 * time.Millisecond}
	config := Config{Data: dir, Logger: slog.New(slog.DiscardHandler), Upkeep: quick, Partitions: 1, retain: time.Hour, Grace: 50 * time.Millisecond}
	n, stop := runningUntil(t, config)
	limits := domain.DefaultLimits()
	limits.Timeout = 5 * time.Minute
	stuck := deploy(t, n, "stuck", wasmtest.Sleep(3600e9), limits, domain.Policy{Set: true, MaxAge: 24 * time.Hour})
	open, err := n.Door.Invoke(t.Context(), stuck, []byte("x"), "")
	if err != nil {
		t.Fatal(err)
	}
	echo := deploy(t, n, "echo", wasmtest.Echo(), domain.DefaultLimits(), domain.Policy{})
	for range 30 {
		if _, err := n.Door.Invoke(t.Context(), echo, []byte("x"), ""); err != nil {
			t.Fatal(err)
		}
	}
	until := func(what string, ok func() bool) {
		t.Helper()
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		over := time.After(30 * time.Second)
		for !ok() {
			select {
			case <-tick.C:
			case <-over:
				t.Fatal(what, "does not come")
			}
		}
	}
	until("the end of what can end", func() bool { return n.Model.Unsettled() == 1 })
	_, end, err := n.Door.Log.Bounds(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	n.clock.atLeast(n.now().Add(5 * time.Minute)) // time passes
	committed := func() int64 { p, _ := n.group.Committed(t.Context(), 0); return p.Offset }
	until("a position behind everything", func() bool { return committed() >= end })
	start := func() int64 { s, _, _ := n.Door.Log.Bounds(t.Context(), 0); return s }
	if err := n.trim(t.Context()); err != nil || start() != 0 {
		t.Fatalf("what is younger than the retention is removed, up to %d (%v)", start(), err)
	}
	first := n.positions[0][0].offset
	n.clock.atLeast(n.now().Add(2 * time.Hour))
	if err := n.trim(t.Context()); err != nil || start() != first {
		t.Fatalf("the log begins at %d, want the position %d (%v)", start(), first, err)
	}
	kept := committed()
	stop()

	n = running(t, config)
	if begin := n.part(0).start; begin < kept {
		t.Errorf("the tail begins at %d, want the committed position, %d", begin, kept)
	}
	if row, err := n.Door.Find(t.Context(), open.ID); err != nil || row.State.Outcome != domain.Open {
		t.Errorf("what is open: %+v, %v", row.State, err)
	}
	if err := n.Door.Cancel(t.Context(), open.ID, true, "test"); err != nil {
		t.Error(err)
	}
	if row, err := n.Door.Wait(t.Context(), open.ID); err != nil || row.State.Outcome == domain.Open {
		t.Errorf("it does not end: %+v, %v", row.State, err)
	}
}
