package worker

import "sync"

// Pool bounds how much runs at once on a node, in all and for each key, and is fair: what waits is taken round-robin over
// the keys, so one slow or flooded function does not hold up the others. Within a key, urgent work (a due retry) goes
// first, or it would wait behind the whole backlog.
type Pool struct {
	mu      sync.Mutex
	total   int
	perKey  int
	running int
	keys    map[string]*queue
	ring    []*queue // keys that have something waiting
	turn    int
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
	grant    func(*Ticket)
	granted  bool
	returned bool
}

// NewPool runs at most total at once, and at most perKey of one key; both at least 1.
func NewPool(total, perKey int) *Pool {
	return &Pool{total: max(total, 1), perKey: max(perKey, 1), keys: map[string]*queue{}}
}

// Enter asks for a place. limit is how many of the key may run at once, where that is less than the pool's; 0 or less is no
// limit of its own. If there is a place the ticket is granted at once and grant is not called; else grant is called later, on
// the goroutine of whoever leaves, and must not block.
func (p *Pool) Enter(key string, limit int, urgent bool, grant func(*Ticket)) (t *Ticket, now bool) {
	p.mu.Lock()
	q := p.keys[key]
	if q == nil {
		q = &queue{key: key}
		p.keys[key] = q
	}
	raised := p.most(q)
	q.limit = max(limit, 0)
	raised = p.most(q) - raised
	t = &Ticket{q: q, grant: grant}
	if p.running < p.total && q.running < p.most(q) && !q.waits() {
		p.running++
		q.running++
		t.granted = true
		p.mu.Unlock()
		return t, true
	}
	if urgent {
		q.urgent = append(q.urgent, t)
	} else {
		q.normal = append(q.normal, t)
	}
	if !q.listed {
		q.listed = true
		p.ring = append(p.ring, q)
	}
	var next []*Ticket
	if raised > 0 { // those that waited for it, and perhaps this one
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
	if t.granted {
		p.running--
		t.q.running--
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

// fill grants what waits, one key after the other.
func (p *Pool) fill() (granted []*Ticket) {
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
		t := q.pop()
		if t == nil {
			q.listed = false
			p.ring = append(p.ring[:p.turn], p.ring[p.turn+1:]...)
			continue
		}
		skipped = 0
		p.turn++
		p.running++
		q.running++
		t.granted = true
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

// pop takes the first ticket that is still wanted.
func (q *queue) pop() *Ticket {
	for _, line := range []*[]*Ticket{&q.urgent, &q.normal} {
		for len(*line) > 0 {
			t := (*line)[0]
			(*line)[0] = nil
			*line = (*line)[1:]
			if !t.returned {
				return t
			}
		}
	}
	return nil
}
