package worker_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"deed/domain"
	"deed/domain/partition"
	"deed/eventstore"
	"deed/eventstore/memory"
	"deed/eventstore/storetest"
	"deed/projections/invocations"
	"deed/projections/retry"
	"deed/runtime/worker"
)

// moody is a sink that fails first, or for ever.
type moody struct {
	*sink
	mu    sync.Mutex
	fails int  // so often, then it works
	never bool // it gives up at once
}

func (m *moody) Deliver(ctx context.Context, n worker.Notification) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.never {
		return "", &worker.GiveUp{Reason: "conflict", Err: errors.New("planted")}
	}
	if m.fails > 0 {
		m.fails--
		return "", errors.New("planted")
	}
	return m.sink.Deliver(ctx, n)
}

// targets pins any function.
type targets struct{}

func (targets) MaxInstances(domain.FunctionID) int { return domain.NoMaxInstances }

func (targets) Pin(f domain.FunctionID, _ string, _ int) (domain.InvocationRequested, error) {
	return domain.InvocationRequested{Function: f, Version: "1", Code: domain.Digest{1}, Limits: domain.DefaultLimits()}, nil
}

// TestFailureMatrixOfRareWrites is TestFailureMatrix for the writes that a straight life does not have: each of them failed, lost,
// or failed but persisted; the end is the same.
func TestFailureMatrixOfRareWrites(t *testing.T) {
	type life struct {
		write   string
		renewal bool
		change  func(*worker.Deps)
		fail    int
		onOK    domain.Target
		begin   func(t *testing.T, w *world) domain.InvocationID
		end     func(i domain.Invocation, w *world) bool
	}
	request := func(t *testing.T, w *world) domain.InvocationID { return w.request(t) }
	settled := func(o domain.Outcome) func(domain.Invocation, *world) bool {
		return func(i domain.Invocation, _ *world) bool { return i.Outcome == o && i.Settled() }
	}
	lives := map[string]life{
		"InvocationFailed": {write: "InvocationFailed", fail: 9, begin: request, end: settled(domain.Failed)},
		"InvocationDiscarded": {write: "InvocationDiscarded", fail: 9, begin: func(t *testing.T, w *world) domain.InvocationID {
			id := w.request(t)
			if err := w.model.Until(t.Context(), func() bool { row, _ := w.model.Get(id); return row.State.Retry == 2 }); err != nil {
				t.Fatal(err)
			}
			w.cancel(t, id)
			return id
		}, change: func(d *worker.Deps) { d.Retry = later{} }, end: settled(domain.Discarded)},
		"NotificationFailed": {write: "NotificationFailed", begin: request, change: func(d *worker.Deps) {
			d.Sinks = &moody{sink: d.Sinks.(*sink), fails: 2} //nolint:forcetypeassert // the world's
		}, end: settled(domain.Succeeded)},
		"NotificationAbandoned": {write: "NotificationAbandoned", begin: request, change: func(d *worker.Deps) {
			d.Sinks = &moody{sink: d.Sinks.(*sink), never: true} //nolint:forcetypeassert // the world's
		}, end: func(i domain.Invocation, _ *world) bool { return i.Settled() && i.Notified.Abandoned }},
		"child": {
			write: "InvocationRequested", onOK: "function:next", begin: request, change: func(d *worker.Deps) { d.Funcs = targets{} },
			end: func(i domain.Invocation, w *world) bool {
				rows := w.model.List(invocations.Filter{})
				return i.Settled() && len(rows) == 2 && rows[0].State.Settled() && rows[1].State.Settled()
			},
		},
		"renewal": {write: "PartitionOwned", renewal: true, begin: request, change: quick, end: func(i domain.Invocation, w *world) bool {
			return i.Settled() && countKind(w.log, "renewal") > 0
		}},
		"InvocationCarried": {write: "InvocationCarried", fail: 1, begin: request, change: func(d *worker.Deps) {
			quick(d)
			d.Retry = waiting{}
		}, end: settled(domain.Succeeded)},
		"RequestRefused": {write: "RequestRefused", begin: func(t *testing.T, w *world) domain.InvocationID {
			w.settled(t, w.request(t))
			until(t, "a renewal", func() bool { return countKind(w.log, "renewal") > 0 })
			return w.requestAt(t, domain.InstantOf(time.Now().Add(-time.Hour)), []byte("late"))
		}, change: quick, end: func(i domain.Invocation, w *world) bool {
			return !i.Known && countType(w.log, "RequestRefused") > 0
		}},
	}
	faults := map[string]func(*storetest.Faulty, func([]eventstore.Message) bool){
		"failed": (*storetest.Faulty).Fail, "lost": (*storetest.Faulty).Lose, "failed but persisted": (*storetest.Faulty).FailAfterPersisting,
	}
	for name, l := range lives {
		for how, fault := range faults {
			t.Run(name+" "+how, func(t *testing.T) {
				t.Parallel()
				log := storetest.NewFaulty(memory.New(1))
				hit := make(chan struct{}, 1)
				fault(log, func(ms []eventstore.Message) bool {
					ok := slices.ContainsFunc(ms, func(m eventstore.Message) bool {
						r := eventstore.Decode(m)
						marker, _ := r.Event.(domain.PartitionOwned)
						return r.Type == l.write && (l.write != "PartitionOwned" || marker.Renewal == l.renewal) && r.Stamp.IsOwner()
					})
					if ok {
						select {
						case hit <- struct{}{}:
						default:
						}
					}
					return ok
				})
				e, s := &engine{runs: map[string]int{}, fail: l.fail}, &sink{told: map[domain.UUID][]string{}}
				w := newOwnerAt(t, log, e, s, partition.New(), newPlace(), func(d *worker.Deps) {
					if l.change != nil {
						l.change(d)
					}
				})
				w.onSuccess = l.onOK
				id := l.begin(t, w)
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				var row invocations.Row
				if err := w.model.Until(ctx, func() bool {
					row, _ = w.model.Get(id)
					return l.end(row.State, w)
				}); err != nil {
					t.Fatalf("it does not end: %+v", row.State)
				}
				select {
				case <-hit:
				default:
					t.Error("the write was not made: nothing was tested")
				}
				if i := row.State; i.Started > 1+i.Policy.Retries()+domain.MaxLost || e.count(id) > i.Started {
					t.Errorf("%d attempts, %d runs", i.Started, e.count(id))
				}
				for _, records := range s.told {
					for _, r := range records {
						if r != records[0] {
							t.Errorf("a sink was told different things: %s and %s", records[0], r)
						}
					}
				}
			})
		}
	}
}

