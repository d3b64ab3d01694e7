package meter

import (
	"errors"
	"fmt"
)

// Names by which the host finds what the rewriter adds.
const (
	reserved = "deed:"

	// ImportModule and ImportMore name the one function that a metered module imports in addition: (i64) -> i64. It is
	// given Fuel and answers how much to add to it.
	ImportModule = "deed"
	ImportMore   = "more"
	// Fuel is an exported, mutable i64: what the guest may still use before it asks for more. It starts at 0.
	Fuel = reserved + "fuel"
	// Room is an exported, mutable i64: how many bytes of stack are left. It is there with Options.Stack.
	Room = reserved + "room"
)

// DefaultStack is enough for some 17,000 calls of usual functions within each other. A usual guest that uses it up takes
// some 4 MiB of stack, and one written for the purpose 64 MiB at most; wazero stops at 400 MB. While a stack grows, the host
// has it up to three times.
const DefaultStack = 8 << 20

// What the rewriter gives is at most MostGrowth times as large as what it is given, and MostAdded bytes.
const (
	MostGrowth = 24
	MostAdded  = 300 << 10
)

// maxWrapped bounds the parameters of all functions of the host that are wrapped.
const maxWrapped = 1 << 16

// Options say what to do to a module.
type Options struct {
	// Stack bounds recursion, in bytes of the host's stack, more or less; 0 does not. See DefaultStack.
	Stack int64
	// NaN makes all NaNs that arithmetic gives the same, so that results do not depend on the processor.
	NaN bool
}

// Info says what was done to a module.
type Info struct {
	Functions int // that the module has itself
	Counted   int // of those, the ones that take room on the stack that is counted
	Charges   int // places where the counter goes down
	Checks    int // places where it is looked at
}

var errPreamble = errors.New("does not begin with \\0asm and version 1")

// Rewrite gives a module that counts what it executes; see the documentation of the package. It refuses what it does not
// know, and what is malformed in a way that would change its meaning; it does not validate. The error continues a sentence
// that begins with "the module". The module is not changed, and out shares nothing with it.
func Rewrite(in []byte, o Options) (out []byte, info Info, err error) {
	m, err := parse(in)
	if err != nil {
		return nil, Info{}, err
	}
	w := &rewriter{module: m, options: o, known: map[string]uint32{}, taken: map[uint32]bool{}}
	out, err = w.rewrite(len(in))
	return out, w.info, err
}

type rewriter struct {
	*module
	options Options
	info    Info
	plan    plan

	added   [][]byte          // types
	known   map[string]uint32 // types by what they are
	helpers []helper
	pause   uint32
	fuel    uint32 // indices of globals
	room    uint32
	taken   map[uint32]bool // functions that a table may hold
	depth   *depth          // nil if recursion is not bounded
	wrapped int             // parameters of the functions of the host that are wrapped
	err     error           // what went wrong where no error can be given
	wraps   map[uint32]uint32
	bulk    [2]uint32 // helpers that charge by operands; 0 before they are needed
	parted  map[uint16]uint32
	grows   map[uint32]uint32
}

// helper is a function that is added.
type helper struct {
	typ  uint32
	body []byte // with its locals
	name string
}

func (w *rewriter) rewrite(size int) ([]byte, error) {
	for i, t := range w.types {
		if k := t.key(); w.known[k] == 0 {
			w.known[k] = uint32(i) + 1
		}
	}
	w.fuel, w.room = uint32(w.globals), uint32(w.globals)+1
	w.pause = w.add("deed:pause", nil, nil, w.pauseBody())

	elements, err := w.elements()
	if err != nil {
		return nil, err
	}
	exports, err := w.exports()
	if err != nil {
		return nil, err
	}
	globals, err := w.globalSection()
	if err != nil {
		return nil, err
	}
	if w.options.Stack > 0 {
		if err := w.bound(); err != nil {
			return nil, err
		}
	}
	code, err := w.code(size)
	if err != nil {
		return nil, err
	}
	if w.err != nil {
		return nil, w.err
	}
	moreType := w.typeOf([]byte{i64}, []byte{i64})
	out := make([]byte, 0, len(code)+size/2)
	out = append(out, "\x00asm\x01\x00\x00\x00"...)
	out = appendSection(out, 1, extended(w.sections[1], w.added...))
	out = appendSection(out, 2, extended(w.sections[2],
		appendU(append(appendName(appendName(nil, ImportModule), ImportMore), kindFunction), moreType)))
	var types [][]byte
	for _, h := range w.helpers {
		types = append(types, appendU(nil, h.typ))
	}
	out = appendSection(out, 3, extended(w.sections[3], types...))
	out = appendSection(out, 4, w.sections[4])
	out = appendSection(out, 5, w.sections[5])
	out = appendSection(out, 6, globals)
	out = appendSection(out, 7, exports)
	if s := w.sections[8]; s != nil {
		r := reader{b: s}
		out = appendSection(out, 8, appendU(nil, w.moved(r.u32())))
	}
	out = appendSection(out, 9, elements)
	out = appendSection(out, 12, w.sections[12])
	out = appendSection(out, 10, code)
	out = appendSection(out, 11, w.sections[11])
	return w.appendNames(out), nil
}

