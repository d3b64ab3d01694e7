package node

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"deed/cmd/internal/reconcile"
	"deed/domain"
	"deed/projections/invocations"
	"deed/projections/operations"
	"deed/runtime/wasm/wasmtest"
	"deed/runtime/worker"
)

// ended waits for the end of an operation.
func ended(t *testing.T, n *Node, id domain.UUID) (op operations.Operation) {
	t.Helper()
	if err := n.Operations.Until(t.Context(), func() bool {
		op, _ = n.Operations.Get(id)
		return op.Ended
	}); err != nil {
		t.Fatal(err)
	}
	return op
}

// ask asks for an operation.
func ask(t *testing.T, n *Node, e domain.OperationRequested) domain.UUID {
	t.Helper()
	random(e.ID[:])
	if e.Project == "" {
		e.Project = domain.NativeProject
	}
	if err := n.Door.Operate(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	return e.ID
}

// failures deploys a function that fails, has it fail that often, and mends it.
func failures(t *testing.T, n *Node, name string, count int) (f domain.FunctionID, ids []domain.InvocationID) {
	t.Helper()
	f = deploy(t, n, name, wasmtest.Exit(3), domain.DefaultLimits(), domain.Policy{Set: true, MaxAge: time.Hour})
	for range count {
		a, err := n.Door.Invoke(t.Context(), f, []byte(name), "")
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, a.ID)
	}
	for _, id := range ids {
		if row, err := n.Door.Wait(t.Context(), id); err != nil || row.State.Outcome != domain.Failed {
			t.Fatalf("%v %+v", err, row.State)
		}
	}
	deploy(t, n, name, wasmtest.Echo(), domain.DefaultLimits(), domain.Policy{Set: true, MaxAge: time.Hour})
	slices.SortFunc(ids, func(a, b domain.InvocationID) int { return strings.Compare(a.String(), b.String()) }) // several may have one millisecond
	return f, ids
}

// TestRedrive: what failed runs again once, with its own event, as what its function is now, and says whose event it is.
func TestRedrive(t *testing.T) {
	n := running(t, Config{})
	f, ids := failures(t, n, "mended", 30)
	_, others := failures(t, n, "another", 3)
	all := domain.OperationSelection{Function: "mended", Status: domain.Status(domain.Failed), AnyCondition: true}
	if c := n.Redriver.Choose(domain.Redrive, domain.NativeProject, all); len(c.IDs) != 30 || c.IDs[0] != ids[0] || c.IDs[29] != ids[29] {
		t.Errorf("chosen %d", len(c.IDs))
	}
	op := ended(t, n, ask(t, n, domain.OperationRequested{Kind: domain.Redrive, Rate: 1000, Select: all, By: "test"}))
	if op.Total != 30 || op.Done != 30 || op.Failed != 0 || op.Reason != "" || len(op.Results) != 30 {
		t.Fatalf("%+v", op)
	}
	seen := map[domain.InvocationID]bool{}
	for i, r := range op.Results {
		row, err := n.Door.Wait(t.Context(), r.New)
		if err != nil || r.Old != ids[i] || row.State.Redrives != r.Old || row.State.Outcome != domain.Succeeded || row.State.Version != "2" || seen[r.New] {
			t.Errorf("%v: %+v %+v", err, r, row.State)
		}
		if result, err := n.Door.Result(t.Context(), row); err != nil || string(result) != "mended" {
			t.Errorf("%v %q", err, result)
		}
		seen[r.New] = true
	}
	again := ended(t, n, ask(t, n, domain.OperationRequested{Kind: domain.Redrive, Rate: 1000, Select: all}))
	if again.Total != 0 || again.Already != 30 || again.Done != 0 {
		t.Errorf("a second time: %+v", again)
	}
	listed := ended(t, n, ask(t, n, domain.OperationRequested{Kind: domain.Redrive, Rate: 1, Pinned: true, Select: domain.OperationSelection{
		IDs: []domain.InvocationID{others[0], ids[0], domain.NewInvocationID(others[0].T0(), 0, [8]byte{9})}, AnyCondition: true,
	}}))
	if listed.Already != 1 || listed.Done != 1 || listed.Failed != 1 || listed.Results[0].Old != others[0] || listed.Results[1].Problem == "" {
		t.Errorf("by id: %+v", listed)
	}
	row, err := n.Door.Wait(t.Context(), listed.Results[0].New)
	if err != nil || row.State.Outcome != domain.Failed || row.State.Version != "1" {
		t.Errorf("pinned to its version: %v %+v", err, row.State)
	}
	if got := len(n.Model.List(invocations.Filter{Function: f})); got != 60 {
		t.Errorf("%d invocations, not 60", got)
	}
}

