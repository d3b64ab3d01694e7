package meter

// light is the most that a function costs, in units, that is not looked at when it begins: it must not call others. What
// calls it is looked at, and a function of 1 MiB can call half a million such before it is looked at again.
const light = 128

// maxLocals bounds the locals of one function.
const maxLocals = 1 << 20

// code rewrites all functions.
func (w *rewriter) code(size int) ([]byte, error) {
	bodies := make([]byte, 0, size+size/2)
	var body []byte
	n := w.imported
	err := w.each(10, func(r *reader, _ int) {
		code := r.bytes()
		if n >= len(w.functions) {
			r.fail("has more function bodies than functions")
		}
		if r.err != nil {
			return
		}
		if body, r.err = w.function(body[:0], uint32(n), code); r.err == nil {
			bodies = appendBytes(bodies, body)
		}
		n++
	})
	if err == nil && n < len(w.functions) {
		err = errFewBodies
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

// locals reads the locals of a function and counts them.
func locals(r *reader) int {
	n := 0
	for range r.count() {
		n += int(r.u32())
		r.byte()
		if n > maxLocals {
			r.fail("has a function with more than %d locals", maxLocals)
		}
		if r.err != nil {
			return 0
		}
	}
	return n
}

// function rewrites one.
func (w *rewriter) function(out []byte, f uint32, code []byte) ([]byte, error) {
	r := &reader{b: code}
	n := locals(r) + len(w.types[w.functions[f]].params)
	copied := r.at
	p := &w.plan
	p.read(w.module, r, n)
	if r.err == nil && r.more() {
		r.fail("has %d bytes after the end of a function", len(r.b)-r.at)
	}
	if r.err != nil {
		return nil, r.err
	}
	p.solve()
	out = append(out, code[:copied]...)
	next := 0
	for i := range p.instructions {
		in := &p.instructions[i]
		if next < len(p.runs) && int(p.runs[next].at) == i {
			run := &p.runs[next]
			charge, check := p.charge(run), p.checked(run)
			if next == 0 {
				check = p.calls || p.total > light
			}
			next++
			if charge > 0 || check {
				out = append(out, code[copied:in.at]...)
				copied = int(in.at)
				out = w.appendCharge(out, charge, check)
			}
		}
		var helper uint32
		switch in.op {
		case opCall:
			helper = w.moved(in.index)
		case opRefFunc:
			out = append(out, code[copied:in.at]...)
			copied = int(in.end)
			out = appendU(append(out, opRefFunc), w.referred(in.index))
			continue
		case opMemoryGrow:
			helper = w.growing(-1)
		case opTableGrow:
			if int(in.index) >= len(w.tables) {
				r.fail("uses a table %d that it does not have", in.index)
				return nil, r.err
			}
			helper = w.growing(int(in.index))
		case opMemoryCopy, opMemoryFill, opMemoryInit:
			out = append(out, code[copied:in.at]...)
			copied = int(in.at)
			out = appendU(append(out, opCall), w.byLength(inBytes))
			continue
		case opTableCopy, opTableFill, opTableInit:
			out = append(out, code[copied:in.at]...)
			copied = int(in.at)
			out = appendU(append(out, opCall), w.byLength(inEntries))
			continue
		default:
			continue
		}
		out = append(out, code[copied:in.at]...)
		copied = int(in.end)
		out = appendU(append(out, opCall), helper)
	}
	return append(out, code[copied:]...), nil
}
