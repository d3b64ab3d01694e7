package wasm

// What a function may cost to compile. Compilers have costs beyond the size of a module: 17 KB with 400 loops and 4,000
// locals took 6.5 s and 250 MB, because every local may need a value of its own in every block; 555 KB with 5,000 small
// branch tables took 169 s; 57 KB of loops within loops took 6.6 s. So besides sizes, products are bounded; see cost. For
// comparison, the largest function of the Go compiler has 666 KB, 9,625 blocks and 18,426 branches, and the churn of go vet
// (14 MB) is 6 thousand million.
const (
	maxBody    = 1 << 20 // bytes of one function: 800 MB of the host at worst
	maxDepth   = 12_000  // blocks nested in one function
	maxTargets = 20_000  // targets of one branch table
	maxResults = 1 << 18 // results of all calls in one function

	maxFlow  = 4_000_000      // of one function: 600 MB of the host at worst
	maxChurn = 30_000_000_000 // of all functions: some 3 minutes at worst
)

// shape is what is counted in one function.
type shape struct {
	locals   int // with parameters
	blocks   int
	branches int
	carried  int // the most parameters and results that a block has
	results  int // of calls
}

// body reads one function: its locals and its code, which must end where the body ends.
func (w *walker) body() {
	if w.next >= len(w.functions) {
		w.fail("has more function bodies than its %d functions", len(w.functions)-w.imported)
		return
	}
	code := w.take(w.count("bytes in one function", maxBody, 1))
	params, _ := w.arity(w.functions[w.next])
	w.next++
	if w.err != nil {
		return
	}
	outer := w.b
	w.b = code
	s := shape{locals: params, blocks: 3, branches: 1} // it is a block, which metering puts another in, and a look at the fuel
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
	s.locals += locals
	w.code(&s)
	w.cost(s)
	w.b = outer
}

// cost adds what a function costs, as it is once it is metered. Flow is how many values the blocks and branches of a function may have to carry: every
// local may need one of its own in each. Churn is how many steps finding them may take: for each value a walk over the
// locals, or over the blocks before; and without values, blocks in blocks still take some.
func (w *walker) cost(s shape) {
	if w.err != nil {
		return
	}
	joints, values := s.blocks+s.branches, s.locals+s.carried
	flow := joints * values
	if flow > maxFlow {
		w.fail("has a function with too many locals for its blocks and branches to compile: %d x %d, and at most %d are allowed",
			values, joints, maxFlow)
	}
	if w.churn += 4*joints*joints + flow*max(values, joints); w.churn > maxChurn {
		w.fail("has functions with too many locals, blocks and branches to compile: %d steps, or more, and at most %d are allowed", w.churn, maxChurn)
	}
}

// arity is how many parameters and results a type has.
func (w *walker) arity(typ uint32) (params, results int) {
	if int(typ) >= len(w.types) {
		w.fail("uses a type %d that it does not have", typ)
		return 0, 0
	}
	return w.types[typ].params, w.types[typ].results
}

func (w *walker) code(s *shape) {
	depth, deepest := 1, 1
	for depth > 0 && w.err == nil {
		switch op := w.byte(); {
		case op >= 0x02 && op <= 0x04: // block, loop, if
			w.blockType(s)
			depth++
			deepest = max(deepest, depth)
			s.blocks++
			switch op {
			case 0x03: // it will look at its fuel, which is a block and a branch more
				s.blocks++
				s.branches++
			case 0x04:
				s.branches++
			}
		case op == 0x0b:
			depth--
		case op == 0x0c, op == 0x0d: // br, br_if
			s.branches++
			w.u32()
		case op == 0x0f: // return, which becomes a branch where recursion is counted
			s.branches++
		case op == 0x0e:
			n := w.count("targets in one branch table", maxTargets, 1)
			s.branches += n + 1
			for range n + 1 {
				w.u32()
			}
		case op == 0x10: // call
			if f := w.u32(); int(f) < len(w.functions) {
				w.called(s, w.functions[f])
			}
		case op == 0x11: // call_indirect
			w.called(s, w.u32())
			w.u32()
		default:
			w.instruction(op)
		}
	}
	switch {
	case w.err != nil:
	case len(w.b) > 0:
		w.fail("has %d bytes after the end of a function", len(w.b))
	case deepest > maxDepth:
		w.fail("nests %d blocks in one function: at most %d are allowed", deepest, maxDepth)
	}
}

func (w *walker) called(s *shape, typ uint32) {
	if w.err == nil {
		_, results := w.arity(typ)
		w.add(&s.results, results, "results of calls in one function", maxResults)
	}
}

// blockType reads nothing, a value type, or the index of a function type.
func (w *walker) blockType(s *shape) {
	switch n := w.i33(); {
	case n >= 0:
		params, results := w.arity(uint32(n))
		s.carried = max(s.carried, params+results)
	case n != -64:
		s.carried = max(s.carried, 1)
	}
}

// instruction skips what follows an instruction that neither branches nor calls.
func (w *walker) instruction(op byte) {
	switch {
	case op <= 0x01, op == 0x05, op == 0x1a, op == 0x1b: // unreachable, nop, else, drop, select
	case op >= 0x20 && op <= 0x26, op == 0xd2: // variables, tables, ref.func
		w.changesTables = w.changesTables || op == 0x26
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
		w.changesTables = w.changesTables || sub != 10
		w.u32()
		w.u32()
	case 15: // table.grow
		w.growsTables, w.changesTables = true, true
		w.u32()
	case 11, 13, 16, 17: // memory.fill, elem.drop, table.size, table.fill
		w.changesTables = w.changesTables || sub == 13 || sub == 17
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
