package invocations

import (
	"container/heap"
	"iter"
	"slices"
	"time"

	"deed/domain"
)

// Selection says which rows are wanted. The zero value selects all but those of callers who wait for the result. Rows of
// requests that were refused are never selected.
type Selection struct {
	Function     domain.FunctionID     // its region does not matter; zero: those of a project
	Project      string                // if Function is zero; "": all projects
	Versions     func(string) bool     // nil: all versions
	Status       domain.Status         // "": any
	Since, Until domain.Instant        // when it was accepted, both inclusive; zero: open
	IDs          []domain.InvocationID // nil: all
	Open         bool                  // only those that have no outcome
	Sync         bool                  // also those whose caller waits for the result

	Offset int // rows to pass over, from the newest
	Limit  int // rows at most; 0: all
}

// Page is a part of what was selected.
type Page struct {
	Rows  []Row // newest first
	Total int   // how many are selected, before Offset and Limit
	Older bool  // older ones of the function, or of one of the functions, were dropped, and some of them may have been selected
}

// Select is the newest rows that are selected, by acceptance time and then by id. Rows that are only counted are not copied.
func (m *Model) Select(s Selection) Page {
	m.mu.RLock()
	defer m.mu.RUnlock()
	page := Page{Older: m.older(&s)}
	for row := range m.newest(&s) {
		if s.Limit > 0 && len(page.Rows) == s.Limit {
			page.Total = m.count(&s)
			return page
		}
		if !s.takes(row) {
			continue
		}
		if page.Total++; page.Total > s.Offset {
			page.Rows = append(page.Rows, m.copy(row))
		}
	}
	return page
}

// Figure is what statistics ask of a row.
type Figure struct {
	At      domain.Instant // of acceptance
	Outcome domain.Outcome
	Kind    domain.FailureKind
	Ran     time.Duration // of the last attempt that ended, in the guest; 0 if none did
}

// Figures calls fn for every row that is selected, newest first, whatever Offset and Limit say, and reports what Page.Older
// does. Nothing is copied but what fn is given. It must not call the model.
func (m *Model) Figures(s Selection, fn func(Figure)) (older bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for row := range m.newest(&s) {
		if s.takes(row) {
			fn(Figure{row.State.ID.T0(), row.State.Outcome, row.State.Kind, row.Ran})
		}
	}
	return m.older(&s)
}

// Each calls fn for every row that is selected, newest first, whatever Offset and Limit say, until it returns false, and
// reports what Page.Older does. It must not call the model.
func (m *Model) Each(s Selection, fn func(domain.Invocation) bool) (older bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for row := range m.newest(&s) {
		if s.takes(row) && !fn(row.State) {
			break
		}
	}
	return m.older(&s)
}

// Filter selects rows, also those of callers who wait for the result. The zero value selects all.
type Filter struct {
	Function domain.FunctionID // its region does not matter; zero: those of a project
	Project  string            // if Function is zero; "": all projects
	Status   domain.Status     // "": any
	Since    domain.Instant    // when it was accepted, inclusive; zero: open
	Limit    int               // 0: all
}

// List is the newest rows that the filter selects, newest first. It is Select without a count of the others.
func (m *Model) List(f Filter) []Row {
	s := Selection{Function: f.Function, Project: f.Project, Status: f.Status, Since: f.Since, Sync: true}
	m.mu.RLock()
	defer m.mu.RUnlock()
	var out []Row
	for row := range m.newest(&s) {
		if !s.takes(row) {
			continue
		}
		if out = append(out, m.copy(row)); len(out) == f.Limit {
			break
		}
	}
	return out
}

// takes reports whether a row of one of the functions, accepted in time, is selected.
func (s *Selection) takes(row *Row) bool {
	return row.status != "" && (s.Sync || !row.sync) && (!s.Open || row.open) && (s.Status == "" || row.status == s.Status) &&
		(s.Versions == nil || s.Versions(row.State.Version))
}

