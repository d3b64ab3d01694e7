package meter_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"deed/runtime/wasm/meter"
)

func TestSmoke(t *testing.T) {
	exec.Command("sh", "-c", "GOOS=wasip1 GOARCH=wasm go build -o /tmp/echo.wasm deed/examples/echo").Run()
	module, err := os.ReadFile("/tmp/echo.wasm")
	if err != nil {
		t.Fatal(err)
	}
	t0 := time.Now()
	out, info, err := meter.Rewrite(module, meter.Options{})
	t.Logf("%v %d -> %d %+v %v", time.Since(t0), len(module), len(out), info, err)
	ctx := context.Background()
	for _, interp := range []bool{false, true} {
		cfg := wazero.NewRuntimeConfigCompiler()
		if interp {
			cfg = wazero.NewRuntimeConfigInterpreter()
		}
		r := wazero.NewRuntimeWithConfig(ctx, cfg)
		wasi_snapshot_preview1.MustInstantiate(ctx, r)
		var granted int64
		r.NewHostModuleBuilder("deed").NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, m api.Module, s []uint64) {
			s[0] = 1_000_000
			granted += 1_000_000
		}), []api.ValueType{api.ValueTypeI64}, []api.ValueType{api.ValueTypeI64}).Export("more").Instantiate(ctx)
		t0 = time.Now()
		c0, _ := r.CompileModule(ctx, module)
		t1 := time.Now()
		c1, err := r.CompileModule(ctx, out)
		t2 := time.Now()
		if err != nil {
			t.Fatal(err)
		}
		t.Log("compile", t1.Sub(t0), t2.Sub(t1))
		run := func(c wazero.CompiledModule) time.Duration {
			var o bytes.Buffer
			t0 := time.Now()
			mod, err := r.InstantiateModule(ctx, c, wazero.NewModuleConfig().WithName("").WithStdin(bytes.NewReader([]byte("hello"))).WithStdout(&o).WithStartFunctions())
			if err != nil {
				t.Fatal(err)
			}
			_, err = mod.ExportedFunction("_start").Call(ctx)
			d := time.Since(t0)
			g := mod.ExportedGlobal(meter.Fuel)
			if g != nil {
				t.Log(err, o.String(), granted, int64(g.Get()), granted-int64(g.Get()))
				granted = 0
			}
			mod.Close(ctx)
			return d
		}
		if interp {
			run(c1)
			continue
		}
		for range 10 {
			t.Log(run(c0), run(c1))
		}
	}
	fmt.Println()
}