// later schedules retries an hour ahead, and ends what is cancelled.
type later struct{}

func (later) Derive(i domain.Invocation, at domain.Instant) []domain.Event {
	if i.Open() && !i.Running() && i.Done > 0 && !i.Success && i.Retry == 0 && !i.Cancel {
		return []domain.Event{domain.RetryScheduled{Attempt: i.Started + 1, Due: at.Add(time.Hour)}}
	}
	return retry.Projection{}.Derive(i, at)
}

func (e *engine) count(id domain.InvocationID) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.runs[id.String()]
}

func (w *world) cancel(t *testing.T, id domain.InvocationID) {
	t.Helper()
	m, err := eventstore.Encode("c", 0, &domain.Record{ID: domain.UUID{7}, Subject: id, At: 1, Event: domain.CancelRequested{}})
	if err != nil {
		t.Fatal(err)
	}
	w.log.Append(0, []eventstore.Message{m}, func(int64, error) {})
}

// each calls fn for every record of the log as it is now.
func each(log eventstore.Log, fn func(domain.Record)) {
	_, end, err := log.Bounds(context.Background(), 0)
	for from := int64(0); err == nil && from < end; {
		var ms []eventstore.Message
		if ms, err = log.Read(context.Background(), 0, from, 1000); err != nil || len(ms) == 0 {
			return
		}
		for _, m := range ms {
			fn(eventstore.Decode(m))
		}
		from = ms[len(ms)-1].Offset + 1
	}
}

func countType(log eventstore.Log, name string) (n int) {
	each(log, func(r domain.Record) {
		if r.Type == name {
			n++
		}
	})
	return n
}

func countKind(log eventstore.Log, kind string) (n int) {
	each(log, func(r domain.Record) {
		if m, ok := r.Event.(domain.PartitionOwned); ok && m.Renewal == (kind == "renewal") {
			n++
		}
	})
	return n
}
