package wasm

import "strings"

func (w *walker) functionType() {
	if form := w.byte(); w.err == nil && form != 0x60 {
		w.fail("has a type of form %#x, which Deed does not know: only functions", form)
	}
	var n [2]int
	var result byte
	for i := range n {
		n[i] = w.count("parameters or results of one function", maxParams, 1)
		if i == 1 && n[i] > 0 {
			result = w.b[0]
		}
		for range n[i] {
			w.valueType()
		}
	}
	w.types = append(w.types, signature{n[0], n[1], result})
}

// valueType reads a number, vector or plain reference type. Typed references (0x63, 0x64) and exceptions are features
// that are off.
func (w *walker) valueType() {
	switch t := w.byte(); t {
	case 0x7f, 0x7e, 0x7d, 0x7c, 0x7b, 0x70, 0x6f:
	default:
		if w.err == nil {
			w.fail("has a value type %#x, which Deed does not know", t)
		}
	}
}

func (w *walker) importEntry() {
	module, name, kind := w.name(), w.name(), w.byte()
	if w.err != nil {
		return
	}
	if kind != 0 || !w.offered(module, name) {
		w.fail("imports %s.%s, which Deed does not offer: only functions of %s and %s", printable(module), printable(name), wasiModule, deedModule)
		return
	}
	w.functions = append(w.functions, w.u32())
}

func (w *walker) export(name string, kind byte, index uint32) {
	switch {
	case kind == 0 && (name == startName || name == runName || name == initializeName):
		w.entries[name] = int(index)
	case kind == 2 && name == "memory":
		w.memoryExported = true
	}
	w.taken = w.taken || strings.HasPrefix(name, globalPrefix)
}

// limits reads a minimum and, when it has one, a maximum.
func (w *walker) limits() (least, most uint32, bounded bool) {
	switch flag := w.byte(); {
	case w.err != nil:
	case flag > 1:
		w.fail("has shared or 64-bit memory, which Deed does not offer")
	default:
		least = w.u32()
		if bounded = flag == 1; bounded {
			most = w.u32()
		}
	}
	return least, most, bounded
}

func (w *walker) table() {
	w.valueType() // also refuses 0x40, a table with an initial value: a feature that is off
	least, most, bounded := w.limits()
	w.tables = append(w.tables, least)
	w.unbounded = w.unbounded || !bounded
	w.tableMin += uint64(least)
	w.tableMax += uint64(most)
	if w.tableMin > maxTable {
		w.fail("has tables of %d entries: at most %d are allowed", w.tableMin, maxTable)
	}
}

// global reads a global; there are none that are imported.
func (w *walker) global(index uint32) {
	typ := byte(0)
	if len(w.b) > 0 {
		typ = w.b[0]
	}
	w.valueType()
	mutable := w.byte() != 0
	if mutable && typ >= typeF64 && typ <= typeI32 {
		w.mutable = append(w.mutable, index)
	} else if mutable {
		w.unkeepable = true
	}
	value := w.constant()
	value.known = value.known && !mutable
	w.globals = append(w.globals, value)
}

// constant is what a constant expression of 32-bit integers gives.
type constant struct {
	value uint32
	known bool // it is one, and valid as far as that goes
}

// constant reads a constant expression to its end.
func (w *walker) constant() constant {
	var stack [8]uint32 // no compiler needs more
	n, known := 0, true
	push := func(v uint32) {
		if known = known && n < len(stack); known {
			stack[n] = v
			n++
		}
	}
	for w.err == nil {
		switch op := w.byte(); op {
		case 0x0b:
			return constant{stack[0], known && n == 1}
		case 0x41:
			push(uint32(w.i33())) //nolint:gosec // an i32, however it is written
		case 0x42, 0xd0:
			known = false
			w.signed()
		case 0x23:
			g := w.u32()
			if known = known && int(g) < len(w.globals) && w.globals[g].known; known {
				push(w.globals[g].value)
			}
		case 0xd2:
			known = false
			w.u32()
		case 0x43:
			known = false
			w.skip(4)
		case 0x44:
			known = false
			w.skip(8)
		case 0xfd:
			known = false
			if sub := w.byte(); sub != 12 {
				w.fail("has an instruction fd %02x in a constant expression", sub)
			}
			w.skip(16)
		case 0x6a, 0x6b, 0x6c:
			if known = known && n >= 2; known {
				n--
				stack[n-1] = calculate(op, stack[n-1], stack[n])
			}
		case 0x7c, 0x7d, 0x7e: // of 64-bit integers, which are not known
		default:
			w.fail("has an instruction %02x in a constant expression", op)
		}
	}
	return constant{}
}

// calculate adds, subtracts or multiplies.
func calculate(op byte, a, b uint32) uint32 {
	switch op {
	case 0x6a:
		return a + b
	case 0x6b:
		return a - b
	}
	return a * b
}

// element reads an element segment. One that does not fit into its table is refused here: making an instance should trap
// over it, but the engine passes over it and all that follow, and the module would run with a table that lacks them.
func (w *walker) element() {
	flags := w.u32()
	if flags > 7 {
		w.fail("has an element segment of kind %d", flags)
		return
	}
	passive, explicit, expressions := flags&1 != 0, flags&2 != 0, flags&4 != 0
	var table uint32
	var offset constant
	if !passive {
		if explicit {
			table = w.u32()
		}
		offset = w.constant()
	}
	if passive || explicit {
		w.byte() // kind or type
	}
	n := w.count("entries in an element segment", maxElements, 1)
	w.add(&w.elements, n, "entries in element segments", maxElements)
	if offset.known && int(table) < len(w.tables) && uint64(offset.value)+uint64(n) > uint64(w.tables[table]) {
		w.fail("puts %d entries at %d into a table of %d", n, offset.value, w.tables[table])
	}
	for range n {
		if w.err != nil {
			return
		}
		if expressions {
			w.constant()
		} else {
			w.u32()
		}
	}
}

func (w *walker) data() {
	switch kind := w.u32(); kind {
	case 2:
		w.u32()
		w.constant()
	case 0:
		w.constant()
	case 1:
	default:
		w.fail("has a data segment of kind %d", kind)
	}
	w.skip(w.count("bytes in a data segment", maxModule, 1))
}

// nameSection reads names of functions and locals, which traps are told with; other names are skipped.
func (w *walker) nameSection() {
	for len(w.b) > 0 && w.err == nil {
		id := w.byte()
		part := w.take(w.count("bytes in a part of the name section", maxModule, 1))
		if w.err != nil {
			return
		}
		outer := w.b
		w.b = part
		switch id {
		case 0:
			w.name()
		case 1:
			w.nameMap()
		case 2:
			n := w.count("functions with named locals", maxNames, 2)
			w.add(&w.names, n, "names", maxNames)
			for range n {
				w.u32()
				w.nameMap()
			}
		default:
			w.b = nil
		}
		if w.err == nil && len(w.b) > 0 {
			w.fail("has %d bytes too many in its name section", len(w.b))
		}
		w.b = outer
	}
}

func (w *walker) nameMap() {
	n := w.count("names", maxNames, 2)
	w.add(&w.names, n, "names", maxNames)
	for range n {
		if w.err != nil {
			return
		}
		w.u32()
		w.skip(w.count("bytes in a name", maxModule, 1))
	}
}
