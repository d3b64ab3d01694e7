// Package invocations is the read model for people: what became of each invocation, and where in the log it can be read.
// It holds no payload; whoever wants one reads the record at the offset that stands here.
//
// It is bounded: of every function it keeps the newest rows, and those that are not settled. What it has dropped the log
// still holds.
package invocations

import (
	"context"
	"sync"

	"deed/domain"
)

// Model is the read model of one topic. It is safe for concurrent use.
type Model struct {
	keep int // rows of a function
	late int // rows of a function that ended when they were older than those

	mu        sync.RWMutex // guards the rest
	rows      map[domain.InvocationID]*Row
	functions map[domain.FunctionID]*function // by place
	open      int                             // invocations that are not settled
	dropped   domain.Instant                  // the greatest acceptance time of a row that was dropped
	parts     []position                      // by partition
	touched   []*Row                          // while a batch is applied: rows that may have to go
	left      []*Row                          // and those that are no longer among the newest of their function
	moved     chan struct{}                   // closed and replaced with every batch
	watchers  map[*Watch]struct{}
}

// position is how far the model has read a partition.
type position struct {
	next    int64 // the offset after the last record seen
	logTime domain.Instant
	partial bool // what lies before the tail's beginning is still being read, and while it is:

	gone   map[domain.InvocationID]struct{} // rows of the tail that were dropped: the history must not make them anew
	hidden []domain.InvocationID            // rows of which nothing was known but a void restatement
}

// New is an empty model of that many partitions; it grows when there are more. It keeps Keep rows of a function.
func New(partitions int) *Model { return NewBounded(partitions, Keep) }

// NewBounded is New with another bound: how many rows of a function are kept, at least 1.
func NewBounded(partitions, keep int) *Model {
	return &Model{
		keep: max(keep, 1), late: max(keep/lateShare, 1),
		rows: map[domain.InvocationID]*Row{}, functions: map[domain.FunctionID]*function{}, parts: make([]position, partitions),
		moved: make(chan struct{}), watchers: map[*Watch]struct{}{},
	}
}

func (m *Model) part(p int) *position {
	for len(m.parts) <= p {
		m.parts = append(m.parts, position{})
	}
	return &m.parts[p]
}

// Begin says at which offset the partition's tail begins. What lies before it is the model's by History, until Complete.
func (m *Model) Begin(p int, at int64, partial bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	*m.part(p) = position{next: at, partial: partial}
}

// Complete says that all of the partition's history was read.
func (m *Model) Complete(p int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	part := m.part(p)
	for _, id := range part.hidden {
		if row := m.rows[id]; row != nil && !row.shown() {
			delete(m.rows, id)
		}
	}
	part.partial, part.gone, part.hidden = false, nil, nil
	m.wake()
}

// Partial reports whether the older history of the partition is still being read.
func (m *Model) Partial(p int) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.isPartial(p)
}

func (m *Model) isPartial(p int) bool { return p < len(m.parts) && m.parts[p].partial }

// wake tells all who wait that the model has moved. The lock is held.
func (m *Model) wake() {
	close(m.moved)
	m.moved = make(chan struct{})
}

// Get is a copy of the row.
func (m *Model) Get(id domain.InvocationID) (Row, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	row := m.rows[id]
	if row == nil || !row.shown() {
		return Row{}, false
	}
	return m.copy(row), true
}

// Unsettled is how many invocations are not settled.
func (m *Model) Unsettled() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.open
}

// Next is the offset after the last record of the partition that the model has seen.
func (m *Model) Next(p int) int64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if p >= len(m.parts) {
		return 0
	}
	return m.parts[p].next
}

// LogTime is the partition's log time as the model has read it.
func (m *Model) LogTime(p int) domain.Instant {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if p >= len(m.parts) {
		return 0
	}
	return m.parts[p].logTime
}

// Until waits until ok reports true of the model; it is called again whenever the model has moved.
func (m *Model) Until(ctx context.Context, ok func() bool) error {
	for {
		m.mu.RLock()
		moved := m.moved
		m.mu.RUnlock()
		if ok() {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-moved:
		}
	}
}
