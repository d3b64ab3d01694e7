package wasm

import (
	"context"
	"crypto/sha256"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"weak"

	"deed/domain"
	"deed/runtime/wasm/wasmtest"
)

// bounded is a host with room for n modules like those of variant.
func bounded(t *testing.T, n int64) *Host {
	t.Helper()
	h, err := Open(t.Context(), Config{CacheDir: t.TempDir(), CodeBudget: n*footprint(variant(0)) + 10<<10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return h
}

// variant is one of many modules of the same size, which print their number.
func variant(n int) []byte { return wasmtest.Print(fmt.Sprintf("%04d", n), 0) }

func (h *Host) has(n int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, ok := h.resident.modules[sha256.Sum256(variant(n))]
	return ok
}

// TestForgets: what was used longest ago makes room, what is pinned stays, and what was forgotten can still be run, and is
// closed when nobody has it.
func TestForgets(t *testing.T) {
	h := bounded(t, 3)
	held := load(t, h, variant(0))
	for n := 1; n < 3; n++ {
		load(t, h, variant(n))
	}
	load(t, h, variant(1)) // used again: 2 is older
	h.Pin("f", sha256.Sum256(variant(0)))
	load(t, h, variant(3))
	for n, want := range []bool{true, true, false, true} {
		if h.has(n) != want {
			t.Errorf("module %d: loaded is %t", n, !want)
		}
	}
	h.Pin("f")
	load(t, h, variant(4))
	if n, bytes := h.Resident(); n != 3 || bytes > h.resident.budget || h.has(0) {
		t.Errorf("%d modules of %d bytes, with room for 3; the first is there: %t", n, bytes, h.has(0))
	}
	for range 3 {
		runtime.GC()
	}
	if o := held.Run(t.Context(), attempt("")); o.Kind != domain.NoFailure || string(o.Result) != "0000" {
		t.Errorf("a forgotten module that somebody has: %+v", o)
	}
	gone, freed := weak.Make(held), held.remains.freed
	held = nil
	for range 3 {
		runtime.GC()
	}
	<-freed
	if gone.Value() != nil {
		t.Error("a module that nobody has is still there")
	}
	if o := load(t, h, variant(0)).Run(t.Context(), attempt("")); string(o.Result) != "0000" {
		t.Errorf("a module that was forgotten and is loaded again: %+v", o)
	}
}

// TestForgetsWhileRunning: many run what others make the host forget.
func TestForgetsWhileRunning(t *testing.T) {
	h := bounded(t, 2)
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range 200 {
				n := (i*(g+1) + g) % 7
				if o := load(t, h, variant(n)).Run(t.Context(), attempt("")); string(o.Result) != fmt.Sprintf("%04d", n) {
					t.Errorf("module %d: %+v", n, o)
				}
				if i%20 == 0 {
					runtime.GC()
				}
			}
		})
	}
	all.Wait()
}

// TestForgetsSnapshots: what a module's snapshots took can be taken by others'.
func TestForgetsSnapshots(t *testing.T) {
	h := bounded(t, 1)
	m := load(t, h, wasmtest.ReactorParts(1, wasmtest.Store(64, wasmtest.Const(7)), wasmtest.Const(0)).Bytes())
	m.Run(t.Context(), attempt(""))
	if h.snapshotBytes.Load() == 0 {
		t.Fatal("no snapshot was made")
	}
	freed := m.remains.freed
	m = nil
	load(t, h, variant(1))
	for range 3 {
		runtime.GC()
	}
	<-freed
	if left := h.snapshotBytes.Load(); left != 0 {
		t.Errorf("%d bytes of snapshots of a module that is gone", left)
	}
}
