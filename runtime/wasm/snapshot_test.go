package wasm

import (
	"context"
	"crypto/sha256"
	"strings"
	"sync"
	"testing"
	"time"

	"deed/domain"
	. "deed/runtime/wasm/wasmtest"
)

// initialises is a reactor that prints memory 512 to 640 after what initialisation put there.
func initialises(initialize ...[]byte) Parts {
	return ReactorParts(2, Join(initialize...), Join(Write(1, 512, 128), Op(0x45), Op(0x45)))
}

func dropped(code ...[]byte) []byte { return Join(Join(code...), Drop()) }

// inputs is an initialisation that uses everything a snapshot allows: chance, both clocks, a mutable global, growth.
func inputs() Parts {
	p := initialises(
		dropped(Const(512), Const(16), Call(RandomGet)),
		dropped(Const(0), Op(0x42, 0), Const(528), Call(ClockTimeGet)), dropped(Const(1), Op(0x42, 0), Const(536), Call(ClockTimeGet)),
		Const(77), Op(0x24, 0),
		dropped(Const(3), Op(0x40, 0)),
		Store(4<<16, Const(99)))
	p.Code[0] = Body(
		dropped(Const(544), Const(16), Call(RandomGet)),
		dropped(Const(0), Op(0x42, 0), Const(560), Call(ClockTimeGet)), dropped(Const(1), Op(0x42, 0), Const(568), Call(ClockTimeGet)),
		Store(576, Op(0x23, 0)), Store(580, Load(4<<16)), Store(584, Op(0x3f, 0)),
		Write(1, 512, 128))
	p.Globals = [][]byte{
		Join([]byte{I32, 1}, Const(0), []byte{0x0b}),
		Join([]byte{I64, 1, 0x42}, S(-5), []byte{0x0b}),
	}
	p.Data = [][]byte{Data(600, "data")}
	return p
}

// kept says how many snapshots a module has, and of how many tries.
func kept(m *Module) (good, tried int) {
	for _, s := range m.snapshots.made {
		if s != nil {
			good++
		}
	}
	return good, len(m.snapshots.made)
}

// TestSnapshot holds attempts over a snapshot against those of the same module that may not have one.
func TestSnapshot(t *testing.T) {
	h := open(t)
	plain := inputs()
	plain.Exports = append(plain.Exports, Export(globalPrefix, Run)) // so it may not be snapshot
	with, without := load(t, h, inputs().Bytes()), load(t, h, plain.Bytes())
	results := map[string]bool{}
	for i := range 6 {
		a := attempt("")
		a.Seed[0], a.Start = byte(i/2), a.Start.Add(time.Duration(i/2)*time.Hour)
		a.Env = [][2]string{{"DEED_ATTEMPT", string(rune('1' + i))}, {"LEVEL", "debug"}}
		one, other := with.Run(context.Background(), a), without.Run(context.Background(), a)
		if one.Kind != "" || string(one.Result) != string(other.Result) || one.Fuel != other.Fuel || one.Fuel == 0 || one.PeakMemory != other.PeakMemory || one.PeakMemory != 5<<16 {
			t.Fatalf("attempt %d: with %+v\nwithout %+v", i, one, other)
		}
		results[string(one.Result)] = true
		if first := string(one.Result[:16]); first == strings.Repeat("\x00", 16) {
			t.Error("no random bytes")
		}
	}
	if len(results) != 3 {
		t.Errorf("%d results of three seeds", len(results))
	}
	if good, tried := kept(with); good != 1 || tried != 1 {
		t.Errorf("%d snapshots of %d tries", good, tried)
	}
	if good, tried := kept(without); good != 0 || tried != 0 {
		t.Errorf("%d snapshots of %d tries where there may be none", good, tried)
	}
}

// Other arguments, another environment and another memory limit each have a snapshot of their own.
func TestSnapshotKeys(t *testing.T) {
	m := load(t, open(t), inputs().Bytes())
	base := attempt("")
	base.Env = [][2]string{{"A", "1"}, {"B", "2"}}
	for i, change := range []func(*Attempt){
		func(*Attempt) {},
		func(a *Attempt) { a.Args = []string{"g"} },
		func(a *Attempt) { a.Env = [][2]string{{"A", "1"}, {"B", "3"}} },
		func(a *Attempt) { a.Env = [][2]string{{"A", "12"}, {"B", ""}} },
		func(a *Attempt) { a.Env = [][2]string{{"B", "2"}, {"A", "1"}} },
		func(a *Attempt) { a.Limits.Memory = 32 << 20 },
	} {
		a := base
		change(&a)
		for range 2 {
			if o := m.Run(context.Background(), a); o.Kind != "" {
				t.Fatalf("%+v", o)
			}
		}
		if good, tried := kept(m); good != i+1 || tried != i+1 {
			t.Errorf("change %d: %d snapshots of %d tries", i, good, tried)
		}
	}
	for i := range 2 * snapshotsEach {
		a := base
		a.Args = []string{strings.Repeat("x", i)}
		m.Run(context.Background(), a)
	}
	if _, tried := kept(m); tried != snapshotsEach {
		t.Errorf("%d tries, at most %d are allowed", tried, snapshotsEach)
	}
}

