package wasm

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"deed/domain"
	. "deed/runtime/wasm/wasmtest"
)

// soak asks for what takes minutes, and a quiet machine.
var soak = flag.Bool("soak", false, "run the tests of adversaries and of many attempts at full length, and hold them to the strict figures")

// adversary is a module that would harm its host, and what becomes of it.
type adversary struct {
	name   string
	module func() []byte

	refused string             // of a deploy: what its error says
	kind    domain.FailureKind // of an attempt, of one that is deployed, or would have been before a limit was lowered
	words   string             // what its error says
	change  func(*Attempt)
	look    func(Outcome) error // what else must be true
	deploys bool                // it is the deploy that costs
}

// parted is a command with one page of memory that is changed before it is assembled.
func parted(change func(*Parts)) func() []byte {
	return func() []byte {
		p := CommandParts(1)
		change(&p)
		return p.Bytes()
	}
}

// functionOf is a command with a body of that many bytes, size and all.
func functionOf(bytes int) []byte {
	return parted(func(p *Parts) { p.Code[0] = Body(slices.Repeat([]byte{1}, bytes-2)) })()
}

// withLocals is a command whose function has that many locals, and uses the last.
func withLocals(n uint64) []byte {
	return parted(func(p *Parts) {
		b := Join(U(1), U(n), []byte{I32}, []byte{0x20}, U(n-1), Drop(), []byte{0x0b})
		p.Code[0] = Join(U(uint64(len(b))), b)
	})()
}

// eater grows its memory page by page, fills each, and traps when it is refused one.
func eater() []byte {
	address := Join(Op(0x3f, 0), Const(1), Op(0x6b), Const(16), Op(0x74))
	return Command(1, Loop(Const(1), Op(0x40, 0), Const(-1), Op(0x46), Op(0x0d, 1), address, Const(1), Const(1<<16), Op(0xfc, 11, 0), Op(0x0c, 0)), Op(0))
}

// tabled is a command that grows a table of at most that many entries by one million, and says whether it could.
func tabled(limits ...[]byte) func() []byte {
	return parted(func(p *Parts) {
		p.Tables = [][]byte{Join([]byte{0x70}, Join(limits...))}
		p.Code[0] = Body(Op(0xd0, 0x70), Const(1_000_000), Op(0xfc, 15, 0), Const(-1), Op(0x46), Call(ProcExit))
	})
}

// wideRecursion calls itself with 1,000 values on its stack, which the compiler must keep for it.
func wideRecursion() []byte {
	return Command(1, slices.Repeat(Load(0), 1000), Call(Start), slices.Repeat(Drop(), 1000))
}

func functions(n int) []byte {
	return parted(func(p *Parts) {
		p.Functions = slices.Repeat(p.Functions, n)
		p.Code = slices.Repeat(p.Code, n)
	})()
}

// adversaries are those of the tests here. Attempts have the limits of limits().
func adversaries() []adversary {
	brief := func(a *Attempt) { a.Limits.Timeout = domain.MinTimeout }
	wide := func(a *Attempt) { a.Limits.MaxOutput = domain.MaxPayload }
	trapping := func(p *Parts) { p.Code[0], p.Start = Body(Op(0)), U(Start) }
	elements := func(at int32) func(*Parts) {
		return func(p *Parts) {
			p.Tables = [][]byte{{0x70, 0, 10}}
			p.Elements = [][]byte{Join([]byte{0}, Const(at), []byte{0x0b}, Vector(U(Start)))}
		}
	}
	return []adversary{
		{name: "spin", module: Spin, kind: domain.FailedTimeout, words: "did not end within its time limit of 100ms", change: brief},
		{name: "spin on fuel", module: Spin, kind: domain.FailedTimeout, words: "units of fuel: its limit is 10000000", change: func(a *Attempt) { a.Limits.Fuel = 10_000_000 }},
		{name: "sleep", module: func() []byte { return Sleep(int64(time.Hour)) }, kind: domain.FailedTimeout, words: "time limit of 100ms", change: brief},
		{name: "memory bomb", module: eater, kind: domain.FailedMemory, words: "asked for 65600 KiB of memory, when its limit is 64 MiB"},
		{name: "table bomb", module: tabled([]byte{0}, U(1)), refused: "grows tables and has a table without a maximum: declare one, of at most 1048576 entries"},
		{name: "bounded table bomb", module: tabled([]byte{1}, U(1), U(1<<30)), refused: "grows tables to 1073741824 entries: at most 1048576 are allowed"},
		{name: "table at the start", module: tabled([]byte{1}, U(1<<30), U(1<<30)), refused: "has tables of 1073741824 entries: at most 131072 are allowed"},
		{name: "table within the limit", module: tabled([]byte{1}, U(1), U(1<<20))},
		{name: "recursion", module: Recurse, kind: domain.FailedTrap, words: "stack overflow: its functions called one another deeper than 8 MiB allow"},
		{name: "wide recursion", module: wideRecursion, kind: domain.FailedTrap, words: "stack overflow: its functions called one another deeper than 8 MiB allow"},
		{name: "100 MiB of output", module: func() []byte { return Flood(1, 25_600) }, kind: domain.FailedOutputTooLarge, words: "printed 6148 KiB, or more: its limit is 6 MiB", change: wide},
		{name: "100 MiB of log", module: func() []byte { return Flood(2, 25_600) }, look: func(o Outcome) error {
			if _, end, _ := strings.Cut(string(o.Log), "\n"); !o.LogTruncated || len(o.Log) > MaxLog || !strings.HasPrefix(end, "[log cut at 16 KiB: 104854") {
				return fmt.Errorf("a log of %d bytes, which ends in %q", len(o.Log), end)
			}
			return nil
		}},
		{name: "trap in start", module: parted(trapping), refused: "cannot be instantiated: trapped: unreachable", kind: domain.FailedTrap, words: "unreachable"},
		{name: "data out of bounds", module: parted(func(p *Parts) { p.Data = [][]byte{Data(1<<16-1, "ab")} }), refused: "cannot be instantiated", kind: domain.FailedBadModule, words: "out of bounds"},
		{name: "elements out of bounds", module: parted(elements(10)), refused: "puts 1 entries at 10 into a table of 10"},
		{name: "elements within bounds", module: parted(elements(9))},
		{name: "exit with the engine's code of a cancel", module: func() []byte { return Exit(0xffffffff) }, kind: domain.FailedExit, words: "exited with code 4294967295"},
		{name: "exit with the engine's code of a timeout", module: func() []byte { return Exit(0xefffffff) }, kind: domain.FailedExit, words: "exited with code 4026531839"},
		{name: "unknown import", module: parted(func(p *Parts) { p.Imports = append(p.Imports, Import("env", "system", 0)) }), refused: "imports env.system, which Deed does not offer"},
		{name: "4 GiB at the start", module: func() []byte { return Command(1 << 16) }, refused: "needs 4 GiB of memory to start, and its limit is 64 MiB", kind: domain.FailedBadModule, words: "needs 4 GiB of memory to start, and its limit is 64 MiB"},
		{name: "4 GiB at the start, allowed", module: func() []byte { return Command(1 << 16) }, change: func(a *Attempt) { a.Limits.Memory = domain.MaxMemory }},
		{name: "50,000 functions", module: func() []byte { return functions(50_000) }, deploys: true},
		{name: "100,001 functions", module: func() []byte { return functions(100_001) }, refused: "has 100001 functions: at most 100000 are allowed"},
		{name: "a function of 1 MiB", module: func() []byte { return functionOf(maxBody) }, deploys: true},
		{name: "a function of 10 MB", module: func() []byte { return functionOf(10_000_000) }, refused: "has 10000000 bytes in one function: at most 1048576 are allowed"},
		{name: "50,000 locals", module: func() []byte { return withLocals(50_000) }, deploys: true},
		{name: "50,001 locals", module: func() []byte { return withLocals(50_001) }, refused: "has 50001 locals in one function, or more: at most 50000 are allowed"},
		{name: "truncated", module: func() []byte { return Echo()[:len(Echo())-1] }, refused: "but only"},
	}
}

