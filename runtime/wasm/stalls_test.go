package wasm

import (
	"context"
	"math"
	"runtime"
	"runtime/metrics"
	"slices"
	"testing"
	"time"

	"deed/domain"
	. "deed/runtime/wasm/wasmtest"
)

// busy are guests that never return and never call the host. What they do takes more or less time for what it costs in fuel,
// and between two looks at the fuel nothing can stop them.
var busy = []struct {
	name   string
	module func() []byte
}{
	{"spins", Spin},
	{"misses", misses},
	{"touches", touches},
	{"fills", fills},
	{"writes", func() []byte { return vectors(1, FdWrite, 1<<20) }},
	{"writes as many as it may", func() []byte { return vectors(1, FdWrite, maxVectors) }},
	{"reads", func() []byte { return vectors(0, FdRead, 1<<20) }},
}

// vectors calls the host for that many vectors that are empty, again and again.
func vectors(fd int32, call uint64, n int32) []byte {
	return Command(1<<10, Loop(Const(fd), Const(1<<16), Const(n), Const(8), Call(call), Drop(), Op(0x0c, 0)))
}

// misses reads 64 MiB in an order that no cache foresees: each address comes from a number that a multiplication made.
func misses() []byte {
	next := Join(Op(0x20, 0), Const(1664525), Op(0x6c), Const(1013904223), Op(0x6a), Op(0x22, 0))
	code := Join([]byte{1, 1, I32}, Loop(next, Const(32<<20-1), Op(0x71), Const(1), Op(0x74), Op(0x2d, 0, 0), Op(0x20, 0), Op(0x6a), Op(0x21, 0), Op(0x0c, 0)), []byte{0x0b})
	p := CommandParts(1 << 10)
	p.Code = [][]byte{Join(U(uint64(len(code))), code)}
	return p.Bytes()
}

// touches writes to one page of its memory after the other, each of which the kernel has to make, until there are none left,
// and then begins again, with those that it has.
func touches() []byte {
	code := Join([]byte{1, 1, I32}, Loop(Op(0x20, 0), Const(1), Op(0x3a, 0, 0),
		Op(0x20, 0), Const(4<<10), Op(0x6a), Const(64<<20-1), Op(0x71, 0x21, 0), Op(0x0c, 0)), []byte{0x0b})
	p := CommandParts(1 << 10)
	p.Code = [][]byte{Join(U(uint64(len(code))), code)}
	return p.Bytes()
}

// fills fills all its memory again and again.
func fills() []byte {
	return Command(1<<10, Loop(Const(0), Const(1), Const(64<<20), Op(0xfc, 11, 0), Op(0x0c, 0)))
}

// stalls are how long the garbage collector waited for everybody to stop, in seconds.
type stalls struct{ before, after *metrics.Float64Histogram }

func readStalls() *metrics.Float64Histogram {
	s := []metrics.Sample{{Name: "/sched/pauses/stopping/gc:seconds"}}
	metrics.Read(s)
	h := s[0].Value.Float64Histogram()
	return &metrics.Float64Histogram{Counts: slices.Clone(h.Counts), Buckets: h.Buckets}
}

// quantile is an upper bound of a quantile, the end of a bucket of the histogram.
func (s stalls) quantile(q float64) float64 {
	var sum, all uint64
	for i := range s.after.Counts {
		all += s.after.Counts[i] - s.before.Counts[i]
	}
	for i := range s.after.Counts {
		if sum += s.after.Counts[i] - s.before.Counts[i]; sum > 0 && float64(sum) >= q*float64(all) {
			return s.after.Buckets[i+1]
		}
	}
	return math.NaN()
}

// overrun collects garbage while a guest runs on every processor, and gives how long the collector had to wait, and how long
// after its deadline each guest ended.
func overrun(tb testing.TB, h *Host, module []byte, limit time.Duration) (stalls, []time.Duration) {
	tb.Helper()
	m := load(tb, h, module)
	a := attempt("")
	a.Limits.Timeout = limit
	n := runtime.GOMAXPROCS(0)
	ended := make(chan Outcome, n)
	before := readStalls()
	for range n {
		go func() { ended <- m.Run(context.Background(), a) }()
	}
	var late []time.Duration
	for len(late) < n {
		select {
		case o := <-ended:
			if o.Kind != domain.FailedTimeout {
				tb.Fatalf("%+v", o)
			}
			late = append(late, o.Duration-limit)
		default:
			runtime.GC()
		}
	}
	return stalls{before, readStalls()}, late
}

// TestStalls: a guest that never calls the host is stopped soon after its deadline, and the garbage collector, and with it
// everybody, does not wait long for it: 50 ms and 20 ms, of medians. On a noisy machine it decides as much whether the
// guest's processor is taken away from it meanwhile, so without -soak five times as much is allowed, which is still far from
// what happens to a guest that nothing stops. BenchmarkStalls has the figures.
func TestStalls(t *testing.T) {
	if raceDetector {
		t.Skip("measures time, of which the race detector takes most")
	}
	room := 5.0
	if *soak {
		room = 1
	}
	h := open(t)
	for _, g := range busy {
		t.Run(g.name, func(t *testing.T) {
			s, late := overrun(t, h, g.module(), 300*time.Millisecond)
			slices.Sort(late)
			t.Logf("ended %s after the deadline; the collector waited %.1f ms, at most %.1f", late, s.quantile(0.5)*1e3, s.quantile(1)*1e3)
			if late[len(late)/2].Seconds() > 0.05*room {
				t.Errorf("ended %s after the deadline", late)
			}
			if s.quantile(0.5) > 0.02*room {
				t.Errorf("the collector waited for %.1f ms", s.quantile(0.5)*1e3)
			}
		})
	}
}

// BenchmarkStalls reports how many milliseconds after its deadline a guest ends, and how many the garbage collector waits for
// it: upper bounds of medians and of the largest.
func BenchmarkStalls(b *testing.B) {
	h := open(b)
	for _, g := range busy {
		b.Run(g.name, func(b *testing.B) {
			module := g.module()
			before := readStalls()
			var late []time.Duration
			for b.Loop() {
				_, l := overrun(b, h, module, domain.MinTimeout)
				late = append(late, l...)
			}
			slices.Sort(late)
			s := stalls{before, readStalls()}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(late[len(late)/2].Seconds()*1e3, "late-ms")
			b.ReportMetric(late[len(late)-1].Seconds()*1e3, "late-max-ms")
			b.ReportMetric(s.quantile(0.5)*1e3, "stall-ms")
			b.ReportMetric(s.quantile(0.99)*1e3, "stall-p99-ms")
			b.ReportMetric(s.quantile(1)*1e3, "stall-max-ms")
		})
	}
}
