package door

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"deed/domain"
	"deed/eventstore/keys"
)

func call(t testing.TB, d *Door, key, event string) (Accepted, error) {
	t.Helper()
	return d.InvokeKey(t.Context(), echo, key, []byte(event), "")
}

// rejected reports the code of a rejection, "" for any other error.
func rejected(err error) domain.Code {
	if r, ok := errors.AsType[*domain.Rejection](err); ok {
		return r.Code
	}
	return ""
}

// TestKey: one key, one request, one invocation; and what else a call with a key may be answered.
func TestKey(t *testing.T) {
	w := newWorld(t)
	d := w.door(t)
	a, err := call(t, d, "k", "x")
	if err != nil || a.Replayed || a.ID != w.one("k") {
		t.Fatal(a, err)
	}
	again, err := call(t, w.door(t), "k", "x")
	if err != nil || again != (Accepted{a.ID, true}) {
		t.Fatal(again, err)
	}
	if _, copies := w.effective("k"); copies != 1 {
		t.Errorf("%d records: a replay appends nothing", copies)
	}
	if _, err := call(t, d, "k", "y"); rejected(err) != domain.CodeConflict {
		t.Error("another event:", err)
	}
	if _, err := d.InvokeKey(t.Context(), domain.NativeFunction("other"), "k", []byte("x"), ""); rejected(err) != domain.CodeConflict {
		t.Error("another function:", err)
	}
	if b, err := call(t, d, "l", "x"); err != nil || b.ID == a.ID {
		t.Error("another key:", b, err)
	}
	if b, err := d.Invoke(t.Context(), echo, []byte("x"), ""); err != nil || b.ID == a.ID {
		t.Error("no key:", b, err)
	}
	for _, bad := range []string{"", strings.Repeat("k", 256), "a\nb", "ü", "a\x7f"} {
		if _, err := call(t, d, bad, "x"); rejected(err) != domain.CodeInvalid {
			t.Errorf("key %q: %v", bad, err)
		}
	}
	if _, err := call(t, d, strings.Repeat("~ ", 127)+"!", "x"); err != nil {
		t.Error(err)
	}
	if _, err := call(t, d, "k", strings.Repeat("x", domain.MaxPayload+1)); rejected(err) != domain.CodeTooLarge {
		t.Error(err)
	}
	d.Keys = nil
	if _, err := call(t, d, "k", "x"); rejected(err) != domain.CodeInvalid {
		t.Error("without a store:", err)
	}
}

// TestKeyLives for 24 hours from its id, also when its function has gone; then it is as if never used.
func TestKeyLives(t *testing.T) {
	w := newWorld(t)
	d := w.door(t)
	a, err := call(t, d, "k", "x")
	if err != nil {
		t.Fatal(err)
	}
	w.pass(keys.Lifetime - time.Millisecond)
	w.mark()
	gone := w.door(t)
	if err := gone.Registry.Apply(2, domain.Record{ID: domain.UUID{9}, Type: "FunctionDeleted", Event: domain.FunctionDeleted{Function: echo, Expected: 1}}); err != nil {
		t.Fatal(err)
	}
	if b, err := call(t, gone, "k", "x"); err != nil || b != (Accepted{a.ID, true}) {
		t.Fatal(b, err)
	}
	w.pass(time.Millisecond)
	if _, err := call(t, d, "k", "another request"); err != nil {
		t.Fatal(err)
	}
	if ids, _ := w.effective("k"); len(ids) != 2 {
		t.Error(ids)
	}
}

// TestRefusedLeavesNoRow: what the checks of every request refuse has not used its key.
func TestRefusedLeavesNoRow(t *testing.T) {
	w := newWorld(t)
	d := w.door(t)
	if _, err := d.InvokeKey(t.Context(), domain.NativeFunction("later"), "k", []byte("x"), ""); rejected(err) != domain.CodeNotFound {
		t.Fatal(err)
	}
	d.Clock = func() error { return errors.New("wrong") }
	if _, err := call(t, d, "k", "y"); rejected(err) != domain.CodeUnavailable {
		t.Fatal(err)
	}
	d.Clock, d.MaxOpen = nil, 1
	if _, err := call(t, d, "first", "z"); err != nil {
		t.Fatal(err)
	}
	if err := d.Model.Until(t.Context(), func() bool { return d.Model.Unsettled() == 1 }); err != nil {
		t.Fatal(err)
	}
	if _, err := call(t, d, "k", "z"); rejected(err) != domain.CodeUnavailable {
		t.Fatal(err)
	}
	if _, known, err := w.store.Get(t.Context(), echo.Project, "k", w.instant()); err != nil || known {
		t.Error(known, err)
	}
	if b, err := call(t, d, "first", "z"); err != nil || !b.Replayed {
		t.Error("a replay opens nothing, so no bound is on it:", b, err)
	}
	if got := d.inFlight.Load(); got != 0 {
		t.Error("in flight:", got)
	}
}

