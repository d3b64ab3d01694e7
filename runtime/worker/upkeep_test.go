package worker_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"deed/domain"
	"deed/domain/partition"
	"deed/eventstore"
	"deed/eventstore/memory"
	"deed/eventstore/storetest"
	"deed/projections/retry"
	"deed/runtime/worker"
)

// quick makes an owner do by the clock in milliseconds what it does in minutes.
func quick(d *worker.Deps) {
	d.Upkeep = worker.Upkeep{Tick: 5 * time.Millisecond, Renew: 20 * time.Millisecond, CarryAfter: 50 * time.Millisecond}
}

// blobs keeps payloads in memory.
type blobs struct {
	mu sync.Mutex
	m  map[domain.Digest][]byte
}

func (b *blobs) Put(_ context.Context, data []byte) (domain.Digest, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := domain.DigestOf(data)
	b.m[d] = data
	return d, nil
}

func (b *blobs) Get(_ context.Context, d domain.Digest) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if data, ok := b.m[d]; ok {
		return data, nil
	}
	return nil, fmt.Errorf("no blob %s", d)
}

// count is how many records of a type the log holds.
func count(t *testing.T, log eventstore.Log, name string) (n int) {
	t.Helper()
	_, end, err := log.Bounds(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for from := int64(0); from < end; {
		ms, err := log.Read(t.Context(), 0, from, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range ms {
			if eventstore.Attributes(m)["type"] == eventstore.TypeName(name) {
				n++
			}
		}
		from = ms[len(ms)-1].Offset + 1
	}
	return n
}

// within is what arrives on a channel before patience ends.
func within[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(20 * time.Second):
		t.Fatal(what, "does not come")
		panic("not reached")
	}
}

// until polls the log, which other goroutines write.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	over := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-over:
			t.Fatal(what, "does not come")
		}
	}
}

