package worker_test

import (
	"cmp"
	"context"
	"maps"
	mathrand "math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"deed/domain"
	"deed/domain/partition"
	"deed/eventstore"
	"deed/eventstore/memory"
	"deed/eventstore/storetest"
	"deed/runtime/worker"
)

// usurped is a log in which, once, a stranger's claim of a higher epoch lands before an owner's AttemptStarted: that is
// acknowledged all the same, and void.
type usurped struct {
	*memory.Log
	next    atomic.Bool
	claimed chan struct{} // closed when it has happened
}

func (u *usurped) Append(p int, ms []eventstore.Message, done func(int64, error)) {
	r := eventstore.Decode(ms[0])
	if r.Type != "AttemptStarted" || !u.next.CompareAndSwap(true, false) {
		u.Log.Append(p, ms, done)
		return
	}
	stamp := domain.Stamp{Epoch: r.Stamp.Epoch + 1, Owner: domain.OwnerID{0xfe}}
	m, err := eventstore.Encode("c", 0, &domain.Record{
		ID: domain.OwnerRecordID(stamp.Owner, 0), At: r.At, Stamp: stamp, Event: domain.PartitionOwned{Group: "g", Node: "stranger", Protocol: domain.Protocol},
	})
	if err != nil {
		panic(err)
	}
	u.Log.Append(p, []eventstore.Message{m}, func(int64, error) {})
	u.Log.Append(p, ms, func(offset int64, err error) { done(offset, err); close(u.claimed) })
}

// startedRuns compares, at every run, how many attempts the log knows of.
type startedRuns struct {
	*engine
	log eventstore.Log

	mu       sync.Mutex
	uncalled []string // runs without an effective AttemptStarted
}

func (s *startedRuns) Run(ctx context.Context, a worker.Attempt) domain.Event {
	f := partition.Whole()
	offset := int64(0)
	each(s.log, func(r domain.Record) { f.Apply(offset, &r); offset++ })
	started := -1
	f.Entries(func(e *partition.Entry) bool {
		if e.ID.String() == a.Env[0].Value {
			started = e.Started
		}
		return true
	})
	out := s.engine.Run(ctx, a)
	s.engine.mu.Lock()
	runs := s.runs[a.Env[0].Value]
	s.engine.mu.Unlock()
	if runs > started {
		s.mu.Lock()
		s.uncalled = append(s.uncalled, a.Env[1].Value)
		s.mu.Unlock()
	}
	return out
}

// TestRunsOnlyWhatWasReadBack: an AttemptStarted that was acknowledged behind a newer claim starts nothing: no run happens that
// the log, as every reader folds it, does not know of.
func TestRunsOnlyWhatWasReadBack(t *testing.T) {
	for range 20 {
		u := &usurped{Log: memory.New(1), claimed: make(chan struct{})}
		u.next.Store(true)
		log := storetest.NewFaulty(u)
		e, s := &startedRuns{engine: &engine{runs: map[string]int{}}, log: u}, &sink{told: map[domain.UUID][]string{}}
		w := newOwnerAt(t, log, e.engine, s, partition.New(), newPlace(), func(d *worker.Deps) { d.Engine = e })
		id := w.request(t)
		within(t, u.claimed, "the stranger's claim")
		if i := w.settled(t, id); i.Outcome != domain.Succeeded || i.Started != 1 {
			t.Errorf("%+v", i)
		}
		if n := e.count(id); n != 1 || len(e.uncalled) > 0 {
			t.Fatalf("%d runs of one attempt; without a word in the log: attempts %v", n, e.uncalled)
		}
	}
}

// slowEngine takes its time to fetch a module.
type slowEngine struct {
	*engine
	fetching chan struct{} // told when it begins
	fetch    chan struct{} // closed to let it end
}

func (*slowEngine) Loaded(worker.Code) bool { return false }

func (s *slowEngine) Load(ctx context.Context, _ worker.Code) error {
	select {
	case s.fetching <- struct{}{}:
	default:
	}
	select {
	case <-s.fetch:
	case <-ctx.Done():
	}
	return nil
}