// extended is a section with more entries.
func extended(section []byte, entries ...[]byte) []byte {
	r := reader{b: section}
	n := 0
	if section != nil {
		n = int(r.u32())
	}
	out := appendU(nil, n+len(entries))
	out = append(out, section[r.at:]...)
	for _, e := range entries {
		out = append(out, e...)
	}
	return out
}

// moved is the index of a function when it is called: that of the import that is added comes behind the others.
func (w *rewriter) moved(f uint32) uint32 {
	if int(f) < w.imported {
		return f
	}
	return f + 1
}

func (w *rewriter) more() uint32 { return uint32(w.imported) }

// referred is the index of a function where it is not called: in tables, exports and ref.func. A function of the host is
// wrapped there, for who calls it does not know that it costs more.
func (w *rewriter) referred(f uint32) uint32 {
	if int(f) >= w.imported {
		w.taken[f] = true
		return f + 1
	}
	if wrap, ok := w.wraps[f]; ok {
		return wrap
	}
	t := w.types[w.functions[f]]
	if w.wrapped += len(t.params); w.wrapped > maxWrapped {
		w.err = fmt.Errorf("has functions of the host in tables that have too many parameters together: %d, or more, and at most %d are allowed", w.wrapped, maxWrapped)
		return 0
	}
	b := w.appendCheck(w.appendCharge([]byte{0}, costCall+costHost))
	for i := range t.params {
		b = appendU(append(b, opLocalGet), i)
	}
	b = append(appendU(append(b, opCall), f), opEnd)
	wrap := w.addTyped("deed:host", w.functions[f], b)
	if w.wraps == nil {
		w.wraps = map[uint32]uint32{}
	}
	w.wraps[f] = wrap
	return wrap
}

func (w *rewriter) exports() ([]byte, error) {
	s := w.sections[7]
	var out []byte
	err := w.each(7, func(r *reader, _ int) {
		name, kind, index := r.bytes(), r.byte(), r.u32()
		switch {
		case kind != kindFunction || r.err != nil:
		case int(index) < w.imported:
			index = w.referred(index)
		default:
			index = w.moved(index)
		}
		out = appendU(append(appendBytes(out, name), kind), index)
	})
	n := 0
	if s != nil {
		n = int((&reader{b: s}).u32())
	}
	n++
	out = appendU(append(appendName(out, Fuel), kindGlobal), w.fuel)
	if w.options.Stack > 0 {
		n++
		out = appendU(append(appendName(out, Room), kindGlobal), w.room)
	}
	return append(appendU(nil, n), out...), err
}

func (w *rewriter) globalSection() ([]byte, error) {
	s := w.sections[6]
	var out []byte
	last := 0
	n := 0
	if s != nil {
		r := &reader{b: s}
		n = r.count()
		last = r.at
	}
	err := w.each(6, func(r *reader, _ int) {
		r.take(2)
		w.constant(r, func(at, end int, f uint32) {
			out = appendU(append(out, s[last:at]...), w.referred(f))
			last = end
		})
	})
	out = append(out, s[last:]...)
	n++
	out = append(out, i64, 1, opI64Const, 0, opEnd)
	if w.options.Stack > 0 {
		n++
		out = append(appendS(append(out, i64, 1, opI64Const), w.options.Stack), opEnd)
	}
	return append(appendU(nil, n), out...), err
}

func (w *rewriter) elements() ([]byte, error) {
	s := w.sections[9]
	if s == nil {
		return nil, nil
	}
	var out []byte
	last := 0
	renumber := func(at, end int, f uint32) {
		out = appendU(append(out, s[last:at]...), w.referred(f))
		last = end
	}
	err := w.each(9, func(r *reader, _ int) {
		flags := r.u32()
		if flags > 7 {
			r.fail("has an element segment of kind %d, which is unknown", flags)
			return
		}
		passive, explicit, expressions := flags&1 != 0, flags&2 != 0, flags&4 != 0
		if !passive {
			if explicit {
				r.u32()
			}
			w.constant(r, renumber)
		}
		if passive || explicit {
			r.byte() // kind or type
		}
		for range r.count() {
			if r.err != nil {
				return
			}
			if expressions {
				w.constant(r, renumber)
				continue
			}
			at := r.at
			f := r.index("function", len(w.functions))
			if r.err == nil {
				renumber(at, r.at, f)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return append(out, s[last:]...), nil
}
