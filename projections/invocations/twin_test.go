package invocations

import (
	"bytes"
	"reflect"
	"slices"
	"testing"

	"deed/domain"
	"deed/domain/partition"
	"deed/eventstore"

	"pgregory.net/rapid"
)

// twin is the read model as one would write it first: it keeps all, in no order, and looks at everything for every question.
type twin struct {
	rows    map[domain.InvocationID]*Row
	next    map[int]int64
	partial map[int]bool
}

func (w *twin) Batch(_ *partition.Fold, batch []eventstore.Judged) {
	for i := range batch {
		w.apply(&batch[i], false)
		w.next[batch[i].Message.Partition] = batch[i].Message.Offset + 1
	}
}

func (w *twin) History(batch []eventstore.Judged) {
	for i := range batch {
		w.apply(&batch[i], true)
	}
}

func (w *twin) Complete(p int) { w.partial[p] = false }

func (w *twin) apply(j *eventstore.Judged, old bool) {
	id := j.Record.Subject
	row, request := w.rows[id], j.Record.Type == "InvocationRequested"
	if row == nil {
		if !request && j.Record.Type != "InvocationCarried" {
			return
		}
		row = &Row{State: domain.Invocation{ID: id}, Partition: j.Message.Partition, Request: -1, Outcome: -1}
		w.rows[id] = row
	}
	w.ref(row, j.Message.Offset, j.Verdict.Reason, old)
	if j.Verdict.Effective() && j.After.Known {
		if row.Request < 0 || j.Message.Offset < row.Request {
			row.Request, row.Refused = j.Message.Offset, ""
		}
		if !old || !row.live {
			f := row.State.Function
			row.State, row.live = j.After, !old
			if j.After.Broken {
				row.State.Function = f
			}
		}
		if r := j.Record.Type; (r == "AttemptSucceeded" || r == "AttemptFailed") && j.Message.Offset > row.Outcome {
			row.Outcome = j.Message.Offset
		}
	} else if !row.State.Known && request {
		row.Refused = j.Verdict.Reason
	}
	req, decoded := j.Record.Event.(domain.InvocationRequested)
	if request && row.State.Function == (domain.FunctionID{}) {
		if decoded {
			row.State.Function = req.Function
		} else if source := eventstore.Attributes(j.Message)["source"]; source != "" {
			row.State.Function.Project = source[len("/deed/c/"):]
		}
	}
	if parent := w.rows[req.Parent]; parent != nil && j.Verdict.Effective() {
		if parent.State.Known && (!old || !parent.live) {
			parent.State = parent.State.SettledByChild(j.Record.At)
		}
		w.ref(parent, j.Message.Offset, "", old)
	}
}

func (w *twin) ref(row *Row, offset int64, reason partition.Reason, old bool) {
	i := slices.IndexFunc(row.Refs, func(r Ref) bool { return r.Offset == offset })
	if i < 0 {
		row.Refs = append(row.Refs, Ref{offset, reason})
	} else if old {
		row.Refs[i].Reason = reason
	}
	slices.SortFunc(row.Refs, func(a, b Ref) int { return int(a.Offset - b.Offset) })
}

func (w *twin) get(id domain.InvocationID) (Row, bool) {
	row := w.rows[id]
	if row == nil || !row.State.Known && row.Refused == "" {
		return Row{}, false
	}
	c := *row
	c.Stale = !row.live && w.partial[row.Partition]
	return c, true
}

func (w *twin) unsettled() (n int) {
	for _, row := range w.rows {
		if row.State.Known && !row.State.Settled() {
			n++
		}
	}
	return n
}

// rank is how many rows of the same function are newer.
func (w *twin) rank(of Row) (n int) {
	for id := range w.rows {
		if row, ok := w.get(id); ok && place(row.State.Function) == place(of.State.Function) && bytes.Compare(id[:], of.State.ID[:]) > 0 {
			n++
		}
	}
	return n
}