// TestDrainBeginsNothing: what was being prepared when the partition is taken away is not started any more.
func TestDrainBeginsNothing(t *testing.T) {
	log := storetest.NewFaulty(memory.New(1))
	e, s := &slowEngine{engine: &engine{runs: map[string]int{}}, fetching: make(chan struct{}, 1), fetch: make(chan struct{})}, &sink{told: map[domain.UUID][]string{}}
	w := newOwnerAt(t, log, e.engine, s, partition.New(), newPlace(), func(d *worker.Deps) { d.Engine = e })
	id := w.request(t)
	within(t, e.fetching, "a fetch")
	drained := make(chan struct{})
	go func() { defer close(drained); w.owner.Revoke(t.Context()) }()
	for w.owner.Acting() { // until the drain has begun
		if t.Context().Err() != nil {
			t.Fatal("the drain does not begin")
		}
	}
	close(e.fetch)
	within(t, drained, "the end of the drain")
	if n := count(t, log, "AttemptStarted"); n != 0 || e.count(id) != 0 {
		t.Errorf("%d attempts were started in a drain, %d ran", n, e.count(id))
	}
}

// TestActs: whoever shares something out over the partitions that a node acts on is told of every change, once it is one.
func TestActs(t *testing.T) {
	log := storetest.NewFaulty(memory.New(1))
	told := make(chan struct{}, 10)
	w := newOwnerAt(t, log, &engine{}, &sink{}, partition.New(), newPlace(), func(d *worker.Deps) { d.Acts = func() { told <- struct{}{} } })
	<-told
	if !w.owner.Acting() {
		t.Error("told before it acts")
	}
	w.owner.Revoke(t.Context())
	<-told
	if w.owner.Acting() {
		t.Error("told before it has ceased to act")
	}
	w.owner.Revoke(t.Context())
	if len(told) != 0 {
		t.Error("told of what did not change")
	}
}

// TestPlacesInTheLog: where one may run at a time, the log's times say so, too: an attempt begins behind the end of the one
// before it, whichever partition that is in.
func TestPlacesInTheLog(t *testing.T) {
	one := worker.NewPool(1, 1, 0)
	began := time.Now()
	var ticks atomic.Int64
	clock := func() time.Time { // a millisecond a look; who looks may be overtaken by others while it does
		for range mathrand.IntN(5000) {
			runtime.Gosched()
		}
		return began.Add(time.Duration(ticks.Add(1)) * time.Millisecond)
	}
	var worlds []*world
	var logs []*storetest.Faulty
	for range 2 {
		log := storetest.NewFaulty(memory.New(1))
		logs = append(logs, log)
		worlds = append(worlds, newOwnerAt(t, log, &engine{runs: map[string]int{}}, &sink{told: map[domain.UUID][]string{}}, partition.New(), newPlace(), func(d *worker.Deps) { d.Runs, d.Now = one, clock }))
	}
	const many = 100
	var all sync.WaitGroup
	for _, w := range worlds {
		all.Go(func() {
			for range many {
				w.settled(t, w.requestOf(t, []byte("event")))
			}
		})
	}
	all.Wait()
	type span struct{ begin, end domain.Instant }
	spans := map[domain.InvocationID]*span{}
	for _, log := range logs {
		each(log, func(r domain.Record) {
			switch r.Event.(type) {
			case domain.AttemptStarted:
				spans[r.Subject] = &span{begin: r.At}
			case domain.AttemptSucceeded:
				spans[r.Subject].end = r.At
			}
		})
	}
	sorted := slices.SortedFunc(maps.Values(spans), func(a, b *span) int { return cmp.Compare(a.begin, b.begin) })
	for i := range sorted[1:] {
		if sorted[i+1].begin < sorted[i].end {
			t.Errorf("one begins at %s, and the one before it ends at %s", sorted[i+1].begin, sorted[i].end)
		}
	}
	if len(sorted) != 2*many {
		t.Errorf("%d attempts", len(sorted))
	}
}
