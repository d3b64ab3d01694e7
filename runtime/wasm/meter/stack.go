package meter

import "slices"

// What a function takes of the host's stack is known to the compiler alone. Measured on wazero 1.12.0, amd64, with guests
// in C, Rust and Go: half of all functions take 80 to 112 bytes, and together they take 0.9 to 1.2 times 64 + 8 x (locals +
// calls) bytes. But every value of a function may get a slot of its own, and a function can be written so that each does:
// all that it computes, and every local once more at every place where ways meet that it was changed on. That is a bound,
// and for most functions many times too much. So a function weighs twice what is likely, or an eighth of the bound if
// that is more: a usual guest is stopped when it takes a third to a half of Options.Stack, and none takes more than eight
// times as much.
type weight struct {
	locals, calls int
	values        int // computed or set
	meets         int // locals that are changed on the ways to a place
	passed        int // the most parameters and results of a call
	wide          bool
}

func (w weight) bytes() int64 {
	slot := 8
	if w.wide {
		slot = 16
	}
	likely := 64 + slot*(w.locals+w.calls)
	bound := 64 + slot*(w.locals+w.values+w.meets+w.passed)
	return int64(max(2*likely, bound/8))
}

// weigh is what the function that was read last weighs.
func (p *plan) weigh(m *module, t signature, locals int) int64 {
	w := weight{locals: locals, passed: len(t.params) + len(t.results)}
	sets := 0
	opened := p.opened[:0]
	for _, g := range p.groups {
		w.wide = w.wide || g == v128
	}
	for _, in := range p.instructions {
		switch op := in.op; {
		case op == opBlock, op == opLoop, op == opIf:
			opened = append(opened, sets)
		case op == opEnd && len(opened) > 0:
			w.meets += min(locals, sets-opened[len(opened)-1]) + 1
			opened = opened[:len(opened)-1]
		case op == opCall, op == opCallIndirect:
			t := m.called(in)
			w.calls++
			w.values += len(t.results)
			w.passed = max(w.passed, len(t.params)+len(t.results))
		case op == opLocalSet, op == opLocalTee:
			sets++
			w.values++
		case op == opLocalGet, op <= 0x1a, op >= opI32Const && op <= opF64Const, op >= 0x36 && op <= 0x3e:
		default:
			w.values++
			w.wide = w.wide || op >= 0xfd00
		}
	}
	p.opened = opened
	return w.bytes()
}

// called is the type of what an instruction calls.
func (m *module) called(in instruction) signature {
	if in.op == opCall {
		return m.types[m.functions[in.index]]
	}
	return m.types[in.index]
}

// depth is what is known of who calls whom. Nodes are the functions of the module and then its types: a call through a
// table goes to the type, and from there to every function of it that a table may hold.
type depth struct {
	weights []int64 // of functions
	counted []bool  // functions
	calls   [][]uint32
}

// bound decides which functions count: those that may be active more than once at a time. The others are on the stack once
// each, at most; if that might take too much, all count.
func (w *rewriter) bound() error {
	n, imported := len(w.functions), w.imported
	d := &depth{weights: make([]int64, n), counted: make([]bool, n), calls: make([][]uint32, n+len(w.types))}
	f := imported
	err := w.each(10, func(r *reader, _ int) {
		code := &reader{b: r.bytes()}
		if r.err != nil || f >= n {
			return
		}
		t := w.types[w.functions[f]]
		locals := w.plan.locals(code, t)
		if w.plan.read(w.module, code, locals); code.err != nil {
			r.err = code.err
			return
		}
		d.weights[f] = w.plan.weigh(w.module, t, locals)
		var calls []uint32
		for _, in := range w.plan.instructions {
			switch {
			case in.op == opCall && int(in.index) >= imported:
				calls = append(calls, in.index)
			case in.op == opCallIndirect:
				calls = append(calls, uint32(n)+w.known[w.types[in.index].key()]-1)
			case in.op == opRefFunc:
				w.taken[in.index] = true
			}
		}
		d.calls[f] = calls
		f++
	})
	if err != nil {
		return err
	}
	for f := range w.taken {
		t := uint32(n) + w.known[w.types[w.functions[f]].key()] - 1
		d.calls[t] = append(d.calls[t], f)
	}
	for t := n; t < len(d.calls); t++ {
		slices.Sort(d.calls[t])
	}
	if once := d.cycles(n); once > w.options.Stack/4 {
		for f := range d.counted {
			d.counted[f] = true
		}
	}
	w.depth = d
	return nil
}

// cycles finds the functions on a cycle of calls, by Tarjan's algorithm without recursion, and gives what the others take
// together at most.
func (d *depth) cycles(functions int) (once int64) {
	type visit struct{ node, next uint32 }
	n := len(d.calls)
	index, low := make([]uint32, n), make([]uint32, n)
	path, onPath := []uint32(nil), make([]bool, n)
	below := make([]int64, n) // what a node and all it calls take, without what counts
	count := uint32(0)
	for root := range n {
		if index[root] != 0 {
			continue
		}
		stack := []visit{{uint32(root), 0}}
		for len(stack) > 0 {
			v := &stack[len(stack)-1]
			node := v.node
			if v.next == 0 {
				count++
				index[node], low[node] = count, count
				path, onPath[node] = append(path, node), true
			}
			if int(v.next) < len(d.calls[node]) {
				to := d.calls[node][v.next]
				v.next++
				switch {
				case index[to] == 0:
					stack = append(stack, visit{to, 0})
				case onPath[to]:
					low[node] = min(low[node], index[to])
				}
				continue
			}
			stack = stack[:len(stack)-1]
			if len(stack) > 0 {
				up := stack[len(stack)-1].node
				low[up] = min(low[up], low[node])
			}
			if low[node] != index[node] {
				continue
			}
			first := len(path) - 1
			for path[first] != node {
				first--
			}
			group := path[first:]
			path = path[:first]
			once = max(once, d.close(group, onPath, below, functions))
		}
	}
	return once
}

// close is told of nodes that all reach each other, after all that they call.
func (d *depth) close(group []uint32, onPath []bool, below []int64, functions int) int64 {
	cycle := len(group) > 1
	var most int64
	for _, node := range group {
		onPath[node] = false
		for _, to := range d.calls[node] {
			cycle = cycle || to == node
			most = max(most, below[to])
		}
	}
	for _, node := range group {
		if int(node) < functions && cycle {
			d.counted[node] = true
		}
	}
	if node := group[0]; !cycle && int(node) < functions {
		most += d.weights[node]
	}
	for _, node := range group {
		below[node] = most
	}
	return most
}
