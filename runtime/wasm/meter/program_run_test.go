package meter_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/tetratelabs/wazero/api"

	"deed/runtime/wasm/meter"
)

// Random programs do the same metered as plain, with the compiler and the interpreter; and what they used is to the unit
// what the oracle counted.
func TestPrograms(t *testing.T) {
	rounds := 1500
	if testing.Short() || raceDetector {
		rounds = 150
	}
	r := newRunner(t)
	for seed := range rounds {
		r.round(t, uint64(seed))
	}
	t.Logf("%v", r.ended)
	for _, how := range []string{"", "out of fuel"} {
		if r.ended[how] < rounds/50 {
			t.Errorf("only %d of %d programs ended in %q", r.ended[how], rounds, how)
		}
	}
}

func FuzzPrograms(f *testing.F) {
	f.Add(uint64(1))
	r := newRunner(f)
	f.Fuzz(func(t *testing.T, seed uint64) { r.round(t, seed) })
}

type runner struct {
	compiled, interpreted *engine
	ended                 map[string]int
}

func newRunner(tb testing.TB) *runner {
	r := &runner{newEngine(tb, false), newEngine(tb, true), map[string]int{}}
	i := api.ValueTypeI32
	for _, e := range []*engine{r.compiled, r.interpreted} {
		host := api.GoFunc(func(_ context.Context, s []uint64) { s[0] = uint64(hosted(uint32(s[0]), uint32(s[1]))) })
		_, err := e.NewHostModuleBuilder("env").NewFunctionBuilder().
			WithGoFunction(host, []api.ValueType{i, i}, []api.ValueType{i}).Export("host").Instantiate(context.Background())
		if err != nil {
			tb.Fatal(err)
		}
	}
	return r
}

// end is what can be seen of a run.
type end struct {
	how    string
	used   int64
	result uint64
	memory []byte
}

func (r *runner) round(t *testing.T, seed uint64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 7))
	p := newProgram(rng)
	module := p.bytes()
	args := []uint64{uint64(rng.Uint32N(100)), uint64(rng.Uint32())}
	budget := int64(1000 * (1 + rng.IntN(50)))
	options := meter.Options{Stack: []int64{0, 1 << 20}[rng.IntN(2)], NaN: rng.IntN(2) == 0}
	out := rewrite(t, module, options)

	o := newOracle(p, budget)
	want, wantErr := o.run(1, args...)
	if errors.Is(wantErr, errDepth) {
		return // engines differ in how deep they let it go
	}
	var first end
	for i, slice := range []int64{1e6, 300, 7} {
		e := r.compiled
		if i == 1 {
			e = r.interpreted
		}
		e.slice, e.budget = slice, budget
		got, err := metered(e, out, args)
		switch {
		case err != nil:
			t.Fatalf("seed %d: %v", seed, err)
		case i == 0:
			first = got
		case first.how != got.how || first.used != got.used || first.result != got.result || !bytes.Equal(first.memory, got.memory):
			t.Fatalf("seed %d: %q, used %d, result %d, and with slices of %d: %q, used %d, result %d",
				seed, first.how, first.used, first.result, slice, got.how, got.used, got.result)
		}
	}
	r.ended[first.how]++
	switch {
	case wantErr == nil:
		if first.how != "" || first.used != o.count || uint32(first.result) != uint32(want[0]) {
			t.Fatalf("seed %d: %q, used %d, result %d; the oracle counts %d, result %d", seed, first.how, first.used, uint32(first.result), o.count, want[0])
		}
	case errors.Is(wantErr, errFuel):
		if first.how != "out of fuel" {
			t.Fatalf("seed %d: %q, used %d, but the oracle counts more than %d", seed, first.how, first.used, budget)
		}
	case first.how == "" || first.used < o.count:
		t.Fatalf("seed %d: %q, used %d, but the oracle traps after %d", seed, first.how, first.used, o.count)
	}
	if first.how == "out of fuel" {
		return // plain, it may not end
	}
	if got, err := plain(r.compiled, module, args); err != nil || first.how != got.how || first.result != got.result || !bytes.Equal(first.memory, got.memory) {
		t.Fatalf("seed %d: metered: %q, result %d; plain: %q, result %d, %v", seed, first.how, first.result, got.how, got.result, err)
	}
}

// metered runs f of a module that is metered.
func metered(e *engine, module []byte, args []uint64) (end, error) {
	e.granted = 0
	m, err := e.instantiate(module, "")
	if err != nil {
		return end{}, err
	}
	defer m.Close(context.Background())
	results, err := m.ExportedFunction("f").Call(context.Background(), args...)
	if room := m.ExportedGlobal(meter.Room); err == nil && room != nil && room.Get() != 1<<20 {
		return end{}, fmt.Errorf("%d of room is left", room.Get())
	}
	return seen(m, e.verdict(m, err), e.used(m), results), nil
}

// plain runs f of a module as it is.
func plain(e *engine, module []byte, args []uint64) (end, error) {
	m, err := e.instantiate(module, "")
	if err != nil {
		return end{}, err
	}
	defer m.Close(context.Background())
	results, err := m.ExportedFunction("f").Call(context.Background(), args...)
	return seen(m, trap(err), 0, results), nil
}

func seen(m api.Module, how string, used int64, results []uint64) end {
	memory, _ := m.Memory().Read(0, m.Memory().Size())
	s := end{how: how, used: used, memory: bytes.Clone(memory)}
	if how == "" {
		s.result = results[0]
	}
	return s
}
