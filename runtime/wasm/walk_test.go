package wasm

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	. "deed/runtime/wasm/wasmtest"
)

// huge is the largest count a section can claim, in five bytes.
var huge = U(1<<32 - 1)

func TestRefused(t *testing.T) {
	h := open(t)
	with := func(change func(*Parts)) []byte {
		p := CommandParts(1)
		change(&p)
		return p.Bytes()
	}
	section := func(id byte, content ...[]byte) []byte { return Join(Header(), Section(id, Join(content...))) }
	locals := Join(U(2), U(40_000), []byte{I32}, U(40_000), []byte{I64}, []byte{0x0b})
	table := func(flag byte, limits ...[]byte) []byte { return Join([]byte{0x70, flag}, Join(limits...)) }
	grows := []byte{0xd0, 0x70, 0x41, 1, 0xfc, 15, 0, 0x1a}
	deep := func(n int) []byte {
		return Join(slices.Repeat([]byte{0x02, 0x40}, n), slices.Repeat([]byte{0x0b}, n))
	}
	branches := Join(Const(0), []byte{0x0e}, U(30_000), make([]byte, 30_001))
	for _, c := range []struct {
		name   string
		module []byte
		words  string
	}{
		{"nothing", nil, "is not WebAssembly"},
		{"text", []byte("#!/bin/sh\n"), "is not WebAssembly"},
		{"an ELF program", []byte("\x7fELF\x02\x01\x01\x00"), "is not WebAssembly"},
		{"three bytes", []byte("\x00as"), "truncated"},
		{"magic only", []byte("\x00asm\x01"), "truncated"},
		{"component", []byte("\x00asm\x0d\x00\x01\x00"), "component"},
		{"version 2", []byte("\x00asm\x02\x00\x00\x00"), "version 02 00 00 00"},
		{"too large", append(Header(), make([]byte, maxModule)...), "has 33554440 bytes: at most 32 MiB are allowed"},
		{"empty", Header(), "exports no _start"},
		{"truncated section", Join(Header(), []byte{1, 100, 1}), "only 1 bytes remain"},
		{"section without size", Join(Header(), []byte{1}), "truncated"},
		{"too long a section", Join(Header(), Section(1, []byte{0, 0})), "1 bytes too many in section 1"},
		{"endless number", Join(Header(), []byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}), "longer than 32 bits"},
		{"14 bytes of functions", section(3, huge), "has 4294967295 functions: at most 100000 are allowed"},
		{"types", section(1, huge), "has 4294967295 types: at most 20000 are allowed"},
		{"imports", section(2, huge), "has 4294967295 imports: at most 1000 are allowed"},
		{"tables", section(4, huge), "has 4294967295 tables: at most 100 are allowed"},
		{"memories", section(5, huge), "has 4294967295 memories: at most 1 are allowed"},
		{"globals", section(6, huge), "has 4294967295 globals: at most 10000 are allowed"},
		{"exports", section(7, huge), "has 4294967295 exports: at most 20000 are allowed"},
		{"element segments", section(9, huge), "has 4294967295 element segments: at most 262144 are allowed"},
		{"bodies", section(10, huge), "has 4294967295 function bodies: at most 100000 are allowed"},
		{"data segments", section(11, huge), "has 4294967295 data segments: at most 200000 are allowed"},
		{"data count", section(12, huge), "has 4294967295 data segments: at most 200000 are allowed"},
		{"functions within the limit", section(3, U(90_000)), "claims 90000 functions, but only 0 bytes remain"},
		{"parameters", section(1, U(1), []byte{0x60}, huge), "has 4294967295 parameters or results of one function: at most 1000 are allowed"},
		{"elements", section(9, U(1), []byte{0, 0x41, 0, 0x0b}, huge), "has 4294967295 entries in an element segment: at most 262144 are allowed"},
		{"body", with(func(p *Parts) { p.Code[0] = huge }), "has 4294967295 bytes in one function: at most 1048576 are allowed"},
		{"bodies without functions", section(10, U(1), U(2), []byte{0, 0x0b}), "more function bodies than its 0 functions"},
		{"data", section(11, U(1), []byte{0, 0x41, 0, 0x0b}, huge), "has 4294967295 bytes in a data segment: at most 33554432 are allowed"},
		{"names", section(0, Name("name"), []byte{1}, U(5), huge), "has 4294967295 names: at most 1000000 are allowed"},
		{"local names", section(0, Name("name"), []byte{2}, U(5), huge), "has 4294967295 functions with named locals: at most 1000000 are allowed"},
		{
			"import of env.foo", with(func(p *Parts) { p.Imports = append(p.Imports, Import("env", "foo", 0)) }),
			"imports env.foo, which Deed does not offer: only functions of wasi_snapshot_preview1",
		},
		{"unknown WASI function", with(func(p *Parts) { p.Imports = append(p.Imports, WASI("sock_open", 0)) }), "wasi_snapshot_preview1.sock_open"},
		{"import of memory", with(func(p *Parts) {
			p.Imports = append(p.Imports, Join(Name("env"), Name("mem\x1b"), []byte{2, 0, 1}))
		}), "imports env.mem?"},
		{"WASI function of another type", with(func(p *Parts) { p.Imports[0] = WASI("fd_read", 0) }), "cannot be instantiated"},
		{"no _start", with(func(p *Parts) { p.Exports = nil }), "exports no _start: build a WASI command"},
		{"_start is a memory", with(func(p *Parts) { p.Exports[0] = Join(Name("_start"), []byte{2, 0}) }), "exports no _start"},
		{"_start with parameters", with(func(p *Parts) { p.Exports[0] = Export("_start", ProcExit) }), "_start with parameters"},
		{"_start that is not there", with(func(p *Parts) { p.Exports[0] = Export("_start", 100) }), "not there"},
		{"4 GiB of memory", Command(65536), "needs 4 GiB of memory to start, and its limit is 64 MiB"},
		{"shared memory", with(func(p *Parts) { p.Memories[0] = []byte{3, 1, 1} }), "shared"},
		{"large table", with(func(p *Parts) { p.Tables = [][]byte{table(0, U(1<<20))} }), "tables of 1048576 entries: at most 131072 are allowed"},
		{"many tables", with(func(p *Parts) { p.Tables = slices.Repeat([][]byte{table(0, U(100_000))}, 2) }), "tables of 200000 entries: at most 131072 are allowed"},
		{"table that grows for ever", with(func(p *Parts) { p.Tables = [][]byte{table(0, U(1))}; p.Code[0] = Body(grows) }), "without a maximum: declare one, of at most 1048576 entries"},
		{"table that grows far", with(func(p *Parts) { p.Tables = [][]byte{table(1, U(1), U(1<<30))}; p.Code[0] = Body(grows) }), "grows tables to 1073741824 entries: at most 1048576 are allowed"},
		{"locals", with(func(p *Parts) { p.Code[0] = Join(U(uint64(len(locals))), locals) }), "has 80000 locals in one function, or more: at most 50000 are allowed"},
		{"nesting", with(func(p *Parts) { p.Code[0] = Body(deep(60_000)) }), "nests 60001 blocks in one function: at most 12000 are allowed"},
		{"nesting again and again", with(func(p *Parts) {
			p.Functions = slices.Repeat([][]byte{U(0)}, 60)
			p.Code = slices.Repeat([][]byte{Body(deep(11_900))}, 60)
		}), "steps, or more, and at most 30000000000 are allowed"},
		{"loops times locals", with(func(p *Parts) {
			body := Join(U(1), U(4000), []byte{I32}, slices.Repeat([]byte{3, 0x40}, 1000), slices.Repeat([]byte{0x0b}, 1001))
			p.Code[0] = Join(U(uint64(len(body))), body)
		}), "for its blocks and branches to compile: 4000 x 3004, and at most 4000000 are allowed"},
		{"loops times parameters", with(func(p *Parts) {
			p.Types = append(p.Types, Signature(slices.Repeat([]byte{I32}, 1000), nil))
			p.Code[0] = Body(Op(0), slices.Repeat([]byte{3, 5}, 5000), slices.Repeat([]byte{0x0b}, 5000))
		}), "for its blocks and branches to compile: 1000 x 15004, and at most 4000000 are allowed"},
		{"loops beside loops", with(func(p *Parts) { p.Code[0] = Body(slices.Repeat([]byte{3, 0x40, 0x41, 0, 0x0d, 0, 0x0b}, 42_000)) }), "steps, or more, and at most 30000000000 are allowed"},
		{"results", with(func(p *Parts) {
			p.Types = append(p.Types, Signature(nil, slices.Repeat([]byte{I32}, 1000)))
			p.Functions = append(p.Functions, U(5))
			p.Code = append(p.Code, Body(Op(0)))
			p.Code[0] = Body(slices.Repeat(Call(Start+1), 1000), Op(0))
		}), "results of calls in one function, or more: at most 262144 are allowed"},
		{"a large body", with(func(p *Parts) { p.Code[0] = Body(slices.Repeat([]byte{1}, maxBody+1)) }), "has 1048579 bytes in one function: at most 1048576 are allowed"},
		{"unknown type of a block", with(func(p *Parts) { p.Code[0] = Body(Op(2, 50, 0x0b)) }), "uses a type 50"},
		{"branch table", with(func(p *Parts) { p.Code[0] = Body(branches) }), "has 30000 targets in one branch table: at most 20000 are allowed"},
		{"unended function", with(func(p *Parts) { p.Code[0] = Join(U(2), []byte{0, 0x01}) }), "truncated"},
		{"code after the end", with(func(p *Parts) { p.Code[0] = Join(U(3), []byte{0, 0x0b, 0x0b}) }), "after the end"},
		{"exception handling", with(func(p *Parts) { p.Code[0] = Body(Op(0x06, 0x40, 0x0b)) }), "instruction 06"},
		{"threads", with(func(p *Parts) { p.Code[0] = Body(Op(0xfe, 3, 0)) }), "instruction fe"},
		{"wrong types", with(func(p *Parts) { p.Code[0] = Body(Const(1)) }), "malformed"},
		{"start function that traps", with(func(p *Parts) { p.Code[0] = Body(Op(0)); p.Start = U(Start) }), "cannot be instantiated: trapped: unreachable"},
		{"start function that exits", with(func(p *Parts) { p.Code[0] = Body(Const(1), Call(ProcExit)); p.Start = U(Start) }), "cannot be instantiated: exited"},
		{"elements outside their table", with(func(p *Parts) {
			p.Tables = [][]byte{table(0, U(3))}
			p.Elements = [][]byte{Join([]byte{0}, Const(2), []byte{0x0b}, Vector(U(Start), U(Start)))}
		}), "puts 2 entries at 2 into a table of 3"},
		{"elements far outside", with(func(p *Parts) {
			p.Tables = [][]byte{table(0, U(3))}
			p.Elements = [][]byte{Join([]byte{0}, Const(-1), []byte{0x0b}, Vector(U(Start)))}
		}), "puts 1 entries at 4294967295 into a table of 3"},
		{"elements outside by a calculation", with(func(p *Parts) {
			p.Tables = [][]byte{table(0, U(1)), table(0, U(20))}
			p.Globals = [][]byte{Join([]byte{I32, 0}, Const(7), []byte{0x0b})}
			p.Elements = [][]byte{Join([]byte{2, 1, 0x23, 0}, Const(3), Op(0x6c), Const(1), Op(0x6b, 0x0b, 0), Vector(U(Start)))}
		}), "puts 1 entries at 20 into a table of 20"},
		{"data outside memory", with(func(p *Parts) { p.Data = [][]byte{Data(1<<16, "x")} }), "cannot be instantiated"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := h.Check(context.Background(), c.module, nil, limits())
			var bad *BadModuleError
			if !errors.As(err, &bad) || !strings.Contains(err.Error(), c.words) || len(err.Error()) > 2*maxError {
				t.Errorf("%v, want %q in it", err, c.words)
			}
		})
	}
}

