package wasm

import (
	"math/bits"
	"slices"
	"sync"

	"github.com/tetratelabs/wazero/experimental"
)

// A slab is address space for one linear memory, reserved once and touched page by page by its guests. It costs real
// memory only where it was touched. A slab in the pool holds its image, and zeros everywhere else.
type slab struct {
	b     []byte // len is the reserve
	class int
	image *image // nil for zeros only
}

// Reserves are powers of two, from 1 MiB to the 4 GiB that 32-bit memory can address; class 0 is 1 MiB.
const (
	smallestReserve = 20
	slabClasses     = 32 - smallestReserve + 1
)

// slabs is the pool. What it holds is bounded: keptSlabs, each with at most keptBytes touched.
type slabs struct {
	mu     sync.Mutex // guards what follows
	free   [slabClasses][]*slab
	kept   int // in free
	closed bool
}

// keptSlabs is more than the attempts that a node of some 16 cores runs at once; with keptBytes touched they hold 128 MiB.
const keptSlabs = 32

// get gives a slab of at least n bytes, 0 < n <= 4 GiB, that holds an image, or zeros for nil. One that held the image
// before is the cheapest, then one of zeros; one that holds another image is the last choice.
func (p *slabs) get(n uint64, held *image) (*slab, error) {
	class := max(0, bits.Len64(n-1)-smallestReserve)
	p.mu.Lock()
	s := p.pop(class, held)
	p.mu.Unlock()
	if s == nil {
		b, err := reserve(1 << (class + smallestReserve))
		if err != nil {
			return nil, err
		}
		s = &slab{b: b, class: class}
	}
	if s.image != held {
		s.image.clear(s.b)
		held.writeTo(s.b)
		s.image = held
	}
	return s, nil
}

// put takes a slab back whose first touched bytes may differ from its image; they include the image. When the pool is full, it makes room for the
// slab by dropping the oldest of the class of which it has most.
func (p *slabs) put(s *slab, touched uint64) {
	if s.image.end() > keptBytes {
		s.image = nil
	}
	if !restore(s.b[:touched], s.image) {
		unreserve(s.b)
		return
	}
	drop := s
	p.mu.Lock()
	if !p.closed {
		p.free[s.class] = append(p.free[s.class], s)
		p.kept++
		drop = nil
		if p.kept > keptSlabs {
			most := 0
			for class := range p.free {
				if len(p.free[class]) > len(p.free[most]) {
					most = class
				}
			}
			drop = p.take(most, 0)
		}
	}
	p.mu.Unlock()
	if drop != nil {
		unreserve(drop.b)
	}
}

// pop takes a slab of a class; nil without one. Among equals it is the one that was put last, the most likely to be in a
// processor's cache, except that what is given up for another image is the oldest.
func (p *slabs) pop(class int, held *image) *slab {
	f := p.free[class]
	for _, want := range []*image{held, nil} {
		for i, s := range slices.Backward(f) {
			if s.image == want {
				return p.take(class, i)
			}
		}
	}
	if len(f) == 0 || p.kept < keptSlabs {
		return nil // there is room for one more
	}
	return p.take(class, 0)
}

func (p *slabs) take(class, i int) *slab {
	s := p.free[class][i]
	p.free[class] = slices.Delete(p.free[class], i, i+1)
	p.kept--
	return s
}

// close gives everything back; slabs put later are given back at once.
func (p *slabs) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for class, f := range p.free {
		for _, s := range f {
			unreserve(s.b)
		}
		p.free[class] = nil
	}
	p.kept = 0
}

// memory is the linear memory of one attempt: the engine's allocator and what it allocated in one. The engine's Free does
// nothing: it is not called on every path, and on some while the guest still runs. Whoever ran the attempt calls release.
type memory struct {
	pool    *slabs
	limit   uint64 // bytes
	initial *image // what it begins with; nil for zeros
	slab    *slab
	peak    uint64 // bytes, the largest size it had
	refused uint64 // bytes, the largest size that a growth asked for and did not get; 0 when none passed the limit
	err     error  // the host had no memory
}

var (
	_ experimental.MemoryAllocator = (*memory)(nil)
	_ experimental.LinearMemory    = (*memory)(nil)
)

// Allocate is called once per instance, with the module's maximum.
func (m *memory) Allocate(_, most uint64) experimental.LinearMemory {
	n := max(min(most, m.limit), 1)
	if m.slab == nil {
		m.slab, m.err = m.pool.get(n, m.initial)
	}
	return m
}

// Reallocate gives nil when the size is over the limit; the guest then sees its growth refused.
func (m *memory) Reallocate(n uint64) []byte {
	if m.slab == nil {
		return nil
	}
	if n > m.limit || n > uint64(len(m.slab.b)) {
		m.refused = max(m.refused, n)
		return nil
	}
	m.peak = max(m.peak, n)
	return m.slab.b[:n:n]
}

func (m *memory) Free() {}

// release gives the memory back. Nothing of the guest may run any more.
func (m *memory) release() {
	if m.slab != nil {
		m.pool.put(m.slab, max(m.peak, m.initial.end()))
	}
	*m = memory{pool: m.pool}
}
