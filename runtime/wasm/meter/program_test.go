package meter_test

import (
	"math/rand/v2"

	. "deed/runtime/wasm/wasmtest"
)

// program is a random module that is valid, as a tree: of the same tree, the bytes are made and the oracle counts.
//
// Its functions have the type (i32, i32) -> i32, but for the last, which gives two. Function 0 is the host's. Table 0 holds
// all but the last, and a null. Memory is one page, which may grow to three.
type program struct {
	rng   *rand.Rand
	funcs [][]ins // bodies, by index; 0 has none
}

// ins is one instruction, and for blocks what is in them.
type ins struct {
	op      int
	n       int64 // its index, constant or depth
	targets []int64
	typ     int64 // of a block: -64, I32 as it is encoded, or an index
	in, alt []ins
}

const (
	typeTwo    = iota // (i32, i32) -> i32
	typePair          // () -> (i32, i32)
	valueless  = -64
	oneValue   = -1
	locals     = 6 // of each function, with two parameters
	globals    = 2
	imported   = 1
	tableSize  = 8
	programMax = 3 // pages
)

// newProgram makes one.
func newProgram(rng *rand.Rand) *program {
	p := &program{rng: rng, funcs: make([][]ins, 1, 6)}
	n := 2 + rng.IntN(3)
	p.funcs = p.funcs[:n+2]
	for f := imported; f <= n; f++ {
		g := &generator{program: p, room: 10 + rng.IntN(60)}
		g.labels = []int64{oneValue}
		p.funcs[f] = append(g.statements(), g.value()...)
	}
	g := &generator{program: p, room: 20}
	g.labels = []int64{typePair}
	body := append(g.statements(), append(g.value(), g.value()...)...)
	if rng.IntN(2) == 0 {
		body = append(body, ins{op: 0x0f})
	}
	p.funcs[n+1] = body
	return p
}

func (p *program) pair() int { return len(p.funcs) - 1 }

// generator writes one function.
type generator struct {
	*program
	room   int     // instructions that may still be made, more or less
	labels []int64 // types of the blocks that are open, the outermost first
}

func op(ops ...int) []ins {
	var b []ins
	for _, o := range ops {
		b = append(b, ins{op: o})
	}
	return b
}

