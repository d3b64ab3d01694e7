package invocations

import (
	"time"

	"deed/domain"
	"deed/domain/partition"
	"deed/eventstore"
)

// History takes records from before the tail's beginning, in order. What the tail has said of an invocation stays.
func (m *Model) History(batch []eventstore.Judged) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range batch {
		m.apply(&batch[i], true)
	}
	m.sweep()
	m.wake()
}

// Batch implements projections.Subscriber.
func (m *Model) Batch(f *partition.Fold, batch []eventstore.Judged) {
	if len(batch) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range batch {
		m.apply(&batch[i], false)
	}
	last := batch[len(batch)-1].Message
	part := m.part(last.Partition)
	part.next, part.logTime = last.Offset+1, f.LogTime()
	m.sweep()
	m.wake()
	for w := range m.watchers {
		w.offer(batch)
	}
}

func (m *Model) apply(j *eventstore.Judged, old bool) {
	if j.Record.Subject.IsZero() {
		return
	}
	if row := m.about(j, old); row != nil {
		m.tell(row, j, old)
		m.file(row)
		m.touch(row)
	}
	// A child's request settles its parent's notification in the same record.
	if req, ok := j.Record.Event.(domain.InvocationRequested); ok && j.Verdict.Effective() && !req.Parent.IsZero() {
		if parent := m.rows[req.Parent]; parent != nil {
			if parent.State.Known && (!old || !parent.live) {
				m.set(parent, parent.State.SettledByChild(j.Record.At))
			}
			parent.add(Ref{j.Message.Offset, partition.Effective}, old)
			m.touch(parent)
		}
	}
}

// about is the row of the record's invocation; nil if the record does not make one. A request or a restatement makes one,
// even of an invocation that was dropped: what comes of it is dropped again when the batch is over, unless it is not settled.
func (m *Model) about(j *eventstore.Judged, old bool) *Row {
	id := j.Record.Subject
	row := m.rows[id]
	if row != nil || j.Record.Type != "InvocationRequested" && j.Record.Type != "InvocationCarried" {
		return row
	}
	if _, gone := m.part(j.Message.Partition).gone[id]; gone && old {
		return nil // the tail has seen the end of it
	}
	row = &Row{State: domain.Invocation{ID: id}, Partition: j.Message.Partition, Request: -1, Outcome: -1}
	m.rows[id] = row
	return row
}

// tell moves a row on by one record.
func (m *Model) tell(row *Row, j *eventstore.Judged, old bool) {
	row.add(Ref{j.Message.Offset, j.Verdict.Reason}, old)
	request := j.Record.Type == "InvocationRequested"
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
			row.Outcome, row.Ran = j.Message.Offset, ran(j.Record.Event)
		}
	case !row.State.Known && request:
		row.Refused = j.Verdict.Reason
	}
	if request && row.State.Function == (domain.FunctionID{}) {
		row.State.Function = wanted(j)
		if row.State.Known { // it was opened broken; a copy that is not has no say
			row.State.Function = domain.FunctionID{Project: row.State.Function.Project}
		}
	}
}

// set moves a row on and counts what is not settled. What the fold does not know of the function of a broken request stays.
func (m *Model) set(row *Row, to domain.Invocation) {
	if to.Function == (domain.FunctionID{}) {
		to.Function = row.State.Function
	}
	if row.State.Known && !row.settled {
		m.open--
	}
	row.State, row.settled, row.open, row.sync, row.status = to, to.Settled(), to.Open(), to.Sync, to.Status()
	if to.Known && !row.settled {
		m.open++
	}
}

// ran is how long an attempt ran.
func ran(e domain.Event) time.Duration {
	switch e := e.(type) {
	case domain.AttemptSucceeded:
		return e.Usage.Duration
	case domain.AttemptFailed:
		return e.Usage.Duration
	default:
		return 0
	}
}
