package meter_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"deed/runtime/wasm/meter"
)

const features = api.CoreFeaturesV2 | experimental.CoreFeaturesExtendedConst

// engine is a runtime that metered modules can run in. It gives fuel in slices, up to a budget.
type engine struct {
	wazero.Runtime
	slice, budget   int64
	granted, pauses int64
	looks           int64 // between the parts of instructions
}

func newEngine(tb testing.TB, interpreted bool) *engine {
	tb.Helper()
	ctx := context.Background()
	config := wazero.NewRuntimeConfigCompiler()
	if interpreted {
		config = wazero.NewRuntimeConfigInterpreter()
	}
	e := &engine{Runtime: wazero.NewRuntimeWithConfig(ctx, config.WithCoreFeatures(features)), slice: 1e6, budget: 1e9}
	tb.Cleanup(func() { e.Close(ctx) })
	long := []api.ValueType{api.ValueTypeI64}
	_, err := e.NewHostModuleBuilder(meter.ImportModule).NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(e.more), long, long).Export(meter.ImportMore).Instantiate(ctx)
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

func (e *engine) more(_ context.Context, _ api.Module, stack []uint64) {
	if int64(stack[0]) >= 0 {
		e.looks++
		stack[0] = 0
		return
	}
	e.pauses++
	used := e.granted - int64(stack[0])
	give := min(max(e.slice, used-e.granted), e.budget-e.granted)
	e.granted += give
	stack[0] = uint64(give)
}

// used is what was used of all that was granted since it was set to 0.
func (e *engine) used(m api.Module) int64 {
	return e.granted - int64(m.ExportedGlobal(meter.Fuel).Get())
}

// verdict tells apart how a call ended, as a host would.
func (e *engine) verdict(m api.Module, err error) string {
	room := m.ExportedGlobal(meter.Room)
	switch {
	case room != nil && int64(room.Get()) < 0:
		return "stack overflow"
	case e.used(m) > e.budget:
		return "out of fuel"
	}
	return trap(err)
}

// trap is the first line of an error.
func trap(err error) string {
	if err == nil {
		return ""
	}
	words, _, _ := strings.Cut(err.Error(), "\n")
	words, _, _ = strings.Cut(words, " (recovered by wazero)")
	return words
}

// rewrite rewrites a module that must not be refused.
func rewrite(tb testing.TB, module []byte, o meter.Options) []byte {
	tb.Helper()
	out, _, err := meter.Rewrite(module, o)
	if err != nil {
		tb.Fatalf("the module %v", err)
	}
	return out
}

var errPanic = errors.New("the engine panicked")

// instantiate also survives the panics of an engine over what is malformed.
func (e *engine) instantiate(module []byte, name string) (m api.Module, err error) {
	defer func() {
		if p := recover(); p != nil {
			m, err = nil, fmt.Errorf("%w: %v", errPanic, p)
		}
	}()
	return e.InstantiateWithConfig(context.Background(), module, wazero.NewModuleConfig().WithName(name).WithStartFunctions())
}