// TestCarryForward: an invocation that waits is restated, its payload in the blob store, and the committed position moves past
// its request; the next owner begins there and ends it, and the sink is told the request and the result.
func TestCarryForward(t *testing.T) {
	log := storetest.NewFaulty(memory.New(1))
	e, s := &engine{runs: map[string]int{}, fail: 1}, &sink{told: map[domain.UUID][]string{}}
	store, group := &blobs{m: map[domain.Digest][]byte{}}, newPlace()
	event := make([]byte, 4000)
	for i := range event {
		event[i] = 'a' + byte(i%26)
	}
	long := func(d *worker.Deps) {
		quick(d)
		d.Blobs = store
		d.Retry = waiting{}
	}
	a := newOwnerAt(t, log, e, s, partition.New(), group, long)
	id := a.requestOf(t, event)
	carried := func() int { return count(t, log, "InvocationCarried") }
	until(t, "a second restatement", func() bool { return carried() >= 2 })
	until(t, "a position behind the request", func() bool { p, _ := group.Committed(t.Context(), 0); return p.Offset > 6 })
	a.owner.Revoke(t.Context())
	if i, _ := a.model.Get(id); i.State.Done != 1 || i.State.Outcome != domain.Open {
		t.Fatalf("%+v", i.State)
	}

	p, _ := group.Committed(t.Context(), 0)
	start, end, err := log.Bounds(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := eventstore.CheckPosition(t.Context(), log, 0, p, start, end); err != nil {
		t.Fatal(err)
	}
	b := newOwnerAt(t, log, e, s, partition.At(p.Offset), group, func(d *worker.Deps) { d.Blobs = store })
	i := b.settled(t, id)
	if i.Outcome != domain.Succeeded || i.Done != 2 || e.runs[id.String()] != 2 {
		t.Errorf("%+v", i)
	}
	for _, told := range s.told {
		want := fmt.Sprintf(`"request_payload":%q`, event)
		if len(told) != 1 || !strings.Contains(told[0], want) {
			t.Errorf("the sink was told %s", told)
		}
	}
	if len(s.told) != 1 {
		t.Errorf("%d notifications", len(s.told))
	}
}

// TestForgets: when traffic ends, renewals go on until log time has left everything settled behind, and then stop; the
// committed position is then the last marker.
func TestForgets(t *testing.T) {
	log := storetest.NewFaulty(memory.New(1))
	e, s := &engine{runs: map[string]int{}}, &sink{told: map[domain.UUID][]string{}}
	group := newPlace()
	var mu sync.Mutex
	ahead := time.Duration(0)
	now := func() time.Time { mu.Lock(); defer mu.Unlock(); return time.Now().Add(ahead) }
	w := newOwnerAt(t, log, e, s, partition.New(), group, func(d *worker.Deps) { quick(d); d.Now = now })
	for range 10 {
		w.settled(t, w.request(t))
	}
	mu.Lock()
	ahead = partition.AdmissionWindow + time.Minute // time passes
	mu.Unlock()
	at := func() int64 { p, _ := group.Committed(t.Context(), 0); return p.Offset }
	_, end, err := log.Bounds(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	until(t, "a position behind everything", func() bool { return at() >= end })
	// Nothing is left to be forgotten: no marker comes any more. A tick that wrote one would have had its time by now.
	settledAt := count(t, log, "PartitionOwned")
	w.settled(t, w.requestAt(t, domain.InstantOf(now()), []byte("x")))
	if more := count(t, log, "PartitionOwned") - settledAt; more > 1 {
		t.Errorf("%d markers of an idle partition", more)
	}
}

// TestPositionOfAnotherLog: an owner does not claim a partition whose log is not the one that the group has committed of.
func TestPositionOfAnotherLog(t *testing.T) {
	for name, p := range map[string]eventstore.Position{
		"beyond the end": {Offset: 100, Metadata: "x"},
		"no marker":      {Offset: 0, Metadata: "x"},
	} {
		t.Run(name, func(t *testing.T) {
			log := storetest.NewFaulty(memory.New(1))
			e, s := &engine{runs: map[string]int{}}, &sink{told: map[domain.UUID][]string{}}
			group := newPlace()
			group.committed = p
			(&world{log: log}).request(t)
			alarms := make(chan string, 10)
			w := newOwnerAt(t, log, e, s, partition.New(), group, func(d *worker.Deps) {
				d.Alarm = func(_ int, what string) { alarms <- what }
			})
			t.Log(within(t, alarms, "an alarm"))
			if w.owner.Acting() || count(t, log, "PartitionOwned") > 0 {
				t.Error("it claimed")
			}
		})
	}
}

// TestAnotherGroup: an owner that a claim of another group supersedes does not claim again, and says why.
func TestAnotherGroup(t *testing.T) {
	log := storetest.NewFaulty(memory.New(1))
	e, s := &engine{runs: map[string]int{}}, &sink{told: map[domain.UUID][]string{}}
	alarms := make(chan string, 10)
	a := newOwnerAt(t, log, e, s, partition.New(), newPlace(), func(d *worker.Deps) {
		d.Alarm = func(_ int, what string) { alarms <- what }
	})
	a.settled(t, a.request(t))
	b := newOwnerAt(t, log, e, s, partition.New(), newPlace(), func(d *worker.Deps) { d.Group = "other" })
	t.Log(within(t, alarms, "an alarm"))
	a.owner.Assign()
	b.settled(t, b.request(t))
	if a.owner.Acting() || count(t, log, "PartitionOwned") != 2 {
		t.Errorf("%d claims", count(t, log, "PartitionOwned"))
	}
}

// TestSilentLog: an append that never comes back ends the epoch.
func TestSilentLog(t *testing.T) {
	silent := &silentLog{Log: memory.New(1)}
	log := storetest.NewFaulty(silent)
	e, s := &engine{runs: map[string]int{}}, &sink{told: map[domain.UUID][]string{}}
	w := newOwnerAt(t, log, e, s, partition.New(), newPlace(), func(d *worker.Deps) {
		d.Upkeep = worker.Upkeep{Tick: 5 * time.Millisecond, AppendWithin: 50 * time.Millisecond}
	})
	w.settled(t, w.request(t))
	silent.next.Store(true)
	w.settled(t, w.request(t))
	if n := count(t, log, "PartitionOwned"); n != 2 {
		t.Errorf("%d claims, want a second one", n)
	}
}

// silentLog loses the next AttemptStarted, and says nothing.
type silentLog struct {
	*memory.Log
	next atomic.Bool
}

func (s *silentLog) Append(p int, ms []eventstore.Message, done func(int64, error)) {
	if eventstore.Attributes(ms[0])["type"] == eventstore.TypeName("AttemptStarted") && s.next.CompareAndSwap(true, false) {
		return
	}
	s.Log.Append(p, ms, done)
}

// TestWrongClock: an owner whose clock is not the broker's gives the partition up before it does anything.
func TestWrongClock(t *testing.T) {
	for _, off := range []time.Duration{time.Hour, -time.Hour} {
		log := storetest.NewFaulty(brokerTimes{memory.New(1)})
		e, s := &engine{runs: map[string]int{}}, &sink{told: map[domain.UUID][]string{}}
		skews := make(chan time.Duration, 1)
		w := newOwnerAt(t, log, e, s, partition.New(), newPlace(), func(d *worker.Deps) {
			d.Now = func() time.Time { return time.Now().Add(off) }
			d.Skewed = func(ahead time.Duration) { skews <- ahead }
		})
		if ahead := within(t, skews, "word of the clock"); (ahead - off).Abs() > time.Minute {
			t.Errorf("off by %s, and it says %s", off, ahead)
		}
		if w.owner.Acting() {
			t.Error("it acts")
		}
	}
}

// brokerTimes is a log whose record times are the broker's.
type brokerTimes struct{ *memory.Log }

func (b brokerTimes) Follow(ctx context.Context, p int, from int64, fn func([]eventstore.Message) error) error {
	return b.Log.Follow(ctx, p, from, func(ms []eventstore.Message) error {
		for i := range ms {
			ms[i].ByBroker, ms[i].Time = true, time.Now()
		}
		return fn(ms)
	})
}

// waiting schedules retries an hour ahead.
type waiting struct{}

func (waiting) Derive(i domain.Invocation, at domain.Instant) []domain.Event {
	if i.Open() && !i.Running() && i.Done > 0 && !i.Success && i.Retry == 0 {
		return []domain.Event{domain.RetryScheduled{Attempt: i.Started + 1, Due: at.Add(300 * time.Millisecond)}}
	}
	return retry.Projection{}.Derive(i, at)
}