// sel is what a selection finds among those that has reports true of, newest first.
func (w *twin) sel(s Selection, has func(domain.InvocationID) bool) (rows []Row) {
	for id := range w.rows {
		row, ok := w.get(id)
		if !ok || !has(id) || !row.State.Known || row.State.Sync && !s.Sync || s.Open && row.State.Outcome != domain.Open ||
			s.Status != "" && row.State.Status() != s.Status || s.Versions != nil && !s.Versions(row.State.Version) ||
			id.T0() < s.Since || s.Until != 0 && id.T0() > s.Until || s.IDs != nil && !slices.Contains(s.IDs, id) {
			continue
		}
		f := row.State.Function
		if want := s.Function; want != (domain.FunctionID{}) && (f.Project != want.Project || f.Package != want.Package || f.Name != want.Name) ||
			want == (domain.FunctionID{}) && s.Project != "" && f.Project != s.Project {
			continue
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b Row) int { return bytes.Compare(b.State.ID[:], a.State.ID[:]) })
	return rows
}

// same reports whether two rows say the same.
func same(a, b Row) bool { return reflect.DeepEqual(said(a), said(b)) }

func said(r Row) Row {
	return Row{State: r.State, Partition: r.Partition, Refused: r.Refused, Request: r.Request, Outcome: r.Outcome, Refs: r.Refs, Stale: r.Stale}
}

// TestTwin: whatever comes first, tail or history, of whichever partition, the model has the newest rows of every function
// and all that are not settled, and says of them what a model says that keeps everything.
func TestTwin(t *testing.T) { rapid.Check(t, checkTwin) }

func checkTwin(t *rapid.T) {
	parts := rapid.IntRange(1, 3).Draw(t, "partitions")
	keep := rapid.SampledFrom([]int{1, 2, 5, 10, 1000}).Draw(t, "keep")
	feeds := logs(t, parts)
	m := NewBounded(parts, keep)
	w := &twin{rows: map[domain.InvocationID]*Row{}, next: map[int]int64{}, partial: map[int]bool{}}
	for _, f := range feeds {
		m.Begin(f.p, f.begin, !f.done)
		w.partial[f.p], w.next[f.p] = !f.done, f.begin
	}
	dropped := map[domain.FunctionID]domain.Instant{}
	for len(feeds) > 0 {
		i := rapid.IntRange(0, len(feeds)-1).Draw(t, "partition")
		if !feeds[i].next(t, m, w) {
			feeds = slices.Delete(feeds, i, i+1)
			continue
		}
		compare(t, m, w, keep, dropped)
	}
	for id := range w.rows {
		want, known := w.get(id)
		if got, ok := m.Get(id); ok && (!known || !same(got, want)) {
			t.Fatalf("in the end %s is\n%+v, want\n%+v", id, got, want)
		}
	}
	for id, row := range m.rows {
		if !row.shown() || row.home == nil {
			t.Fatalf("in the end %s is hidden: %+v", id, row)
		}
	}
}

