package meter_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"deed/runtime/wasm/meter"
	. "deed/runtime/wasm/wasmtest"
)

// guest is a command of WASI, and how to make it.
type guest struct {
	name string
	make func(testing.TB) []byte
}

func assembled(module []byte) func(testing.TB) []byte {
	return func(testing.TB) []byte { return module }
}

// tiny are the modules that wasmtest assembles, but for the one that does not end.
func tiny() []guest {
	return []guest{
		{"echo", assembled(Echo())},
		{"trap", assembled(Trap())},
		{"exit", assembled(Exit(3))},
		{"flaky", assembled(Flaky())},
		{"grow", assembled(Grow())},
		{"print", assembled(Print("hello", 2))},
		{"flood", assembled(Flood(1, 50))},
		{"sleep", assembled(Sleep(1))},
	}
}

// examples are the Go programs that come with Deed, but for those that do not end or take gigabytes.
func examples() []guest {
	var all []guest
	for _, name := range []string{"echo", "shout", "quiet", "flaky", "broken", "handled"} {
		all = append(all, guest{name, func(tb testing.TB) []byte { return built(tb, "go", name) }})
	}
	return all
}

var (
	building sync.Mutex
	binaries = map[string][]byte{}
)

// built compiles a guest once for all tests, or skips what needs it.
func built(tb testing.TB, toolchain, name string) []byte {
	tb.Helper()
	building.Lock()
	defer building.Unlock()
	key := toolchain + "/" + name
	if b, ok := binaries[key]; ok {
		return b
	}
	out := filepath.Join(tb.TempDir(), "guest.wasm")
	var c *exec.Cmd
	switch toolchain {
	case "go":
		c = exec.Command("go", "build", "-o", out, "deed/examples/"+name)
		c.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
	case "c":
		c = exec.Command("clang", "--target=wasm32-wasi", "-O2", "-o", out, filepath.Join("testdata", name))
	case "rust":
		rustc := "rustc"
		if _, err := os.Stat("/usr/bin/rustc"); err == nil {
			rustc = "/usr/bin/rustc" // the distribution's, which has WASI as a package
		}
		c = exec.Command(rustc, "--target=wasm32-wasi", "-O", "-o", out, filepath.Join("testdata", name))
	}
	if said, err := c.CombinedOutput(); err != nil {
		if toolchain == "go" {
			tb.Fatalf("%v: %s", err, said)
		}
		tb.Skipf("%s cannot be built here: %v: %.200s", name, err, said)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		tb.Fatal(err)
	}
	binaries[key] = b
	return b
}

// run is what can be seen of a command.
type run struct {
	out, log string
	how      string
	used     int64
	took     time.Duration // of _start
}

// command runs a WASI command once.
func (e *engine) command(tb testing.TB, c wazero.CompiledModule, event string) run {
	tb.Helper()
	e.granted = 0
	ctx := context.Background()
	var out, log bytes.Buffer
	m, err := e.InstantiateModule(experimental.WithMemoryAllocator(ctx, scratch), c, wazero.NewModuleConfig().WithName("").WithStartFunctions().
		WithStdin(strings.NewReader(event)).WithStdout(&out).WithStderr(&log).WithArgs("f").WithEnv("DEED_ATTEMPT", "2").
		WithRandSource(rand.NewChaCha8([32]byte{1})))
	if err != nil {
		tb.Fatal(err)
	}
	defer m.Close(ctx)
	start := m.ExportedFunction("_start")
	began := processorTime()
	_, err = start.Call(ctx)
	r := run{took: processorTime() - began, out: out.String(), log: log.String(), how: trap(err)}
	if m.ExportedGlobal(meter.Fuel) != nil {
		r.how, r.used = e.verdict(m, err), e.used(m)
	}
	return r
}

// scratch is a memory that is used again and again, by one instance at a time: making one costs more than many guests.
var scratch = &reused{}

type reused struct{ b []byte }

func (r *reused) Allocate(_, _ uint64) experimental.LinearMemory { return r }

func (r *reused) Reallocate(size uint64) []byte {
	switch {
	case size > 256<<20:
		return nil
	case size > uint64(cap(r.b)):
		b := make([]byte, size, max(size, 2*uint64(cap(r.b)), 64<<20))
		copy(b, r.b)
		r.b = b
	}
	r.b = r.b[:size]
	return r.b
}

func (r *reused) Free() {
	clear(r.b)
	r.b = r.b[:0]
}

func wasi(tb testing.TB, interpreted bool) *engine {
	tb.Helper()
	e := newEngine(tb, interpreted)
	wasi_snapshot_preview1.MustInstantiate(context.Background(), e)
	return e
}

