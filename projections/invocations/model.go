// Package invocations is the read model for people: what became of each invocation, and where in the log it can be read.
// It holds no payload; whoever wants one reads the record at the offset that stands here.
package invocations

import (
	"context"
	"errors"
	"slices"
	"sort"
	"sync"

	"deed/domain"
	"deed/domain/partition"
	"deed/eventstore"
)

// Ref is a record of an invocation: where it stands, and how the fold judged it.
type Ref struct {
	Offset int64
	Reason partition.Reason // "" if it took effect
}

// Row is one invocation.
type Row struct {
	State     domain.Invocation
	Partition int
	Refused   partition.Reason // the request was void, and the invocation is unknown; State has its ID only
	Request   int64            // offset of the record that opened it
	Outcome   int64            // offset of the last attempt's outcome; -1 if none
	Refs      []Ref
	Stale     bool // of a copy: its later history is still being read (Partial)

	live bool // the state is from the tail: what is older does not change it
}

// Model is the read model of one topic. It is safe for concurrent use.
type Model struct {
	mu       sync.RWMutex
	rows     map[domain.InvocationID]*Row
	order    []domain.InvocationID // as opened on this node; ids sort by time, nearly
	open     int                   // invocations that are not settled
	parts    []position            // by partition
	moved    chan struct{}         // closed and replaced with every batch
	watchers map[*Watch]struct{}
}

// position is how far the model has read a partition.
type position struct {
	next    int64 // the offset after the last record seen
	logTime domain.Instant
	partial bool // what lies before the tail's beginning is still being read
}

// New is an empty model of that many partitions; it grows when there are more.
func New(partitions int) *Model {
	return &Model{
		rows: map[domain.InvocationID]*Row{}, parts: make([]position, partitions),
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
	m.part(p).partial = false
	m.wake()
}

// Partial reports whether the older history of the partition is still being read.
func (m *Model) Partial(p int) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return p < len(m.parts) && m.parts[p].partial
}

// wake tells all who wait that the model has moved. The lock is held.
func (m *Model) wake() {
	close(m.moved)
	m.moved = make(chan struct{})
}

// History takes records from before the tail's beginning, in order. What the tail has said of an invocation stays.
func (m *Model) History(batch []eventstore.Judged) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range batch {
		m.apply(&batch[i], true)
	}
	m.wake()
}

// Batch implements projections.Subscriber.
func (m *Model) Batch(f *partition.Fold, batch []eventstore.Judged) {
	if len(batch) == 0 {
		return
	}
	m.mu.Lock()
	for i := range batch {
		m.apply(&batch[i], false)
	}
	last := batch[len(batch)-1].Message
	part := m.part(last.Partition)
	part.next, part.logTime = last.Offset+1, f.LogTime()
	m.wake()
	for w := range m.watchers {
		w.offer(batch)
	}
	m.mu.Unlock()
}

func (m *Model) apply(j *eventstore.Judged, old bool) {
	id := j.Record.Subject
	if id.IsZero() {
		return
	}
	row := m.rows[id]
	if row == nil {
		if j.Record.Type != "InvocationRequested" && j.Record.Type != "InvocationCarried" {
			return
		}
		row = &Row{State: domain.Invocation{ID: id}, Partition: j.Message.Partition, Request: -1, Outcome: -1}
		m.rows[id] = row
		m.order = append(m.order, id)
	}
	row.add(Ref{j.Message.Offset, j.Verdict.Reason}, old)
	switch {
	case j.Verdict.Effective() && j.After.Known:
		if row.Request < 0 || j.Message.Offset < row.Request {
			row.Request, row.Refused = j.Message.Offset, ""
		}
		if !old || !row.live {
			m.set(row, j.After)
			row.live = !old
		}
		if printed := j.Record.Type == "AttemptSucceeded" || j.Record.Type == "AttemptFailed"; printed && j.Message.Offset > row.Outcome {
			row.Outcome = j.Message.Offset
		}
	case !row.State.Known && j.Record.Type == "InvocationRequested":
		row.Refused = j.Verdict.Reason
	}
	// A child's request settles its parent's notification in the same record.
	if req, ok := j.Record.Event.(domain.InvocationRequested); ok && j.Verdict.Effective() && !req.Parent.IsZero() {
		if parent := m.rows[req.Parent]; parent != nil {
			if !old || !parent.live {
				m.set(parent, parent.State.SettledByChild(j.Record.At))
			}
			parent.add(Ref{j.Message.Offset, partition.Effective}, old)
		}
	}
}

