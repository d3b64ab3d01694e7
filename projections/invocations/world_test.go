package invocations

import (
	"context"
	"time"

	"deed/domain"
	"deed/domain/partition"
	"deed/eventstore"
	"deed/eventstore/memory"
	"deed/projections"

	"pgregory.net/rapid"
)

// functionsOf are what the world's requests name: two regions of one function, another project's of the same name, and more.
var functionsOf = []domain.FunctionID{
	domain.NativeFunction("f"),
	{Region: "other", Project: "default", Package: "default", Name: "f"},
	domain.NativeFunction("g"),
	{Region: "local", Project: "p", Package: "default", Name: "f"},
}

// logs draws a log of several partitions that doors, owners and zombies wrote, and cuts each where a tail may begin.
func logs(t *rapid.T, parts int) []*feed {
	feeds := make([]*feed, parts)
	for p := range feeds {
		w := &writer{t: t, p: p, fold: partition.New(), log: memory.New(parts), now: 10_000_000}
		w.own(domain.InvocationID{}, domain.PartitionOwned{Protocol: domain.Protocol, LogTime: w.now})
		begins := []int64{0}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			w.step()
			if m, ok := w.fold.Committable(); ok && m.Offset > begins[len(begins)-1] {
				begins = append(begins, m.Offset)
			}
		}
		feeds[p] = w.feed(rapid.SampledFrom(begins).Draw(t, "begin"))
	}
	return feeds
}

// writer writes one partition.
type writer struct {
	t     *rapid.T
	p     int
	fold  *partition.Fold
	log   *memory.Log
	now   domain.Instant
	stamp domain.Stamp
	made  byte
	end   int64
	all   []request
}

// request is one that was appended: a copy of it may be appended again.
type request struct {
	id domain.InvocationID
	m  eventstore.Message
}

func (w *writer) step() {
	w.now += domain.Instant(rapid.SampledFrom([]int{0, 1, 900, 40_000}).Draw(w.t, "pause"))
	switch n := rapid.IntRange(0, 19).Draw(w.t, "what happens"); {
	case n < 5:
		w.request()
	case n == 5 && len(w.all) > 0:
		w.put(rapid.SampledFrom(w.all).Draw(w.t, "copy").m)
	case n < 8:
		w.own(domain.InvocationID{}, domain.PartitionOwned{Renewal: true, Protocol: domain.Protocol, LogTime: w.now})
	case n == 8:
		w.write(domain.Record{ID: domain.UUID{9, byte(w.end)}, Subject: w.pick(), At: w.now, Event: domain.CancelRequested{Force: true}})
	case n == 9:
		if e := w.fold.Get(w.pick()); e != nil {
			w.own(e.ID, domain.InvocationCarried{State: e.Invocation})
		}
	case n == 10: // an owner that was never in force restates what it made up
		id := w.pick()
		zombie := domain.Stamp{Epoch: 1, Owner: domain.OwnerID{0xee}, Seq: 1}
		w.write(domain.Record{ID: domain.UUID{8, byte(w.end)}, Subject: id, At: w.now, Stamp: zombie, Event: domain.InvocationCarried{State: domain.Invocation{ID: id, Function: functionsOf[0], Limits: domain.DefaultLimits()}}})
	default:
		w.act(w.pick())
	}
}

func (w *writer) pick() domain.InvocationID {
	if len(w.all) == 0 {
		return domain.NewInvocationID(1, w.p, [8]byte{0xff})
	}
	return rapid.SampledFrom(w.all).Draw(w.t, "id").id
}

func (w *writer) request() {
	w.made++
	age := domain.Instant(rapid.SampledFrom([]int{0, 50, 119_000, 130_000}).Draw(w.t, "age"))
	r := domain.InvocationRequested{
		ID: domain.NewInvocationID(w.now-age, w.p, [8]byte{w.made}), Function: rapid.SampledFrom(functionsOf).Draw(w.t, "function"),
		Version: rapid.SampledFrom([]string{"1", "2"}).Draw(w.t, "version"), Limits: domain.DefaultLimits(), Sync: rapid.IntRange(0, 4).Draw(w.t, "sync") == 0,
	}
	if !r.Sync {
		r.Policy = domain.Policy{Set: true, MaxAge: time.Hour, OnSuccess: rapid.SampledFrom([]domain.Target{"", "obs://told/x", "function:next"}).Draw(w.t, "on success")}
	}
	r.Deadline = w.now + 100_000_000
	m, err := eventstore.Encode("c", w.p, &domain.Record{ID: domain.RequestRecordID(r.ID), Subject: r.ID, At: w.now, Event: r})
	if err != nil {
		w.t.Fatal(err)
	}
	if rapid.IntRange(0, 9).Draw(w.t, "broken") == 0 {
		m.Value = []byte("{")
	}
	w.all = append(w.all, request{r.ID, m})
	w.put(m)
}

