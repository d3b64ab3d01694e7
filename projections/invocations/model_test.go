package invocations

import (
	"fmt"
	"strings"
	"testing"

	"deed/domain"
	"deed/domain/partition"
	"deed/eventstore"
)

// book feeds a model by hand: one partition, no fold of its own but the verdicts that it is told.
type book struct {
	m    *Model
	fold *partition.Fold
	end  int64
}

func newBook(keep int) *book { return &book{m: NewBounded(1, keep), fold: partition.New()} }

func id(t0 int) domain.InvocationID { return domain.NewInvocationID(domain.Instant(t0), 0, [8]byte{}) }

var echo = domain.NativeFunction("echo")

// state is what the fold would say: open, or ended with that outcome.
func state(t0 int, f domain.FunctionID, o domain.Outcome) domain.Invocation {
	return domain.Invocation{ID: id(t0), Known: true, Function: f, Version: "1", Outcome: o}
}

func (b *book) record(s domain.Invocation, kind string, e domain.Event, reason partition.Reason) {
	j := eventstore.Judged{Message: eventstore.Message{Offset: b.end}, Record: domain.Record{Subject: s.ID, Type: kind, Event: e}, Verdict: partition.Verdict{Reason: reason}}
	if reason == partition.Effective {
		j.After = s
	}
	b.end++
	b.m.Batch(b.fold, []eventstore.Judged{j})
}

// request is effective; end too.
func (b *book) request(t0 int, f domain.FunctionID) {
	s := state(t0, f, domain.Open)
	b.record(s, "InvocationRequested", domain.InvocationRequested{ID: s.ID, Function: f}, partition.Effective)
}

func (b *book) ended(t0 int, f domain.FunctionID) {
	b.record(state(t0, f, domain.Succeeded), "InvocationSucceeded", domain.InvocationSucceeded{}, partition.Effective)
}

// has are the acceptance times of what is selected, newest first.
func (b *book) has(s Selection) string {
	var out []string
	page := b.m.Select(s)
	for _, row := range page.Rows {
		out = append(out, fmt.Sprint(int64(row.State.ID.T0())))
	}
	return fmt.Sprint(strings.Join(out, " "), " of ", page.Total, " ", page.Older)
}

// TestBound: the newest rows stay, whatever they are, and of the older ones those that are not settled; one that ends then is
// still there when somebody looks.
func TestBound(t *testing.T) {
	b := newBook(3)
	b.request(1, echo)
	for n := 2; n <= 6; n++ {
		b.request(n, echo)
		b.ended(n, echo)
	}
	if got := b.has(Selection{}); got != "6 5 4 1 of 4 true" || b.m.Dropped(echo) != 3 || b.m.Unsettled() != 1 {
		t.Error(got, b.m.Dropped(echo), b.m.Unsettled())
	}
	b.ended(1, echo)
	if row, ok := b.m.Get(id(1)); !ok || !row.State.Settled() || b.m.Unsettled() != 0 {
		t.Error("what has just ended is not there", ok)
	}
	b.record(state(2, echo, ""), "InvocationRequested", domain.InvocationRequested{ID: id(2), Function: echo}, partition.TooLate)
	b.record(state(3, echo, ""), "InvocationCarried", domain.InvocationCarried{}, partition.StaleOwner)
	if got := b.has(Selection{}); got != "6 5 4 1 of 4 true" || len(b.m.rows) != 4 {
		t.Error("copies have brought back what was dropped:", got, len(b.m.rows))
	}
	b.request(0, echo)
	b.ended(0, echo)
	if got := b.has(Selection{}); got != "6 5 4 0 of 4 true" {
		t.Error(got)
	}
	b.request(7, domain.NativeFunction("other"))
	if got := b.m.Dropped(domain.NativeFunction("other")); got != 0 {
		t.Error("another function has dropped", got)
	}
	if got := b.has(Selection{Function: echo, Since: 4}); got != "6 5 4 of 3 false" {
		t.Error("nothing accepted since was dropped:", got)
	}
	if got := b.has(Selection{IDs: []domain.InvocationID{id(6), id(5), id(6)}}); got != "6 5 of 2 false" {
		t.Error(got)
	}
	if got := b.has(Selection{IDs: []domain.InvocationID{id(2)}}); got != " of 0 true" {
		t.Error(got)
	}
}

