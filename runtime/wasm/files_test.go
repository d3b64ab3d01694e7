package wasm

import (
	"bytes"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"deed/domain"
	"deed/runtime/files"
	. "deed/runtime/wasm/wasmtest" //nolint:revive // a language of its own
)

var update = flag.Bool("update", false, "rewrite the golden files; only commit a change that you understand and want")

// filed is a tree of these files.
func filed(tb testing.TB, contents map[string]string) *files.Tree {
	tb.Helper()
	var b files.Builder
	for name, content := range contents {
		if err := b.File(name, []byte(content)); err != nil {
			tb.Fatal(err)
		}
	}
	t, err := b.Tree()
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

func explored(tb testing.TB) *files.Tree {
	return filed(tb, map[string]string{"words.txt": "one\ntwo\nthree\n", "d/deep": "deeper", "empty": "", "d/e/f": "far"})
}

// TestFiles has a guest find out all it can about its files, and try to change them and to get out. What it says is the same
// for a command and for a reactor, and each time.
func TestFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("builds Go programs")
	}
	if raceDetector {
		t.Skip("compiling takes ten times longer under the race detector")
	}
	const golden = "testdata/explorer.txt"
	want, err := os.ReadFile(golden)
	if err != nil && !*update {
		t.Fatal(err)
	}
	h := open(t)
	for name, flags := range map[string][]string{"command": nil, "reactor": {"-buildmode=c-shared"}} {
		t.Run(name, func(t *testing.T) {
			target := "./testdata/explorer"
			if flags != nil {
				target += "/" // another key of what was built
			}
			module := build(t, target, flags...)
			if err := h.Check(context.Background(), module, explored(t), limits()); err != nil {
				t.Fatal(err)
			}
			m := load(t, h, module)
			var fuel []int64
			for range 3 {
				a := attempt("")
				a.Files = explored(t)
				o := m.Run(context.Background(), a)
				if *update && name == "command" {
					want = o.Result
					if err := os.WriteFile(golden, want, 0o600); err != nil {
						t.Fatal(err)
					}
				}
				if o.Kind != "" || !bytes.Equal(o.Result, want) {
					t.Fatalf("%q %q %s\nprinted\n%s\nwant\n%s", o.Kind, o.Error, o.Log, o.Result, want)
				}
				fuel = append(fuel, o.Fuel)
			}
			if fuel[0] != fuel[1] || fuel[0] != fuel[2] {
				t.Errorf("used %d of fuel", fuel)
			}
			if name != "reactor" {
				return
			}
			if good, tried := kept(m); good != 1 || tried != 1 {
				t.Errorf("%d snapshots of %d tries: it closed what it read", good, tried)
			}
			for key := range m.snapshots.made {
				m.snapshots.made[key] = nil
			}
			a := attempt("")
			a.Files = explored(t)
			if o := m.Run(context.Background(), a); !bytes.Equal(o.Result, want) || o.Fuel != fuel[0] {
				t.Errorf("without a snapshot: %d of fuel, not %d; printed\n%s", o.Fuel, fuel[0], o.Result)
			}
		})
	}
}

// readerOf is a command whose imports are replaced by others of WASI: path_open, fd_close, fd_renumber and fd_pread.
func readerOf(code ...[]byte) Parts { return reading(CommandParts(600, code...)) }

const (
	pathOpen   = PollOneoff
	fdRenumber = RandomGet
	fdClose    = ProcExit
	fdPread    = ClockTimeGet
)

func reading(p Parts) Parts {
	types := uint64(len(p.Types))
	p.Types = append(p.Types,
		Signature([]byte{I32, I32, I32, I32, I32, I64, I64, I32, I32}, []byte{I32}),
		Signature([]byte{I32}, []byte{I32}),
		Signature([]byte{I32, I32, I32, I64, I32}, []byte{I32}))
	p.Imports[pathOpen], p.Imports[fdClose], p.Imports[fdPread] = WASI("path_open", types), WASI("fd_close", types+1), WASI("fd_pread", types+2)
	p.Imports[fdRenumber] = WASI("fd_renumber", 3)
	p.Data = append(p.Data, Data(1024, "words.txt"))
	return p
}

// opens pushes the error number of opening n bytes of a path at 1024 for reading; the descriptor is at 16.
func opens(n int32) []byte {
	return Join(Const(3), Const(0), Const(1024), Const(n), Const(0), []byte{0x42}, S(2), []byte{0x42}, S(0), Const(0), Const(16), Call(pathOpen))
}

// numbers runs a command that stores numbers from 512 on and gives them.
func numbers(t *testing.T, p Parts, count int, tree *files.Tree) []uint32 {
	t.Helper()
	a := attempt("")
	a.Files = tree
	o := load(t, open(t), p.Bytes()).Run(context.Background(), a)
	if o.Kind != "" || len(o.Result) != 4*count {
		t.Fatalf("%+v", o)
	}
	out := make([]uint32, count)
	for i := range out {
		out[i] = binary.LittleEndian.Uint32(o.Result[4*i:])
	}
	return out
}

