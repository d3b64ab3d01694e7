package invocations

import (
	"slices"

	"deed/domain"
)

// Keep is how many rows of a function a model keeps: its newest ones. Older ones it keeps while they are not settled.
const Keep = 100_000

// lateShare is the part of the bound by which a function may have rows that ended only when they were no longer among its
// newest: who has waited for one of them can still look at it.
const lateShare = 100

// function is what the model holds of one function. Requests that nobody can decode are listed as of a function without a
// name, in their project.
//
// A row is kept while it is among the newest ones, or is not settled. How many are newer than a row only ever grows, so what
// is kept does not depend on the order in which tails and histories of several partitions come.
type function struct {
	id      domain.FunctionID
	rows    order
	newest  int                 // rows that are not before the floor: Keep at most
	floor   domain.InvocationID // the oldest of the newest; zero as long as all are
	late    []*Row              // ended when they were before the floor, by the tail; in that order
	dropped domain.Instant      // the greatest acceptance time of a row that was dropped; zero: none was
}

// file lists a row under its function, once there is anything to show of it.
func (m *Model) file(row *Row) {
	if !row.shown() {
		return
	}
	id := place(row.State.Function)
	f := row.home
	if f != nil {
		if f.id == id {
			return
		}
		f.rows.remove(row) // the request of what could not be decoded has told its project
		if !f.old(row) {
			f.newest--
		}
	}
	if f = m.functions[id]; f == nil {
		f = &function{id: id}
		m.functions[id] = f
	}
	row.home = f
	f.rows.insert(row)
	if f.old(row) {
		return
	}
	if f.newest++; f.newest > m.keep {
		leaves := f.rows.ceil(f.floor)
		f.floor = f.rows.after(leaves).State.ID
		f.newest--
		m.left = append(m.left, leaves)
	}
}

// old reports whether the row is no longer among the newest.
func (f *function) old(row *Row) bool { return before(row.State.ID, f.floor) }

// touch remembers a row that a record was about, if it may have to go when the batch is over.
func (m *Model) touch(row *Row) {
	if row.home == nil || row.ended() && row.home.old(row) {
		m.touched = append(m.touched, row)
	}
}

// sweep drops, at the end of a batch, what need not be kept any longer.
func (m *Model) sweep() {
	for _, row := range m.touched {
		if f := row.home; f == nil {
			m.hide(row)
		} else if m.over(row) && row.live {
			row.late = true
			if f.late = append(f.late, row); len(f.late) > m.late {
				m.drop(f.late[0])
				f.late = slices.Delete(f.late, 0, 1)
			}
		} else if m.over(row) {
			m.drop(row)
		}
	}
	for _, row := range m.left {
		if m.over(row) {
			m.drop(row)
		}
	}
	clear(m.touched)
	clear(m.left)
	m.touched, m.left = m.touched[:0], m.left[:0]
}

// over reports whether nothing keeps a row any more. What the history has read ahead of the tail stays until the tail has
// come past it, for the tail may restate it as it was before.
func (m *Model) over(row *Row) bool {
	return row.home != nil && !row.late && row.ended() && row.home.old(row) && row.last() < m.part(row.Partition).next
}

// drop forgets a row that has ended.
func (m *Model) drop(row *Row) {
	f, id := row.home, row.State.ID
	f.rows.remove(row)
	f.dropped, m.dropped = max(f.dropped, id.T0()), max(m.dropped, id.T0())
	row.home = nil
	delete(m.rows, id)
	if part := m.part(row.Partition); row.live && part.partial {
		if part.gone == nil {
			part.gone = map[domain.InvocationID]struct{}{}
		}
		part.gone[id] = struct{}{}
	}
}

// hide deals with a row of which nothing is known but a void restatement: the history, if there is any to come, may tell
// the rest.
func (m *Model) hide(row *Row) {
	id := row.State.ID
	if m.rows[id] != row {
		return // it was about something that was dropped
	}
	if part := m.part(row.Partition); part.partial {
		part.hidden = append(part.hidden, id)
	} else {
		delete(m.rows, id)
	}
}

// Dropped is the greatest acceptance time of an invocation of that function (the zero value: of any) that the model has
// dropped; zero if it has dropped none. What it does not know and was accepted later has never been.
func (m *Model) Dropped(f domain.FunctionID) domain.Instant {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if f == (domain.FunctionID{}) {
		return m.dropped
	}
	if known := m.functions[place(f)]; known != nil {
		return known.dropped
	}
	return 0
}

// Keeps is how many rows of a function the model keeps.
func (m *Model) Keeps() int { return m.keep }
