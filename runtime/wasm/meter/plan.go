package meter

import "math"

// A function is cut into runs: instructions that are executed one after the other, whatever happens, unless one of them
// traps. A run begins where control can come from elsewhere or part: at the start of the function, at the head of a loop,
// behind a label that is branched to, behind a branch that may not be taken, and in the arms of an if.
//
// To charge each run when it begins would be exact, and slow: two branches of three lead to code that runs either way. So
// as much as possible is paid ahead. need is what has been paid for when a run begins: its own cost and what the place
// behind it expects. A label expects the same from wherever it is reached, and where a branch is taken nothing can be
// charged; so a run that ends in a branch passes on exactly what its label expects, and what else its other way needs is
// charged there, which is why it must not be less. The largest such figures are found from the end of the function
// towards its start. Sums over a whole path are the same as if each run were charged when it begins.
//
// A run that cannot reach the end of the function, because it traps or never ends, expects nothing and bounds nothing:
// panics would otherwise keep half of the code from being paid ahead.

// run is one of a function.
type run struct {
	at    int32 // the instruction it begins with
	how   ending
	label int32 // where it goes to or may go to; for table, the instruction
	next  int32 // the run behind it, when it may not go to the label; the first arm of an if
	other int32 // the second arm of an if
	from  int32 // the run before, the only one it is reached from; -1 for the first; -2-l when it is behind label l

	cost uint64
	need uint64
}

// ending is how a run ends.
type ending uint8

const (
	traps  ending = iota
	goes          // to label
	parts         // to label or next
	forks         // to next or other
	tables        // to one of many labels
)

// label is a place that is branched to.
type label struct {
	expects uint64
	run     int32 // the one behind it; -1 at the end of the function and of what is never reached
	loop    bool
	reached bool // for a loop, from within it
}

// endless is what a run needs that does not reach the end of the function.
const endless = math.MaxUint64 / 4

// frame is a block that is open.
type frame struct {
	op    uint16
	label int32
	fork  int32 // the run that ends in the if; -1 without
}

// plan is a function taken apart. It is used for one function after the other.
type plan struct {
	instructions []instruction
	runs         []run
	labels       []label
	frames       []frame
	tables       []uint32 // targets of all branch tables as labels
	spans        [][2]int32
	groups       []byte // types of locals, in the groups that they come in
	opened       []int
	calls        bool
	total        uint64 // the cost of all instructions
}

func (p *plan) reset() {
	p.instructions, p.runs, p.labels, p.frames = p.instructions[:0], p.runs[:0], p.labels[:0], p.frames[:0]
	p.tables, p.spans, p.calls, p.total = p.tables[:0], p.spans[:0], false, 0
}

// begin adds a run.
func (p *plan) begin(at int, from int32) int32 {
	p.runs = append(p.runs, run{at: int32(at), from: from, label: -1, next: -1, other: -1})
	return int32(len(p.runs) - 1)
}

// open adds a label and the block that has it.
func (p *plan) open(op uint16, fork int32) int32 {
	l := int32(len(p.labels))
	p.labels = append(p.labels, label{run: -1, loop: op == opLoop})
	p.frames = append(p.frames, frame{op, l, fork})
	return l
}

// read takes the code of a function apart. What is behind it is left in r.
func (p *plan) read(m *module, r *reader, locals int) {
	p.reset()
	p.open(opBlock, -1)
	now := p.begin(0, -1) // the run that the instruction is in; -1 where control never comes
	for i := 0; len(p.frames) > 0; i++ {
		in := m.decode(r, locals)
		if r.err != nil {
			return
		}
		p.instructions = append(p.instructions, in)
		cost := m.cost(in)
		p.total += cost
		if now >= 0 {
			p.runs[now].cost += cost
		}
		switch in.op {
		case opBlock:
			p.open(opBlock, -1)
		case opLoop:
			l := p.open(opLoop, -1)
			if now >= 0 {
				p.leave(now, l)
				now = p.begin(i+1, -2-l)
				p.labels[l].run = now
			}
		case opIf:
			p.open(opIf, now)
			if now >= 0 {
				p.runs[now].how = forks
				fork := now
				now = p.begin(i+1, fork)
				p.runs[fork].next = now
			}
		case opElse:
			f := &p.frames[len(p.frames)-1]
			if f.op != opIf {
				r.fail("has an else without an if")
				return
			}
			f.op = opElse
			p.leave(now, f.label)
			now = -1
			if f.fork >= 0 {
				now = p.begin(i+1, f.fork)
				p.runs[f.fork].other = now
			}
		case opEnd:
			now = p.end(i, now)
		case opBr:
			p.branch(r, now, in.index)
			now = -1
		case opBrIf:
			p.branch(r, now, in.index)
			if now >= 0 {
				p.runs[now].how = parts
				before := now
				now = p.begin(i+1, before)
				p.runs[before].next = now
			}
		case opBrTable:
			p.table(r, now, i)
			now = -1
		case opReturn:
			p.instructions[i].index = uint32(len(p.frames) - 1) // it is a branch that far out
			p.leave(now, 0)
			now = -1
		case opUnreachable:
			now = -1
		case opCall, opCallIndirect:
			p.calls = true
		}
	}
}

