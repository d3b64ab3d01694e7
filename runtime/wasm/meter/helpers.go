package meter

// Types of values.
const (
	i32 = 0x7f
	i64 = 0x7e
)

// noType is what is behind a block that takes and gives nothing.
const noType = 0x40

func (t signature) key() string { return string(t.params) + "/" + string(t.results) }

// typeOf is the index of a function type, which is added if the module does not have it.
func (w *rewriter) typeOf(params, results []byte) uint32 {
	k := signature{params, results}.key()
	if t := w.known[k]; t != 0 {
		return t - 1
	}
	t := uint32(len(w.types) + len(w.added))
	w.added = append(w.added, appendBytes(appendBytes([]byte{0x60}, params), results))
	w.known[k] = t + 1
	return t
}

// add adds a function and gives its index.
func (w *rewriter) add(name string, params, results, body []byte) uint32 {
	return w.addTyped(name, w.typeOf(params, results), body)
}

func (w *rewriter) addTyped(name string, typ uint32, body []byte) uint32 {
	w.helpers = append(w.helpers, helper{typ, body, name})
	return uint32(len(w.functions) + len(w.helpers)) // and one import
}

// pauseBody asks the host for more until the counter is not below zero, and traps when the host gives nothing.
func (w *rewriter) pauseBody() []byte {
	b := []byte{0}
	b = w.appendFuel(b, opGlobalGet)
	b = w.appendFuel(b, opGlobalGet)
	b = appendU(append(b, opCall), w.more())
	b = append(b, opI64Add)
	b = w.appendFuel(b, opGlobalSet)
	b = w.appendFuel(b, opGlobalGet)
	return append(b, opI64Const, 0, opI64LtS, opIf, noType, opUnreachable, opEnd, opEnd)
}

func (w *rewriter) appendFuel(b []byte, op byte) []byte { return appendU(append(b, op), w.fuel) }

// appendCharge charges n, and looks at the counter if it is to be checked.
func (w *rewriter) appendCharge(b []byte, n uint64, check bool) []byte {
	if n > 0 {
		b = w.appendFuel(b, opGlobalGet)
		b = appendS(append(b, opI64Const), int64(n))
		b = w.appendFuel(append(b, opI64Sub), opGlobalSet)
		w.info.Charges++
	}
	if check {
		b = w.appendCheck(b)
	}
	return b
}

func (w *rewriter) appendCheck(b []byte) []byte {
	b = w.appendFuel(b, opGlobalGet)
	b = append(b, opI64Const, 0, opI64LtS, opIf, noType, opCall)
	w.info.Checks++
	return append(appendU(b, w.pause), opEnd)
}

// bulkKinds of instructions charge by their length, which is what was pushed last.
const (
	inBytes = iota
	inEntries
)

// byLength is the function (i32) -> i32 that charges by what it is given, and gives it back.
func (w *rewriter) byLength(kind int) uint32 {
	if w.bulk[kind] != 0 {
		return w.bulk[kind]
	}
	b := w.appendFuel([]byte{0}, opGlobalGet)
	b = append(b, opLocalGet, 0, opI64ExtendU)
	if kind == inBytes {
		b = append(b, opI64Const, 3, opI64ShrU) // bytesPerUnit
	}
	b = w.appendFuel(append(b, opI64Sub), opGlobalSet)
	b = append(w.appendCheck(b), opLocalGet, 0, opEnd)
	w.bulk[kind] = w.add("deed:bulk", []byte{i32}, []byte{i32}, b)
	return w.bulk[kind]
}

// growing is the function that stands for memory.grow, or for table.grow of that table, and charges by what was given.
func (w *rewriter) growing(table int) uint32 {
	if f, ok := w.grows[uint32(table+1)]; ok {
		return f
	}
	params, each := []byte{i32}, int64(costPage)
	grow := []byte{opLocalGet, 0, opMemoryGrow, 0}
	if table >= 0 {
		params, each = []byte{w.tables[table], i32}, costEntry
		grow = appendU([]byte{opLocalGet, 0, opLocalGet, 1, 0xfc, 15}, table)
	}
	n := byte(len(params) - 1)
	b := append([]byte{1, 1, i32}, grow...)
	b = append(b, opLocalSet, n+1)
	b = w.appendFuel(b, opGlobalGet)
	b = appendS(append(b, opLocalGet, n, opI64ExtendU, opI64Const), each)
	b = append(b, opI64Mul, opLocalGet, n+1, opI32Const, 0x7f, opI32Ne, opI64ExtendU, opI64Mul, opI64Sub)
	b = w.appendCheck(w.appendFuel(b, opGlobalSet))
	b = append(b, opLocalGet, n+1, opEnd)
	if w.grows == nil {
		w.grows = map[uint32]uint32{}
	}
	f := w.add("deed:grow", params, []byte{i32}, b)
	w.grows[uint32(table+1)] = f
	return f
}