func (e *engine) compile(tb testing.TB, module []byte) wazero.CompiledModule {
	tb.Helper()
	c, err := e.CompileModule(context.Background(), module)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// Guests print and end the same metered as plain, and use the same with the compiler and the interpreter.
func TestGuests(t *testing.T) {
	guests := tiny()
	if !testing.Short() && !raceDetector {
		guests = append(guests, examples()...)
		guests = append(guests,
			guest{"handler.c", func(tb testing.TB) []byte { return built(tb, "c", "handler.c") }},
			guest{"handler.rs", func(tb testing.TB) []byte { return built(tb, "rust", "handler.rs") }})
	}
	event := `{"b":1.5,"a":[2,"x"],"c":"` + strings.Repeat("long ", 500) + `"}`
	compiled, interpreted := wasi(t, false), wasi(t, true)
	for _, g := range guests {
		t.Run(g.name, func(t *testing.T) {
			module := g.make(t)
			plain := compiled.compile(t, module)
			defer plain.Close(context.Background())
			want := compiled.command(t, plain, event)
			for _, o := range []meter.Options{{}, {Stack: meter.DefaultStack}} {
				out := rewrite(t, module, o)
				var used int64
				for _, e := range []*engine{compiled, interpreted} {
					c := e.compile(t, out)
					got := e.command(t, c, event)
					c.Close(context.Background())
					if got.out != want.out || got.log != want.log || got.how != want.how {
						t.Errorf("%+v, plain %+v", got, want)
					}
					if used != 0 && got.used != used {
						t.Errorf("the compiler uses %d, the interpreter %d", used, got.used)
					}
					used = got.used
				}
			}
		})
	}
}

// A guest that never returns is stopped where its budget ends, to the unit; and by a host that does not want to go on.
func TestSpin(t *testing.T) {
	e := wasi(t, false)
	c := e.compile(t, rewrite(t, Spin(), meter.Options{}))
	e.budget, e.slice = 10e6+7, 3e6
	r := e.command(t, c, "")
	if r.how != "out of fuel" || r.used != 10e6+8 || e.pauses != 5 {
		t.Errorf("%+v after %d pauses", r, e.pauses)
	}
}

// Pauses come often enough to stop a guest within milliseconds, whatever it does.
func TestPauses(t *testing.T) {
	e := wasi(t, false)
	e.slice, e.budget = 2e6, 400e6
	fill := Join(Const(0), Const(0), Const(1<<16), Op(0xfc, 11, 0))
	for name, code := range map[string][]byte{
		"nothing":  Loop(Op(0x0c, 0)),
		"divides":  Loop(Const(7), Const(3), Op(0x6d), Drop(), Op(0x0c, 0)),
		"fills":    Loop(fill, Op(0x0c, 0)),
		"grows":    Loop(Const(0), Op(0x40, 0), Drop(), Op(0x0c, 0)),
		"hosts":    Loop(Const(16), Const(0), Call(RandomGet), Drop(), Op(0x0c, 0)),
		"branches": Loop(Const(1), Op(0x0e, 0, 1), Op(0x0b, 0x03, 0x40)),
	} {
		if name == "branches" {
			code = Join(Op(0x03, 0x40), Const(5), Op(0x0e, 2, 0, 0, 0), Op(0x0b))
		}
		c := e.compile(t, rewrite(t, Command(2, code), meter.Options{}))
		e.pauses = 0
		began := time.Now()
		r := e.command(t, c, "")
		each := time.Since(began) / time.Duration(e.pauses)
		if r.how != "out of fuel" {
			t.Errorf("%s: %+v", name, r)
		}
		t.Logf("%-10s %v between pauses", name, each)
		if each > 50*time.Millisecond && !raceDetector {
			t.Errorf("%s: %v between pauses", name, each)
		}
	}
}

// Endless recursion is a stack overflow, and takes little memory of the host.
func TestRecursion(t *testing.T) {
	e := wasi(t, false)
	e.budget = 1 << 50
	direct := Command(1, Call(Start), Op(0x00))
	indirect := CommandParts(1, Const(0), Op(0x11, 0, 0), Op(0x00))
	indirect.Tables = [][]byte{{0x70, 0, 1}}
	indirect.Elements = [][]byte{Join([]byte{0}, Const(0), []byte{0x0b}, Vector(U(Start)))}
	for name, module := range map[string][]byte{"direct": direct, "indirect": indirect.Bytes(), "wide": wide(), "late": late()} {
		c := e.compile(t, rewrite(t, module, meter.Options{Stack: meter.DefaultStack}))
		before := allocated()
		r := e.command(t, c, "")
		took := allocated() - before
		t.Logf("%-8s %q, took %d KiB", name, r.how, took>>10)
		if r.how != "stack overflow" || took > 100<<20 {
			t.Errorf("%s: %+v, took %d MiB", name, r, took>>20)
		}
	}
	e.command(t, e.compile(t, rewrite(t, Echo(), meter.Options{Stack: 1 << 10})), "no recursion")
}

// allocated is all that was ever allocated, in bytes.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// wide recurses with many values under the call.
func wide() []byte {
	var code []byte
	for range 2000 {
		code = append(code, Join(Const(0), Op(0x28, 2, 0))...)
	}
	code = append(code, Call(Start)...)
	for range 2000 {
		code = append(code, Join(Const(0), Op(0x6a), Drop())...)
	}
	return Command(1, code)
}

// late recurses through 60 loops within each other that all change 40 locals.
func late() []byte {
	p := CommandParts(1)
	var code []byte
	for range 60 {
		code = append(code, Join(Op(0x03, 0x40), Call(Start))...)
	}
	for l := range byte(40) {
		code = append(code, Join(Op(0x20, l), Const(1), Op(0x6a), Op(0x21, l))...)
	}
	for range 60 {
		code = append(code, Join(Op(0x20, 0), Op(0x0d, 0), Op(0x0b))...)
	}
	b := Join([]byte{1, 40, I32}, code, []byte{0x0b})
	p.Code = [][]byte{Join(U(uint64(len(b))), b)}
	return p.Bytes()
}

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
		{"an else", "else", code(0x05)},
		{"a branch", "branches out", code(0x0c, 1)},
		{"code after the end", "after the end", code(0x0b)},
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
	for _, o := range []meter.Options{{}, {Stack: 1 << 20}} {
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