// TestRedriveInARow: whoever asks right behind the end of an operation is not slept over.
func TestRedriveInARow(t *testing.T) {
	n := running(t, Config{})
	for range 50 {
		nobodys := domain.OperationRequested{Kind: domain.Redrive, Rate: 1, Select: domain.OperationSelection{Function: "nobodys", AnyCondition: true}}
		if op := ended(t, n, ask(t, n, nobodys)); op.Total != 0 {
			t.Fatalf("%+v", op)
		}
	}
}

// TestRedriveTwoAtOnce: two operations that select the same redrive each of them once, between them.
func TestRedriveTwoAtOnce(t *testing.T) {
	n := running(t, Config{})
	f, _ := failures(t, n, "mended", 40)
	all := domain.OperationRequested{Kind: domain.Redrive, Rate: 8, Select: domain.OperationSelection{Function: "mended", Status: domain.Status(domain.Failed), AnyCondition: true}}
	a, b := ask(t, n, all), ask(t, n, all)
	done := ended(t, n, a).Done + ended(t, n, b).Done
	redriven := map[domain.InvocationID]int{}
	for _, row := range n.Model.List(invocations.Filter{Function: f}) {
		if !row.State.Redrives.IsZero() {
			redriven[row.State.Redrives]++
		}
	}
	for id, times := range redriven {
		if times != 1 {
			t.Errorf("%s was redriven %d times", id, times)
		}
	}
	if done != 40 || len(redriven) != 40 {
		t.Errorf("%d done, %d redriven, not 40", done, len(redriven))
	}
}

