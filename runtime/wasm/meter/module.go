package meter

import (
	"bytes"
	"unicode/utf8"
)

// signature is a function type, its parameters and results as in a module.
type signature struct{ params, results []byte }

// module is one that is taken apart as far as the rewriter needs it.
type module struct {
	sections [13][]byte // contents; nil for those that are not there
	names    []byte     // the content of the name section behind its name

	types     []signature
	functions []uint32 // types, imported ones first
	imported  int      // functions
	globals   int
	tables    []byte // types of entries, imported ones first
}

// order is where each section must be; the numbers do not say.
var order = [13]int{1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 7, 8: 8, 9: 9, 12: 10, 10: 11, 11: 12}

func parse(b []byte) (*module, error) {
	m := &module{}
	if !bytes.HasPrefix(b, []byte("\x00asm\x01\x00\x00\x00")) {
		return nil, errPreamble
	}
	r := &reader{b: b, at: 8}
	last := 0
	for r.more() {
		id := r.byte()
		content := r.bytes()
		switch {
		case r.err != nil:
		case id == 0:
			c := &reader{b: content}
			switch name := c.bytes(); {
			case c.err != nil || !utf8.Valid(name):
				r.fail("has a custom section without a name")
			case string(name) == "name":
				m.names = content[c.at:]
			}
		case int(id) >= len(order):
			r.fail("has a section %d, which is unknown", id)
		case order[id] <= last:
			r.fail("has section %d twice or in the wrong place", id)
		default:
			last = order[id]
			m.sections[id] = content
		}
	}
	if r.err == nil {
		r.err = m.read()
	}
	return m, r.err
}

// each calls f for each entry of a section, and holds that f reads all of it.
func (m *module) each(id int, f func(r *reader, i int)) error {
	if m.sections[id] == nil {
		return nil
	}
	r := &reader{b: m.sections[id]}
	for i := range r.count() {
		if f(r, i); r.err != nil {
			return r.err
		}
	}
	if r.more() {
		r.fail("has %d bytes too many in section %d", len(r.b)-r.at, id)
	}
	return r.err
}

// read reads the sections that others refer to.
func (m *module) read() error {
	for _, s := range []struct {
		id   int
		read func(r *reader, i int)
	}{
		{1, m.readType},
		{2, m.readImport},
		{3, func(r *reader, _ int) { m.functions = append(m.functions, r.index("type", len(m.types))) }},
		{4, func(r *reader, _ int) { m.readTable(r) }},
		{6, m.readGlobal},
		{7, m.readExport},
	} {
		if err := m.each(s.id, s.read); err != nil {
			return err
		}
	}
	if s := m.sections[8]; s != nil {
		r := &reader{b: s}
		r.index("function", len(m.functions))
		return r.err
	}
	return nil
}

func (m *module) readType(r *reader, _ int) {
	if form := r.byte(); r.err == nil && form != 0x60 {
		r.fail("has a type of form %#x: only functions are known", form)
	}
	params := r.bytes()
	m.types = append(m.types, signature{params, r.bytes()})
}

// Kinds of imports and exports.
const (
	kindFunction = iota
	kindTable
	kindMemory
	kindGlobal
)

func (m *module) readImport(r *reader, _ int) {
	from, name := r.bytes(), r.bytes()
	if string(from) == ImportModule && string(name) == ImportMore { // the others of that module are any guest's
		r.fail("imports %s from %s, which is reserved", ImportMore, ImportModule)
	}
	switch kind := r.byte(); kind {
	case kindFunction:
		m.functions = append(m.functions, r.index("type", len(m.types)))
		m.imported++
	case kindTable:
		m.readTable(r)
	case kindMemory:
		limits(r)
	case kindGlobal:
		r.take(2)
		m.globals++
	default:
		r.fail("imports a thing of kind %d, which is unknown", kind)
	}
}

func (m *module) readTable(r *reader) {
	m.tables = append(m.tables, r.byte())
	limits(r)
}

func limits(r *reader) {
	flag := r.byte()
	if flag > 1 {
		r.fail("has limits of kind %d, which is unknown", flag)
	}
	r.u32()
	if flag == 1 {
		r.u32()
	}
}

func (m *module) readExport(r *reader, _ int) {
	name, kind := r.bytes(), r.byte()
	switch {
	case string(name) == Fuel || string(name) == Room:
		r.fail("exports %q, which is reserved", name)
	case kind == kindFunction:
		r.index("function", len(m.functions))
	case kind == kindGlobal:
		r.index("global", m.globals)
	default:
		r.u32()
	}
}

func (m *module) readGlobal(r *reader, _ int) {
	r.take(2)
	m.constant(r, nil)
	m.globals++
}

// constant reads a constant expression to its end. Renumber, if there is one, is told of every function in it: where its
// index is, and the index.
func (m *module) constant(r *reader, renumber func(at, end int, f uint32)) {
	for r.err == nil {
		switch op := r.byte(); op {
		case opEnd:
			return
		case opI32Const, opRefNull:
			r.signed(5)
		case opI64Const:
			r.signed(10)
		case opF32Const:
			r.take(4)
		case opF64Const:
			r.take(8)
		case opGlobalGet:
			r.index("global", m.globals)
		case opRefFunc:
			at := r.at
			f := r.index("function", len(m.functions))
			if renumber != nil {
				renumber(at, r.at, f)
			}
		case 0xfd:
			if sub := r.u32(); sub != 12 {
				r.fail("has an instruction fd %02x in a constant expression", sub)
			}
			r.take(16)
		case 0x6a, 0x6b, 0x6c, 0x7c, 0x7d, 0x7e:
		default:
			r.fail("has an instruction %02x in a constant expression", op)
		}
	}
}