// leave ends a run at a label.
func (p *plan) leave(now, l int32) {
	if now >= 0 {
		p.runs[now].how = goes
		p.runs[now].label = l
		if !p.labels[l].loop {
			p.labels[l].reached = true
		}
	}
}

// outer is the label of the block that is that many blocks out.
func (p *plan) outer(r *reader, depth uint32) int32 {
	if int(depth) >= len(p.frames) {
		r.fail("branches out of %d blocks, which are not there", depth)
		return 0
	}
	return p.frames[len(p.frames)-1-int(depth)].label
}

// branch ends a run at a label that is branched to.
func (p *plan) branch(r *reader, now int32, depth uint32) {
	l := p.outer(r, depth)
	p.leave(now, l)
	if now >= 0 {
		p.labels[l].reached = true
	}
}

// table ends a run at one of many labels.
func (p *plan) table(r *reader, now int32, i int) {
	t := reader{b: r.b[:r.at], at: int(p.instructions[i].at) + 1}
	first := len(p.tables)
	for range t.count() + 1 {
		l := p.outer(r, t.u32())
		p.tables = append(p.tables, uint32(l))
		if now >= 0 {
			p.labels[l].reached = true
		}
	}
	if now >= 0 {
		p.runs[now].how = tables
		p.runs[now].label = int32(len(p.spans))
		p.spans = append(p.spans, [2]int32{int32(first), int32(len(p.tables))})
	}
}

// end closes a block and gives the run behind it.
func (p *plan) end(i int, now int32) int32 {
	f := p.frames[len(p.frames)-1]
	p.frames = p.frames[:len(p.frames)-1]
	if f.op == opLoop {
		return now // its label is at its head
	}
	p.leave(now, f.label)
	if f.op == opIf && f.fork >= 0 { // without an else
		fork := &p.runs[f.fork]
		fork.how, fork.label = parts, f.label
		p.labels[f.label].reached = true
	}
	if len(p.frames) == 0 || !p.labels[f.label].reached {
		return -1
	}
	now = p.begin(i+1, -2-f.label)
	p.labels[f.label].run = now
	return now
}

// rounds is how often a function is gone over to find what is paid ahead. Nearly all take two or three.
const rounds = 12

// solve finds what every run needs.
func (p *plan) solve() {
	for i := range p.labels {
		p.labels[i].expects = endless
	}
	p.labels[0].expects = 0
	for n := 0; p.round(); n++ {
		if n < rounds {
			continue
		}
		for i := range p.labels { // each run is charged when it begins
			p.labels[i].expects = 0
		}
	}
	for i := range p.labels {
		if p.labels[i].expects >= endless {
			p.labels[i].expects = 0
		}
	}
	for i := range p.runs {
		if r := &p.runs[i]; r.need >= endless {
			r.need = r.cost
		}
	}
}

// round goes over the function once, from its end, and reports whether anything has become less.
func (p *plan) round() (changed bool) {
	lower := func(l int32, to uint64) {
		if l := &p.labels[l]; to < l.expects {
			l.expects, changed = to, true
		}
	}
	for i := len(p.runs) - 1; i >= 0; i-- {
		r := &p.runs[i]
		behind := p.behind(r)
		switch r.how {
		case parts:
			lower(r.label, p.runs[r.next].need)
			behind = p.labels[r.label].expects
		case tables:
			for _, l := range p.targets(r) {
				lower(int32(l), behind)
			}
		case traps, goes, forks: // nothing comes of what is behind
		}
		r.need = min(r.cost+behind, endless)
		if r.from <= -2 {
			lower(-2-r.from, r.need)
		}
	}
	return changed
}

func (p *plan) targets(r *run) []uint32 {
	span := p.spans[r.label]
	return p.tables[span[0]:span[1]]
}

// behind is what the places behind a run expect of it.
func (p *plan) behind(r *run) uint64 {
	switch r.how {
	case goes, parts:
		return p.labels[r.label].expects
	case forks:
		return min(p.runs[r.next].need, p.runs[r.other].need)
	case tables:
		least := uint64(endless)
		for _, l := range p.targets(r) {
			least = min(least, p.labels[l].expects)
		}
		return least
	case traps:
	}
	return endless
}

// charge is what to charge when a run begins.
func (p *plan) charge(r *run) uint64 {
	var paid uint64
	switch {
	case r.from <= -2:
		paid = p.labels[-2-r.from].expects
	case r.from >= 0:
		before := &p.runs[r.from]
		paid = before.need - min(before.cost, before.need)
	}
	return r.need - min(paid, r.need)
}

// checked reports whether the counter must be looked at where the run begins, beside the first of a function.
func (p *plan) checked(r *run) bool {
	return r.from <= -2 && p.labels[-2-r.from].loop && p.labels[-2-r.from].reached
}
