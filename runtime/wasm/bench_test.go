package wasm

import (
	"bytes"
	"context"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"deed/domain"
	"deed/runtime/wasm/wasmtest"
)

var benchmarkEvent = []byte(`{"hello":"world","n":[1,2,3]}`)

// benchmarkTurn is for how long the same is done before the next takes its turn: long enough to have its own data in the
// processor's caches, short enough for a noisy machine to hit all alike.
const benchmarkTurn = 50 * time.Millisecond

// BenchmarkAttempt runs each module in turn through Run and through wazero as it comes, which makes an instance and calls
// it. Its b.N counts turns. The metrics are medians of the turns' means, in µs, and:
//
//   - of-plain: the cost of Run as a fraction of that of wazero without a stop on a done context.
//   - of-stoppable: as a fraction of wazero's with one.
//
// Run counts fuel; wazero does not.
func BenchmarkAttempt(b *testing.B) {
	benchmarkGuests(b, func(b *testing.B, module []byte) {
		plain, stoppable := plainAttempt(b, module, false), plainAttempt(b, module, true)
		run := runAttempt(b, open(b), module)
		var times [3][]float64
		b.ResetTimer()
		for range b.N {
			for i, f := range []func(){plain, stoppable, run} {
				runtime.GC() // nobody pays for another's garbage
				n, began := 0, time.Now()
				for time.Since(began) < benchmarkTurn {
					f()
					n++
				}
				times[i] = append(times[i], float64(time.Since(began))/float64(n))
			}
		}
		var p50 [3]float64
		for i := range times {
			p50[i] = median(times[i])
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(p50[0]/1e3, "plain-µs")
		b.ReportMetric(p50[2]/1e3, "run-µs")
		b.ReportMetric(p50[2]/p50[0], "of-plain")
		b.ReportMetric(p50[2]/p50[1], "of-stoppable")
	})
}

// BenchmarkCores does the same attempts one after the other and on all cores. The metric x-one-core is how many times
// faster all cores are: the median of turns.
func BenchmarkCores(b *testing.B) {
	benchmarkGuests(b, func(b *testing.B, module []byte) {
		run := runAttempt(b, open(b), module)
		rate := func(workers int) float64 {
			var done [64]int
			var wg sync.WaitGroup
			began := time.Now()
			for w := range min(workers, len(done)) {
				wg.Go(func() {
					for time.Since(began) < benchmarkTurn {
						run()
						done[w]++
					}
				})
			}
			wg.Wait()
			sum := 0
			for _, n := range done {
				sum += n
			}
			return float64(sum) / time.Since(began).Seconds()
		}
		var ratios []float64
		b.ResetTimer()
		for range b.N {
			one := rate(1)
			ratios = append(ratios, rate(runtime.GOMAXPROCS(0))/one)
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(median(ratios), "x-one-core")
	})
}

// BenchmarkRun is Run alone, for profiles.
func BenchmarkRun(b *testing.B) {
	benchmarkGuests(b, func(b *testing.B, module []byte) {
		run := runAttempt(b, open(b), module)
		b.ReportAllocs()
		b.ResetTimer()
		for range b.N {
			run()
		}
	})
}

// BenchmarkFiles runs a small guest in turn without files, with files at which it does not look, and one that opens a file,
// reads 4 KiB of it and closes it. The metrics are medians of the turns' means, in µs.
func BenchmarkFiles(b *testing.B) {
	tree := filed(b, map[string]string{"words.txt": strings.Repeat("x", 4<<10), "d/deep": "deeper"})
	reads := readerOf(opens(9), wasmtest.Drop(), wasmtest.Store(24, wasmtest.Const(4096)), wasmtest.Store(28, wasmtest.Const(4<<10)),
		wasmtest.Load(16), wasmtest.Const(24), wasmtest.Const(1), []byte{0x42}, wasmtest.S(0), wasmtest.Const(32), wasmtest.Call(fdPread), wasmtest.Drop(),
		wasmtest.Load(16), wasmtest.Call(fdClose), wasmtest.Drop())
	reads.Memories = [][]byte{{0, 2}}
	h := open(b)
	echo, reader := load(b, h, wasmtest.Echo()), load(b, h, reads.Bytes())
	a := Attempt{Args: []string{"f"}, Env: told, Event: benchmarkEvent, Limits: domain.DefaultLimits()}
	with := a
	with.Files = tree
	var times [3][]float64
	b.ResetTimer()
	for range b.N {
		for i, f := range []func() Outcome{
			func() Outcome { return echo.Run(context.Background(), a) },
			func() Outcome { return echo.Run(context.Background(), with) },
			func() Outcome { return reader.Run(context.Background(), with) },
		} {
			runtime.GC() // nobody pays for another's garbage
			n, began := 0, time.Now()
			for ; time.Since(began) < benchmarkTurn; n++ {
				if o := f(); o.Kind != "" {
					b.Fatalf("%+v", o)
				}
			}
			times[i] = append(times[i], float64(time.Since(began))/float64(n))
		}
	}
	b.ReportMetric(0, "ns/op")
	for i, name := range []string{"without-µs", "with-µs", "reading-µs"} {
		b.ReportMetric(median(times[i])/1e3, name)
	}
}

func benchmarkGuests(b *testing.B, f func(*testing.B, []byte)) {
	for _, name := range []string{"tiny-echo", "c-echo", "rust-echo", "js-echo", "reactor", "echo"} {
		b.Run(name, func(b *testing.B) {
			module := wasmtest.Echo()
			for _, l := range languages {
				if l.name == name {
					module = l.build(b)
				}
			}
			f(b, module)
		})
	}
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// runAttempt loads a module and gives what runs it.
func runAttempt(b *testing.B, h *Host, module []byte) func() {
	m := load(b, h, module)
	a := Attempt{Args: []string{"f"}, Env: told, Event: benchmarkEvent, Limits: domain.DefaultLimits()}
	run := func() {
		if o := m.Run(context.Background(), a); o.Kind != "" || !bytes.Equal(o.Result, benchmarkEvent) {
			b.Errorf("%+v", o)
		}
	}
	run()
	return run
}

// plainAttempt compiles a module and gives what instantiates and calls it, as wazero's examples do.
func plainAttempt(b *testing.B, module []byte, stop bool) func() {
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithCloseOnContextDone(stop))
	b.Cleanup(func() { r.Close(ctx) })
	wasi_snapshot_preview1.MustInstantiate(ctx, r)
	if err := offerContext(ctx, r); err != nil {
		b.Fatal(err)
	}
	compiled, err := r.CompileModule(ctx, module)
	if err != nil {
		b.Fatal(err)
	}
	ctx = (&sandbox{env: told}).within(ctx)
	return func() {
		var out bytes.Buffer
		config := wazero.NewModuleConfig().WithName("").WithStartFunctions(startName, initializeName).
			WithStdin(bytes.NewReader(benchmarkEvent)).WithStdout(&out).WithArgs("f").WithEnv("DEED_ATTEMPT", "1")
		mod, err := r.InstantiateModule(ctx, compiled, config)
		if err != nil {
			b.Fatal(err)
		}
		if run := mod.ExportedFunction(runName); run != nil {
			if _, err := run.Call(ctx); err != nil {
				b.Fatal(err)
			}
		}
		mod.Close(ctx)
		if !bytes.Equal(out.Bytes(), benchmarkEvent) {
			b.Fatal(out.String())
		}
	}
}
