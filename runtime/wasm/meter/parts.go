package meter

// part is how much memory an instruction copies or fills before the host gets in: with memory that the kernel has yet to
// make, some 0.3 ms. The whole of a memory takes a second.
const part = 1 << 20

// inParts is the function that stands for memory.copy or memory.fill. It charges for the whole length, and does what is
// longer than a part in parts, with a pause behind each. What is out of bounds is left to one instruction, which traps before
// it writes anything; and parts that overlap are copied in the order that reads each byte before it is written.
func (w *rewriter) inParts(op uint16) uint32 {
	if f, ok := w.parted[op]; ok {
		return f
	}
	const to, from, length = 0, 1, 2 // from is the value of what fills
	whole := []byte{opLocalGet, to, opLocalGet, from, opLocalGet, length, 0xfc, byte(op), 0}
	if op == opMemoryCopy {
		whole = append(whole, 0)
	}
	b := appendU([]byte{0, opLocalGet, length, opCall}, w.byLength(inBytes))
	b = append(b, opDrop, opBlock, noType)
	b = append(appendS(append(b, opLocalGet, length, opI32Const), part), opI32LeU, opBrIf, 0)
	b = appendOutside(b, to, length)
	if op == opMemoryCopy {
		b = appendOutside(b, from, length)
		b = append(b, opLocalGet, from, opLocalGet, to, opI32LtU, opIf, noType)
		b = w.appendBackwards(b, to, from, length)
		b = append(b, opBr, 1, opEnd)
	}
	b = append(b, opLoop, noType, opLocalGet, to, opLocalGet, from)
	b = append(appendS(append(b, opI32Const), part), whole[6:]...)
	b = appendPart(b, to, opI32Add)
	if op == opMemoryCopy {
		b = appendPart(b, from, opI32Add)
	}
	b = appendPart(b, length, opI32Sub)
	b = w.appendNext(b, length)
	b = append(append(append(b, opEnd), whole...), opEnd)
	if w.parted == nil {
		w.parted = map[uint16]uint32{}
	}
	name := "deed:copy"
	if op == opMemoryFill {
		name = "deed:fill"
	}
	w.parted[op] = w.add(name, []byte{i32, i32, i32}, nil, b)
	return w.parted[op]
}

// appendOutside leaves the block if what begins at an address does not lie in memory.
func appendOutside(b []byte, at, length byte) []byte {
	b = append(b, opLocalGet, at, opI64ExtendU, opLocalGet, length, opI64ExtendU, opI64Add)
	return append(b, opMemorySize, 0, opI64ExtendU, opI64Const, 16, opI64Shl, opI64GtU, opBrIf, 0)
}

// appendBackwards copies parts from the end on, until one is left.
func (w *rewriter) appendBackwards(b []byte, to, from, length byte) []byte {
	b = appendPart(append(b, opLoop, noType), length, opI32Sub)
	b = append(b, opLocalGet, to, opLocalGet, length, opI32Add, opLocalGet, from, opLocalGet, length, opI32Add)
	b = append(appendS(append(b, opI32Const), part), 0xfc, byte(opMemoryCopy&0xff), 0, 0)
	return w.appendNext(b, length)
}

// appendNext pauses and begins the loop again if there is more than a part left, or ends it.
func (w *rewriter) appendNext(b []byte, length byte) []byte {
	b = appendU(append(b, opCall), w.pause)
	b = appendS(append(b, opLocalGet, length, opI32Const), part)
	return append(b, opI32GtU, opBrIf, 0, opEnd)
}

// appendPart adds a part to a local, or takes it off.
func appendPart(b []byte, local, op byte) []byte {
	b = appendS(append(b, opLocalGet, local, opI32Const), part)
	return append(b, op, opLocalSet, local)
}
