package door

import (
	"context"
	"errors"
	"strings"
	"testing"

	"deed/domain"
	"deed/domain/partition"
	"deed/eventstore"
	"deed/projections"
	"deed/projections/invocations"
)

// end settles an invocation.
func (w *world) end(id domain.InvocationID) {
	w.t.Helper()
	for _, e := range []domain.Event{domain.AttemptStarted{Attempt: 1}, domain.AttemptSucceeded{Attempt: 1}, domain.InvocationSucceeded{Attempts: 1}} {
		w.own(id, e)
	}
}

func (w *world) own(id domain.InvocationID, e domain.Event) {
	w.t.Helper()
	m, err := eventstore.Encode("c", 0, &domain.Record{
		ID: domain.OwnerRecordID(w.owner, w.seq), Subject: id, At: w.instant(), Stamp: domain.Stamp{Epoch: 1, Owner: w.owner, Seq: w.seq}, Event: e,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.seq++
	done := make(chan error, 1)
	w.log.Log.Append(0, []eventstore.Message{m}, func(_ int64, err error) { done <- err })
	if err := <-done; err != nil {
		w.t.Fatal(err)
	}
}

// TestFindDropped: of an id as old as what the read model has dropped it is not said that there never was one; and a key's
// first call of that age is not made again.
func TestFindDropped(t *testing.T) {
	w := newWorld(t)
	d := w.door(t)
	d.Model = invocations.NewBounded(1, 2)
	w.follow(t, d)
	var first Accepted
	for n := range 5 {
		a, err := d.Invoke(t.Context(), echo, []byte("x"), "")
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			first = a
		}
		w.end(a.ID)
		w.pass(1000 * 1000 * 1000)
	}
	if err := d.Model.Until(t.Context(), func() bool { return d.Model.Dropped(echo) >= first.ID.T0() }); err != nil {
		t.Fatal(err)
	}
	_, err := d.Find(t.Context(), first.ID)
	if rejected(err) != domain.CodeNotFound || !strings.Contains(err.Error(), "keeps the newest 2 of a function") {
		t.Error(err)
	}
	if _, err := d.Wait(t.Context(), first.ID); rejected(err) != domain.CodeNotFound {
		t.Error(err)
	}
	_, err = d.Find(t.Context(), domain.NewInvocationID(w.instant(), 0, [8]byte{9}))
	if rejected(err) != domain.CodeNotFound || strings.Contains(err.Error(), "older") {
		t.Error(err)
	}
	w.pass(2 * partition.AdmissionWindow)
	w.mark()
	if _, err := w.store.Claim(t.Context(), echo.Project, "k", first.ID, fingerprint(echo, []byte("x")), w.instant()); err != nil {
		t.Fatal(err)
	}
	if _, err := call(t, d, "k", "x"); !undecided(err) {
		t.Error("a call that may have been made:", err)
	}
}

func undecided(err error) bool {
	_, ok := errors.AsType[*Undecided](err)
	return ok
}

// follow folds the log into a door's read model until the test ends.
func (w *world) follow(t *testing.T, d *Door) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = projections.NewTail(w.log.Log, 0, partition.New(), d.Model).Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-ended })
}

// TestBehind counts what the read model has not read, of all partitions, and has nothing to say when the broker has not.
func TestBehind(t *testing.T) {
	w := newWorld(t)
	d := w.door(t)
	a, err := d.Invoke(t.Context(), echo, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Find(t.Context(), a.ID); err != nil {
		t.Fatal(err)
	}
	if n, err := d.Behind(t.Context()); n != 0 || err != nil {
		t.Error(n, err)
	}
	d.Model = invocations.New(1)
	if n, err := d.Behind(t.Context()); n != 2 || err != nil {
		t.Error(n, err)
	}
	d.Model.Begin(0, 1, false)
	if n, err := d.Behind(t.Context()); n != 1 || err != nil {
		t.Error(n, err)
	}
	d.Log = mute{d.Log}
	if _, err := d.Behind(t.Context()); !errors.Is(err, eventstore.ErrClosed) {
		t.Error(err)
	}
}

// mute is a log whose broker does not say where it ends.
type mute struct{ eventstore.Log }

func (mute) Bounds(context.Context, int) (int64, int64, error) { return 0, 0, eventstore.ErrClosed }

func TestThousands(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 100_000: "100,000", 1_002_003: "1,002,003"} {
		if got := thousands(n); got != want {
			t.Error(n, got)
		}
	}
}
