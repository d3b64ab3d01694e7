package meter_test

import (
	"encoding/binary"
	"errors"
	"math"
)

// oracle interprets a program and counts what it executes, one instruction after the other.
type oracle struct {
	*program
	limit   int64
	count   int64
	depth   int
	memory  []byte
	globals [globals]uint32
}

var (
	errTrap  = errors.New("it traps")
	errFuel  = errors.New("it takes more than the limit")
	errDepth = errors.New("it recurses")
)

// costs of version 1, apart from those that are one.
var oracleCosts = map[int]int64{
	0x01: 0, 0x02: 0, 0x03: 0, 0x10: 4, 0x11: 8, 0x6d: 8, 0x6e: 8, 0x6f: 8, 0x70: 8, 0x9f: 6,
	0x40: 1000, 0xfc0a: 16, 0xfc0b: 16,
}

const hostCost = 104

func newOracle(p *program, limit int64) *oracle {
	o := &oracle{program: p, limit: limit, memory: make([]byte, 1<<16)}
	for i := range o.globals {
		o.globals[i] = 5
	}
	return o
}

func (o *oracle) pay(n int64) {
	if o.count += n; o.count > o.limit {
		panic(errFuel)
	}
}

// run calls a function.
func (o *oracle) run(f int, args ...uint64) (results []uint64, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = p.(error)
		}
	}()
	return o.call(f, args), nil
}

func (o *oracle) call(f int, args []uint64) []uint64 {
	if f == 0 {
		o.pay(hostCost - 4)
		return []uint64{uint64(hosted(uint32(args[0]), uint32(args[1])))}
	}
	if o.depth++; o.depth > 500 {
		panic(errDepth)
	}
	defer func() { o.depth-- }()
	m := &machine{oracle: o, locals: make([]uint64, locals)}
	copy(m.locals, args)
	m.code(o.funcs[f])
	n := 1
	if f == o.pair() {
		n = 2
	}
	return m.stack[len(m.stack)-n:]
}

func hosted(a, b uint32) uint32 { return a*3 + b }

// machine is a call that is active.
type machine struct {
	*oracle
	locals, stack []uint64
}

func (m *machine) pop() uint64 {
	v := m.stack[len(m.stack)-1]
	m.stack = m.stack[:len(m.stack)-1]
	return v
}

func (m *machine) pop32() uint32  { return uint32(m.pop()) }
func (m *machine) push(v uint32)  { m.stack = append(m.stack, uint64(v)) }
func (m *machine) flag(cond bool) { m.push(map[bool]uint32{true: 1}[cond]) }

const through = -1

// code gives how many blocks it branches out of, less one; or through.
func (m *machine) code(code []ins) int {
	for _, i := range code {
		if out := m.step(i); out != through {
			return out
		}
	}
	return through
}

func (m *machine) step(i ins) int {
	cost, ok := oracleCosts[i.op]
	if !ok {
		cost = 1
	}
	m.pay(cost)
	switch i.op {
	case 0x00:
		panic(errTrap)
	case 0x02, 0x03, 0x04:
		return m.block(i)
	case 0x0c:
		return int(i.n)
	case 0x0d:
		if m.pop32() != 0 {
			return int(i.n)
		}
	case 0x0e:
		if n := m.pop32(); int(n) < len(i.targets) {
			return int(i.targets[n])
		}
		return int(i.n)
	case 0x0f:
		return 1 << 20
	case 0x10, 0x11:
		m.calls(i)
	case 0x20:
		m.stack = append(m.stack, m.locals[i.n])
	case 0x21:
		m.locals[i.n] = m.pop()
	case 0x22:
		m.locals[i.n] = m.stack[len(m.stack)-1]
	case 0x23:
		m.push(m.globals[i.n])
	case 0x24:
		m.globals[i.n] = m.pop32()
	case 0x41, 0x42:
		m.stack = append(m.stack, uint64(i.n))
		if i.op == 0x41 {
			m.push(m.pop32())
		}
	case 0xd2:
		m.push(0)
	case 0xd1:
		m.pop()
		m.push(0)
	case 0x1a:
		m.pop()
	case 0x1b:
		c, b, a := m.pop32(), m.pop(), m.pop()
		if c != 0 {
			b = a
		}
		m.stack = append(m.stack, b)
	case 0x28, 0x36, 0x40, 0xfc0a, 0xfc0b:
		m.access(i.op)
	case 0x9f, 0xa7, 0xad, 0xb7, 0xfc02, 0xfd11, 0xfd1b:
		m.convert(i.op)
	default:
		m.binary(i.op)
	}
	return through
}

