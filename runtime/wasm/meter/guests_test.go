package meter_test

import (
	"bytes"
	"context"
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
			for _, o := range []meter.Options{{}, {Stack: meter.DefaultStack, NaN: true}} {
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
