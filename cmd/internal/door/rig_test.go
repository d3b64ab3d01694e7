package door

import (
	"context"
	"crypto/rand"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"deed/domain"
	"deed/domain/partition"
	"deed/eventstore"
	"deed/eventstore/keys"
	"deed/eventstore/memory"
	"deed/eventstore/storetest"
	"deed/projections"
	"deed/projections/functions"
	"deed/projections/invocations"
)

// world is one log, one key store and a clock, around which tests put doors.
type world struct {
	t     testing.TB
	path  string // of the key store
	store *keys.Store
	log   *storetest.Faulty
	now   atomic.Int64 // ns since 1970
	seq   uint64       // of the owner's records
	owner domain.OwnerID
}

var echo = domain.NativeFunction("echo")

func newWorld(t testing.TB) *world {
	t.Helper()
	w := worldOn(t, nil)
	w.path = filepath.Join(t.TempDir(), "keys.db")
	w.reopen()
	t.Cleanup(func() { _ = w.store.Close() })
	return w
}

// worldOn is a world on a key store that is there already.
func worldOn(t testing.TB, store *keys.Store) *world {
	t.Helper()
	w := &world{t: t, store: store, log: storetest.NewFaulty(memory.New(1)), owner: domain.OwnerID{1}}
	w.now.Store(time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC).UnixNano())
	w.mark()
	return w
}

// reopen is what a restart makes of the key store.
func (w *world) reopen() {
	w.t.Helper()
	if w.store != nil {
		if err := w.store.Close(); err != nil {
			w.t.Fatal(err)
		}
	}
	var err error
	if w.store, err = keys.Open(context.Background(), w.path); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) clock() time.Time        { return time.Unix(0, w.now.Load()).UTC() }
func (w *world) pass(d time.Duration)    { w.now.Add(int64(d)) }
func (w *world) instant() domain.Instant { return domain.InstantOf(w.clock()) }

// mark is the owner's marker: it moves log time to now. The first one is its claim.
func (w *world) mark() {
	w.t.Helper()
	e := domain.PartitionOwned{Renewal: w.seq > 0, LogTime: w.instant(), Protocol: domain.Protocol}
	m, err := eventstore.Encode("c", 0, &domain.Record{
		ID: domain.OwnerRecordID(w.owner, w.seq), At: w.instant(), Stamp: domain.Stamp{Epoch: 1, Owner: w.owner, Seq: w.seq}, Event: e,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.seq++
	done := make(chan error, 1)
	w.log.Log.Append(0, []eventstore.Message{m}, func(_ int64, err error) { done <- err }) // no fault is meant for it
	if err := <-done; err != nil {
		w.t.Fatal(err)
	}
}

// door is a new one, its read model folded by a tail of its own until the test ends.
func (w *world) door(t testing.TB) *Door {
	t.Helper()
	d := &Door{
		Log: w.log, Functions: memory.New(1), Registry: functions.New(), Model: invocations.New(1), Blobs: noBlobs{}, Keys: w.store,
		Slots: func() int { return 0 }, Now: w.clock, Random: func(b []byte) { _, _ = rand.Read(b) },
	}
	for i, e := range []domain.Event{
		domain.ClusterFormed{Cluster: domain.UUID{7}},
		domain.FunctionDeployed{Function: echo, Version: "1", Code: domain.DigestOf(nil), Limits: domain.DefaultLimits()},
	} {
		if err := d.Registry.Apply(int64(i), domain.Record{ID: domain.UUID{byte(i + 1)}, Type: e.Type(), Event: e}); err != nil {
			t.Fatal(err)
		}
	}
	tail := projections.NewTail(w.log.Log, 0, partition.New(), d.Model)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = tail.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return d
}

// late is a log on which an append can be under way for as long as a test wants: its outcome is unknown at once, and it lands
// when it is let go.
type late struct {
	eventstore.Log
	mu   sync.Mutex
	hold int // so many appends from now on
	held [][]eventstore.Message
}

func (l *late) Append(p int, records []eventstore.Message, done func(int64, error)) {
	l.mu.Lock()
	if l.hold == 0 {
		l.mu.Unlock()
		l.Log.Append(p, records, done)
		return
	}
	l.hold--
	l.held = append(l.held, records)
	l.mu.Unlock()
	go done(-1, eventstore.ErrUnknownOutcome)
}

func (l *late) holdNext() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hold++
}

// arrive lets the n-th held append land, now.
func (l *late) arrive(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.held) == 0 {
		return
	}
	n %= len(l.held)
	landed := make(chan struct{})
	l.Log.Append(0, l.held[n], func(int64, error) { close(landed) })
	<-landed
	l.held = append(l.held[:n:n], l.held[n+1:]...)
}

type noBlobs struct{ Blobs }

// effective are the invocations that the log knows under the key, by a fold of its own.
func (w *world) effective(key string) (ids []domain.InvocationID, copies int) {
	w.t.Helper()
	_, end, err := w.log.Bounds(context.Background(), 0)
	if err != nil {
		w.t.Fatal(err)
	}
	ms, err := w.log.Read(context.Background(), 0, 0, int(end))
	if err != nil {
		w.t.Fatal(err)
	}
	fold := partition.New()
	for _, m := range ms {
		r := eventstore.Decode(m)
		verdict := fold.Apply(m.Offset, &r)
		if e, ok := r.Event.(domain.InvocationRequested); ok && e.Key == key {
			copies++
			if verdict.Effective() {
				ids = append(ids, e.ID)
			}
		}
	}
	return ids, copies
}

// one is the one invocation of the key.
func (w *world) one(key string) domain.InvocationID {
	w.t.Helper()
	ids, copies := w.effective(key)
	if len(ids) != 1 {
		w.t.Fatalf("key %q has %d invocations (%d records): %v", key, len(ids), copies, ids)
	}
	return ids[0]
}