// TestMemory: what was dropped holds nothing.
func TestMemory(t *testing.T) {
	b := newBook(100)
	for n := 1; n <= 50_000; n++ {
		b.request(n, echo)
		b.ended(n, echo)
	}
	f := b.m.functions[place(echo)]
	slots := 0
	for _, c := range f.rows.chunks {
		slots += cap(c)
	}
	if len(b.m.rows) != 100 || slots > 4*chunk || cap(b.m.left) > 100 || cap(b.m.touched) > 100 || cap(f.late) > 10 {
		t.Errorf("%d rows in %d slots; %d, %d, %d", len(b.m.rows), slots, cap(b.m.left), cap(b.m.touched), cap(f.late))
	}
}

// TestRefused: a request that was void tells whose it was, as far as its record does.
func TestRefused(t *testing.T) {
	source := []eventstore.Header{{Key: "ce_source", Value: "/deed/cluster/p"}}
	for name, c := range map[string]struct {
		event   domain.Event
		headers []eventstore.Header
		reason  partition.Reason
		want    domain.FunctionID
	}{
		"too late":                  {domain.InvocationRequested{Function: echo}, source, partition.TooLate, echo},
		"too late, broken":          {nil, source, partition.Undecodable, domain.FunctionID{Project: "p"}},
		"broken":                    {nil, source, partition.Effective, domain.FunctionID{Project: "p"}},
		"broken, no source":         {nil, nil, partition.Undecodable, domain.FunctionID{}},
		"broken, another's source":  {nil, []eventstore.Header{{Key: "ce_source", Value: "/x/cluster/p"}}, partition.Effective, domain.FunctionID{}},
		"broken, the cluster alone": {nil, []eventstore.Header{{Key: "ce_source", Value: "/deed/cluster"}}, partition.Effective, domain.FunctionID{}},
	} {
		m := New(1)
		j := eventstore.Judged{
			Message: eventstore.Message{Headers: c.headers},
			Record:  domain.Record{Subject: id(1), Type: "InvocationRequested", Event: c.event}, Verdict: partition.Verdict{Reason: c.reason},
		}
		if c.reason == partition.Effective {
			j.After = domain.BrokenRequest(id(1))
		}
		m.Batch(partition.New(), []eventstore.Judged{j})
		ended := j
		ended.Message.Offset, ended.Record.Type, ended.Record.Event, ended.After.Outcome = 1, "InvocationFailed", domain.InvocationFailed{}, domain.Failed
		if c.reason == partition.Effective {
			m.Batch(partition.New(), []eventstore.Judged{ended})
		}
		row, ok := m.Get(id(1))
		if !ok || row.State.Function != c.want || row.Refused != c.reason || row.State.Known != (c.reason == "") || m.Unsettled() != 0 {
			t.Errorf("%s: %t, %+v", name, ok, row)
		}
		if n := len(m.List(Filter{Project: "p"})); n != 0 && (n != 1 || c.reason != "" || c.want.Project != "p") {
			t.Errorf("%s: %d are listed", name, n)
		}
	}
}

// BenchmarkSelect is a page of 500 out of 100,000 rows, with the number of all that match.
func BenchmarkSelect(b *testing.B) {
	one, many := newBook(Keep), newBook(Keep)
	for n := 1; n <= 100_000; n++ {
		f := domain.NativeFunction(fmt.Sprint("f", n%100))
		one.request(n, echo)
		many.request(n, f)
		if n%3 > 0 {
			one.ended(n, echo)
			many.ended(n, f)
		}
	}
	for _, c := range []struct {
		name string
		m    *Model
		s    Selection
	}{
		{"all of one function", one.m, Selection{Function: echo, Limit: 500}},
		{"one status", one.m, Selection{Function: echo, Status: domain.Waiting, Limit: 500}},
		{"the last of one function", one.m, Selection{Function: echo, Offset: 99_500, Limit: 500}},
		{"a hundred functions", many.m, Selection{Limit: 500}},
		{"the last of a hundred", many.m, Selection{Offset: 99_500, Limit: 500}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.m.Select(c.s)
			}
		})
	}
}

// BenchmarkApply is a request and its end, of a function that has all the rows it may have.
func BenchmarkApply(b *testing.B) {
	book := newBook(Keep)
	n := 0
	for range Keep {
		n++
		book.request(n, echo)
		book.ended(n, echo)
	}
	b.ReportAllocs()
	for b.Loop() {
		n++
		book.request(n, echo)
		book.ended(n, echo)
	}
}