func TestAccepted(t *testing.T) {
	h := open(t)
	tables := CommandParts(1, []byte{0xd0, 0x70, 0x41, 1, 0xfc, 15, 0, 0x1a})
	tables.Tables = [][]byte{{0x70, 1, 1, 100}}
	full := CommandParts(1)
	full.Tables = [][]byte{{0x70, 0, 1}, {0x70, 0, 20}}
	full.Globals = [][]byte{Join([]byte{I32, 0}, Const(7), []byte{0x0b})}
	full.Elements = [][]byte{
		Join([]byte{2, 1, 0x23, 0}, Const(3), Op(0x6c), Const(2), Op(0x6b, 0x0b, 0), Vector(U(Start))), Join([]byte{0}, Const(1), []byte{0x0b}, Vector()),
	}
	vectors := CommandParts(1, Op(0xfd, 12), make([]byte, 16), Op(0xfd, 12), make([]byte, 16), Op(0xfd, 13), make([]byte, 16), Op(0xfd, 21, 3), Drop())
	for name, module := range map[string][]byte{
		"echo": Echo(), "spin": Spin(), "trap": Trap(), "exit": Exit(1), "grow": Grow(), "sleep": Sleep(1),
		"recurse": Recurse(), "flood": Flood(1, 1), "print": Print("x", 1),
		"bounded tables": tables.Bytes(), "full tables": full.Bytes(), "vectors": vectors.Bytes(),
		"custom sections": Join(Echo(), Section(0, Join(Name("x"), []byte("anything"))),
			Section(0, Join(Name("name"), []byte{0}, U(2), Name("m"), []byte{1}, U(4), U(1), U(0), Name("f")))),
	} {
		if err := h.Check(context.Background(), module, nil, limits()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
