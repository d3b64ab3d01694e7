package functions

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"deed/domain"
)

// log writes records to a registry, one behind the other.
type log struct {
	t *testing.T
	*Registry
	offset int64
}

func begin(t *testing.T) *log { return &log{t: t, Registry: New()} }

func (l *log) write(e domain.Event) error {
	l.t.Helper()
	r := domain.Record{ID: domain.UUID{byte(l.offset), 1}, Type: e.Type(), At: domain.Instant(l.offset + 1), Event: e}
	err := l.Apply(l.offset, r)
	l.offset++
	if l.Next() != l.offset {
		l.t.Fatalf("next is %d, not %d", l.Next(), l.offset)
	}
	return err
}

func (l *log) must(e domain.Event) {
	l.t.Helper()
	if err := l.write(e); err != nil {
		l.t.Fatalf("%s: %v", e.Type(), err)
	}
}

func (l *log) revision(id domain.FunctionID) int {
	f, _ := l.State(id)
	return f.Revision
}

func (l *log) nextNumber(id domain.FunctionID) string {
	f, _ := l.State(id)
	return f.NextNumber()
}

// deploy, policy and remove make the event on the revision that stands.
func (l *log) deploy(name string) domain.Event {
	id := domain.NativeFunction(name)
	return domain.FunctionDeployed{Function: id, Expected: l.revision(id), Version: l.nextNumber(id), Limits: domain.DefaultLimits()}
}

func (l *log) policy(name string, success, failure domain.Target) domain.Event {
	id := domain.NativeFunction(name)
	return domain.PolicyChanged{Function: id, Expected: l.revision(id), Policy: domain.Policy{Set: true, MaxAge: time.Hour, OnSuccess: success, OnFailure: failure}}
}

func (l *log) remove(name string) domain.Event {
	id := domain.NativeFunction(name)
	return domain.FunctionDeleted{Function: id, Expected: l.revision(id)}
}

// refused is the code of the *Rejection that err must be; its words must contain those given.
func refused(t *testing.T, err error, code domain.Code, words string) {
	t.Helper()
	var r *domain.Rejection
	if !errors.As(err, &r) || r.Code != code || !strings.Contains(r.Words, words) {
		t.Fatalf("%v; expected %s with %q", err, code, words)
	}
}

// TestCycles: edges are "from success to" or "from failure to"; the last one is refused with the path that it would close,
// or is not.
func TestCycles(t *testing.T) {
	tests := []struct {
		name  string
		edges []string
		path  string // "" if there is no cycle
	}{
		{"none", []string{"a success b"}, ""},
		{"itself", []string{"a success a"}, "a → a"},
		{"itself on failure", []string{"a failure a"}, "a → a"},
		{"two", []string{"a success b", "b success a"}, "b → a → b"},
		{"two, via on_failure", []string{"a failure b", "b failure a"}, "b → a → b"},
		{"two, via either", []string{"a success b", "b failure a"}, "b → a → b"},
		{"long", []string{"a success b", "b success c", "c failure d", "d success e", "e success a"}, "e → a → b → c → d → e"},
		{"closed in the middle", []string{"a success b", "c success d", "d success a", "b success c"}, "b → c → d → a → b"},
		{"a line", []string{"a success b", "b success c", "c success d", "d success e"}, ""},
		{"a diamond", []string{"b success d", "c success d", "a success b failure c"}, ""},
		{"a diamond, from the top", []string{"a success b failure c", "b success d", "c success d"}, ""},
		{"a diamond that is closed", []string{"a success b failure c", "b success d", "c success d", "d failure a"}, "d → a → b → d"},
		{"both to one", []string{"a success b failure b"}, ""},
		{"a cycle behind a dead end", []string{"b success d", "c success a", "a success b failure c"}, "a → c → a"},
		{"a function that is not there", []string{"a success nobody", "b success a"}, ""},
		{"an edge that was replaced", []string{"a success b", "a success c", "b success a"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := begin(t)
			for _, name := range []string{"a", "b", "c", "d", "e"} {
				l.must(l.deploy(name))
			}
			for n, edge := range tt.edges {
				w := strings.Fields(edge)
				to := map[string]domain.Target{}
				for i := 1; i < len(w); i += 2 {
					to[w[i]] = domain.Target("function:" + w[i+1])
				}
				p := l.policy(w[0], to["success"], to["failure"]).(domain.PolicyChanged)
				if n < len(tt.edges)-1 || tt.path == "" {
					if err := l.CheckCycle(p.Function, p.Policy); err != nil {
						t.Fatal(err)
					}
					l.must(p)
					continue
				}
				before := l.revision(p.Function)
				refused(t, l.CheckCycle(p.Function, p.Policy), domain.CodeConflict, ": "+tt.path)
				refused(t, l.write(p), domain.CodeConflict, ": "+tt.path)
				if f, _ := l.Get(p.Function); f.Revision != before || f.Policy() == p.Policy {
					t.Fatalf("what was refused has changed something: %+v", f)
				}
			}
		})
	}
}

// TestTwoDoors: two doors each set one half of a cycle, each on what it saw. The log decides.
func TestTwoDoors(t *testing.T) {
	l := begin(t)
	l.must(l.deploy("a"))
	l.must(l.deploy("b"))
	one, other := l.policy("a", "function:b", ""), l.policy("b", "function:a", "")
	l.must(one)
	refused(t, l.write(other), domain.CodeConflict, "b → a → b")
}