// act is what an honest owner does next about an invocation.
func (w *writer) act(id domain.InvocationID) {
	e := w.fold.Get(id)
	if e == nil {
		return
	}
	i := e.Invocation
	switch {
	case i.Running() && rapid.Bool().Draw(w.t, "succeeds"):
		w.own(id, domain.AttemptSucceeded{Attempt: i.Started})
	case i.Running():
		w.own(id, domain.AttemptFailed{Attempt: i.Started, Kind: domain.FailedExit})
	case i.Open() && i.Success:
		w.own(id, domain.InvocationSucceeded{Attempts: i.Done})
	case i.Open() && (i.Done > 0 || i.Broken || i.Cancel):
		w.own(id, domain.InvocationFailed{Attempts: i.Done, Condition: domain.SystemError})
	case i.Open():
		w.own(id, domain.AttemptStarted{Attempt: 1})
	case !i.Notified.Owed:
		w.own(id, domain.NotificationOwed{Sink: i.Owes(), ID: domain.NotificationID(id, i.Owes(), i.Outcome), ValidUntil: w.now + 1000, Record: domain.Bytes([]byte("{}"))})
	case i.Notified.Sink == "function:next" && i.Hops < 3:
		n := i.Notified
		child := domain.InvocationRequested{
			ID: domain.ChildID(id, i.EndedAt, n.ID), Function: i.Function, Version: "1", Limits: domain.DefaultLimits(), Policy: i.Policy,
			Deadline: w.now + 100_000_000, Parent: id, Root: i.LineageRoot(), Hops: i.Hops + 1, Sink: n.Sink, Notification: n.ID,
		}
		if w.fold.Get(child.ID) == nil {
			w.all = append(w.all, request{id: child.ID, m: w.all[0].m})
		}
		w.own(child.ID, child)
	default:
		w.own(id, domain.NotificationDelivered{Sink: i.Notified.Sink, ID: i.Notified.ID})
	}
}

// own writes an owner's record; the first one is its claim.
func (w *writer) own(id domain.InvocationID, e domain.Event) {
	if w.end == 0 {
		w.stamp = domain.Stamp{Epoch: 1, Owner: domain.OwnerID{1}}
	} else {
		w.stamp.Seq++
	}
	w.write(domain.Record{ID: domain.OwnerRecordID(w.stamp.Owner, w.stamp.Seq), Subject: id, At: w.now, Stamp: w.stamp, Event: e})
}

func (w *writer) write(r domain.Record) {
	m, err := eventstore.Encode("c", w.p, &r)
	if err != nil {
		w.t.Fatal(err)
	}
	w.put(m)
}

func (w *writer) put(m eventstore.Message) {
	m.Offset = w.end
	r := eventstore.DecodeLean(m)
	w.fold.Apply(w.end, &r)
	w.log.Append(w.p, []eventstore.Message{m}, func(_ int64, err error) {
		if err != nil {
			w.t.Error(err)
		}
	})
	w.end++
}

// feed is what a model is given of one partition: by the tail, and beside it by the history.
type feed struct {
	p       int
	begin   int64
	fold    *partition.Fold // gives the log time of the log's end
	tail    []eventstore.Judged
	history []eventstore.Judged
	done    bool
}

func (w *writer) feed(begin int64) *feed {
	f := &feed{p: w.p, begin: begin, fold: partition.New(), done: begin == 0}
	if begin > 0 {
		f.fold = partition.At(begin)
		err := projections.Backfill(context.Background(), w.log, w.p, partition.New(), begin, func(js []eventstore.Judged) {
			f.history = append(f.history, js...)
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
	ms, err := w.log.Read(context.Background(), w.p, begin, int(w.end-begin))
	if err != nil || len(ms) != int(w.end-begin) {
		w.t.Fatal(len(ms), err)
	}
	for _, m := range ms {
		j := eventstore.Judged{Message: m, Record: eventstore.DecodeLean(m)}
		j.Verdict = f.fold.Apply(m.Offset, &j.Record)
		if e := f.fold.Touched(); e != nil {
			j.After = e.Invocation
		}
		f.tail = append(f.tail, j)
	}
	return f
}

// next hands over a batch, by the tail or by the history; none is left if it reports false.
func (f *feed) next(t *rapid.T, models ...interface {
	Batch(*partition.Fold, []eventstore.Judged)
	History([]eventstore.Judged)
	Complete(int)
},
) bool {
	byTail := len(f.tail) > 0 && (f.done || rapid.Bool().Draw(t, "tail"))
	from := &f.history
	if byTail {
		from = &f.tail
	} else if f.done {
		return false
	}
	n := min(len(*from), rapid.IntRange(1, 12).Draw(t, "records"))
	batch := (*from)[:n]
	*from = (*from)[n:]
	for _, m := range models {
		if byTail {
			m.Batch(f.fold, batch)
		} else if m.History(batch); len(f.history) == 0 {
			m.Complete(f.p)
		}
	}
	f.done = f.done || len(f.history) == 0
	return true
}