// attempt is one with the adversary's limits.
func (a adversary) attempt() Attempt {
	t := attempt("the event")
	if a.change != nil {
		a.change(&t)
	}
	return t
}

// TestAdversaries deploys and runs each, and holds the outcome against the one that is foretold, and what the process has
// afterwards against what it had.
func TestAdversaries(t *testing.T) {
	h := open(t)
	for _, a := range adversaries() {
		t.Run(a.name, func(t *testing.T) {
			if a.deploys && raceDetector {
				t.Skip("compiling takes ten times longer under the race detector")
			}
			before := holdings(h)
			resetPeak(t)
			began := time.Now()
			err := h.Check(t.Context(), a.module(), nil, a.attempt().Limits)
			deploy := time.Since(began)
			if bad := (*BadModuleError)(nil); a.refused == "" && err != nil || a.refused != "" && (!errors.As(err, &bad) || !strings.Contains(err.Error(), a.refused)) {
				t.Errorf("deployed: %v, want %q", err, a.refused)
			}
			if a.refused == "" || a.kind != "" {
				for range 3 {
					a.run(t, h)
				}
			}
			peak := peakResident(t)
			forget(h, a.module())
			after := settled(h, before)
			t.Logf("deploy %s; resident %d MiB, at the peak %d, afterwards %d", deploy.Round(time.Millisecond), before.resident>>20, peak>>20, after.resident>>20)
			if !raceDetector && after.resident > before.resident+holdingsTolerance { // which has memory of its own for each byte
				t.Errorf("resident %d MiB, before %d: %d more are allowed", after.resident>>20, before.resident>>20, holdingsTolerance>>20)
			}
			if after.slabs > max(before.slabs, keptSlabs) || after.slabs > before.slabs+1 || after.goroutines > before.goroutines || after.modules != before.modules || after.busy != 0 {
				t.Errorf("holds %+v, before %+v", after, before)
			}
		})
	}
}

// run is one attempt of a module that may have been refused.
func (a adversary) run(tb testing.TB, h *Host) {
	tb.Helper()
	o := load(tb, h, a.module()).Run(context.Background(), a.attempt())
	if o.Kind != a.kind || !strings.Contains(o.Error, a.words) {
		tb.Errorf("ended in %q: %q, want %q: %q", o.Kind, o.Error, a.kind, a.words)
	}
	if a.look != nil {
		if err := a.look(o); err != nil {
			tb.Error(err)
		}
	}
	if limit := a.attempt().Limits.Memory; o.PeakMemory > limit {
		tb.Errorf("had %d bytes of memory, and its limit is %d", o.PeakMemory, limit)
	}
}

// forget throws away what a host has of a module; nothing of it may run.
func forget(h *Host, module []byte) {
	digest := sha256.Sum256(module)
	if m, ok := h.Loaded(digest); ok {
		h.mu.Lock()
		delete(h.resident.modules, digest)
		h.resident.bytes -= m.footprint
		h.mu.Unlock()
		m.remains.free()
	}
}
