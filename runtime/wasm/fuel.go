package wasm

import (
	"context"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"deed/runtime/wasm/meter"
)

// Costs is the version of the table by which fuel is counted.
const Costs = meter.CostVersion

// A slice is how much fuel a guest is given at a time. Between two slices it can be stopped, and the garbage collector, which
// waits for all goroutines, gets in. A slice takes a guest 0.1 to 1 ms; but one that touches memory which the kernel has yet
// to make, or which no cache has, can take a hundred times as long for it, and whoever wants to, will. So slices begin small,
// grow while they are done with soon, and shrink when they are not. How large they are changes nothing of what a guest does,
// nor of what it has used, except while an instance is made, when nothing else than the slices is known of that: then they
// are all the largest.
const (
	slice      = 1_000_000
	firstSlice = 20_000
	leastSlice = 5_000

	sliceTime = time.Millisecond // for one; it grows while it takes less than half of that
)

// fuel is what an attempt may use, and has been given.
type fuel struct {
	limit   int64 // 0: none but the time
	granted int64 // it begins with what the initialisation used whose snapshot the attempt begins with
	used    int64 // once it has ended
	spent   bool  // it used more than the limit

	slice int64     // the next one's size; 0 while an instance is made
	given time.Time // when the last one was given
}

// more grants a slice to a guest that has left, which is below zero, or is not, in the middle of an instruction that takes
// long; or it unwinds the guest for good.
func (s *sandbox) more(left int64) int64 {
	if s.ctx.Err() != nil {
		panic(errStopped)
	}
	if left >= 0 {
		s.fuel.given = time.Now() // the time is not the slice's
		return 0
	}
	if f := &s.fuel; f.limit > 0 && f.granted-left > f.limit {
		f.used, f.spent = f.granted-left, true
		panic(errStopped)
	}
	add := s.fuel.next() - left
	if f := &s.fuel; f.limit > 0 { // never more than it may use: it stops at the same point whatever the slices are
		add = min(add, f.limit-f.granted)
	}
	s.fuel.granted += add
	return add
}

// next is how large the slice is that is given now.
func (f *fuel) next() int64 {
	if f.slice == 0 {
		return slice
	}
	now := time.Now()
	if !f.given.IsZero() {
		switch took := now.Sub(f.given); {
		case took < sliceTime/2:
			f.slice = min(2*f.slice, slice)
		case took > sliceTime:
			f.slice = max(f.slice*int64(sliceTime)/int64(took), leastSlice)
		}
	}
	f.given = now
	return f.slice
}

// offerFuel gives a host module the function that metered modules call. No module may import it itself: that is why it is
// not among what is offered.
func offerFuel(b wazero.HostModuleBuilder) {
	b.NewFunctionBuilder().WithGoFunction(api.GoFunc(func(ctx context.Context, stack []uint64) {
		s := ctx.Value(sandboxKey{}).(*sandbox)    //nolint:forcetypeassert // call puts it there
		stack[0] = uint64(s.more(int64(stack[0]))) //nolint:gosec // how the engine passes an i64
	}), []api.ValueType{api.ValueTypeI64}, []api.ValueType{api.ValueTypeI64}).Export(meter.ImportMore)
}

// maxStack is how deep a guest may recurse, in bytes of the host's stack. The engine itself would let it have 400 MB.
const maxStack = 8 << 20

// measure reads what an instance has used, and whether it went too deep.
func (s *sandbox) measure(mod api.Module) {
	if g := mod.ExportedGlobal(meter.Room); g != nil {
		s.deep = int64(g.Get()) < 0 //nolint:gosec // an i64
	}
	if g := mod.ExportedGlobal(meter.Fuel); g != nil && !s.fuel.spent {
		s.fuel.used = s.fuel.granted - int64(g.Get()) //nolint:gosec // an i64
		s.fuel.spent = s.fuel.limit > 0 && s.fuel.used > s.fuel.limit
	}
}
