package wasm

// Compilers have costs that grow with the square of a function's nesting and of a branch table's length: 60,000 nested
// blocks (180 KB) took 26 s, a branch table of 200,000 targets (200 KB) 12 s. Both are bounded, and so is their sum of
// squares over the module, at some 10 s.
const (
	maxDepth   = 20_000        // blocks nested in one function
	maxTargets = 20_000        // targets of one branch table
	maxEffort  = 1_500_000_000 // the sum of the squares of depths and targets
)

// body reads one function: its locals and its code, which must end where the body ends.
func (w *walker) body() {
	code := w.take(w.count("bytes in a function", maxModule, 1))
	if w.err != nil {
		return
	}
	outer := w.b
	w.b = code
	locals := 0
	for range w.count("groups of locals", maxLocals, 2) {
		n := int(w.u32())
		w.add(&locals, n, "locals in one function", maxLocals)
		w.add(&w.locals, n, "locals", maxLocalsSum)
		w.valueType()
		if w.err != nil {
			return
		}
	}
	w.code()
	w.b = outer
}

func (w *walker) code() {
	depth, deepest := 1, 1
	for depth > 0 && w.err == nil {
		switch op := w.byte(); {
		case op >= 0x02 && op <= 0x04: // block, loop, if
			w.signed()
			if depth++; depth > maxDepth {
				w.fail("nests more than %d blocks in one function", maxDepth)
			}
			deepest = max(deepest, depth)
		case op == 0x0b:
			depth--
		case op == 0x0e:
			n := w.count("targets in one branch table", maxTargets, 1)
			w.effortOf(n)
			for range n + 1 {
				w.u32()
			}
		default:
			w.instruction(op)
		}
	}
	w.effortOf(deepest)
	if w.err == nil && len(w.b) > 0 {
		w.fail("has %d bytes after the end of a function", len(w.b))
	}
}

func (w *walker) effortOf(n int) {
	if w.effort += n * n; w.effort > maxEffort {
		w.fail("nests too many blocks or has too many large branch tables to compile")
	}
}

// instruction skips what follows an instruction other than a block, an end or a branch table.
func (w *walker) instruction(op byte) {
	switch {
	case op <= 0x01, op == 0x05, op == 0x0f, op == 0x1a, op == 0x1b: // unreachable, nop, else, return, drop, select
	case op == 0x0c, op == 0x0d, op == 0x10, op >= 0x20 && op <= 0x26, op == 0xd2: // br, call, variables, tables, ref.func
		w.u32()
	case op == 0x11: // call_indirect
		w.u32()
		w.u32()
	case op == 0x1c: // select of a type
		for range w.count("types of a select", maxParams, 1) {
			w.valueType()
		}
	case op >= 0x28 && op <= 0x3e: // loads and stores
		w.memoryArgument()
	case op == 0x3f, op == 0x40: // memory.size, memory.grow
		w.u32()
	case op == 0x41, op == 0x42, op == 0xd0: // constants, ref.null
		w.signed()
	case op == 0x43:
		w.skip(4)
	case op == 0x44:
		w.skip(8)
	case op >= 0x45 && op <= 0xc4, op == 0xd1: // numbers, ref.is_null
	case op == 0xfc:
		w.bulk()
	case op == 0xfd:
		w.vector()
	default:
		if w.err == nil {
			w.fail("has an instruction %02x, which Deed does not offer", op)
		}
	}
}

func (w *walker) memoryArgument() {
	w.u32()
	w.u32()
}

func (w *walker) bulk() {
	switch sub := w.u32(); sub {
	case 0, 1, 2, 3, 4, 5, 6, 7: // saturating truncations
	case 8, 9: // memory.init, data.drop
		w.picksData = true
		w.u32()
		if sub == 8 {
			w.u32()
		}
	case 10, 12, 14: // memory.copy, table.init, table.copy
		w.u32()
		w.u32()
	case 15: // table.grow
		w.growsTables = true
		w.u32()
	case 11, 13, 16, 17: // memory.fill, elem.drop, table.size, table.fill
		w.u32()
	default:
		w.fail("has an instruction fc %02x, which Deed does not offer", sub)
	}
}

func (w *walker) vector() {
	switch sub := w.u32(); {
	case sub <= 11, sub == 92, sub == 93: // loads and stores
		w.memoryArgument()
	case sub == 12, sub == 13: // v128.const, i8x16.shuffle
		w.skip(16)
	case sub >= 21 && sub <= 34: // lanes
		w.skip(1)
	case sub >= 84 && sub <= 91: // lanes in memory
		w.memoryArgument()
		w.skip(1)
	case sub > 255:
		w.fail("has an instruction fd %02x, which Deed does not offer", sub)
	}
}
