package wasm

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"deed/domain"
	. "deed/runtime/wasm/wasmtest"
)

// recorded is an attempt, and what is kept of how it ended.
type recorded struct {
	guest   recordedGuest
	module  []byte
	attempt Attempt
	end     end
}

// end is what an attempt that is repeated must have in common with the first.
type end struct {
	result, log [sha256.Size]byte
	kind        domain.FailureKind
	code        uint32
	fuel, peak  int64
}

func endOf(o Outcome) end {
	return end{result: sha256.Sum256(o.Result), log: sha256.Sum256(o.Log), kind: o.Kind, code: o.ExitCode, fuel: o.Fuel, peak: o.PeakMemory}
}

// recordedGuest is a program, and how many of a thousand attempts are its.
type recordedGuest struct {
	name   string
	share  int
	module func(testing.TB) []byte
	deep   bool // it goes deeper than the interpreter can
}

// recordedGuests are small ones for most attempts, because an interpreter is a hundred times slower, and all examples whose
// compilers are there.
func recordedGuests(t *testing.T) (all []recordedGuest) {
	t.Helper()
	small := func(name string, share int, module []byte) {
		all = append(all, recordedGuest{name, share, func(testing.TB) []byte { return module }, strings.HasPrefix(name, "recurses deep")})
	}
	outside := parted(func(p *Parts) { p.Data = [][]byte{Data(1<<16-1, "ab")} })
	for name, module := range map[string][]byte{
		"echo": Echo(), "trap": Trap(), "exit": Exit(3), "handled": Print(`{"error":"x"}`, 1), "flaky": Flaky(), "eats": eater(),
		"floods": Flood(1, 40), "logs": Flood(2, 40), "recurses": heavyRecursion(), "recurses deep": Recurse(), "recurses deep and wide": wideRecursion(), "sleeps": Sleep(1000),
		"computes": controlled(), "copies": fills(), "initialises": inputs().Bytes(), "context": Reactor(2, printContext()),
		"outside": outside(), "starts": parted(func(p *Parts) { p.Code[0], p.Start = Body(Op(0)), U(Start) })(),
	} {
		small(name, 35, module)
	}
	small("floats", 150, floats(false))
	small("vectors", 100, floats(true))
	if testing.Short() || raceDetector {
		return all
	}
	for _, name := range []string{"shout", "quiet", "broken", "handled", "greedy", "sleepy"} {
		all = append(all, recordedGuest{name: "go " + name, share: 2, module: func(tb testing.TB) []byte { return example(tb, name) }})
	}
	all = append(all, recordedGuest{name: "go dice", share: 2, module: func(tb testing.TB) []byte { return build(tb, "./testdata/dice") }})
	for _, l := range languages {
		if missing := l.missing(); missing != "" {
			t.Logf("without %s: %s is not there", l.name, missing)
			continue
		}
		share := 20
		if l.name == "echo" || l.name == "reactor" || l.name == "js-echo" { // they begin with a runtime of their own
			share = 2
		}
		all = append(all, recordedGuest{name: l.name, share: share, module: l.build})
	}
	return all
}

// floats is a command that reads two floating-point numbers, of 64 bits each or four of 32 in a vector, puts them through
// arithmetic that gives NaNs in every way there is, and prints the bits.
func floats(vectors bool) []byte {
	const a, b, out = 1024, 1040, 2048
	load := func(at int32) []byte { return Join(Const(at), Op(0x2b, 3, 0)) } // f64.load
	store := Op(0x39, 3, 0)
	binary, unary := []byte{0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5}, []byte{0x9b, 0x9c, 0x9d, 0x9e, 0x9f}
	prefix := []byte(nil)
	if vectors {
		load = func(at int32) []byte { return Join(Const(at), Op(0xfd, 0, 4, 0)) }
		store = Op(0xfd, 11, 4, 0)
		prefix = []byte{0xfd}
		binary, unary = []byte{0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5}, []byte{0x67, 0x68, 0x69, 0x6a, 0xe3, 0x74, 0x75, 0x7a, 0x94, 0xef}
	}
	op := func(code byte) []byte {
		if vectors {
			return Join(prefix, U(uint64(code)))
		}
		return Op(code)
	}
	at := int32(out)
	var code []byte
	keep := func(value ...[]byte) {
		code = Join(code, Const(at), Join(value...), store)
		at += 16
	}
	for _, c := range binary {
		keep(load(a), load(b), op(c))
		keep(load(b), load(a), op(c))
	}
	for _, c := range unary {
		keep(load(a), op(c))
		keep(load(a), load(b), op(binary[1]), op(c)) // of what came of a subtraction
	}
	if !vectors {
		keep(load(a), Op(0xb6, 0xbb)) // to 32 bits and back
	}
	return parted(func(p *Parts) {
		p.Code[0] = Body(Store(0, Const(a)), Store(4, Const(32)), Const(0), Const(0), Const(1), Const(8), Call(FdRead), Drop(), code, Write(1, out, at-out), Drop())
	})()
}

// floatEvents are the bits of numbers that arithmetic is hard on: zeros, infinities, NaNs of both kinds and signs, the smallest
// and the largest.
var floatEvents = []uint64{
	0, 1 << 63, 0x7ff0 << 48, 0xfff0 << 48, 0x7ff8 << 48, 0xfff8 << 48, 0x7ff0<<48 | 1, 0xffff123456789abc, 1, 0x7fefffffffffffff, 0x3ff0 << 48,
	0x7f800000ff800000, 0x7fc00000ffc12345, 0x7f800001ffffffff,
}