func join(parts ...[]ins) []ins {
	var b []ins
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

func num(o int, n int64) []ins { return []ins{{op: o, n: n}} }

func (g *generator) local() int64 { return g.rng.Int64N(locals) }

// value is code that pushes an i32.
func (g *generator) value() []ins {
	g.room--
	if g.room < 0 {
		return num(0x20, g.local())
	}
	switch g.rng.IntN(22) {
	case 0, 1:
		return num(0x41, g.rng.Int64N(200)-20)
	case 2, 3, 4:
		return num(0x20, g.local())
	case 5:
		return num(0x23, g.rng.Int64N(globals))
	case 6, 7, 8:
		ops := []int{0x6a, 0x6b, 0x6c, 0x71, 0x73, 0x46, 0x48, 0x4d}
		return join(g.value(), g.value(), op(ops[g.rng.IntN(len(ops))]))
	case 9: // a division, which may trap
		return join(g.value(), g.value(), num(0x41, 1), op(0x72, []int{0x6d, 0x6e, 0x6f, 0x70}[g.rng.IntN(4)]))
	case 10:
		return join(g.address(), num(0x28, 0))
	case 11:
		return join(g.value(), g.value(), g.value(), op(0x1b)) // select
	case 12:
		return join(g.value(), num(0x22, g.local()))
	case 13: // a call, more often of one further on
		f := imported + g.rng.Int64N(int64(len(g.funcs)-imported-1))
		return join(g.value(), g.value(), num(0x10, f))
	case 14:
		return join(g.value(), g.value(), num(0x10, 0)) // of the host
	case 15:
		return join(g.value(), g.value(), g.value(), num(0x41, 7), op(0x71), num(0x11, typeTwo))
	case 16:
		return join(num(0x10, int64(g.pair())), op(0x6a))
	case 17:
		return []ins{{op: 0x02, typ: oneValue, in: g.within(oneValue, true)}}
	case 18:
		return join(g.value(), []ins{{op: 0x04, typ: oneValue, in: g.within(oneValue, true), alt: g.within(oneValue, true)}})
	case 19: // a block that takes two and gives one
		in := join(op(0x6b), g.within(typeTwo, false))
		return join(g.value(), g.value(), []ins{{op: 0x02, typ: typeTwo, in: in}})
	case 20: // through other types
		return [][]ins{
			join(g.value(), op(0xad), num(0x42, 3), op(0x7e, 0xa7)),
			join(g.value(), op(0xb7, 0x9f, 0xfc02)),
			join(g.value(), op(0xfd11), g.value(), op(0xfd11, 0xfdae, 0xfd1b)),
		}[g.rng.IntN(3)]
	default:
		if g.rng.IntN(3) == 0 {
			return join(g.value(), num(0x41, 1), op(0x71, 0x40)) // grows by a page, or none
		}
		return join(num(0xd2, g.rng.Int64N(int64(len(g.funcs)))), op(0xd1))
	}
}

// address pushes one that is nearly always in memory.
func (g *generator) address() []ins {
	if g.rng.IntN(20) == 0 {
		return g.value()
	}
	return join(g.value(), num(0x41, 0xfff0), op(0x71))
}

// within is code in a block of that type; if it ends in a value, that is pushed.
func (g *generator) within(typ int64, value bool) []ins {
	g.labels = append(g.labels, typ)
	b := g.statements()
	if value {
		b = append(b, g.value()...)
	}
	g.labels = g.labels[:len(g.labels)-1]
	return b
}

// statements is code that leaves the stack as it is.
func (g *generator) statements() []ins {
	var b []ins
	for n := g.rng.IntN(4); n >= 0 && g.room > 0; n-- {
		b = append(b, g.statement()...)
	}
	return b
}

func (g *generator) statement() []ins {
	g.room--
	switch g.rng.IntN(16) {
	case 0, 1, 2:
		return join(g.value(), num(0x21, g.local()))
	case 3:
		return join(g.value(), num(0x24, g.rng.Int64N(globals)))
	case 4:
		return join(g.address(), g.value(), num(0x36, 0))
	case 5:
		return join(g.value(), op(0x1a))
	case 6:
		return []ins{{op: 0x02, typ: valueless, in: g.within(valueless, false)}}
	case 7:
		block := ins{op: 0x04, typ: valueless, in: g.within(valueless, false)}
		if g.rng.IntN(2) == 0 {
			block.alt = append(g.within(valueless, false), ins{op: 0x01})
		}
		return append(g.value(), block)
	case 8, 9: // a loop that goes round as long as a local is not zero
		l := g.local()
		down := join(num(0x20, l), num(0x41, 1), op(0x6b), num(0x22, l), num(0x0d, 0))
		start := join(num(0x41, g.rng.Int64N(8)+1), num(0x21, l))
		return append(start, ins{op: 0x03, typ: valueless, in: join(g.within(valueless, false), down)})
	case 10: // a loop with its exit at the top
		l := g.local()
		top := join(num(0x20, l), num(0x41, 1), op(0x6b), num(0x22, l), num(0x41, 0), op(0x4c), num(0x0d, 1))
		g.labels = append(g.labels, valueless) // of the block; within adds the loop's
		in := join(top, g.within(valueless, false), num(0x0c, 0))
		g.labels = g.labels[:len(g.labels)-1]
		return []ins{{op: 0x02, typ: valueless, in: []ins{{op: 0x03, typ: valueless, in: in}}}}
	case 11, 12:
		return g.branch()
	case 13:
		n := join(g.value(), num(0x41, 0x3ff), op(0x71))
		if g.rng.IntN(2) == 0 {
			return join(g.address(), g.value(), n, op(0xfc0b)) // memory.fill
		}
		return join(g.address(), g.address(), n, op(0xfc0a)) // memory.copy
	case 14:
		if g.rng.IntN(6) == 0 {
			return join(g.value(), []ins{{op: 0x04, typ: valueless, in: op(0x00)}})
		}
		return op(0x01)
	default:
		return join(g.value(), g.value(), op(0xad), num(0x42, 8), op(0x7e, 0xa7), op(0x1a, 0x1a))
	}
}

// branch goes somewhere, perhaps: in an if or a block of its own, for what comes behind it there is dead.
func (g *generator) branch() []ins {
	depth := g.rng.Int64N(int64(len(g.labels)))
	if g.rng.IntN(4) == 0 {
		b := join(g.carried(depth), g.value(), num(0x0d, depth))
		for range g.results(depth) {
			b = append(b, ins{op: 0x1a})
		}
		return b
	}
	condition := g.value()
	g.labels = append(g.labels, valueless)
	defer func() { g.labels = g.labels[:len(g.labels)-1] }()
	depth++
	switch g.rng.IntN(4) {
	case 0:
		in := join(g.carried(depth), num(0x0c, depth), g.value(), op(0x1a))
		return join(condition, op(0x1a), []ins{{op: 0x02, typ: valueless, in: in}})
	case 1:
		in := join(g.carried(int64(len(g.labels))-1), op(0x0f))
		return append(condition, ins{op: 0x04, typ: valueless, in: in})
	case 2:
		return append(condition, ins{op: 0x04, typ: valueless, in: join(g.carried(depth), num(0x0c, depth))})
	default:
		table := ins{op: 0x0e, n: depth}
		for d := range int64(len(g.labels)) {
			if g.results(d) == g.results(depth) && g.rng.IntN(2) == 0 {
				table.targets = append(table.targets, d)
			}
		}
		in := join(g.carried(depth), g.value(), []ins{table})
		return append(condition, ins{op: 0x04, typ: valueless, in: in})
	}
}

func (g *generator) results(depth int64) int {
	switch g.labels[int64(len(g.labels))-1-depth] {
	case valueless:
		return 0
	case typePair:
		return 2
	}
	return 1
}

func (g *generator) carried(depth int64) []ins {
	var b []ins
	for range g.results(depth) {
		b = append(b, g.value()...)
	}
	return b
}

// bytes is the module.
func (p *program) bytes() []byte {
	parts := Parts{
		Types:    [][]byte{Signature([]byte{I32, I32}, []byte{I32}), Signature(nil, []byte{I32, I32})},
		Imports:  [][]byte{Import("env", "host", typeTwo)},
		Tables:   [][]byte{Join([]byte{0x70, 0}, U(tableSize))},
		Memories: [][]byte{{1, 1, programMax}},
		Exports:  [][]byte{Join(Name("memory"), []byte{2, 0}), Export("f", 1)},
	}
	var refs [][]byte
	for range globals {
		parts.Globals = append(parts.Globals, Join([]byte{I32, 1}, Const(5), []byte{0x0b}))
	}
	for f := range p.funcs {
		refs = append(refs, U(uint64(f)))
		if f < imported {
			continue
		}
		typ, own := typeTwo, locals-2
		if f == p.pair() {
			typ, own = typePair, locals
		}
		parts.Functions = append(parts.Functions, U(uint64(typ)))
		b := Join([]byte{1, byte(own), I32}, encode(nil, p.funcs[f]), []byte{0x0b})
		parts.Code = append(parts.Code, Join(U(uint64(len(b))), b))
	}
	parts.Elements = [][]byte{
		Join([]byte{0}, Const(0), []byte{0x0b}, Vector(refs[:p.pair()]...)),
		Join([]byte{3, 0}, Vector(refs...)), // declares what ref.func may name
	}
	return parts.Bytes()
}

func encode(b []byte, code []ins) []byte {
	for _, i := range code {
		switch {
		case i.op >= 0xfc00:
			b = append(b, byte(i.op>>8))
			b = append(b, U(uint64(i.op&0xff))...)
		default:
			b = append(b, byte(i.op))
		}
		switch i.op {
		case 0x02, 0x03, 0x04:
			b = append(b, S(i.typ)...)
			b = encode(b, i.in)
			if i.alt != nil {
				b = encode(append(b, 0x05), i.alt)
			}
			b = append(b, 0x0b)
		case 0x0c, 0x0d, 0x10, 0x20, 0x21, 0x22, 0x23, 0x24, 0xd2:
			b = append(b, U(uint64(i.n))...)
		case 0x0e:
			b = append(b, U(uint64(len(i.targets)))...)
			for _, t := range append(i.targets, i.n) {
				b = append(b, U(uint64(t))...)
			}
		case 0x11:
			b = append(b, U(uint64(i.n))...)
			b = append(b, 0)
		case 0x28, 0x36:
			b = append(b, 2, 0)
		case 0x41, 0x42:
			b = append(b, S(i.n)...)
		case 0x40, 0xfc0b, 0xfd1b:
			b = append(b, 0)
		case 0xfc0a:
			b = append(b, 0, 0)
		}
	}
	return b
}
