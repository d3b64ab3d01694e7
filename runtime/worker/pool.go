package worker

import "sync"

// Pool bounds how much runs at once on a node, in all and for each key, by number and by weight, and is fair: what waits is
// taken round-robin over the keys, so one slow or flooded function does not hold up the others. Within a key, urgent work (a
// due retry) goes first, or it would wait behind the whole backlog. What is too heavy for what is left is waited for: nothing
// lighter overtakes it for ever.
type Pool struct {
	mu      sync.Mutex
	total   int
	perKey  int
	budget  int64 // of weight; 0: none
	running int
	weight  int64 // of what runs
	heavy   bool  // somebody could run but for its weight
	keys    map[string]*queue
	ring    []*queue // keys that have something waiting
	turn    int
}

// Want is what somebody asks a pool for.
type Want struct {
	Key    string
	Limit  int   // how many of the key may run at once, where that is less than the pool's; 0 or less: no limit of its own
	Weight int64 // what is heavier than the pool's whole budget runs alone
	Urgent bool
}

type queue struct {
	key            string
	limit          int // of its own; 0: none but the pool's
	running        int
	urgent, normal []*Ticket
	listed         bool
}

// Ticket is a place in the pool.
type Ticket struct {
	q        *queue
	weight   int64
	grant    func(*Ticket)
	granted  bool
	returned bool
}

// NewPool runs at most total at once, and at most perKey of one key; both at least 1. budget is the weight of all that run; 0
// is no bound.
func NewPool(total, perKey int, budget int64) *Pool {
	return &Pool{total: max(total, 1), perKey: max(perKey, 1), budget: max(budget, 0), keys: map[string]*queue{}}
}

// Enter asks for a place. If there is one the ticket is granted at once and grant is not called; else grant is called later,
// on the goroutine of whoever leaves, and must not block.
func (p *Pool) Enter(w Want, grant func(*Ticket)) (t *Ticket, now bool) {
	p.mu.Lock()
	q := p.keys[w.Key]
	if q == nil {
		q = &queue{key: w.Key}
		p.keys[w.Key] = q
	}
	raised := p.most(q)
	q.limit = max(w.Limit, 0)
	raised = p.most(q) - raised
	t = &Ticket{q: q, weight: max(w.Weight, 0), grant: grant}
	if p.running < p.total && q.running < p.most(q) && !q.waits() && !p.heavy {
		if p.fits(t) {
			p.take(t)
			p.mu.Unlock()
			return t, true
		}
		p.heavy = true
	}
	if w.Urgent {
		q.urgent = append(q.urgent, t)
	} else {
		q.normal = append(q.normal, t)
	}
	if !q.listed {
		q.listed = true
		p.ring = append(p.ring, q)
	}
	var next []*Ticket
	if raised != 0 { // those that waited for it, and perhaps this one, or what waited behind one that may not run now
		next = p.fill()
	}
	p.mu.Unlock()
	for _, n := range next {
		if n == t {
			now = true
			continue
		}
		n.grant(n)
	}
	return t, now
}

// fits reports whether what is left of the budget is enough.
func (p *Pool) fits(t *Ticket) bool {
	return p.budget == 0 || p.running == 0 || p.weight+t.weight <= p.budget
}

func (p *Pool) take(t *Ticket) {
	p.running++
	t.q.running++
	p.weight += t.weight
	t.granted = true
}

// most is how many of the key may run at once.
func (p *Pool) most(q *queue) int {
	if q.limit > 0 {
		return min(q.limit, p.perKey)
	}
	return p.perKey
}

// Limit changes how many of the key may run at once; what runs goes on. What waits, and may run now, is granted.
func (p *Pool) Limit(key string, limit int) {
	p.mu.Lock()
	q := p.keys[key]
	if q == nil {
		p.mu.Unlock()
		return
	}
	q.limit = max(limit, 0)
	next := p.fill()
	p.mu.Unlock()
	for _, n := range next {
		n.grant(n)
	}
}

// Leave gives the place back, or the wish for one. It may be called once or more, granted or not.
func (p *Pool) Leave(t *Ticket) {
	p.mu.Lock()
	if t.returned {
		p.mu.Unlock()
		return
	}
	t.returned = true
	var next []*Ticket
	if !t.granted && p.heavy { // it may have been the one that others wait behind
		next = p.fill()
	}
	if t.granted {
		p.running--
		t.q.running--
		p.weight -= t.weight
		next = p.fill()
		if t.q.running == 0 && !t.q.listed {
			delete(p.keys, t.q.key)
		}
	}
	p.mu.Unlock()
	for _, n := range next {
		n.grant(n)
	}
}

// Running is how many places are taken.
func (p *Pool) Running() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running
}

// fill grants what waits, one key after the other. The one whose turn it is and that is too heavy ends it: the rest of the
// budget is kept for it.
func (p *Pool) fill() (granted []*Ticket) {
	p.heavy = false
	for skipped := 0; p.running < p.total && len(p.ring) > 0 && skipped < len(p.ring); {
		if p.turn >= len(p.ring) {
			p.turn = 0
		}
		q := p.ring[p.turn]
		if q.running >= p.most(q) {
			p.turn++
			skipped++
			continue
		}
		t := q.first()
		if t == nil {
			q.listed = false
			p.ring = append(p.ring[:p.turn], p.ring[p.turn+1:]...)
			continue
		}
		if !p.fits(t) {
			p.heavy = true
			return granted
		}
		q.pop()
		skipped = 0
		p.turn++
		p.take(t)
		granted = append(granted, t)
	}
	return granted
}

// waits reports whether somebody waits who still wants the place.
func (q *queue) waits() bool {
	for _, line := range [][]*Ticket{q.urgent, q.normal} {
		for _, t := range line {
			if !t.returned {
				return true
			}
		}
	}
	return false
}

// first is the first ticket that is still wanted; nil if there is none. Those before it are forgotten.
func (q *queue) first() *Ticket {
	for _, line := range []*[]*Ticket{&q.urgent, &q.normal} {
		for len(*line) > 0 {
			if t := (*line)[0]; !t.returned {
				return t
			}
			(*line)[0] = nil
			*line = (*line)[1:]
		}
	}
	return nil
}

// pop takes the one that first has found.
func (q *queue) pop() {
	line := &q.normal
	if len(q.urgent) > 0 {
		line = &q.urgent
	}
	(*line)[0] = nil
	*line = (*line)[1:]
}
