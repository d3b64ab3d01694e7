// Package operations is deed.operations as a projection: what is to be done again, how far it is, and what was done. The checks
// that two nodes could race — that steps follow one another, that nothing is redriven twice — are made here, in the fold:
// whoever acts, acts on a step that it has folded back.
package operations

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"deed/domain"
)

// Operation is one as it stands.
type Operation struct {
	domain.OperationRequested

	At      domain.Instant // when it was asked for
	Planned bool
	Total   int // to be acted on
	Already int // redriven before, and passed over
	Open    int // without an outcome, and passed over
	Older   bool

	Step    int                      // the last one that was begun
	Current domain.OperationAdvanced // the step under way; zero if none is
	Last    domain.InvocationID      // the last one of the last step
	Again   []domain.InvocationID    // were lost, and are to be in the next step
	Done    int
	Failed  int
	Paused  bool
	Ended   bool
	EndedBy string // who stopped it; "": nobody
	Reason  string // why it came to its end early
	EndedAt domain.Instant

	Results []Result // the newest, at most keepResults
	Version int64    // grows with every change of any operation
}

// Result is what became of one.
type Result struct {
	Old, New domain.InvocationID
	Place    string // of a notification
	Problem  string
}

// keepResults is how many results of an operation are kept in memory: the log has them all.
const keepResults = 1000

// UnderWay reports whether a step was begun and not settled.
func (o *Operation) UnderWay() bool { return o.Current.Step > 0 }

// Model is the fold. It is safe for concurrent use.
type Model struct {
	mu         sync.RWMutex
	operations map[domain.UUID]*Operation
	order      []domain.UUID
	taken      map[subject]domain.InvocationID // what is, or was, acted on, and the id of its step: some 50 bytes each, for ever
	retold     map[domain.InvocationID]string  // whose abandoned notification was delivered again, and where
	fed        map[int]domain.NotificationsFed
	next       int64
	version    int64
	verdicts   map[domain.UUID]func(error)
	changed    chan struct{} // closed at the next change
}

// subject is an invocation, and what is done with it.
type subject struct {
	kind domain.OperationKind
	id   domain.InvocationID
}

// New is an empty fold.
func New() *Model {
	return &Model{
		operations: map[domain.UUID]*Operation{}, taken: map[subject]domain.InvocationID{}, retold: map[domain.InvocationID]string{}, fed: map[int]domain.NotificationsFed{},
		verdicts: map[domain.UUID]func(error){}, changed: make(chan struct{}),
	}
}

// Next is the offset after the last record that was folded.
func (m *Model) Next() int64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.next
}

// Expect arranges that verdict is told how the fold judges a record, once it is there.
func (m *Model) Expect(record domain.UUID, verdict func(error)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.verdicts[record] = verdict
}

// Forget undoes Expect.
func (m *Model) Forget(record domain.UUID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.verdicts, record)
}

// Get is an operation as it stands.
func (m *Model) Get(id domain.UUID) (Operation, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	o := m.operations[id]
	if o == nil {
		return Operation{}, false
	}
	return o.copy(), true
}

func (o *Operation) copy() Operation {
	c := *o
	c.Results = slices.Clone(o.Results)
	return c
}

// List is the operations of a project, the newest first; "" is all projects.
func (m *Model) List(project string) []Operation {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var out []Operation
	for _, id := range slices.Backward(m.order) {
		if o := m.operations[id]; project == "" || o.Project == project {
			c := *o
			c.Results = nil
			out = append(out, c)
		}
	}
	return out
}

// Pending are the operations that have something left to be done now, the oldest first: a step under way is ended in any case.
func (m *Model) Pending() []Operation {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var out []Operation
	for _, id := range m.order {
		if o := m.operations[id]; o.UnderWay() || !o.Ended && !o.Paused {
			c := *o
			c.Results = nil
			out = append(out, c)
		}
	}
	return out
}

// Fed is how far deed.notifications is in a partition, as was noted last.
func (m *Model) Fed(partition int) domain.NotificationsFed {
	m.mu.RLock()
	defer m.mu.RUnlock()
	at, ok := m.fed[partition]
	if !ok {
		at = domain.NotificationsFed{Partition: partition, Marker: -1}
	}
	return at
}

// Taken reports whether something of that kind was done with an invocation, or is being done.
func (m *Model) Taken(kind domain.OperationKind, id domain.InvocationID) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	_, ok := m.taken[subject{kind, id}]
	return ok
}

// Redriven is what an invocation was redriven as.
func (m *Model) Redriven(old domain.InvocationID) (domain.InvocationID, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	id, ok := m.taken[subject{domain.Redrive, old}]
	return id, ok
}

// Retold is where the notification of an invocation is that was abandoned and then delivered again.
func (m *Model) Retold(old domain.InvocationID) (string, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	where, ok := m.retold[old]
	return where, ok
}

// Until returns when an operation is another one than it was at that version, or there are others; or with ctx's error.
func (m *Model) Until(ctx context.Context, done func() bool) error {
	for {
		m.mu.RLock()
		changed := m.changed
		m.mu.RUnlock()
		if done() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Apply folds one record. The error says why it has no effect.
func (m *Model) Apply(offset int64, rec domain.Record) error {
	m.mu.Lock()
	m.next = offset + 1
	err := m.apply(rec)
	verdict := m.verdicts[rec.ID]
	delete(m.verdicts, rec.ID)
	close(m.changed)
	m.changed = make(chan struct{})
	m.mu.Unlock()
	if verdict != nil {
		verdict(err)
	}
	return err
}

// NoOperation says that there is none of that id.
func NoOperation(id domain.UUID) error {
	return domain.Reject(domain.CodeNotFound, fmt.Sprintf("there is no operation %s", id), "deed operations lists them")
}
