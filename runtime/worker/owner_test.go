package worker_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"deed/domain"
	"deed/domain/partition"
	"deed/eventstore"
	"deed/eventstore/memory"
	"deed/eventstore/storetest"
	"deed/projections"
	"deed/projections/invocations"
	"deed/projections/notify"
	"deed/projections/retry"
	"deed/runtime/worker"
)

// engine fails the attempts of a function as often as it is told to, and counts runs.
type engine struct {
	mu   sync.Mutex
	runs map[string]int
	fail int
}

func (*engine) Loaded(worker.Code) bool                 { return true }
func (*engine) Load(context.Context, worker.Code) error { return nil }
func (e *engine) Run(_ context.Context, a worker.Attempt) domain.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	id := a.Env[0].Value
	e.runs[id]++
	if e.runs[id] <= e.fail {
		return domain.AttemptFailed{Kind: domain.FailedExit, Error: "exited with code 1", ExitCode: 1}
	}
	return domain.AttemptSucceeded{Result: domain.Bytes(a.Event)}
}

type sink struct {
	mu   sync.Mutex
	told map[domain.UUID][]string
}

func (s *sink) Deliver(_ context.Context, n worker.Notification) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told[n.ID] = append(s.told[n.ID], string(n.Record))
	return "there", nil
}

type noBlobs struct{}

func (noBlobs) Put(context.Context, []byte) (domain.Digest, error) {
	return domain.Digest{}, fmt.Errorf("none")
}

func (noBlobs) Get(context.Context, domain.Digest) ([]byte, error) { return nil, fmt.Errorf("none") }

type noFunctions struct{}

func (noFunctions) MaxInstances(domain.FunctionID) int { return domain.NoMaxInstances }

func (noFunctions) Pin(domain.FunctionID, string, int) (domain.InvocationRequested, error) {
	return domain.InvocationRequested{}, fmt.Errorf("none")
}

type relay struct{ owner *worker.Owner }

func (r *relay) Batch(f *partition.Fold, b []eventstore.Judged) { r.owner.Batch(f, b) }

// place is a group in which everybody always holds everything.
type place struct {
	mu        sync.Mutex
	committed eventstore.Position
	commits   int
}

func newPlace() *place { return &place{committed: eventstore.Position{Offset: -1}} }

func (p *place) Committed(context.Context, int) (eventstore.Position, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.committed, nil
}

func (p *place) Commit(_ context.Context, _ int, at eventstore.Position) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.committed = at
	p.commits++
	return nil
}

func (*place) Holds(context.Context, int) (bool, error) { return true, nil }

type world struct {
	log    *storetest.Faulty
	model  *invocations.Model
	engine *engine
	sink   *sink
	owner  *worker.Owner

	onSuccess domain.Target // of requests; an object store if empty
}

// newOwner puts an owner of its own on partition 0 of the log, assigned, until the test ends.
func newOwner(t *testing.T, log *storetest.Faulty, e *engine, s *sink) *world {
	t.Helper()
	return newOwnerAt(t, log, e, s, partition.New(), newPlace(), nil)
}

// newOwnerAt is newOwner with a fold that begins where it says, and deps that are changed first.
func newOwnerAt(t *testing.T, log *storetest.Faulty, e *engine, s *sink, fold *partition.Fold, p worker.Place, change func(*worker.Deps)) *world {
	t.Helper()
	w := &world{log: log, model: invocations.New(1), engine: e, sink: s}
	deps := &worker.Deps{
		Log: log, Retry: retry.Projection{}, Notify: notify.Projection{}, Engine: e, Blobs: noBlobs{}, Sinks: s, Funcs: noFunctions{}, Place: p,
		Runs: worker.NewPool(8, 8, 0), Tells: worker.NewPool(8, 8, 0), Cluster: "c", Group: "g", Node: "n", Now: time.Now,
		Random: func(b []byte) { _, _ = rand.Read(b) }, Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(deps)
	}
	r := &relay{}
	tail := projections.NewTail(log, 0, fold, w.model, r)
	w.owner = worker.NewOwner(deps, 0, tail)
	r.owner = w.owner
	ctx, cancel := context.WithCancel(context.Background())
	var ended sync.WaitGroup
	ended.Go(func() { _ = tail.Run(ctx) })
	w.owner.Assign()
	t.Cleanup(func() {
		w.owner.Revoke(t.Context())
		cancel()
		ended.Wait()
	})
	return w
}

func (w *world) request(t *testing.T) domain.InvocationID {
	t.Helper()
	return w.requestOf(t, []byte("event"))
}

func (w *world) requestOf(t *testing.T, event []byte) domain.InvocationID {
	t.Helper()
	return w.requestAt(t, domain.InstantOf(time.Now()), event)
}

