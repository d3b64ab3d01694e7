package meter_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"deed/runtime/wasm/meter"
	. "deed/runtime/wasm/wasmtest"
)

// What is not a module of a kind that can be metered is refused in words.
func TestRefused(t *testing.T) {
	with := func(change func(p *Parts)) []byte {
		p := CommandParts(1)
		change(&p)
		return p.Bytes()
	}
	code := func(b ...byte) []byte { return with(func(p *Parts) { p.Code[0] = Body(b) }) }
	for _, c := range []struct {
		name, words string
		module      []byte
	}{
		{"nothing", "does not begin", nil},
		{"a reserved export", "reserved", with(func(p *Parts) { p.Exports = append(p.Exports, Export("deed:fuel", Start)) })},
		{"another of them", "reserved", with(func(p *Parts) { p.Exports = append(p.Exports, Export("deed:room", Start)) })},
		{"a reserved import", "reserved", with(func(p *Parts) { p.Imports[0] = Import("deed", "more", 0) })},
		{"the counter", "global 0", code(0x42, 0, 0x24, 0)},
		{"the counter as an offset", "global 0", with(func(p *Parts) {
			p.Tables = [][]byte{{0x70, 0, 1}}
			p.Elements = [][]byte{Join([]byte{0, 0x23, 0, 0x0b}, Vector())}
		})},
		{"the counter exported", "global 0", with(func(p *Parts) { p.Exports = append(p.Exports, Join(Name("x"), []byte{3, 0})) })},
		{"the pause", "function 7", code(0x10, Start+1)},
		{"a local", "local 0", code(0x20, 0, 0x1a)},
		{"a type", "type 9", code(0x02, 9, 0x0b)},
		{"a tail call", "instruction 12", code(0x12, Start)},
		{"an atomic", "instruction fe", code(0xfe, 3, 0)},
		{"a vector", "instruction fd", Join(code(0xfd, 0x9a, 1))},
		{"a relaxed vector", "instruction fd", code(0xfd, 0x80, 2)},
		{"a bulk one", "instruction fc", code(0xfc, 18)},
		{"another memory to fill", "other than the first", code(0x41, 0, 0x41, 0, 0x41, 0, 0xfc, 11, 1)},
		{"another memory to copy to", "other than the first", code(0x41, 0, 0x41, 0, 0x41, 0, 0xfc, 10, 1, 0)},
		{"another memory to copy from", "other than the first", code(0x41, 0, 0x41, 0, 0x41, 0, 0xfc, 10, 0, 1)},
		{"an else", "else", code(0x05)},
		{"a branch", "branches out", code(0x0c, 1)},
		{"code after the end", "after the end", code(0x0b)},
		{"wide functions of the host in a table", "too many parameters", with(func(p *Parts) {
			p.Types = append(p.Types, Signature(bytes.Repeat([]byte{I32}, 1000), nil))
			p.Imports = slices.Repeat([][]byte{WASI("x", uint64(len(p.Types)-1))}, 100)
			var all [][]byte
			for i := range uint64(100) {
				all = append(all, U(i))
			}
			p.Elements = [][]byte{Join([]byte{1, 0}, Vector(all...))}
		})},
		{"a section twice", "twice", Join(Header(), Section(1, []byte{0}), Section(1, []byte{0}))},
		{"a section in the wrong place", "wrong place", Join(Header(), Section(3, []byte{0}), Section(1, []byte{0}))},
		{"an unknown section", "section 13", Join(Header(), Section(13, []byte{0}))},
	} {
		_, _, err := meter.Rewrite(c.module, meter.Options{Stack: 1 << 20})
		if err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// Nothing that is done to a module makes the rewriter fail in another way than with an error, or give what is too large;
// and what was refused by the engine is refused when metered.
func FuzzRewrite(f *testing.F) {
	for seed := range uint64(30) {
		f.Add(newProgram(rand.New(rand.NewPCG(seed, 1))).bytes())
	}
	for _, g := range tiny() {
		f.Add(g.make(f))
	}
	for _, module := range specified(f, 150) {
		f.Add(module)
	}
	e := wasi(f, true)
	f.Fuzz(func(t *testing.T, module []byte) { e.total(t, module) })
}

// specified gives some modules of the specification's tests.
func specified(tb testing.TB, n int) [][]byte {
	tb.Helper()
	all, _ := filepath.Glob(filepath.Join(filepath.Dir(specification(tb)[0]), "*.wasm"))
	var some [][]byte
	for i := 0; i < len(all); i += len(all)/n + 1 {
		if b, err := os.ReadFile(all[i]); err == nil && len(b) < 4<<10 {
			some = append(some, b)
		}
	}
	return some
}

// total holds the rewriter to what it promises of any bytes.
func (e *engine) total(t *testing.T, module []byte) (accepted bool) {
	t.Helper()
	for _, o := range []meter.Options{{}, {Stack: 1 << 20}, {Stack: 1, NaN: true}} {
		out, _, err := meter.Rewrite(module, o)
		if err != nil {
			continue
		}
		accepted = true
		if most := meter.MostGrowth*len(module) + meter.MostAdded; len(out) > most {
			t.Fatalf("%d bytes become %d, and at most %d were promised: % x", len(module), len(out), most, module)
		}
		if len(module) > 64<<10 {
			continue
		}
		plainErr, meteredErr := e.compiles(module), e.compiles(out)
		if plainErr != nil && strings.Contains(plainErr.Error(), "custom") {
			continue // names that are malformed are left out
		}
		if (plainErr == nil) != (meteredErr == nil) {
			t.Fatalf("plain: %v, metered: %v: % x", plainErr, meteredErr, module)
		}
	}
	return accepted
}

// compiles reports why an engine refuses a module.
func (e *engine) compiles(module []byte) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errPanic, p)
		}
	}()
	if huge(module) {
		return nil
	}
	c, err := e.CompileModule(context.Background(), module)
	if err == nil {
		c.Close(context.Background())
	}
	return err
}

// huge guesses that an engine would allocate gigabytes by a count that a module only claims.
func huge(module []byte) bool { return bytes.Contains(module, []byte{0xff, 0xff, 0xff}) }

func TestMutations(t *testing.T) {
	rounds := 20000
	if testing.Short() || raceDetector {
		rounds = 2000
	}
	e := wasi(t, true)
	seeds := specified(t, 300)
	for seed := range uint64(50) {
		seeds = append(seeds, newProgram(rand.New(rand.NewPCG(seed, 1))).bytes())
	}
	rng := rand.New(rand.NewPCG(1, 2))
	accepted := 0
	for i := range rounds {
		b := bytes.Clone(seeds[i%len(seeds)])
		for range 1 + rng.IntN(3) {
			switch at := rng.IntN(len(b)); rng.IntN(3) {
			case 0:
				b[at] = byte(rng.Uint32())
			case 1:
				b[at] ^= 1 << rng.IntN(8)
			default:
				b[at] = byte(rng.IntN(32)) // control instructions
			}
		}
		if e.total(t, b) {
			accepted++
		}
	}
	t.Logf("%d of %d are accepted", accepted, rounds)
}
