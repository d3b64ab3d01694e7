package wasm

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
)

// holding is what a process has because of a host.
type holding struct {
	resident   int64 // bytes of memory
	slabs      int   // in the pool
	goroutines int
	modules    int
	busy       int
}

// holdingsTolerance is how much more memory a process may have after an adversary: the pool keeps the slab that it had, up to
// keptBytes, the sandbox that it had, and Go's heap has gaps that no collection closes.
const holdingsTolerance = 16 << 20

// holdings looks, after everything that is garbage was given back.
func holdings(h *Host) holding {
	runtime.GC()
	runtime.GC() // what the first one has found finalizers for, machine code for example, is garbage for the second
	debug.FreeOSMemory()
	h.boxes.slabs.mu.Lock()
	slabs := h.boxes.slabs.kept
	h.boxes.slabs.mu.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	return holding{resident: figure("VmRSS"), slabs: slabs, goroutines: runtime.NumGoroutine(), modules: len(h.resident.modules), busy: h.busy}
}

// settled looks again until nothing is left of what was there before, for finalizers and the last steps of goroutines come
// in their own time; or gives what it sees last.
func settled(h *Host, before holding) (now holding) {
	for range 50 {
		now = holdings(h)
		if now.resident <= before.resident+holdingsTolerance && now.goroutines <= before.goroutines && now.busy == 0 {
			break
		}
		runtime.Gosched()
	}
	return now
}

// figure is one of the process, in bytes; 0 where the system does not tell.
func figure(name string) int64 {
	b, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(b)) {
		if after, ok := strings.CutPrefix(line, name+":"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(after), " kB"), 10, 64)
			return kib << 10
		}
	}
	return 0
}

// resetPeak forgets the most memory that the process had; systems that cannot show figures that are too large.
func resetPeak(tb testing.TB) {
	tb.Helper()
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0o600)
}

func peakResident(tb testing.TB) int64 {
	tb.Helper()
	return figure("VmHWM")
}