func TestExpectedRevision(t *testing.T) {
	l := begin(t)
	id := domain.NativeFunction("a")
	deploy := l.deploy("a")
	l.must(deploy)
	refused(t, l.write(deploy), domain.CodeConflict, "revision 1, not 0")
	mine, theirs := l.policy("a", "obs://told/mine", ""), l.policy("a", "obs://told/theirs", "")
	l.must(theirs)
	refused(t, l.write(mine), domain.CodeConflict, "revision 2, not 1")
	if f, err := l.Get(id); err != nil || f.Revision != 2 || f.Policy().OnSuccess != "obs://told/theirs" {
		t.Fatalf("%+v, %v", f, err)
	}
	refused(t, l.write(domain.FunctionDeleted{Function: id, Expected: 1}), domain.CodeConflict, "revision 2, not 1")
	refused(t, l.write(domain.FunctionDeployed{Function: id, Expected: 3}), domain.CodeConflict, "revision 2, not 3")
	l.must(l.deploy("a"))
	if f, _ := l.Get(id); f.Revision != 3 || len(f.Versions) != 2 || f.Newest().Version != "2" || f.Policy().OnSuccess != "obs://told/theirs" {
		t.Fatalf("a second version loses something: %+v", f)
	}
}

// TestDeleteAndRedeploy: a deleted function is gone with its policy, and what comes back under its name counts on: neither
// a revision nor a version's number is ever used twice.
func TestDeleteAndRedeploy(t *testing.T) {
	l := begin(t)
	id := domain.NativeFunction("a")
	_, err := l.Get(id)
	refused(t, err, domain.CodeNotFound, "there is no function a")
	refused(t, l.write(l.policy("a", "", "")), domain.CodeNotFound, "there is no function a")

	l.must(l.deploy("a"))
	l.must(l.deploy("b"))
	l.must(l.deploy("a"))
	kept, _ := l.Get(id)
	l.must(l.policy("a", "function:b", ""))
	stale := l.deploy("a")
	l.must(l.remove("a"))
	_, err = l.Get(id)
	refused(t, err, domain.CodeNotFound, "there is no function a")
	if list := l.List(domain.NativeProject); len(list) != 1 || list[0].ID.Name != "b" {
		t.Fatalf("listed: %+v", list)
	}
	refused(t, l.write(l.policy("a", "", "")), domain.CodeNotFound, "there is no function a")
	refused(t, l.write(stale), domain.CodeConflict, "revision 4, not 3")
	l.must(l.policy("b", "function:a", "")) // a's policy is gone: no cycle

	l.must(l.deploy("a"))
	f, err := l.Get(id)
	if err != nil || f.Revision != 5 || len(f.Versions) != 1 || f.Newest().Version != "3" || f.Policy().Set || l.nextNumber(id) != "4" {
		t.Fatalf("%+v, %v", f, err)
	}
	refused(t, l.write(l.policy("a", "function:b", "")), domain.CodeConflict, "a → b → a")
	if len(kept.Versions) != 2 || kept.Newest().Version != "2" {
		t.Fatalf("what was handed out has changed: %+v", kept)
	}
}

func TestClusterFormed(t *testing.T) {
	l := begin(t)
	if !l.Cluster().IsZero() {
		t.Fatal("named before it was formed")
	}
	l.must(domain.ClusterFormed{Cluster: domain.UUID{1}})
	refused(t, l.write(domain.ClusterFormed{Cluster: domain.UUID{2}}), domain.CodeConflict, "has a name already")
	if l.Cluster() != (domain.UUID{1}) {
		t.Fatal("the second one counts")
	}
}

// TestStrangeRecords: what is not the registry's is void, and reading goes on.
func TestStrangeRecords(t *testing.T) {
	l := begin(t)
	if err := l.write(domain.AttemptStarted{}); err == nil || !strings.Contains(err.Error(), "AttemptStarted is not an event of the registry") {
		t.Fatal(err)
	}
	if err := l.Apply(1, domain.Record{Problem: "not JSON"}); err == nil || !strings.Contains(err.Error(), "undecodable: not JSON") {
		t.Fatal(err)
	}
	if l.Next() != 2 {
		t.Fatalf("next: %d", l.Next())
	}
}

// TestExpect: a door hears once of its own record, and not at all if it no longer listens.
func TestExpect(t *testing.T) {
	l := begin(t)
	var heard []error
	hear := func(err error) { heard = append(heard, err); _ = l.Next() } // may look at the registry
	e := l.deploy("a")
	r := domain.Record{ID: domain.UUID{7}, Type: e.Type(), Event: e}
	l.Expect(r.ID, hear)
	l.Expect(domain.UUID{8}, hear)
	l.Forget(domain.UUID{8})
	_ = l.Apply(0, r)
	_ = l.Apply(1, r)
	_ = l.Apply(2, domain.Record{ID: domain.UUID{8}, Type: e.Type(), Event: e})
	if len(heard) != 1 || heard[0] != nil {
		t.Fatalf("heard %v", heard)
	}
	l.Expect(domain.UUID{9}, hear)
	_ = l.Apply(3, domain.Record{ID: domain.UUID{9}, Type: e.Type(), Event: e})
	if len(heard) != 2 {
		t.Fatalf("heard %v", heard)
	}
	refused(t, heard[1], domain.CodeConflict, "revision 1, not 0")
}

// TestHammer reads while somebody writes; the race detector judges.
func TestHammer(t *testing.T) {
	l := begin(t)
	l.must(l.deploy("a"))
	l.must(l.deploy("b"))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				for _, f := range l.List(domain.NativeProject) {
					_ = f.Newest().Version
				}
				_, _ = l.Get(domain.NativeFunction("a"))
				_ = l.CheckCycle(domain.NativeFunction("a"), domain.Policy{OnSuccess: "function:b"})
			}
		})
	}
	for range 100 {
		l.must(l.deploy("a"))
		l.must(l.policy("b", "function:c", ""))
	}
	wg.Wait()
}