// of reports whether the function is selected, or one of those that are.
func (s *Selection) of(f *function) bool {
	if s.Function != (domain.FunctionID{}) {
		return f.id == place(s.Function)
	}
	return s.Project == "" || f.id.Project == s.Project
}

func (s *Selection) inTime(t domain.Instant) bool {
	return t >= s.Since && (s.Until == 0 || t <= s.Until)
}

// among are the functions that are selected, in no order.
func (m *Model) among(s *Selection) iter.Seq[*function] {
	return func(yield func(*function) bool) {
		if s.Function != (domain.FunctionID{}) {
			if f := m.functions[place(s.Function)]; f != nil {
				yield(f)
			}
			return
		}
		for _, f := range m.functions {
			if s.of(f) && !yield(f) {
				return
			}
		}
	}
}

// newest are the rows of the functions, of the time and of the ids that are selected, newest first.
func (m *Model) newest(s *Selection) iter.Seq[*Row] {
	if s.IDs != nil {
		return slices.Values(m.byID(s))
	}
	return func(yield func(*Row) bool) {
		var heads heads
		for f := range m.among(s) {
			heads.add(f.rows.newest(s.Until), s.Since)
		}
		heap.Init(&heads)
		for len(heads) > 0 {
			if !yield(heads[0].row()) {
				return
			}
			heads[0].next()
			if row := heads[0].row(); row == nil || s.Since != 0 && row.State.ID.T0() < s.Since {
				heap.Pop(&heads)
			} else if len(heads) > 1 {
				heap.Fix(&heads, 0)
			}
		}
	}
}

func (m *Model) byID(s *Selection) []*Row {
	var rows []*Row
	for _, id := range s.IDs {
		if row := m.rows[id]; row != nil && row.home != nil && s.of(row.home) && s.inTime(id.T0()) {
			rows = append(rows, row)
		}
	}
	slices.SortFunc(rows, func(a, b *Row) int { return newer(a, b) })
	return slices.Compact(rows)
}

// count is how many rows are selected. It needs no order, so it goes by function.
func (m *Model) count(s *Selection) int {
	n := 0
	if s.IDs != nil {
		for _, row := range m.byID(s) {
			if s.takes(row) {
				n++
			}
		}
		return n
	}
	for f := range m.among(s) {
		at := f.rows.newest(s.Until)
		for row := at.row(); row != nil && (s.Since == 0 || row.State.ID.T0() >= s.Since); row = at.row() {
			if s.takes(row) {
				n++
			}
			at.next()
		}
	}
	return n
}

// older reports whether rows that might have been selected were dropped.
func (m *Model) older(s *Selection) bool {
	var last domain.Instant
	for f := range m.among(s) {
		last = max(last, f.dropped)
	}
	if last == 0 || last < s.Since {
		return false
	}
	if s.IDs == nil {
		return true
	}
	return slices.ContainsFunc(s.IDs, func(id domain.InvocationID) bool {
		row := m.rows[id]
		return (row == nil || !row.shown()) && id.T0() <= last && s.inTime(id.T0())
	})
}

// heads are cursors, the one on the newest row first: a heap.
type heads []cursor

func (h *heads) add(at cursor, since domain.Instant) {
	if row := at.row(); row != nil && row.State.ID.T0() >= since {
		*h = append(*h, at)
	}
}

func (h heads) Len() int           { return len(h) }
func (h heads) Less(a, b int) bool { return newer(h[a].row(), h[b].row()) < 0 }
func (h heads) Swap(a, b int)      { h[a], h[b] = h[b], h[a] }

// Push implements heap.Interface; nothing is pushed.
func (h *heads) Push(any) {}

// Pop implements heap.Interface.
func (h *heads) Pop() any {
	*h = (*h)[:len(*h)-1]
	return nil
}

// newer orders rows from the newest to the oldest.
func newer(a, b *Row) int {
	switch {
	case before(b.State.ID, a.State.ID):
		return -1
	case before(a.State.ID, b.State.ID):
		return 1
	}
	return 0
}