// block runs one. Blocks take nothing from below but for those of typeTwo, which come with two values on the stack.
func (m *machine) block(i ins) int {
	height, results := len(m.stack), 0
	in := i.in
	switch {
	case i.op == 0x04:
		m.pay(0)
		if height--; m.pop32() == 0 {
			in = i.alt
		}
	case i.typ == typeTwo:
		height -= 2
	}
	if i.typ != valueless {
		results = 1
	}
	for {
		out := m.code(in)
		if out != 0 {
			return max(out-1, through)
		}
		if i.op == 0x03 {
			m.stack = m.stack[:height]
			continue
		}
		values := m.stack[len(m.stack)-results:]
		m.stack = append(m.stack[:height], values...)
		return through
	}
}

func (m *machine) calls(i ins) {
	f := int(i.n)
	if i.op == 0x11 {
		n := int(m.pop32())
		if n >= m.pair() {
			panic(errTrap)
		}
		if f = n; f == 0 {
			m.pay(4) // the wrapper's
		}
	}
	var args []uint64
	if f != m.pair() {
		b, a := m.pop(), m.pop()
		args = []uint64{a, b}
	}
	m.stack = append(m.stack, m.call(f, args)...)
}

func (m *machine) access(op int) {
	in := func(at, n uint32) {
		if uint64(at)+uint64(n) > uint64(len(m.memory)) {
			panic(errTrap)
		}
	}
	switch op {
	case 0x28:
		at := m.pop32()
		in(at, 4)
		m.push(binary.LittleEndian.Uint32(m.memory[at:]))
	case 0x36:
		v, at := m.pop32(), m.pop32()
		in(at, 4)
		binary.LittleEndian.PutUint32(m.memory[at:], v)
	case 0x40:
		n, size := m.pop32(), uint32(len(m.memory)>>16)
		if size+n > programMax {
			m.push(math.MaxUint32)
			return
		}
		m.push(size)
		m.memory = append(m.memory, make([]byte, n<<16)...)
		m.pay(int64(n) * 8192)
	case 0xfc0a:
		n, from, to := m.pop32(), m.pop32(), m.pop32()
		m.pay(int64(n / 8))
		in(from, n)
		in(to, n)
		copy(m.memory[to:to+n], m.memory[from:])
	case 0xfc0b:
		n, v, to := m.pop32(), m.pop32(), m.pop32()
		m.pay(int64(n / 8))
		in(to, n)
		for i := range n {
			m.memory[to+i] = byte(v)
		}
	}
}

func (m *machine) convert(op int) {
	v := m.pop()
	switch op {
	case 0xa7:
		v = uint64(uint32(v))
	case 0xb7:
		v = math.Float64bits(float64(int32(v)))
	case 0x9f:
		v = math.Float64bits(math.Sqrt(math.Float64frombits(v)))
	case 0xfc02:
		f := math.Float64frombits(v)
		switch {
		case f != f:
			v = 0
		default:
			v = uint64(uint32(int32(f))) // of a square root, it is in range
		}
	}
	m.stack = append(m.stack, v)
}

func (m *machine) binary(op int) {
	if op == 0x7e {
		b, a := m.pop(), m.pop()
		m.stack = append(m.stack, a*b)
		return
	}
	if op == 0x01 {
		return
	}
	b, a := m.pop32(), m.pop32()
	switch op {
	case 0x46:
		m.flag(a == b)
	case 0x48:
		m.flag(int32(a) < int32(b))
	case 0x4c:
		m.flag(int32(a) <= int32(b))
	case 0x4d:
		m.flag(a <= b)
	case 0x6a, 0xfdae:
		m.push(a + b)
	case 0x6b:
		m.push(a - b)
	case 0x6c:
		m.push(a * b)
	case 0x71:
		m.push(a & b)
	case 0x72:
		m.push(a | b)
	case 0x73:
		m.push(a ^ b)
	default:
		m.divide(op, a, b)
	}
}

func (m *machine) divide(op int, a, b uint32) {
	overflow := a == 1<<31 && b == math.MaxUint32
	if b == 0 || op == 0x6d && overflow {
		panic(errTrap)
	}
	switch {
	case op == 0x6d:
		m.push(uint32(int32(a) / int32(b)))
	case op == 0x6e:
		m.push(a / b)
	case op == 0x6f && overflow:
		m.push(0)
	case op == 0x6f:
		m.push(uint32(int32(a) % int32(b)))
	default:
		m.push(a % b)
	}
}
