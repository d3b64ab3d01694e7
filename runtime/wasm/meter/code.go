package meter

import "fmt"

// light is the most that a function costs, in units, that is not looked at when it begins: it must not call others. What
// calls it is looked at, and a function of 1 MiB can call half a million such before it is looked at again.
const light = 128

// maxLocals bounds the locals of one function.
const maxLocals = 1 << 20

// code rewrites all functions.
func (w *rewriter) code(size int) ([]byte, error) {
	bodies := make([]byte, 0, size+size/2)
	var b body
	n := w.imported
	err := w.each(10, func(r *reader, _ int) {
		code := r.bytes()
		if n >= len(w.functions) {
			r.fail("has more function bodies than its %d functions", len(w.functions)-w.imported)
		}
		if r.err != nil {
			return
		}
		b = body{head: b.head[:0], out: b.out[:0], code: code}
		if r.err = w.function(&b, uint32(n)); r.err == nil {
			bodies = appendU(bodies, len(b.head)+len(b.out))
			bodies = append(append(bodies, b.head...), b.out...)
		}
		n++
	})
	if err == nil && n < len(w.functions) {
		err = fmt.Errorf("has %d function bodies for its %d functions", n-w.imported, len(w.functions)-w.imported)
	}
	if err != nil {
		return nil, err
	}
	for _, h := range w.helpers {
		bodies = appendBytes(bodies, h.body)
	}
	w.info.Functions = n - w.imported
	return append(appendU(nil, n-w.imported+len(w.helpers)), bodies...), nil
}

// locals reads the locals of a function and counts them, with its parameters.
func (p *plan) locals(r *reader, t signature) int {
	n := len(t.params)
	p.groups = append(p.groups[:0], t.params...)
	for range r.count() {
		n += int(r.u32())
		p.groups = append(p.groups, r.byte())
		if n > maxLocals {
			r.fail("has a function with %d locals, or more: at most %d are allowed", n, maxLocals)
		}
		if r.err != nil {
			return 0
		}
	}
	return n
}

// body is the code of a function as it is being rewritten: what is copied is taken over when something else comes.
type body struct {
	head, out []byte // locals, and code
	code      []byte
	copied    int
	scratch   scratch
}

// upTo takes over what is before a place, and goes on behind another.
func (b *body) upTo(before, behind int32) {
	b.out = append(b.out, b.code[b.copied:before]...)
	b.copied = int(behind)
}

// function rewrites one.
func (w *rewriter) function(b *body, f uint32) error {
	p, r, t := &w.plan, &reader{b: b.code}, w.types[w.functions[f]]
	n := p.locals(r, t)
	b.copied, b.scratch = r.at, scratch{first: uint32(n)}
	head := b.code[:r.at]
	p.read(w.module, r, n)
	if r.err == nil && r.more() {
		r.fail("has %d bytes after the end of a function", len(r.b)-r.at)
	}
	if r.err != nil {
		return r.err
	}
	p.solve()
	counted := w.depth != nil && w.depth.counted[f]
	if counted {
		w.info.Counted++
		w.enter(b, f, t)
	} else {
		b.out = w.appendCharge(b.out, p.charge(&p.runs[0]))
		if p.calls || p.total > light {
			b.out = w.appendCheck(b.out)
		}
	}
	next := 1
	for i := range p.instructions {
		in := &p.instructions[i]
		if next < len(p.runs) && int(p.runs[next].at) == i {
			if charge, check := p.charge(&p.runs[next]), p.checked(&p.runs[next]); charge > 0 || check {
				b.upTo(in.at, in.at)
				b.out = w.appendCharge(b.out, charge)
				if check {
					b.out = w.appendCheck(b.out)
				}
			}
			next++
		}
		if err := w.instruction(b, in, counted); err != nil {
			return err
		}
		if w.options.NaN {
			w.canonical(b, i)
		}
	}
	b.upTo(int32(len(b.code)), 0)
	if counted {
		b.out = append(w.appendRoom(b.out, opI64Add, w.depth.weights[f]), opEnd)
	}
	b.head = b.scratch.appendLocals(b.head, head)
	return nil
}

// canonical makes a NaN the usual one, unless the next instruction does not mind.
func (w *rewriter) canonical(b *body, i int) {
	in := &w.plan.instructions[i]
	kind := arithmetic(in.op)
	if kind == noFloats || i+1 < len(w.plan.instructions) && indifferent(w.plan.instructions[i+1].op) == kind {
		return
	}
	b.upTo(in.end, in.end)
	b.out = appendCanonical(b.out, kind, b.scratch.of(kind))
}

// enter begins a function that counts: it takes its room, and its code goes into a block, behind which the room is given
// back. Returns become branches out of the block.
func (w *rewriter) enter(b *body, f uint32, t signature) {
	b.out = w.appendRoom(b.out, opI64Sub, w.depth.weights[f])
	b.out = w.appendCharge(b.out, w.plan.charge(&w.plan.runs[0]))
	b.out = w.appendGlobal(b.out, opGlobalGet, w.fuel)
	b.out = append(w.appendGlobal(b.out, opGlobalGet, w.room), opI64Or)
	b.out = append(w.appendPause(b.out), opBlock)
	switch len(t.results) {
	case 0:
		b.out = append(b.out, noType)
	case 1:
		b.out = append(b.out, t.results[0])
	default:
		b.out = appendS(b.out, int64(w.typeOf(nil, t.results)))
	}
}

// instruction rewrites one that is not the same afterwards.
func (w *rewriter) instruction(b *body, in *instruction, counted bool) error {
	call := func(f uint32, behind int32) {
		b.upTo(in.at, behind)
		b.out = appendU(append(b.out, opCall), f)
	}
	switch in.op {
	case opCall:
		call(w.moved(in.index), in.end)
	case opRefFunc:
		b.upTo(in.at, in.end)
		b.out = appendU(append(b.out, opRefFunc), w.referred(in.index))
	case opReturn:
		if counted {
			b.upTo(in.at, in.end)
			b.out = appendU(append(b.out, opBr), in.index)
		}
	case opMemoryGrow:
		call(w.growing(-1), in.end)
	case opTableGrow:
		if int(in.index) >= len(w.tables) {
			return fmt.Errorf("uses a table %d that it does not have", in.index)
		}
		call(w.growing(int(in.index)), in.end)
	case opMemoryCopy, opMemoryFill:
		call(w.inParts(in.op), in.end)
	case opMemoryInit:
		call(w.byLength(inBytes), in.at)
	case opTableCopy, opTableFill, opTableInit:
		call(w.byLength(inEntries), in.at)
	}
	return nil
}