// compare compares all that can be asked. dropped is the greatest acceptance time, by function, of what was ever missing.
func compare(t *rapid.T, m *Model, w *twin, keep int, dropped map[domain.FunctionID]domain.Instant) {
	if got, want := m.Unsettled(), w.unsettled(); got != want {
		t.Fatalf("%d are not settled, want %d", got, want)
	}
	late := map[domain.FunctionID]int{}
	has := func(id domain.InvocationID) bool { _, ok := m.Get(id); return ok }
	for id := range w.rows {
		want, shown := w.get(id)
		got, ok := m.Get(id)
		rank, open := w.rank(want), want.State.Known && !want.State.Settled()
		broken := want.State.Function.Name == "" // these may move to another function when the history tells it
		switch {
		case ok && !shown:
			t.Fatalf("%s is shown: %+v", id, got)
		case !shown:
			continue
		case ok && got.State != want.State:
			t.Fatalf("%s is\n%+v, want\n%+v", id, got.State, want.State)
		case open && !ok, rank < keep && !broken && (!ok || !same(got, want)):
			t.Fatalf("%s (%t), %d are newer, is\n%+v, want\n%+v", id, ok, rank, got, want)
		case rank >= keep && ok && !open && !broken && want.Refs[len(want.Refs)-1].Offset < w.next[want.Partition]:
			if late[place(want.State.Function)]++; late[place(want.State.Function)] > max(1, keep/lateShare) {
				t.Fatalf("%s is too old, and still there", id)
			}
		case !ok:
			f := place(want.State.Function)
			dropped[f], dropped[domain.FunctionID{}] = max(dropped[f], id.T0()), max(dropped[domain.FunctionID{}], id.T0())
		}
	}
	for f, want := range dropped {
		if got := m.Dropped(f); got != want && f.Name != "" || got < want {
			t.Fatalf("dropped of %s up to %d, want %d", f, got, want)
		}
	}
	s := selections(w).Draw(t, "selection")
	want := w.sel(s, has)
	got := m.Select(s)
	if got.Total != len(want) {
		t.Fatalf("%d of %+v, want %d", got.Total, s, len(want))
	}
	want = want[min(s.Offset, len(want)):]
	if s.Limit > 0 {
		want = want[:min(s.Limit, len(want))]
	}
	if !slices.EqualFunc(got.Rows, want, func(a, b Row) bool { return a.State == b.State && a.Stale == b.Stale }) {
		t.Fatalf("%+v selects\n%+v, want\n%+v", s, got.Rows, want)
	}
	var missing domain.Instant
	for f, at := range dropped {
		if f != (domain.FunctionID{}) && (place(s.Function) == f || s.Function == (domain.FunctionID{}) && (s.Project == "" || s.Project == f.Project)) {
			missing = max(missing, at)
		}
	}
	if s.IDs == nil && missing > 0 && missing >= s.Since && !got.Older {
		t.Fatalf("%+v does not say that there are older ones, up to %d", s, missing)
	}
	if m.Dropped(domain.FunctionID{}) == 0 && got.Older {
		t.Fatalf("%+v says that there are older ones", s)
	}
	s.Versions, s.Until, s.IDs, s.Open, s.Sync, s.Offset = nil, 0, nil, false, true, 0
	want = w.sel(s, has)
	if s.Limit > 0 {
		want = want[:min(s.Limit, len(want))]
	}
	f := Filter{Function: s.Function, Project: s.Project, Status: s.Status, Since: s.Since, Limit: s.Limit}
	if got := m.List(f); !slices.EqualFunc(got, want, func(a, b Row) bool { return a.State == b.State }) {
		t.Fatalf("%+v lists\n%+v, want\n%+v", f, got, want)
	}
}

func selections(w *twin) *rapid.Generator[Selection] {
	ids := []domain.InvocationID{domain.NewInvocationID(1, 0, [8]byte{0xff})}
	for id := range w.rows {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b domain.InvocationID) int { return bytes.Compare(a[:], b[:]) })
	return rapid.Custom(func(t *rapid.T) Selection {
		s := Selection{
			Function: rapid.SampledFrom(append([]domain.FunctionID{{}, {Project: "p"}}, functionsOf...)).Draw(t, "function"),
			Project:  rapid.SampledFrom([]string{"", "p", "default", "none"}).Draw(t, "project"),
			Status:   rapid.SampledFrom([]domain.Status{"", "", domain.Waiting, domain.Running, domain.Status(domain.Succeeded), domain.Status(domain.Failed)}).Draw(t, "status"),
			Open:     rapid.Bool().Draw(t, "open"), Sync: rapid.Bool().Draw(t, "sync"),
			Offset: rapid.IntRange(0, 3).Draw(t, "offset"), Limit: rapid.IntRange(0, 4).Draw(t, "limit"),
		}
		if rapid.Bool().Draw(t, "since") {
			s.Since = rapid.SampledFrom(ids).Draw(t, "since").T0()
		}
		if rapid.Bool().Draw(t, "until") {
			s.Until = rapid.SampledFrom(ids).Draw(t, "until").T0()
		}
		if rapid.IntRange(0, 3).Draw(t, "by id") == 0 {
			s.IDs = rapid.SliceOfN(rapid.SampledFrom(ids), 0, 5).Draw(t, "ids")
		}
		if rapid.IntRange(0, 3).Draw(t, "by version") == 0 {
			s.Versions = func(v string) bool { return v == "2" }
		}
		return s
	})
}