// What a snapshot would lose keeps it from being made, and the attempt does what it did without.
func TestNoSnapshot(t *testing.T) {
	h := open(t)
	change := func(p Parts, f func(*Parts)) Parts { f(&p); return p }
	table := func(p *Parts) { p.Tables = [][]byte{{0x70, 1, 1, 2}} }
	const event = "the event, which an initialisation may read"
	for _, c := range []struct {
		name   string
		parts  Parts
		kind   domain.FailureKind
		result string // its beginning
		tried  int
	}{
		{"output", initialises(dropped(Write(1, 520, 1))), "", "\x00", 1},
		{"log", initialises(dropped(Write(2, 520, 1))), "", "\x00", 1},
		{"event", initialises(Store(0, Const(512)), Store(4, Const(128)), dropped(Const(0), Const(0), Const(1), Const(8), Call(FdRead))), "", event, 1},
		{"context", initialises(Const(512), Call(ContextRead)), "", `{"request_id":"r1"`, 1},
		{"context's size", initialises(Store(512, Call(ContextSize))), "", "", 1},
		{"sleep", initialises(dropped(Const(64), Const(128), Const(1), Const(8), Call(PollOneoff))), "", "", 1},
		{"trap", initialises(Op(0)), domain.FailedTrap, "", 1},
		{"exit", initialises(Const(0), Call(ProcExit)), "", "", 1},
		{"time", initialises(Loop(Op(0x0c, 0))), domain.FailedTimeout, "", 1},
		{"growth that is refused", initialises(dropped(Const(5000), Op(0x40, 0))), "", "", 1},
		{"a start function", change(initialises(Op(1)), func(p *Parts) { p.Start = U(Initialize) }), "", "", 0},
		{"table.set", change(initialises(Const(0), Op(0xd0, 0x70), Op(0x26, 0)), table), "", "", 0},
		{"table.grow", change(initialises(dropped(Op(0xd0, 0x70), Const(1), Op(0xfc, 15, 0))), table), "", "", 0},
		{"table.fill", change(initialises(Const(0), Op(0xd0, 0x70), Const(1), Op(0xfc, 17, 0)), table), "", "", 0},
		{"table.copy", change(initialises(Const(0), Const(0), Const(1), Op(0xfc, 14, 0, 0)), table), "", "", 0},
		{"elem.drop", change(initialises(Op(0xfc, 13, 0)), func(p *Parts) { table(p); p.Elements = [][]byte{Join([]byte{1, 0}, Vector(U(Run)))} }), "", "", 0},
		{"a mutable vector", change(initialises(), func(p *Parts) {
			p.Globals = [][]byte{Join([]byte{0x7b, 1, 0xfd, 12}, make([]byte, 16), []byte{0x0b})}
		}), "", "", 0},
		{"a mutable reference", change(initialises(), func(p *Parts) { p.Globals = [][]byte{{0x70, 1, 0xd0, 0x70, 0x0b}} }), "", "", 0},
		{"no initialisation", change(initialises(), func(p *Parts) { p.Exports = p.Exports[:2] }), "", "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := load(t, h, c.parts.Bytes())
			for range 2 {
				a := attempt(event)
				a.Env = told
				if c.kind == domain.FailedTimeout {
					a.Limits.Timeout = domain.MinTimeout
				}
				o := m.Run(context.Background(), a)
				if o.Kind != c.kind || !strings.HasPrefix(string(o.Result), c.result) {
					t.Errorf("%q %q, result %q", o.Kind, o.Error, o.Result)
				}
			}
			if good, tried := kept(m); good != 0 || tried != c.tried {
				t.Errorf("%d snapshots of %d tries, want %d", good, tried, c.tried)
			}
		})
	}
}

