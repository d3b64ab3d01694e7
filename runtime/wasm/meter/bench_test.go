package meter_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"

	"deed/runtime/wasm/meter"
	. "deed/runtime/wasm/wasmtest"
)

// BenchmarkOverhead runs each guest plain and metered in turns and prints how many times longer the metered ones take: the
// lower quartiles of what the processor spent in _start, for a machine that does other things as well disturbs only
// upwards.
func BenchmarkOverhead(b *testing.B) {
	guests := append(tiny()[:1],
		guest{"go-echo", func(tb testing.TB) []byte { return built(tb, "go", "echo") }},
		guest{"go-shout", func(tb testing.TB) []byte { return built(tb, "go", "shout") }},
		guest{"handler.c", func(tb testing.TB) []byte { return built(tb, "c", "handler.c") }},
		guest{"handler.rs", func(tb testing.TB) []byte { return built(tb, "rust", "handler.rs") }},
		guest{"loop-count", assembled(count())},
		guest{"loop-sieve", assembled(sieve())},
		guest{"loop-matmul", assembled(matmul())},
		guest{"calls-fib", assembled(fib())},
	)
	variants := []struct {
		name    string
		options meter.Options
	}{
		{"fuel", meter.Options{}},
		{"fuel+stack", meter.Options{Stack: meter.DefaultStack}},
		{"fuel+stack+nan", meter.Options{Stack: meter.DefaultStack, NaN: true}},
	}
	var event strings.Builder
	event.WriteString(`{"first":1`)
	for i := range 200 {
		fmt.Fprintf(&event, `,"key%d":%d.5`, i*7919%1000, i)
	}
	event.WriteString("}")
	for _, g := range guests {
		b.Run(g.name, func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			module := g.make(b)
			e := wasi(b, false)
			e.slice, e.budget = 4e6, 1<<60
			compiled := []wazero.CompiledModule{e.compile(b, module)}
			for _, v := range variants {
				compiled = append(compiled, e.compile(b, rewrite(b, module, v.options)))
			}
			took := make([][]time.Duration, len(compiled))
			var used int64
			for b.Loop() {
				for i, c := range compiled {
					r := e.command(b, c, event.String())
					took[i] = append(took[i], r.took)
					used = r.used
				}
			}
			for i := range took {
				slices.Sort(took[i])
			}
			quartile := func(i int) float64 { return float64(took[i][len(took[i])/4]) }
			for i, v := range variants {
				b.ReportMetric(quartile(i+1)/quartile(0), "x-"+v.name)
			}
			b.ReportMetric(quartile(0)/1e3, "plain-µs")
			b.ReportMetric(float64(used)/quartile(0), "units/ns")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkRewrite prints what rewriting costs, by MiB of module.
func BenchmarkRewrite(b *testing.B) {
	for _, g := range []guest{
		{"go-echo", func(tb testing.TB) []byte { return built(tb, "go", "echo") }},
		{"handler.c", func(tb testing.TB) []byte { return built(tb, "c", "handler.c") }},
	} {
		b.Run(g.name, func(b *testing.B) {
			module := g.make(b)
			var out []byte
			b.ReportAllocs()
			b.SetBytes(int64(len(module)))
			for b.Loop() {
				out = rewrite(b, module, meter.Options{Stack: meter.DefaultStack})
			}
			mib := float64(len(module)) / (1 << 20)
			b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N)/mib, "ms/MiB")
			b.ReportMetric(float64(len(out))/float64(len(module)), "x-size")
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			e := wasi(b, false)
			plain, metered := time.Duration(1<<62), time.Duration(1<<62)
			for range 3 {
				began := processorTime()
				e.compile(b, module).Close(context.Background())
				between := processorTime()
				e.compile(b, out).Close(context.Background())
				plain, metered = min(plain, between-began), min(metered, processorTime()-between)
			}
			b.ReportMetric(float64(metered)/float64(plain), "x-compile")
		})
	}
}

// looped is a command whose _start has that many locals of i32 and runs the code.
func looped(locals byte, code ...[]byte) []byte {
	p := CommandParts(64)
	b := Join([]byte{1, locals, I32}, Join(code...), []byte{0x0b})
	p.Code = [][]byte{Join(U(uint64(len(b))), b)}
	return p.Bytes()
}

func get(l byte) []byte              { return Op(0x20, l) }
func set(l byte, code []byte) []byte { return Join(code, Op(0x21, l)) }

func plus(a, b []byte) []byte { return Join(a, b, Op(0x6a)) }

// during repeats code and then adds to a local until that is n.
func during(l byte, n int32, by []byte, code ...[]byte) []byte {
	return Join(Op(0x03, 0x40), Join(code...), plus(get(l), by), Op(0x22, l), Const(n), Op(0x49), Op(0x0d, 0), Op(0x0b))
}

// count adds up numbers: nothing but a loop.
func count() []byte {
	return looped(2, during(0, 10e6, Const(1), set(1, plus(get(1), get(0)))))
}

// sieve finds the primes below 500,000.
func sieve() []byte {
	const n = 500_000
	mark := during(1, n, get(0), get(1), Const(1), Op(0x3a, 0, 0))
	inner := Join(set(1, plus(get(0), get(0))), get(1), Const(n), Op(0x49), Op(0x04, 0x40), mark, Op(0x0b))
	return looped(2, set(0, Const(2)),
		during(0, n, Const(1), get(0), Op(0x2d, 0, 0), Op(0x45, 0x04, 0x40), inner, Op(0x0b)))
}

// matmul multiplies two matrices of 100 by 100 numbers.
func matmul() []byte {
	const n, size = 100, 100 * 100 * 8
	at := func(row, column byte) []byte {
		return Join(plus(Join(get(row), Const(n), Op(0x6c)), get(column)), Const(8), Op(0x6c))
	}
	load := func(at []byte, offset uint64) []byte { return Join(at, Op(0x2b, 3), U(offset)) }
	sum := Join(at(0, 1), load(at(0, 1), 2*size), load(at(0, 2), 0), load(at(2, 1), size), Op(0xa2, 0xa0), Op(0x39, 3), U(2*size))
	return looped(3, during(0, n, Const(1), set(1, Const(0)), during(1, n, Const(1), set(2, Const(0)), during(2, n, Const(1), sum))))
}

// fib calls itself 400,000 times.
func fib() []byte {
	p := CommandParts(1, Const(26), Call(Start+1), Drop())
	p.Types = append(p.Types, Signature([]byte{I32}, []byte{I32}))
	p.Functions = append(p.Functions, U(uint64(len(p.Types)-1)))
	minus := func(n int32) []byte { return Join(get(0), Const(n), Op(0x6b), Call(Start+1)) }
	p.Code = append(p.Code, Body(get(0), Const(2), Op(0x48), Op(0x04, I32), get(0), Op(0x05), plus(minus(1), minus(2)), Op(0x0b)))
	return p.Bytes()
}
