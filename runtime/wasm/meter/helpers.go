package meter

// Types of values.
const (
	i32  = 0x7f
	i64  = 0x7e
	f32  = 0x7d
	f64  = 0x7c
	v128 = 0x7b
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

// pauseBody traps when there is no room. Then it asks the host for more until the counter is not below zero, and traps when the host gives nothing.
func (w *rewriter) pauseBody() []byte {
	b := []byte{0}
	if w.options.Stack > 0 {
		b = w.appendGlobal(b, opGlobalGet, w.room)
		b = append(b, opI64Const, 0, opI64LtS, opIf, noType, opUnreachable, opEnd)
	}
	b = w.appendGlobal(b, opGlobalGet, w.fuel)
	b = w.appendGlobal(b, opGlobalGet, w.fuel)
	b = appendU(append(b, opCall), w.more())
	b = append(b, opI64Add)
	b = w.appendGlobal(b, opGlobalSet, w.fuel)
	b = w.appendGlobal(b, opGlobalGet, w.fuel)
	return append(b, opI64Const, 0, opI64LtS, opIf, noType, opUnreachable, opEnd, opEnd)
}

func (w *rewriter) appendGlobal(b []byte, op byte, global uint32) []byte {
	return appendU(append(b, op), global)
}

// appendCharge charges n.
func (w *rewriter) appendCharge(b []byte, n uint64) []byte {
	if n > 0 {
		b = w.appendGlobal(b, opGlobalGet, w.fuel)
		b = appendS(append(b, opI64Const), int64(n))
		b = w.appendGlobal(append(b, opI64Sub), opGlobalSet, w.fuel)
		w.info.Charges++
	}
	return b
}

// appendRoom takes room or gives it back.
func (w *rewriter) appendRoom(b []byte, op byte, n int64) []byte {
	b = appendS(append(w.appendGlobal(b, opGlobalGet, w.room), opI64Const), n)
	return w.appendGlobal(append(b, op), opGlobalSet, w.room)
}

// appendCheck looks at the counter, and pauses if it is below zero.
func (w *rewriter) appendCheck(b []byte) []byte {
	return w.appendPause(w.appendGlobal(b, opGlobalGet, w.fuel))
}

// appendPause pauses if what was pushed is below zero. The pause is in the else of an empty if because the engine, where
// two ways meet, keeps in registers what the way has there that comes first in the code: with the call first, the usual
// way would have to load everything again, and loops take up to a third longer.
func (w *rewriter) appendPause(b []byte) []byte {
	w.info.Checks++
	b = append(b, opI64Const, 0, opI64GeS, opIf, noType, opElse, opCall)
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
	b := w.appendGlobal([]byte{0}, opGlobalGet, w.fuel)
	b = append(b, opLocalGet, 0, opI64ExtendU)
	if kind == inBytes {
		b = append(b, opI64Const, 3, opI64ShrU) // bytesPerUnit
	}
	b = w.appendGlobal(append(b, opI64Sub), opGlobalSet, w.fuel)
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
	b = w.appendGlobal(b, opGlobalGet, w.fuel)
	b = appendS(append(b, opLocalGet, n, opI64ExtendU, opI64Const), each)
	b = append(b, opI64Mul, opLocalGet, n+1, opI32Const, 0x7f, opI32Ne, opI64ExtendU, opI64Mul, opI64Sub)
	b = w.appendCheck(w.appendGlobal(b, opGlobalSet, w.fuel))
	b = append(b, opLocalGet, n+1, opEnd)
	if w.grows == nil {
		w.grows = map[uint32]uint32{}
	}
	f := w.add("deed:grow", params, []byte{i32}, b)
	w.grows[uint32(table+1)] = f
	return f
}