// TestTogether: calls that come at once, at two doors, make one invocation, and all are told it.
func TestTogether(t *testing.T) {
	w := newWorld(t)
	doors := []*Door{w.door(t), w.door(t)}
	var wg sync.WaitGroup
	ids := make([]domain.InvocationID, 32)
	for i := range ids {
		wg.Go(func() {
			a, err := doors[i%2].InvokeKey(t.Context(), echo, "k", []byte("x"), "")
			if err != nil {
				t.Error(err)
			}
			ids[i] = a.ID
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != w.one("k") {
			t.Errorf("told %s, the log has %s", id, w.one("k"))
		}
	}
}

// crash is where a door dies: its call ends there, and nothing that it held is kept.
type crash struct {
	*keys.Store
	before, after string
}

var errCrash = errors.New("crashed")

func (c *crash) at(op string, do func() error) error {
	if c.before == op {
		return errCrash
	}
	err := do()
	if c.after == op {
		return errCrash
	}
	return err
}

func (c *crash) Claim(ctx context.Context, project, key string, id domain.InvocationID, print domain.Digest, now domain.Instant) (row keys.Row, err error) {
	err = c.at("claim", func() (err error) { row, err = c.Store.Claim(ctx, project, key, id, print, now); return err })
	return row, err
}

func (c *crash) Replace(ctx context.Context, project, key string, old, fresh domain.InvocationID) (row keys.Row, err error) {
	err = c.at("replace", func() (err error) { row, err = c.Store.Replace(ctx, project, key, old, fresh); return err })
	return row, err
}

func (c *crash) Accept(ctx context.Context, project, key string, id domain.InvocationID) error {
	return c.at("accept", func() error { return c.Store.Accept(ctx, project, key, id) })
}

// TestCrashes: {a crash or a failed append at each step} × {when the next call comes}: it is accepted, and there is one
// invocation. "lost" leaves a row whose request never reached the log; "replaced" begins where such a row is replaced.
func TestCrashes(t *testing.T) {
	fault := map[string]func(w *world, d *Door){
		"none":                    func(*world, *Door) {},
		"before the row":          func(w *world, d *Door) { d.Keys = &crash{Store: w.store, before: "claim"} },
		"behind the row":          func(w *world, d *Door) { d.Keys = &crash{Store: w.store, after: "claim"} },
		"append refused":          func(w *world, _ *Door) { w.log.Fail(nil) },
		"append lost":             func(w *world, _ *Door) { w.log.Lose(nil) },
		"acknowledgement lost":    func(w *world, _ *Door) { w.log.FailAfterPersisting(nil) },
		"before the row's mark":   func(w *world, d *Door) { d.Keys = &crash{Store: w.store, before: "accept"} },
		"behind the row's mark":   func(w *world, d *Door) { d.Keys = &crash{Store: w.store, after: "accept"} },
		"before the row's new id": func(w *world, d *Door) { d.Keys = &crash{Store: w.store, before: "replace"} },
		"behind the row's new id": func(w *world, d *Door) { d.Keys = &crash{Store: w.store, after: "replace"} },
	}
	first := map[string][]string{ // where the call that the fault strikes begins
		"new": {
			"none", "before the row", "behind the row", "append refused", "append lost", "acknowledgement lost",
			"before the row's mark", "behind the row's mark",
		},
		"lost":     {"none", "append refused", "append lost", "acknowledgement lost", "before the row's mark"},
		"replaced": {"none", "before the row's new id", "behind the row's new id", "append lost", "acknowledgement lost"},
	}
	then := map[string]func(w *world){
		"at once":                       func(*world) {},
		"after the acknowledgement":     func(w *world) { w.pass(AckWithin + time.Millisecond) },
		"after the window":              func(w *world) { w.pass(200 * time.Second); w.mark() },
		"after the window, log idle":    func(w *world) { w.pass(200 * time.Second) },
		"after the window, much idling": func(w *world) { w.pass(12 * time.Hour) },
	}
	for from, faults := range first {
		for _, what := range faults {
			for when, wait := range then {
				t.Run(fmt.Sprintf("%s, %s, %s", from, what, when), func(t *testing.T) {
					t.Parallel()
					w := newWorld(t)
					told := map[domain.InvocationID]bool{}
					d := w.door(t)
					if from != "new" {
						w.log.Lose(nil)
						if _, err := call(t, d, "k", "x"); err == nil {
							t.Fatal("a lost append was acknowledged")
						}
						w.pass(200 * time.Second)
						if from == "replaced" {
							w.mark()
						}
					}
					d.keyWait = time.Minute
					if what == "append refused" || what == "append lost" {
						d.keyWait = 20 * time.Millisecond // in the idle log nothing else will decide
					}
					fault[what](w, d)
					if a, err := call(t, d, "k", "x"); err == nil {
						told[a.ID] = true
					}
					if w.log.Pending() > 0 {
						t.Fatal("the append that was to fail was not made")
					}
					w.reopen()
					wait(w)
					d = w.door(t)
					a, err := call(t, d, "k", "x")
					if err != nil {
						t.Fatal(err)
					}
					told[a.ID] = true
					if b, err := call(t, w.door(t), "k", "x"); err != nil || b != (Accepted{a.ID, true}) {
						t.Errorf("a replay: %v %v", b, err)
					}
					if one := w.one("k"); len(told) != 1 || !told[one] {
						t.Errorf("told %v, the log has %s", told, one)
					}
				})
			}
		}
	}
}

// TestUndecided: while neither log nor read model say what became of the first call, nothing is decided, and the answer says
// when to come back; the row stays.
func TestUndecided(t *testing.T) {
	w := newWorld(t)
	d := w.door(t)
	d.keyWait = 20 * time.Millisecond
	w.log.Lose(nil)
	_, err := call(t, d, "k", "x")
	if u, ok := errors.AsType[*Unacknowledged](err); !ok || u.Key != "k" {
		t.Fatal(err)
	}
	w.pass(AckWithin + time.Millisecond)
	w.log.Lose(nil)
	_, err = call(t, d, "k", "x")
	if u, ok := errors.AsType[*Undecided](err); !ok || u.After <= 0 {
		t.Fatal(err)
	}
	if ids, _ := w.effective("k"); len(ids) != 0 {
		t.Fatal(ids)
	}
	d.keyWait = time.Minute
	a, err := call(t, d, "k", "x")
	if err != nil || a.ID != w.one("k") {
		t.Fatal(a, err)
	}
}

// TestPendingIsJudgedByTheLog: a pending row whose request took effect is accepted although its function is gone, its owner
// is idle and the clock has moved on; and one of the future waits for the clock.
func TestPendingIsJudgedByTheLog(t *testing.T) {
	for _, later := range []time.Duration{time.Second, time.Hour} {
		w := newWorld(t)
		d := w.door(t)
		w.log.FailAfterPersisting(nil)
		if _, err := call(t, d, "k", "x"); err == nil {
			t.Fatal("acknowledged")
		}
		w.pass(later)
		d.MaxOpen, d.Clock = 1, func() error { return errors.New("wrong") }
		if a, err := call(t, d, "k", "x"); err != nil || a != (Accepted{w.one("k"), true}) {
			t.Error(later, a, err)
		}
	}
	w := newWorld(t)
	w.log.Lose(nil)
	_, _ = call(t, w.door(t), "k", "x")
	w.pass(-time.Hour)
	if _, err := call(t, w.door(t), "k", "x"); rejected(err) != domain.CodeUnavailable {
		t.Error(err)
	}
}

// TestValidityCountsFromTheCall: a copy that is appended late is not expired by its id.
func TestValidityCountsFromTheCall(t *testing.T) {
	w := newWorld(t)
	d := w.door(t)
	w.log.Lose(nil)
	_, _ = call(t, d, "k", "x")
	w.pass(12 * time.Hour)
	a, err := call(t, d, "k", "x")
	if err != nil {
		t.Fatal(err)
	}
	row, err := d.Find(t.Context(), a.ID)
	if want := w.instant().Add(domain.DefaultMaxAge); err != nil || row.State.Deadline != want {
		t.Errorf("deadline %s, want %s: %v", row.State.Deadline, want, err)
	}
}
