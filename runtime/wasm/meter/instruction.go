package meter

// The instructions that the rewriter looks at. Those with a prefix are the prefix and the number after it.
const (
	opUnreachable  = 0x00
	opNop          = 0x01
	opBlock        = 0x02
	opLoop         = 0x03
	opIf           = 0x04
	opElse         = 0x05
	opEnd          = 0x0b
	opBr           = 0x0c
	opBrIf         = 0x0d
	opBrTable      = 0x0e
	opReturn       = 0x0f
	opCall         = 0x10
	opCallIndirect = 0x11
	opDrop         = 0x1a
	opSelect       = 0x1b
	opSelectOf     = 0x1c
	opLocalGet     = 0x20
	opLocalSet     = 0x21
	opLocalTee     = 0x22
	opGlobalGet    = 0x23
	opGlobalSet    = 0x24
	opTableGet     = 0x25
	opTableSet     = 0x26
	opMemorySize   = 0x3f
	opMemoryGrow   = 0x40
	opI32Const     = 0x41
	opI64Const     = 0x42
	opF32Const     = 0x43
	opF64Const     = 0x44
	opI32Ne        = 0x47
	opI32LtU       = 0x49
	opI32GtU       = 0x4b
	opI32LeU       = 0x4d
	opI64LtS       = 0x53
	opI64GtU       = 0x56
	opI64GeS       = 0x59
	opI32Add       = 0x6a
	opI32Sub       = 0x6b
	opI64Add       = 0x7c
	opI64Sub       = 0x7d
	opI64Mul       = 0x7e
	opI64Or        = 0x84
	opI64Shl       = 0x86
	opI64ShrU      = 0x88
	opI64ExtendU   = 0xad // of 32 bits
	opRefNull      = 0xd0
	opRefIsNull    = 0xd1
	opRefFunc      = 0xd2

	opMemoryInit = 0xfc08
	opDataDrop   = 0xfc09
	opMemoryCopy = 0xfc0a
	opMemoryFill = 0xfc0b
	opTableInit  = 0xfc0c
	opElemDrop   = 0xfc0d
	opTableCopy  = 0xfc0e
	opTableGrow  = 0xfc0f
	opTableSize  = 0xfc10
	opTableFill  = 0xfc11
)

// instruction is one of a function: where it is in the body, and the first index, label, or type of block after it.
type instruction struct {
	op      uint16
	at, end int32
	index   uint32
}

// Types of blocks without an index: nothing, or one value.
const blockOfType = 0xffffffff

// decode reads one instruction. It knows those of WebAssembly 2.0 and refuses every other; what is after an index that
// the rewritten module has more of is held against what the module has.
func (m *module) decode(r *reader, locals int) instruction {
	in := instruction{at: int32(r.at)}
	op := uint16(r.byte())
	switch {
	case op <= opNop, op == opElse, op == opEnd, op == opReturn, op == 0x1a, op == 0x1b: // drop, select
	case op >= opBlock && op <= opIf:
		in.index = m.blockType(r)
	case op == opBr, op == opBrIf:
		in.index = r.u32()
	case op == opBrTable:
		n := r.count() + 1
		for range n {
			r.u32()
		}
	case op == opCall, op == opRefFunc:
		in.index = r.index("function", len(m.functions))
	case op == opCallIndirect:
		in.index = r.index("type", len(m.types))
		r.u32()
	case op == opSelectOf:
		r.bytes()
	case op >= opLocalGet && op <= opLocalTee:
		in.index = r.index("local", locals)
	case op == opGlobalGet, op == opGlobalSet:
		in.index = r.index("global", m.globals)
	case op == opTableGet, op == opTableSet:
		r.u32()
	case op >= 0x28 && op <= 0x3e: // loads and stores
		memoryArgument(r)
	case op == opMemorySize, op == opMemoryGrow:
		firstMemory(r)
	case op == opI32Const, op == opRefNull:
		r.signed(5)
	case op == opI64Const:
		r.signed(10)
	case op == opF32Const:
		r.take(4)
	case op == opF64Const:
		r.take(8)
	case op >= 0x45 && op <= 0xc4, op == opRefIsNull: // numbers
	case op == 0xfc:
		op, in.index = bulk(r)
	case op == 0xfd:
		op = vector(r)
	default:
		r.fail("has an instruction %02x, which is unknown", op)
	}
	in.op = op
	in.end = int32(r.at)
	return in
}

// blockType reads nothing, a value type, or the index of a function type.
func (m *module) blockType(r *reader) uint32 {
	n := r.signed(5)
	if n < 0 {
		return blockOfType
	}
	if n >= int64(len(m.types)) {
		r.fail("uses a type %d that it does not have", n)
		return 0
	}
	return uint32(n)
}

// firstMemory reads the memory of an instruction that is replaced by another.
func firstMemory(r *reader) {
	if r.byte() != 0 && r.err == nil {
		r.fail("uses a memory other than the first")
	}
}

func memoryArgument(r *reader) {
	r.u32()
	r.u32()
}

func bulk(r *reader) (op uint16, index uint32) {
	sub := r.u32()
	switch {
	case sub <= 7: // saturating truncations
	case sub == 10: // memory.copy
		firstMemory(r)
		firstMemory(r)
	case sub == 11: // memory.fill
		firstMemory(r)
	case sub == 8, sub == 12, sub == 14: // memory.init, table.init, table.copy
		index = r.u32()
		r.u32()
	case sub <= 17: // data.drop, elem.drop, table.grow, table.size, table.fill
		index = r.u32()
	default:
		r.fail("has an instruction fc %02x, which is unknown", sub)
	}
	return 0xfc00 | uint16(sub&0xff), index
}

// gaps are the numbers below 256 that no vector instruction has.
var gaps = func() (g [256]bool) {
	for _, n := range []byte{
		0x9a, 0xa2, 0xa5, 0xa6, 0xaf, 0xb0, 0xb2, 0xb3, 0xb4, 0xbb, 0xc2, 0xc5, 0xc6, 0xcf, 0xd0, 0xd2, 0xd3, 0xd4, 0xe2, 0xee,
	} {
		g[n] = true
	}
	return g
}()

func vector(r *reader) (op uint16) {
	sub := r.u32()
	switch {
	case sub <= 11, sub == 92, sub == 93: // loads and stores
		memoryArgument(r)
	case sub == 12, sub == 13: // v128.const, i8x16.shuffle
		r.take(16)
	case sub >= 21 && sub <= 34: // lanes
		r.byte()
	case sub >= 84 && sub <= 91: // lanes in memory
		memoryArgument(r)
		r.byte()
	case sub > 255 || gaps[sub]:
		r.fail("has an instruction fd %02x, which is unknown", sub)
	}
	return 0xfd00 | uint16(sub&0xff)
}
