package node

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"deed/cmd/internal/reconcile"
	"deed/domain"
	"deed/eventstore"
	"deed/projections/invocations"
	"deed/runtime/sink/object"
	"deed/runtime/wasm/wasmtest"
)

// settled waits until nothing of the invocations is to be done any more.
func settled(t *testing.T, n *Node, ids []domain.InvocationID) {
	t.Helper()
	if err := n.Model.Until(t.Context(), func() bool {
		for _, id := range ids {
			if row, ok := n.Model.Get(id); !ok || !row.State.Settled() {
				return false
			}
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
}

// TestReconcile: accounts that agree are found to agree, and each way in which they do not is found and named: an object that
// is gone, changed, or nobody's; a message that is gone, or nobody's. What is told twice, the same, is counted.
func TestReconcile(t *testing.T) {
	n := running(t, Config{})
	within := domain.Policy{Set: true, MaxAge: time.Hour}
	to := func(target domain.Target) domain.Policy {
		p := within
		p.OnSuccess, p.OnFailure = target, target
		return p
	}
	next := deploy(t, n, "next", wasmtest.Echo(), domain.DefaultLimits(), within)
	objects := deploy(t, n, "objects", wasmtest.Echo(), domain.DefaultLimits(), to("obs://told/some"))
	messages := deploy(t, n, "messages", wasmtest.Echo(), domain.DefaultLimits(), to("dis:orders"))
	calls := deploy(t, n, "calls", wasmtest.Echo(), domain.DefaultLimits(), to("function:next"))
	deploy(t, n, "silent", wasmtest.Echo(), domain.DefaultLimits(), domain.Policy{})
	inObjects, inMessages := accept(t, n, objects, 5), accept(t, n, messages, 5)
	settled(t, n, slices.Concat(inObjects, inMessages, accept(t, n, calls, 5)))
	var children []domain.InvocationID
	for _, row := range n.Model.List(invocations.Filter{Function: next}) {
		children = append(children, row.State.ID)
	}
	settled(t, n, children)

	project := reconcile.Selection{Project: domain.NativeProject}
	r, err := n.Reconciler.Run(t.Context(), project)
	if err != nil || !r.Agrees() || r.Ended != 20 || r.Untold != 5 || r.Owed != 15 || r.Delivered != 15 || r.Verified != 15 || r.Doubled != 0 {
		t.Fatalf("%v %+v", err, r)
	}
	var names []string
	for _, f := range r.Uncovered {
		names = append(names, f.Name)
	}
	if !slices.Equal(names, []string{"next", "silent"}) {
		t.Errorf("failures of %q are told to nobody", names)
	}

	dir := filepath.Join(n.config.Data, "objects", "told")
	path := func(i int) string {
		row, _ := n.Model.Get(inObjects[i])
		return filepath.Join(dir, filepath.FromSlash(object.Key("some", row.State)))
	}
	whole, err := os.ReadFile(path(0))
	if err != nil {
		t.Fatal(err)
	}
	nobody := domain.NewInvocationID(inObjects[0].T0(), 0, [8]byte{0xaa})
	for where, what := range map[string][]byte{
		path(0): nil, path(1): bytes.Replace(whole, []byte("request"), []byte("REQUEST"), 1),
		strings.Replace(path(2), "success", "failure", 1):                     whole,
		filepath.Join(filepath.Dir(path(0)), nobody.String()+"-success.json"): whole,
		filepath.Join(filepath.Dir(path(0)), "readme.txt"):                    whole, // somebody else's
	} {
		if what == nil {
			err = os.Remove(where)
		} else {
			err = os.WriteFile(where, what, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	log, err := n.cluster.Log("orders")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	put := func(id domain.InvocationID, change func(*eventstore.Message)) {
		t.Helper()
		row, _ := n.Model.Get(id)
		record, err := n.Door.Owed(t.Context(), row)
		if err != nil {
			t.Fatal(err)
		}
		m, err := eventstore.Notification(n.Registry.Cluster().String(), row.State.Notified.ID, row.State, "dis:orders", record)
		if err != nil {
			t.Fatal(err)
		}
		change(&m)
		done := make(chan error)
		log.Append(0, []eventstore.Message{m}, func(_ int64, err error) { done <- err })
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	put(inMessages[0], func(*eventstore.Message) {})                                                               // told twice
	put(inMessages[1], func(m *eventstore.Message) { m.Value = []byte(`{"another":"thing"}`) })                    // and something else
	put(inObjects[4], func(m *eventstore.Message) {})                                                              // told where it is not owed
	put(inMessages[2], func(m *eventstore.Message) { m.Headers = m.Headers[:2]; m.Value = []byte("no business") }) // somebody else's

	if r, err = n.Reconciler.Run(t.Context(), project); err != nil || r.Doubled != 2 || r.Verified != 12 {
		t.Errorf("%v: %d doubled, %d verified", err, r.Doubled, r.Verified)
	}
	got := map[string]int{}
	for _, f := range r.Findings {
		kind, _, _ := strings.Cut(string(f.Target), ":")
		got[fmt.Sprint(f.What, " ", kind)]++
		if f.Words == "" || f.Where == "" {
			t.Errorf("%+v says too little", f)
		}
	}
	want := map[string]int{"missing obs": 1, "different obs": 1, "extra obs": 2, "different dis": 1, "extra dis": 1}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("found %v, not %v\n%+v", got, want, r.Findings)
	}
	if r, err = n.Reconciler.Run(t.Context(), reconcile.Selection{Project: domain.NativeProject, Function: calls}); err != nil || !r.Agrees() || r.Owed != 5 || r.Verified != 5 {
		t.Errorf("one function: %v %+v", err, r)
	}
	if r, err = n.Reconciler.Run(t.Context(), reconcile.Selection{Project: domain.NativeProject, Since: domain.InstantOf(n.now().Add(time.Hour))}); err != nil || !r.Agrees() || r.Ended != 0 {
		t.Errorf("later: %v %+v", err, r)
	}
}
