package integration

import (
	"context"
	"testing"
	"time"

	"deed/runtime/wasm/wasmtest"
)

// BenchmarkRestart prints how long after a kill -9 a node accepts again, and has an outcome, on its own log of some size; and
// what it holds in memory when it has nothing to do.
func BenchmarkRestart(b *testing.B) {
	data, addr, broker := b.TempDir(), freePort(b), freePort(b)
	p := start(b, data, addr, broker)
	idle := resident(b, p)
	ctx, cancel := context.WithTimeout(b.Context(), 5*time.Minute)
	defer cancel()
	var answer map[string]any
	if s := call(ctx, "PUT", "http://"+addr+"/v1/functions/echo", string(wasmtest.Echo()), &answer); s != 200 {
		b.Fatal(s, answer)
	}
	invoke := func(wait string) int {
		req := map[string]any{}
		return call(ctx, "POST", "http://"+addr+"/v1/functions/echo/invocations"+wait, "1", &req)
	}
	for range 2000 {
		invoke("")
	}
	var accepts, outcome time.Duration
	for b.Loop() {
		p.kill()
		began := time.Now()
		p = start(b, data, addr, broker)
		for invoke("") != 202 {
			await(ctx, time.Millisecond)
		}
		accepts += time.Since(began)
		for open, _, ok := p.open(ctx); !ok || open > 0; open, _, ok = p.open(ctx) {
			await(ctx, time.Millisecond)
		}
		outcome += time.Since(began)
	}
	b.ReportMetric(float64(accepts.Milliseconds())/float64(b.N), "ms-to-accept")
	b.ReportMetric(float64(outcome.Milliseconds())/float64(b.N), "ms-to-outcome")
	b.ReportMetric(float64(idle>>20), "MiB-idle")
}
