package wasm

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"deed/domain"
	. "deed/runtime/wasm/wasmtest"
)

var mutationSeed = flag.Uint64("mutations", 0, "the seed of the random changes of modules, to repeat a run; 0 takes another one each time")

// Whatever is done to a module, it is refused or runs; nothing panics, nothing takes what it may not have, and nothing is
// left of it.
func TestMutations(t *testing.T) {
	rounds := 2000
	switch {
	case *soak:
		rounds = 100_000
	case testing.Short():
		rounds = 600
	}
	seed := *mutationSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-mutations %d", seed)
	h := open(t)
	originals := mutable(t)
	rng := rand.New(rand.NewPCG(seed, 0))
	var before holding
	ended := map[domain.FailureKind]int{}
	for i := range rounds {
		if i == rounds/10 { // what is pooled is there
			before = holdings(h)
		}
		b := mutated(rng, originals[i%len(originals)])
		m, err := h.compile(context.Background(), b)
		if err != nil {
			if bad := (*BadModuleError)(nil); !errors.As(err, &bad) {
				t.Fatalf("% x: %v", b, err)
			}
			continue
		}
		a := attempt("event")
		a.Limits = domain.Limits{Timeout: domain.MinTimeout / 10, Memory: 1 << 20, MaxOutput: 1 << 10}
		o := m.Run(context.Background(), a)
		if o.PeakMemory > a.Limits.Memory || int64(len(o.Result)) > a.Limits.MaxOutput || len(o.Log) > MaxLog || (o.Kind == "") != (o.Error == "") || o.Kind == domain.FailedPlatform {
			t.Fatalf("% x: %+v", b, o)
		}
		ended[o.Kind]++
		m.remains.free()
	}
	ran := 0
	for _, n := range ended {
		ran += n
	}
	if ran < rounds/50 || ran == rounds {
		t.Errorf("%d of %d ran", ran, rounds)
	}
	after := settled(h, before)
	if !raceDetector && after.resident > before.resident+holdingsTolerance || after.goroutines > before.goroutines || after.slabs > max(before.slabs, keptSlabs) || after.busy != 0 {
		t.Errorf("holds %+v, after a tenth %+v", after, before)
	}
	t.Logf("%d of %d ran: %v; resident %d MiB, after a tenth %d", ran, rounds, ended, after.resident>>20, before.resident>>20)
}

// mutable are modules to be changed: small ones, of everything that a module can have.
func mutable(tb testing.TB) [][]byte {
	tb.Helper()
	p := CommandParts(1, Write(1, 0, 8), Drop(), []byte{0x02, 0x40, 0x41, 0, 0x0e, 1, 0, 0, 0x0b}, []byte{0x41, 0, 0x11, 0, 0})
	p.Tables = [][]byte{{0x70, 1, 2, 2}}
	p.Globals = [][]byte{Join([]byte{I32, 1}, Const(0), []byte{0x0b})}
	p.Elements = [][]byte{Join([]byte{0, 0x41, 0, 0x0b}, Vector(U(Start)))}
	p.Data = [][]byte{Data(100, "some data"), Data(300, "and more")}
	all := [][]byte{
		p.Bytes(), Echo(), Grow(), Print(`{"error":"x"}`, 1), Sleep(1), eater(), tabled([]byte{1}, U(1), U(1<<20))(), Recurse(),
		inputs().Bytes(), Join(Echo(), Section(0, Join(Name("name"), []byte{0}, U(2), Name("m"), []byte{1}, U(4), U(1), U(0), Name("f")))),
	}
	for _, b := range all {
		if _, err := walk(b, func(string, string) bool { return true }); err != nil {
			tb.Fatal(err)
		}
	}
	return all
}

// mutated is a module with a random change, or two, most of them behind its imports: their names are most of the bytes of a
// small one, and dull.
func mutated(rng *rand.Rand, module []byte) []byte {
	b := slices.Clone(module)
	imports := bytes.Index(b, []byte("clock_time_get"))
	for range 1 + rng.IntN(4)/3 {
		from := imports
		if rng.IntN(8) == 0 {
			from = 0
		}
		if len(b)-from < 5 {
			break
		}
		at := from + rng.IntN(len(b)-from-4)
		switch rng.IntN(12) {
		case 0:
			b = slices.Delete(b, at, at+1+rng.IntN(3))
		case 1:
			b = slices.Insert(b, at, byte(rng.Uint32()))
		case 2, 3, 4, 7:
			b[at] ^= 1 << rng.IntN(8)
		case 5:
			b = slices.Insert(b, at, U(uint64(rng.Uint32()))...) // a large number
		case 6:
			if rng.IntN(4) == 0 {
				b = b[:at]
			} else {
				copy(b[at:], b[imports+rng.IntN(len(b)-imports):])
			}
		default:
			b[at] = byte(rng.Uint32())
		}
		imports = min(imports, len(b)-1)
	}
	return b
}
