package wasm

import (
	"context"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"deed/runtime/wasm/meter"
)

// Costs is the version of the table by which fuel is counted.
const Costs = meter.CostVersion

// slice is how much fuel a guest is given at a time: some 1 to 4 ms of computing. Between two slices it can be stopped, and
// the garbage collector, which waits for all goroutines, gets in.
const slice = 4_000_000

// fuel is what an attempt may use, and has been given.
type fuel struct {
	limit   int64 // 0: none but the time
	granted int64
	used    int64 // once it has ended
	spent   bool  // it used more than the limit
}

// more grants a slice to a guest that has left, which is below zero; or it unwinds the guest for good.
func (s *sandbox) more(left int64) int64 {
	if s.ctx.Err() != nil {
		panic(errStopped)
	}
	if f := &s.fuel; f.limit > 0 && f.granted-left > f.limit {
		f.used, f.spent = f.granted-left, true
		panic(errStopped)
	}
	add := slice - left
	s.fuel.granted += add
	return add
}

// offerFuel gives a host module the function that metered modules call. No module may import it itself: that is why it is
// not among what is offered.
func offerFuel(b wazero.HostModuleBuilder) {
	b.NewFunctionBuilder().WithGoFunction(api.GoFunc(func(ctx context.Context, stack []uint64) {
		s := ctx.Value(sandboxKey{}).(*sandbox)    //nolint:forcetypeassert // call puts it there
		stack[0] = uint64(s.more(int64(stack[0]))) //nolint:gosec // how the engine passes an i64
	}), []api.ValueType{api.ValueTypeI64}, []api.ValueType{api.ValueTypeI64}).Export(meter.ImportMore)
}

// measure reads what an instance has used.
func (s *sandbox) measure(mod api.Module) {
	if g := mod.ExportedGlobal(meter.Fuel); g != nil && !s.fuel.spent {
		s.fuel.used = s.fuel.granted - int64(g.Get()) //nolint:gosec // an i64
		s.fuel.spent = s.fuel.limit > 0 && s.fuel.used > s.fuel.limit
	}
}
