package node

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"deed/cmd/internal/door"
	"deed/domain"
	"deed/projections/invocations"
	"deed/runtime/wasm/wasmtest"
)

// build compiles an example for WASI.
func build(t testing.TB, name string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), name+".wasm")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", out, "deed/examples/"+name)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, b)
	}
	b, err := os.ReadFile(out) //nolint:gosec // just built
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// running is a node that runs until the test ends.
func running(t testing.TB, c Config) *Node {
	t.Helper()
	n, _ := runningUntil(t, c)
	return n
}

// runningUntil is a node that runs until it is told to stop, or the test ends.
func runningUntil(t testing.TB, c Config) (*Node, func()) {
	t.Helper()
	if c.Data == "" {
		c.Data = t.TempDir()
	}
	c.Listen = "127.0.0.1:0"
	n, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- n.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return n, stop
}

func deploy(t testing.TB, n *Node, name string, module []byte, limits domain.Limits, p domain.Policy) domain.FunctionID {
	t.Helper()
	f := domain.NativeFunction(name)
	if _, err := n.Door.Deploy(t.Context(), f, door.Code{Module: module}, limits, nil); err != nil {
		t.Fatal(err)
	}
	if p.Set {
		if _, err := n.Door.SetPolicy(t.Context(), f, p); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func TestOutcomes(t *testing.T) {
	n := running(t, Config{})
	short := domain.DefaultLimits()
	short.Timeout = 500 * time.Millisecond
	policy := domain.Policy{Set: true, MaxRetries: 1, MaxAge: time.Minute, OnSuccess: "obs://results/ok", OnFailure: "obs://results/bad"}
	cases := []struct {
		name      string
		module    []byte
		limits    domain.Limits
		policy    domain.Policy
		outcome   domain.Outcome
		kind      domain.FailureKind
		condition domain.Condition
		attempts  int
		result    string
	}{
		{"echo", wasmtest.Echo(), domain.DefaultLimits(), policy, domain.Succeeded, "", "", 1, `{"a":1}`},
		{"flaky", build(t, "flaky"), domain.DefaultLimits(), policy, domain.Succeeded, "", "", 2, `{"a":1}`},
		{"broken", wasmtest.Exit(1), domain.DefaultLimits(), policy, domain.Failed, domain.FailedExit, domain.UnhandledInvocationError, 2, ""},
		{"spin", wasmtest.Spin(), short, domain.Policy{}, domain.Failed, domain.FailedTimeout, domain.InvocationTimeout, 1, ""},
		{"greedy", wasmtest.Grow(), domain.DefaultLimits(), domain.Policy{}, domain.Failed, domain.FailedMemory, domain.UnhandledInvocationError, 1, ""},
		{"handled", wasmtest.Print(`{"errorMessage":"no luck"}`, 1), domain.DefaultLimits(), domain.Policy{}, domain.Failed, domain.FailedHandled, domain.HandledInvocationError, 1, ""},
	}
	var all sync.WaitGroup
	for _, c := range cases {
		f := deploy(t, n, c.name, c.module, c.limits, c.policy)
		for range 5 {
			all.Go(func() {
				a, err := n.Door.Invoke(t.Context(), f, []byte(`{"a":1}`), "")
				if err != nil {
					t.Error(c.name, err)
					return
				}
				row, err := n.Door.Wait(t.Context(), a.ID)
				s := row.State
				if err != nil || s.Outcome != c.outcome || s.Kind != c.kind || s.Cond != c.condition || s.Done != c.attempts {
					t.Errorf("%s: %v %+v", c.name, err, s)
				}
				if c.result != "" {
					if got, err := n.Door.Result(t.Context(), row); err != nil || string(got) != c.result {
						t.Errorf("%s: result %q %v", c.name, got, err)
					}
				}
				if err := n.Model.Until(t.Context(), func() bool { row, _ := n.Model.Get(a.ID); return row.State.Settled() }); err != nil {
					t.Error(err)
				}
			})
		}
	}
	all.Wait()
	objects, _ := filepath.Glob(filepath.Join(n.config.Data, "objects/results/*/default/default/*/*/*/*/*.json"))
	if len(objects) != 15 {
		t.Errorf("%d objects, want 15", len(objects))
	}
	if len(objects) > 0 {
		b, _ := os.ReadFile(objects[0])
		t.Logf("%s\n%s", objects[0], b)
	}
}

func TestChain(t *testing.T) {
	n := running(t, Config{})
	for _, c := range []struct {
		example string
		module  []byte
		end     func(domain.Invocation) bool
	}{
		{"quiet", wasmtest.Command(1), func(i domain.Invocation) bool { return i.Cond == domain.CyclicInvocation && i.Hops == domain.MaxHops }},
		{"echo", wasmtest.Echo(), func(i domain.Invocation) bool { return i.Notified.Abandoned && i.Hops < domain.MaxHops }},
	} {
		for i := 17; i >= 0; i-- {
			f := domain.NativeFunction(fmt.Sprintf("%s%d", c.example, i))
			if _, err := n.Door.Deploy(t.Context(), f, door.Code{Module: c.module}, domain.DefaultLimits(), nil); err != nil {
				t.Fatal(err)
			}
			if i < 17 {
				p := domain.Policy{Set: true, MaxRetries: 0, MaxAge: time.Hour, OnSuccess: domain.Target(fmt.Sprintf("function:%s%d", c.example, i+1))}
				p.OnFailure = p.OnSuccess
				if _, err := n.Door.SetPolicy(t.Context(), f, p); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := n.Door.Invoke(t.Context(), domain.NativeFunction(c.example+"0"), bytes.Repeat([]byte("plain text, "), 90)[:1024], ""); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		err := n.Model.Until(ctx, func() bool {
			rows := n.Model.List(invocationsFilter)
			return len(rows) > 0 && c.end(rows[0].State) && n.Model.Unsettled() == 0
		})
		rows := n.Model.List(invocationsFilter)
		t.Logf("%s: the last of %d: hops %d, outcome %s %s %s", c.example, len(rows), rows[0].State.Hops, rows[0].State.Outcome, rows[0].State.Cond, rows[0].State.Reason)
		if err != nil {
			for _, r := range rows {
				t.Logf("%+v", r.State)
			}
			t.Fatal(err)
		}
	}
}

var invocationsFilter = invocations.Filter{}