// add keeps the references in the order of offsets. A record may be judged twice, by the tail, which may not know the
// invocation, and by the history, which does.
func (r *Row) add(ref Ref, old bool) {
	at := len(r.Refs)
	for at > 0 && r.Refs[at-1].Offset > ref.Offset {
		at--
	}
	if at > 0 && r.Refs[at-1].Offset == ref.Offset {
		if old {
			r.Refs[at-1] = ref
		}
		return
	}
	r.Refs = slices.Insert(r.Refs, at, ref)
}

// set moves a row on and counts what is not settled.
func (m *Model) set(row *Row, to domain.Invocation) {
	if row.State.Known && !row.State.Settled() {
		m.open--
	}
	row.State = to
	if to.Known && !to.Settled() {
		m.open++
	}
}

// Get is a copy of the row.
func (m *Model) Get(id domain.InvocationID) (Row, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	row := m.rows[id]
	if row == nil {
		return Row{}, false
	}
	c := row.copy()
	c.Stale = !row.live && row.Partition < len(m.parts) && m.parts[row.Partition].partial
	return c, true
}

func (r *Row) copy() Row {
	c := *r
	c.Refs = append([]Ref(nil), r.Refs...)
	return c
}

// Filter selects rows. The zero value selects all.
type Filter struct {
	Function string // name
	Status   domain.Status
	Since    domain.Instant
	Limit    int // 0: all
}

// List is the newest rows that the filter selects, newest first.
func (m *Model) List(f Filter) []Row {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var out []Row
	for _, v := range slices.Backward(m.order) {
		row := m.rows[v]
		if !row.State.Known || f.Function != "" && row.State.Function.Name != f.Function ||
			f.Status != "" && row.State.Status() != f.Status || row.State.ID.T0() < f.Since {
			continue
		}
		out = append(out, row.copy())
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].State.ID.T0() > out[j].State.ID.T0() })
	if f.Limit > 0 && len(out) > f.Limit {
		out = out[:f.Limit]
	}
	return out
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

// Watch is a queue of judged records, filled from the moment it was made.
type Watch struct {
	model *Model
	mu    sync.Mutex
	queue []eventstore.Judged
	lost  bool
	more  chan struct{}
}

// maxQueue is how many records a watcher may lag behind before it is told so.
const maxQueue = 100_000

// ErrLagging says that a watcher was too slow and has missed records.
var ErrLagging = errors.New("the watcher was too slow: records were missed; begin again")

// Watch begins to collect records; Close it.
func (m *Model) Watch() *Watch {
	w := &Watch{model: m, more: make(chan struct{}, 1)}
	m.mu.Lock()
	m.watchers[w] = struct{}{}
	m.mu.Unlock()
	return w
}

func (w *Watch) offer(batch []eventstore.Judged) {
	w.mu.Lock()
	if len(w.queue)+len(batch) > maxQueue {
		w.lost = true
	} else {
		w.queue = append(w.queue, batch...)
	}
	w.mu.Unlock()
	select {
	case w.more <- struct{}{}:
	default:
	}
}

// Next returns what was collected, waiting for at least one record.
func (w *Watch) Next(ctx context.Context) ([]eventstore.Judged, error) {
	for {
		w.mu.Lock()
		batch, lost := w.queue, w.lost
		w.queue = nil
		w.mu.Unlock()
		if len(batch) > 0 {
			return batch, nil
		}
		if lost {
			return nil, ErrLagging
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-w.more:
		}
	}
}

// Close ends the watch.
func (w *Watch) Close() {
	w.model.mu.Lock()
	delete(w.model.watchers, w)
	w.model.mu.Unlock()
}