// A guest cannot have the host hold more than it may, nor renumber what it was given.
func TestFilesBounds(t *testing.T) {
	renumber := func(from, to int32) []byte { return Join(Const(from), Const(to), Call(fdRenumber)) }
	p := readerOf(
		Store(512, opens(9)),
		Store(516, Load(16)),
		Store(520, renumber(4, 1<<31-1)),
		Store(524, renumber(4, 2*maxOpen+1)),
		Store(528, renumber(4, 2*maxOpen)),
		Store(532, renumber(3, 4)),
		Store(536, renumber(2*maxOpen, 3)),
		Store(540, opens(maxPath+1)),
		Store(544, opens(1<<24)),
		Store(548, opens(maxPath)), // with NULs in it
		Write(1, 512, 40), Drop())
	if got, want := numbers(t, p, 10, explored(t)), []uint32{0, 4, 8, 8, 0, 58, 58, 37, 37, 44}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
	// Without files there is nothing to begin at.
	if got, want := numbers(t, p, 10, nil), []uint32{8, 0, 8, 8, 8, 8, 8, 37, 37, 8}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("without files: %v, want %v", got, want)
	}
	many := readerOf(
		Store(20, Const(2*maxOpen)),
		Loop(Store(512, opens(9)), Load(20), Op(0x45), Op(0x0d, 1), Store(20, Join(Load(20), Const(1), Op(0x6b))), Op(0x0c, 0)),
		Store(516, Load(16)), // the last that was opened
		Write(1, 512, 8), Drop())
	if got := numbers(t, many, 2, explored(t)); got[0] != 33 || got[1] != maxOpen+3 {
		t.Errorf("error %d after descriptor %d", got[0], got[1])
	}
}

// A guest that does nothing but read is stopped at its deadline: its reads take long and cost little fuel.
func TestFilesTimeLimit(t *testing.T) {
	p := readerOf(opens(9), Drop(), Store(24, Const(1<<20)), Store(28, Const(32<<20)),
		Loop(Load(16), Const(24), Const(1), []byte{0x42}, S(0), Const(32), Call(fdPread), Drop(), Op(0x0c, 0)))
	a := attempt("")
	a.Files, a.Limits.Timeout = filed(t, map[string]string{"words.txt": strings.Repeat("x", 32<<20)}), domain.MinTimeout
	if o := load(t, open(t), p.Bytes()).Run(context.Background(), a); o.Kind != domain.FailedTimeout || o.Duration > 20*time.Second {
		t.Errorf("%+v", o)
	}
}

// What initialisation reads of the files is in the snapshot, each tree's in its own; what it leaves open keeps it from being
// made.
func TestFilesSnapshot(t *testing.T) {
	read := Join(Store(24, Const(512)), Store(28, Const(16)), Load(16), Const(24), Const(1), []byte{0x42}, S(0), Const(32), Call(fdPread), Drop())
	shut := Join(Load(16), Call(fdClose), Drop())
	run := Join(Write(1, 512, 16), Drop(), Const(0))
	h := open(t)
	trees := []*files.Tree{explored(t), filed(t, map[string]string{"words.txt": "other"}), nil}
	for name, c := range map[string]struct {
		initialize []byte
		good       int
	}{
		"closed":       {Join(opens(9), Drop(), read, shut), 2}, // without files it reads and closes what it is given
		"open":         {Join(opens(9), Drop(), read), 0},
		"looked":       {Join(opens(4), Drop()), 3},
		"another shut": {Join(opens(9), Drop(), read, Const(3), Call(fdClose), Drop()), 0},
	} {
		t.Run(name, func(t *testing.T) {
			with := reading(ReactorParts(600, c.initialize, run))
			without := with
			without.Exports = append(slices.Clip(without.Exports), Export(globalPrefix, Run))
			m, alone := load(t, h, with.Bytes()), load(t, h, without.Bytes())
			for i, tree := range trees {
				for range 2 {
					a := attempt("")
					a.Files = tree
					o, want := m.Run(context.Background(), a), alone.Run(context.Background(), a)
					if o.Kind != "" || string(o.Result) != string(want.Result) || o.Fuel != want.Fuel {
						t.Errorf("%+v, without a snapshot %+v", o, want)
					}
					if reads := bytes.Contains(c.initialize, read); reads && i < 2 != (o.Result[0] == 'o') {
						t.Errorf("tree %d: printed %q", i, o.Result)
					}
				}
			}
			if good, tried := kept(m); good != c.good || tried != len(trees) {
				t.Errorf("%d snapshots of %d tries, want %d", good, tried, c.good)
			}
		})
	}
}
