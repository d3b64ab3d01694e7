package wasm

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"deed/domain"
	"deed/runtime/wasm/wasmtest"
)

// BenchmarkAttempt runs each module through Run and through wazero as it comes, in the same process; the metric x/stock is
// how many times cheaper Run is. Stock runs once with and once without the stop on a done context.
func BenchmarkAttempt(b *testing.B) {
	event := []byte(`{"hello":"world","n":[1,2,3]}`)
	for _, guest := range []struct {
		name   string
		module func(testing.TB) []byte
	}{
		{"tiny-echo", func(testing.TB) []byte { return wasmtest.Echo() }},
		{"go-echo", func(tb testing.TB) []byte { return example(tb, "echo") }},
	} {
		b.Run(guest.name, func(b *testing.B) {
			module := guest.module(b)
			stock := map[string]time.Duration{}
			for _, stop := range []bool{true, false} {
				name := map[bool]string{true: "stock-stoppable", false: "stock"}[stop]
				b.Run(name, func(b *testing.B) {
					ctx := context.Background()
					r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithCloseOnContextDone(stop))
					defer r.Close(ctx)
					wasi_snapshot_preview1.MustInstantiate(ctx, r)
					compiled, err := r.CompileModule(ctx, module)
					if err != nil {
						b.Fatal(err)
					}
					b.ReportAllocs()
					b.ResetTimer()
					for range b.N {
						var out bytes.Buffer
						mod, err := r.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName("").
							WithStdin(bytes.NewReader(event)).WithStdout(&out).WithEnv("DEED_ATTEMPT", "1"))
						if err != nil {
							b.Fatal(err)
						}
						mod.Close(ctx)
						if !bytes.Equal(out.Bytes(), event) {
							b.Fatal(out.String())
						}
					}
					stock[name] = b.Elapsed() / time.Duration(b.N)
				})
			}
			h := open(b)
			m := load(b, h, module)
			a := Attempt{Args: []string{"f"}, Env: [][2]string{{"DEED_ATTEMPT", "1"}}, Event: event, Limits: domain.DefaultLimits()}
			check := func(b *testing.B, o Outcome) {
				if o.Kind != "" || !bytes.Equal(o.Result, event) {
					b.Fatalf("%+v", o)
				}
			}
			b.Run("run", func(b *testing.B) {
				b.ReportAllocs()
				for range b.N {
					check(b, m.Run(context.Background(), a))
				}
				each := b.Elapsed() / time.Duration(b.N)
				b.ReportMetric(float64(stock["stock-stoppable"])/float64(each), "x/stoppable")
				b.ReportMetric(float64(stock["stock"])/float64(each), "x/stock")
			})
			b.Run("run-parallel", func(b *testing.B) {
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						check(b, m.Run(context.Background(), a))
					}
				})
			})
		})
	}
}