// draw makes a random attempt.
func draw(rng *rand.Rand, g recordedGuest) Attempt {
	event := make([]byte, rng.IntN(500))
	for i := range event {
		event[i] = byte(' ' + rng.IntN(90))
	}
	switch g.name {
	case "floats", "vectors":
		event = nil
		for range 4 {
			bits := floatEvents[rng.IntN(len(floatEvents))]
			if rng.IntN(4) == 0 {
				bits = rng.Uint64()
			}
			for i := range 8 {
				event = append(event, byte(bits>>(8*i)))
			}
		}
	case "go sleepy":
		event = []byte(`{"ms":1}`)
	}
	a := attempt(string(event))
	a.Limits = domain.Limits{Timeout: domain.MaxTimeout, Memory: 64 << 20, MaxOutput: int64(1 + rng.IntN(20<<10)), Fuel: 0}
	if g.share > 20 { // the others need what they need
		a.Limits.Memory = int64(1+rng.IntN(64)) << 20
	}
	if g.name == "copies" {
		a.Limits.Memory = 64 << 20
	}
	for i := range a.Seed {
		a.Seed[i] = byte(rng.Uint32())
	}
	a.Start = a.Start.Add(time.Duration(rng.Int64N(int64(1000 * time.Hour))))
	a.Env = [][2]string{{"DEED_REQUEST_ID", fmt.Sprint(rng.Uint32())}, {"DEED_ATTEMPT", fmt.Sprint(1 + rng.IntN(3))}, {"LEVEL", fmt.Sprint(rng.IntN(3))}}
	return a
}

// loadAll loads modules on as many processors as there are: compiling is what takes longest here.
func loadAll(tb testing.TB, h *Host, modules map[string][]byte) {
	tb.Helper()
	var all sync.WaitGroup
	for _, module := range modules {
		all.Go(func() {
			_, err := h.Load(context.Background(), sha256.Sum256(module), func(context.Context) ([]byte, error) { return module, nil })
			if err != nil {
				tb.Error(err)
			}
		})
	}
	all.Wait()
}

// heavyRecursion calls itself with 600 locals, of which 8 MiB of stack have room for some hundreds.
func heavyRecursion() []byte {
	b := Join(U(1), U(600), []byte{I32}, Call(Start), []byte{0x0b})
	return parted(func(p *Parts) { p.Code[0] = Join(U(uint64(len(b))), b) })()
}

// TestReruns records a thousand attempts, and runs each again: compiled, by another host that reads the machine code from the
// cache of the first; and interpreted. Whatever the attempt and however it ended, the result, the log, what it used and its
// memory are the same. Only what time stopped is not repeated, and a limit of fuel stops in its place.
func TestReruns(t *testing.T) {
	guests := recordedGuests(t)
	total, seed := 1000, uint64(time.Now().UnixNano())
	if testing.Short() || raceDetector {
		total = 200
	}
	if *mutationSeed != 0 {
		seed = *mutationSeed
	}
	t.Logf("-mutations %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	dir := t.TempDir()
	first := cached(t, dir)
	shares := 0
	modules := map[string][]byte{}
	for _, g := range guests {
		shares += g.share
		modules[g.name] = g.module(t)
	}
	loadAll(t, first, modules)
	var all []recorded
	kinds, began := map[domain.FailureKind]int{}, time.Now()
	for _, g := range guests {
		module := modules[g.name]
		m := load(t, first, module)
		for range (g.share*total + shares - 1) / shares {
			a := draw(rng, g)
			if rng.IntN(3) == 0 || g.name == "copies" { // stopped by fuel, or nearly
				a.Limits.Fuel = 20_000_000
				a.Limits.Fuel = 1 + rng.Int64N(1+m.Run(context.Background(), a).Fuel*6/5)
			}
			o := m.Run(context.Background(), a)
			kinds[o.Kind]++
			all = append(all, recorded{g, module, a, endOf(o)})
		}
	}
	if err := first.Close(context.Background()); err != nil {
		t.Error(err)
	}
	t.Logf("recorded %d attempts of %d guests in %s: %v", len(all), len(guests), time.Since(began).Round(time.Millisecond), kinds)
	for _, kind := range []domain.FailureKind{
		domain.NoFailure, domain.FailedTrap, domain.FailedExit, domain.FailedHandled, domain.FailedMemory,
		domain.FailedOutputTooLarge, domain.FailedTimeout, domain.FailedBadModule,
	} {
		if kinds[kind] == 0 {
			t.Errorf("no attempt ended in %q", kind)
		}
	}
	second := cached(t, dir)
	defer second.Close(context.Background())
	for _, again := range []struct {
		name string
		host *Host
	}{{"compiled", second}, {"interpreted", interpreted(t)}} {
		began, ran, differ := time.Now(), 0, 0
		loadAll(t, again.host, modules)
		for i, r := range all {
			if r.guest.deep && again.name == "interpreted" {
				continue
			}
			ran++
			o := load(t, again.host, r.module).Run(context.Background(), r.attempt)
			if got := endOf(o); got != r.end {
				if differ++; differ <= 10 {
					t.Errorf("%s: attempt %d, %s: %+v (%s), recorded %+v; %+v", again.name, i, r.guest.name, got, cut(o.Error, 200), r.end, r.attempt.Limits)
				}
			}
		}
		t.Logf("%d %s again in %s, %d differ", ran, again.name, time.Since(began).Round(time.Millisecond), differ)
	}
}