// Go and JavaScript give the same over a snapshot as without one. What they draw and which time they see at initialisation
// is the same in all attempts; after it, each attempt has its own.
func TestSnapshotOfLanguages(t *testing.T) {
	if testing.Short() {
		t.Skip("runs compilers")
	}
	for name, build := range map[string]func(testing.TB) []byte{
		"go": func(tb testing.TB) []byte { return build(tb, "./testdata/lottery", "-buildmode=c-shared") },
		"js": func(tb testing.TB) []byte {
			l := languages[len(languages)-1]
			l.name, l.script = "lottery", "runtime/wasm/testdata/lottery.js"
			return l.build(tb)
		},
	} {
		t.Run(name, func(t *testing.T) {
			if raceDetector {
				t.Skip("compiling takes ten times longer under the race detector")
			}
			h := open(t)
			m := load(t, h, build(t))
			run := func(seed byte, snapshots bool) [2]string {
				a := attempt("")
				a.Env, a.Seed[0], a.Start = told, seed, a.Start.Add(time.Duration(seed)*time.Hour)
				if m.snapshots.made = nil; !snapshots {
					m.snapshots.made = map[[sha256.Size]byte]*snapshot{snapshotKey(&a): nil}
				}
				m.Run(context.Background(), a)
				o := m.Run(context.Background(), a)
				if good, _ := kept(m); o.Kind != "" || good > 0 != snapshots {
					t.Fatalf("%+v, %d snapshots", o, good)
				}
				first, rest, _ := strings.Cut(string(o.Result), "\n")
				return [2]string{first, rest}
			}
			one, two := run(1, true), run(2, true)
			if one != run(1, false) || two != run(2, false) {
				t.Errorf("%q, without a snapshot %q", one, run(1, false))
			}
			if one[0] != two[0] || one[1] == two[1] {
				t.Errorf("%q of one attempt, %q of another", one, two)
			}
			if !strings.Contains(one[0], " 2000-01-01T00:00:00") || !strings.Contains(one[1], " 2026-01-02T04:04:05") {
				t.Errorf("%q", one)
			}
		})
	}
}

// A limit of fuel stops an attempt over a snapshot where it stops one without, also within initialisation.
func TestSnapshotFuel(t *testing.T) {
	h, slow := open(t), interpreted(t)
	plain := inputs()
	// Initialisation takes most of the fuel.
	plain.Code[1] = Body(dropped(Const(3), Op(0x40, 0)), Store(600, Const(1000)), Loop(Store(600, Join(Load(600), Const(1), Op(0x6b))), Load(600), Op(0x0d, 0), Op(0x0c, 1)))
	with, without, interpreted := load(t, h, plain.Bytes()), load(t, open(t), plain.Bytes()), load(t, slow, plain.Bytes())
	a := attempt("")
	all := with.Run(context.Background(), a).Fuel
	for _, limit := range []int64{1, all / 4, all / 2, all - 2, all - 1, all, all + 1} {
		a.Limits.Fuel = limit
		without.snapshots.made = map[[sha256.Size]byte]*snapshot{snapshotKey(&a): nil}
		one, other, third := with.Run(context.Background(), a), without.Run(context.Background(), a), interpreted.Run(context.Background(), a)
		if one.Kind != other.Kind || one.Kind != third.Kind || (one.Kind == "") != (limit >= all) || string(one.Result) != string(other.Result) {
			t.Errorf("limit %d of %d: %q %q %q, without a snapshot %q %q %q, interpreted %q %q", limit, all, one.Kind, one.Error, one.Result, other.Kind, other.Error, other.Result, third.Kind, third.Error)
		}
		if one.Kind == "" && (one.Fuel != other.Fuel || one.Fuel != third.Fuel) {
			t.Errorf("limit %d: used %d, without a snapshot %d, interpreted %d", limit, one.Fuel, other.Fuel, third.Fuel)
		}
	}
	if good, _ := kept(with); good != 1 {
		t.Error("no snapshot")
	}
}

// Attempts that come while a snapshot is made, and those over several snapshots at once, give what they give alone.
func TestSnapshotsAtOnce(t *testing.T) {
	h := open(t)
	m, alone := load(t, h, inputs().Bytes()), load(t, open(t), inputs().Bytes())
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 50 {
				a := attempt("")
				a.Seed[0], a.Args = byte(i%3), []string{strings.Repeat("x", (g+i)%4)}
				o := m.Run(context.Background(), a)
				if want := alone.Run(context.Background(), a); o.Kind != "" || o.Fuel != want.Fuel || string(o.Result) != string(want.Result) {
					t.Errorf("%+v, want %+v", o, want)
				}
			}
		})
	}
	wg.Wait()
	if good, tried := kept(m); good != 4 || tried != 4 {
		t.Errorf("%d snapshots of %d tries", good, tried)
	}
}

// A snapshot that was being made when its attempt was stopped is made by a later one.
func TestSnapshotStopped(t *testing.T) {
	m := load(t, open(t), inputs().Bytes())
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(ErrCanceled)
	if o := m.Run(ctx, attempt("")); o.Kind != domain.FailedCanceled {
		t.Errorf("%+v", o)
	}
	if _, tried := kept(m); tried != 0 {
		t.Error("a stopped try counts")
	}
	m.Run(context.Background(), attempt(""))
	if good, _ := kept(m); good != 1 {
		t.Error("no snapshot after a stopped one")
	}
}