// TestRedriveGoesOn: a step that a node left under way is ended by the next one: what was accepted is not accepted again, what
// was not, and may yet be, is, under its id; what never can be is, in a later step, under another one.
func TestRedriveGoesOn(t *testing.T) {
	quick := Config{Data: t.TempDir(), Upkeep: worker.Upkeep{Tick: 20 * time.Millisecond, Renew: 50 * time.Millisecond}}
	n, stop := runningUntil(t, quick)
	f, ids := failures(t, n, "mended", 6)
	// The log's time is now: what is an hour old can never take effect.
	if err := n.Model.Until(t.Context(), func() bool { return n.Model.LogTime(0) > 0 }); err != nil {
		t.Fatal(err)
	}
	stop()
	n, err := Open(t.Context(), Config{Data: quick.Data, Listen: "127.0.0.1:0"}) // it does not run: nobody acts
	if err != nil {
		t.Fatal(err)
	}
	op := domain.UUID{1}
	step := domain.OperationAdvanced{ID: op, Step: 1, Old: ids[:4], New: make([]domain.InvocationID, 4)}
	for i := range 3 {
		a, err := n.Door.Identify()
		if err != nil {
			t.Fatal(err)
		}
		step.New[i] = a.ID
		if i > 0 {
			continue
		}
		row, err := n.Door.Find(t.Context(), ids[i])
		if err != nil {
			t.Fatal(err)
		}
		req, err := n.Door.Request(t.Context(), row, false)
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Door.Redrive(t.Context(), a, req); err != nil {
			t.Fatal(err)
		}
	}
	step.New[3] = domain.NewInvocationID(domain.InstantOf(time.Now().Add(-time.Hour)), 0, [8]byte{1})
	for _, e := range []domain.Event{
		domain.OperationRequested{ID: op, Kind: domain.Redrive, Project: domain.NativeProject, Rate: 100, Select: domain.OperationSelection{IDs: ids, AnyCondition: true}},
		domain.OperationPlanned{ID: op, Total: 6},
		step,
	} {
		if err := n.Door.Operate(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Close(); err != nil { // as if it died
		t.Fatal(err)
	}
	n = running(t, quick)
	got := ended(t, n, op)
	if got.Done != 6 || got.Failed != 0 || got.Step != 3 || len(got.Again) != 0 {
		t.Errorf("%+v", got)
	}
	as := map[domain.InvocationID]domain.InvocationID{}
	for _, row := range n.Model.List(invocations.Filter{Function: f}) {
		if old := row.State.Redrives; !old.IsZero() && row.Refused == "" {
			if !as[old].IsZero() {
				t.Errorf("%s was redriven twice", old)
			}
			as[old] = row.State.ID
		}
	}
	for i, old := range ids {
		if as[old].IsZero() || i < 3 && as[old] != step.New[i] {
			t.Errorf("%s was redriven as %s", old, as[old])
		}
	}
}

// TestRenotify: what somebody could not be told is told when it is asked for, the same bytes under the same id, and not a third
// time; what a function could not be told becomes an invocation of it.
func TestRenotify(t *testing.T) {
	n := running(t, Config{})
	once := domain.Policy{Set: true, MaxAge: time.Hour, OnSuccess: "obs://told/yes"}
	f := deploy(t, n, "echo", wasmtest.Echo(), domain.DefaultLimits(), once)
	inTheWay := func(worker.Notification) (string, error) {
		return "", &worker.GiveUp{Reason: "conflict", Err: errors.New("something is in the way")}
	}
	real := n.deps.Sinks
	n.deps.Sinks = sinkFunc(inTheWay)
	ids := accept(t, n, f, 3)
	abandoned := func() bool {
		for _, id := range ids {
			if row, ok := n.Model.Get(id); !ok || !row.State.Notified.Abandoned {
				return false
			}
		}
		return true
	}
	if err := n.Model.Until(t.Context(), abandoned); err != nil {
		t.Fatal(err)
	}
	n.Redriver.Sink = real
	all := domain.OperationRequested{Kind: domain.Renotify, Rate: 100, Select: domain.OperationSelection{Function: "echo", AnyCondition: true}}
	op := ended(t, n, ask(t, n, all))
	if op.Total != 3 || op.Done != 3 {
		t.Fatalf("%+v", op)
	}
	for _, r := range op.Results {
		row, _ := n.Model.Get(r.Old)
		want, err := n.Door.Owed(t.Context(), row)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(r.Place); err != nil || !bytes.Equal(got, want) || !bytes.Contains(got, []byte(r.Old.String())) {
			t.Errorf("%v: %s", err, got)
		}
	}
	if again := ended(t, n, ask(t, n, all)); again.Total != 0 || again.Already != 3 {
		t.Errorf("a second time: %+v", again)
	}
}

// TestRenotifyFunction: what a function could not be told becomes an invocation of it, one, however often that is asked for; what
// it could never be told stays as it is, with the reason.
func TestRenotifyFunction(t *testing.T) {
	n := running(t, Config{})
	next := deploy(t, n, "next", wasmtest.Echo(), domain.DefaultLimits(), domain.Policy{Set: true, MaxAge: time.Hour})
	f := deploy(t, n, "echo", wasmtest.Echo(), domain.DefaultLimits(), domain.Policy{Set: true, MaxAge: time.Hour, OnSuccess: "function:next"})
	n.deps.Funcs = expired{n.deps.Funcs}
	ids := accept(t, n, f, 3)
	large, err := n.Door.Invoke(t.Context(), f, bytes.Repeat([]byte("x"), 4<<20), "") // and as much comes out
	if err != nil {
		t.Fatal(err)
	}
	settled(t, n, append(ids, large.ID))
	all := domain.OperationRequested{Kind: domain.Renotify, Rate: 2, Select: domain.OperationSelection{Function: "echo", AnyCondition: true}}
	a, b := ask(t, n, all), ask(t, n, all)
	done, problems := 0, ""
	for _, op := range []operations.Operation{ended(t, n, a), ended(t, n, b)} {
		done += op.Done
		for _, r := range op.Results {
			problems += r.Problem
		}
	}
	if done != 3 || !strings.Contains(problems, "the limit of an event is 6291456") {
		t.Errorf("%d done; %s", done, problems)
	}
	told := map[domain.InvocationID]bool{}
	for _, row := range n.Model.List(invocations.Filter{Function: next}) {
		if told[row.State.Redrives] {
			t.Errorf("%s was told twice", row.State.Redrives)
		}
		told[row.State.Redrives] = true
		parent, ok := n.Model.Get(row.State.Redrives)
		want, err := n.Door.Owed(t.Context(), parent)
		if !ok || err != nil {
			t.Fatal(ok, err)
		}
		if row, err = n.Door.Wait(t.Context(), row.State.ID); err != nil || row.State.Outcome != domain.Succeeded {
			t.Errorf("%v %+v", err, row.State)
		}
		if got, err := n.Door.Result(t.Context(), row); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%v: %s", err, got)
		}
	}
	if len(told) != 3 {
		t.Errorf("%d were told", len(told))
	}
	if r, err := n.Reconciler.Run(t.Context(), reconcile.Selection{Project: domain.NativeProject, Function: f}); err != nil || !r.Agrees() || r.Redelivered != 3 || r.Verified != 3 || r.Abandoned != 4 {
		t.Errorf("%v %+v", err, r)
	}
}

// expired are functions that no notification reaches before its validity ends.
type expired struct{ worker.Functions }

func (expired) Pin(domain.FunctionID, string, int) (domain.InvocationRequested, error) {
	return domain.InvocationRequested{}, &worker.GiveUp{Reason: "expired", Err: errors.New("a day has passed")}
}

// sinkFunc is a sink.
type sinkFunc func(worker.Notification) (string, error)

func (f sinkFunc) Deliver(_ context.Context, n worker.Notification) (string, error) { return f(n) }
