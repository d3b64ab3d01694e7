package worker_test

import (
	"context"
	"slices"
	"sync"
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

// heldLog holds appends back, in order, from a second attempt's start on.
type heldLog struct {
	*memory.Log
	mu      sync.Mutex
	holding bool
	queue   []func()
	records []domain.Record // of what is held
	more    chan struct{}   // told of every append that is held
}

func (h *heldLog) Append(p int, ms []eventstore.Message, done func(int64, error)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var records []domain.Record
	for _, m := range ms {
		r := eventstore.Decode(m)
		if s, ok := r.Event.(domain.AttemptStarted); ok && s.Attempt == 2 {
			h.holding = true
		}
		records = append(records, r)
	}
	if !h.holding {
		h.Log.Append(p, ms, done)
		return
	}
	h.queue = append(h.queue, func() { h.Log.Append(p, ms, done) })
	h.records = append(h.records, records...)
	select {
	case h.more <- struct{}{}:
	default:
	}
}

// held waits until a record is held that ok accepts.
func (h *heldLog) held(t *testing.T, what string, ok func(domain.Record) bool) {
	t.Helper()
	for {
		h.mu.Lock()
		found := slices.ContainsFunc(h.records, ok)
		h.mu.Unlock()
		if found {
			return
		}
		within(t, h.more, what)
	}
}

// slowBlobs lets no payload be stored until it is told to.
type slowBlobs struct {
	*blobs
	begun, let chan struct{}
}

func (s *slowBlobs) Put(ctx context.Context, data []byte) (domain.Digest, error) {
	select {
	case s.begun <- struct{}{}:
	default:
	}
	<-s.let
	return s.blobs.Put(ctx, data)
}

// firstSoon schedules the retry of the first invocation soon, and all others in an hour.
type firstSoon struct {
	mu    *sync.Mutex
	first *domain.InvocationID
}

func (f firstSoon) Derive(i domain.Invocation, at domain.Instant) []domain.Event {
	if i.Open() && !i.Running() && i.Done > 0 && !i.Success && i.Retry == 0 {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.first.IsZero() {
			*f.first = i.ID
		}
		if i.ID == *f.first {
			return []domain.Event{domain.RetryScheduled{Attempt: i.Started + 1, Due: at.Add(300 * time.Millisecond)}}
		}
		return []domain.Event{domain.RetryScheduled{Attempt: i.Started + 1, Due: at.Add(time.Hour)}}
	}
	return retry.Projection{}.Derive(i, at)
}

// TestRestatementOverlapsNothing: while an append for an invocation is under way it is not restated: the restatement would land
// behind it and undo it. One that nothing is under way for is restated meanwhile.
func TestRestatementOverlapsNothing(t *testing.T) {
	held := &heldLog{Log: memory.New(1), more: make(chan struct{}, 1)}
	log := storetest.NewFaulty(held)
	e, s := &engine{runs: map[string]int{}, fail: 1}, &sink{told: map[domain.UUID][]string{}}
	store := &slowBlobs{blobs: &blobs{m: map[domain.Digest][]byte{}}, begun: make(chan struct{}, 1), let: make(chan struct{})}
	var first domain.InvocationID
	w := newOwnerAt(t, log, e, s, partition.New(), newPlace(), func(d *worker.Deps) {
		quick(d)
		d.Blobs, d.Retry = store, firstSoon{new(sync.Mutex), &first}
	})
	event := make([]byte, 4000)
	for i := range event {
		event[i] = 'a'
	}
	a := w.requestOf(t, event)
	if err := w.model.Until(t.Context(), func() bool { row, _ := w.model.Get(a); return row.State.Retry == 2 }); err != nil {
		t.Fatal(err)
	}
	b := w.requestOf(t, event)
	within(t, store.begun, "a restatement")
	held.held(t, "the second attempt", func(r domain.Record) bool { return r.Type == "AttemptStarted" && r.Subject == a })
	close(store.let)
	held.held(t, "the other one's restatement", func(r domain.Record) bool { return r.Type == "InvocationCarried" && r.Subject == b })
	held.mu.Lock()
	for _, r := range held.records {
		if r.Type == "InvocationCarried" && r.Subject == a {
			t.Error("it is restated while its second attempt is on its way")
		}
	}
	queue := held.queue
	held.holding, held.queue = false, nil
	for _, land := range queue {
		land()
	}
	held.mu.Unlock()
	if i := w.settled(t, a); i.Outcome != domain.Succeeded || i.Started != 2 {
		t.Errorf("%+v", i)
	}
}
