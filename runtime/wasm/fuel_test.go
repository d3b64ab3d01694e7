package wasm

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"deed/domain"
	"deed/runtime/wasm/meter"
	"deed/runtime/wasm/wasmtest"
)

// interpreted gives a host that interprets.
func interpreted(tb testing.TB) *Host {
	tb.Helper()
	h, err := Open(context.Background(), Config{Interpreter: true})
	if err != nil {
		tb.Fatal(err)
	}
	h.patience = time.Hour
	tb.Cleanup(func() {
		if err := h.Close(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	return h
}

// TestFuelIsTheSame: an attempt that is repeated prints the same and uses the same, compiled or interpreted, however it ends.
func TestFuelIsTheSame(t *testing.T) {
	compiled, slow := open(t), interpreted(t)
	for name, module := range map[string][]byte{
		"echo": wasmtest.Echo(), "exit": wasmtest.Exit(3), "trap": wasmtest.Trap(), "grow": wasmtest.Grow(), "handled": wasmtest.Print(`{"error":"x"}`, 1),
		"flood": wasmtest.Flood(1, 100), "log": wasmtest.Flood(2, 5000), "go": example(t, "echo"),
	} {
		t.Run(name, func(t *testing.T) {
			first := load(t, compiled, module).Run(t.Context(), attempt(`{"a":1}`))
			if first.Fuel <= 0 {
				t.Fatalf("used %d", first.Fuel)
			}
			other := load(t, slow, module)
			for i, again := range []Outcome{load(t, compiled, module).Run(t.Context(), attempt(`{"a":1}`)), other.Run(t.Context(), attempt(`{"a":1}`))} {
				if again.Fuel != first.Fuel || again.Kind != first.Kind || string(again.Result) != string(first.Result) || again.PeakMemory != first.PeakMemory {
					t.Errorf("run %d: %s, %d units, %d bytes; the first: %s, %d units, %d bytes", i, again.Kind, again.Fuel, again.PeakMemory, first.Kind, first.Fuel, first.PeakMemory)
				}
			}
		})
	}
}

// TestFuelLimit: a guest that computes too much is stopped at the same point every time, and the outcome says so; one that
// needs exactly its limit is not.
func TestFuelLimit(t *testing.T) {
	h := open(t)
	spin := load(t, h, wasmtest.Spin())
	a := attempt("")
	a.Limits.Fuel = 50_000_000
	first := spin.Run(t.Context(), a)
	if first.Kind != domain.FailedTimeout || !strings.Contains(first.Error, "units of fuel: its limit is 50000000") || first.Fuel <= a.Limits.Fuel || first.Fuel > a.Limits.Fuel+2*slice {
		t.Errorf("%+v", first)
	}
	if again := spin.Run(t.Context(), a); again.Fuel != first.Fuel || again.Error != first.Error {
		t.Errorf("again: %+v", again)
	}
	echo := load(t, h, wasmtest.Echo())
	need := echo.Run(t.Context(), attempt("abc")).Fuel
	for _, c := range []struct {
		limit int64
		want  domain.FailureKind
	}{{need, domain.NoFailure}, {need - 1, domain.FailedTimeout}} {
		a := attempt("abc")
		a.Limits.Fuel = c.limit
		if o := echo.Run(t.Context(), a); o.Kind != c.want || o.Fuel != need {
			t.Errorf("with %d of %d units: %+v", c.limit, need, o)
		}
	}
}

// TestCollectionGetsIn: while guests spin on every processor, a garbage collection comes to its end, which waits for every
// goroutine; and the guests are stopped by their time.
func TestCollectionGetsIn(t *testing.T) {
	h := open(t)
	spin := load(t, h, wasmtest.Spin())
	n := runtime.GOMAXPROCS(0)
	ended := make(chan Outcome, n)
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	for range n {
		go func() { ended <- spin.Run(ctx, attempt("")) }()
	}
	for range 3 {
		runtime.GC() // would hang for a minute
	}
	select {
	case o := <-ended:
		t.Errorf("a guest ended by itself: %+v", o)
	default:
	}
	cancel(ErrCanceled)
	for range n {
		if o := <-ended; o.Kind != domain.FailedCanceled {
			t.Errorf("%+v", o)
		}
	}
}

// TestMoreIsNobodys: no module gets at the function that grants fuel, nor at the counter.
func TestMoreIsNobodys(t *testing.T) {
	h := open(t)
	p := wasmtest.CommandParts(1)
	p.Imports = append(p.Imports, wasmtest.Import(meter.ImportModule, meter.ImportMore, 0))
	if err := h.Check(t.Context(), p.Bytes(), nil, limits()); err == nil {
		t.Error("a module may grant itself fuel")
	}
}
