package wasm

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"deed/domain"
	. "deed/runtime/wasm/wasmtest"
)

// TestManyAttempts runs guests of every kind on all processors, 20,000 attempts or, with -soak, a million. After a tenth of
// them everything that is pooled or kept is there; what the process has at the end must be what it had then.
func TestManyAttempts(t *testing.T) {
	total := 20_000
	switch {
	case *soak:
		total = 1_000_000
	case testing.Short() || raceDetector:
		total = 3_000
	}
	kinds := []struct {
		module []byte
		want   domain.FailureKind
	}{
		{Echo(), ""},
		{Trap(), domain.FailedTrap},
		{Exit(2), domain.FailedExit},
		{eater(), domain.FailedMemory},
		{Flood(1, 100), domain.FailedOutputTooLarge},
		{Print(`{"error":"x"}`, 1), domain.FailedHandled},
		{Flood(2, 10), ""},
		{Sleep(1000), ""},
		{inputs().Bytes(), ""},
		{Spin(), domain.FailedTimeout},
		{heavyRecursion(), domain.FailedTrap},
		{tabled([]byte{1}, U(1), U(1<<20))(), ""},
	}
	h := open(t)
	run := func(i int) {
		k := kinds[i%len(kinds)]
		a := attempt(fmt.Sprint("event ", i))
		a.Limits.Memory = 8 << 20
		a.Seed[0] = byte(i)
		a.Env = [][2]string{{"DEED_ATTEMPT", fmt.Sprint(i)}, {"LEVEL", fmt.Sprint(i / len(kinds) % 20)}} // more than there may be snapshots
		if k.want == domain.FailedTimeout {
			a.Limits.Fuel = 100_000
		}
		if o := load(t, h, k.module).Run(context.Background(), a); o.Kind != k.want || k.want == "" && i%len(kinds) == 0 && string(o.Result) != string(a.Event) {
			t.Errorf("%q %q %q, want %q", o.Kind, o.Error, o.Result, k.want)
		}
	}
	var next atomic.Int64
	upTo := func(n int) {
		var all sync.WaitGroup
		for range 2 * runtime.GOMAXPROCS(0) {
			all.Go(func() {
				for i := int(next.Add(1)); i <= n; i = int(next.Add(1)) {
					run(i)
				}
			})
		}
		all.Wait()
		next.Store(int64(n))
	}
	began := time.Now()
	upTo(total / 10)
	before := holdings(h)
	upTo(total)
	took := time.Since(began)
	after := settled(h, before)
	t.Logf("%d attempts in %s; resident %.1f MiB, after a tenth %.1f; slabs %d, before %d", total, took.Round(time.Millisecond),
		float64(after.resident)/(1<<20), float64(before.resident)/(1<<20), after.slabs, before.slabs)
	if !raceDetector && after.resident > before.resident+manyTolerance { // which has memory of its own for each byte
		t.Errorf("resident %d KiB, after a tenth %d: %d more are allowed", after.resident>>10, before.resident>>10, manyTolerance>>10)
	}
	if after.goroutines > before.goroutines || after.slabs > before.slabs+2*runtime.GOMAXPROCS(0) || after.modules != before.modules || after.busy != 0 {
		t.Errorf("holds %+v, after a tenth %+v", after, before)
	}
}

// manyTolerance is how much more memory a process may have in the end: another attempt on each of the goroutines may have
// been under way at once, with a slab of its own, and Go's heap has gaps. It is less than ten bytes for each of a million.
const manyTolerance = 8 << 20