func (w *world) requestAt(t *testing.T, t0 domain.Instant, event []byte) domain.InvocationID {
	t.Helper()
	var tail [8]byte
	_, _ = rand.Read(tail[:])
	onSuccess := w.onSuccess
	if onSuccess == "" {
		onSuccess = "obs://ok-bucket"
	}
	req := domain.InvocationRequested{
		ID: domain.NewInvocationID(t0, 0, tail), Function: domain.NativeFunction("f"), Version: "1", Limits: domain.DefaultLimits(),
		Policy:   domain.Policy{Set: true, MaxRetries: 1, MaxAge: time.Hour, OnSuccess: onSuccess, OnFailure: "obs://bad-bucket"},
		Deadline: t0.Add(time.Hour), Payload: domain.Bytes(event),
	}
	m, err := eventstore.Encode("c", 0, &domain.Record{ID: domain.RequestRecordID(req.ID), Subject: req.ID, At: t0, Event: req})
	if err != nil {
		t.Fatal(err)
	}
	w.log.Append(0, []eventstore.Message{m}, func(_ int64, err error) {
		if err != nil {
			t.Error(err)
		}
	})
	return req.ID
}

// settled waits until the invocation is settled, as this world's tail folds the log.
func (w *world) settled(t *testing.T, id domain.InvocationID) domain.Invocation {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var row invocations.Row
	if err := w.model.Until(ctx, func() bool {
		row, _ = w.model.Get(id)
		return row.State.Settled()
	}); err != nil {
		t.Fatalf("%s is not settled: %+v", id, row.State)
	}
	return row.State
}

// TestFailureMatrix: each write of the life of an invocation, failed, lost or failed but persisted; the end is the same.
func TestFailureMatrix(t *testing.T) {
	writes := []string{
		"PartitionOwned", "AttemptStarted", "AttemptFailed", "RetryScheduled", "AttemptSucceeded", "InvocationSucceeded",
		"NotificationOwed", "NotificationDelivered",
	}
	faults := map[string]func(*storetest.Faulty, func([]eventstore.Message) bool){
		"failed":               (*storetest.Faulty).Fail,
		"lost":                 (*storetest.Faulty).Lose,
		"failed but persisted": (*storetest.Faulty).FailAfterPersisting,
	}
	for _, write := range writes {
		for name, fault := range faults {
			t.Run(write+" "+name, func(t *testing.T) {
				t.Parallel()
				log := storetest.NewFaulty(memory.New(1))
				fault(log, func(ms []eventstore.Message) bool {
					return slices.ContainsFunc(ms, func(m eventstore.Message) bool {
						return eventstore.Attributes(m)["type"] == eventstore.TypeName(write)
					})
				})
				e, s := &engine{runs: map[string]int{}, fail: 1}, &sink{told: map[domain.UUID][]string{}}
				w := newOwner(t, log, e, s)
				id := w.request(t)
				i := w.settled(t, id)
				// A lost attempt may take the place of a failed one: then the function fails once more, and the policy decides.
				if i.Outcome == domain.Open || i.Started > 1+i.Policy.Retries()+domain.MaxLost || e.runs[id.String()] > i.Started {
					t.Errorf("%+v after %d runs", i, e.runs[id.String()])
				}
				if i.Outcome != domain.Succeeded {
					t.Errorf("outcome %s %s", i.Outcome, i.Reason)
				}
				for _, records := range s.told {
					for _, r := range records {
						if r != records[0] {
							t.Errorf("a sink was told different things: %s and %s", records[0], r)
						}
					}
				}
				if len(s.told) != 1 {
					t.Errorf("%d notifications", len(s.told))
				}
			})
		}
	}
}

// TestTwoOwners: two nodes that both think the partition is theirs supersede each other; nothing is lost, and the log has one
// outcome for each.
func TestTwoOwners(t *testing.T) {
	log := storetest.NewFaulty(memory.New(1))
	e, s := &engine{runs: map[string]int{}}, &sink{told: map[domain.UUID][]string{}}
	a := newOwner(t, log, e, s)
	var ids []domain.InvocationID
	for range 20 {
		ids = append(ids, a.request(t))
	}
	b := newOwner(t, log, e, s)
	b.owner.Assign()
	for range 20 {
		ids = append(ids, b.request(t))
	}
	a.owner.Revoke(t.Context()) // the group settles it
	for _, id := range ids {
		if x, y := a.settled(t, id), b.settled(t, id); x != y {
			t.Errorf("two readers differ:\n%+v\n%+v", x, y)
		} else if x.Outcome != domain.Succeeded {
			t.Errorf("%+v", x)
		}
	}
}

// TestCancelWhileWaiting: a retry that waits is cancelled; it ends at once, without another run.
func TestCancelWhileWaiting(t *testing.T) {
	log := storetest.NewFaulty(memory.New(1))
	e, s := &engine{runs: map[string]int{}, fail: 9}, &sink{told: map[domain.UUID][]string{}}
	w := newOwner(t, log, e, s)
	id := w.request(t)
	if err := w.model.Until(t.Context(), func() bool { row, _ := w.model.Get(id); return row.State.Done > 0 }); err != nil {
		t.Fatal(err)
	}
	m, err := eventstore.Encode("c", 0, &domain.Record{ID: domain.UUID{7}, Subject: id, At: 1, Event: domain.CancelRequested{}})
	if err != nil {
		t.Fatal(err)
	}
	log.Append(0, []eventstore.Message{m}, func(int64, error) {})
	if i := w.settled(t, id); i.Outcome != domain.Discarded && i.Done < 2 || i.Done > 2 {
		t.Errorf("%+v", i)
	}
}
