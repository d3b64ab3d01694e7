// Package functions is the registry as a projection: what is deployed now, folded from deed.functions. The checks that two
// doors could race — the expected revision, cycles through functions — are made here, in the fold, so that all readers
// decide them alike; a door answers after it has folded its own record back.
package functions

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"

	"deed/domain"
)

// Version is one deployed version of a function.
type Version struct {
	Version    string
	Code       domain.Digest
	Size       int64
	Limits     domain.Limits
	Env        []domain.EnvVar
	DeployedAt domain.Instant
}

// Function is what the registry knows of a function.
type Function struct {
	ID       domain.FunctionID
	Revision int // counts its effective changes; a deleted function keeps counting
	Deleted  bool
	Deploys  int // versions ever deployed; the newest one's number
	Versions []Version
	Policy   domain.Policy
}

// Latest is the newest version.
func (f Function) Latest() Version { return f.Versions[len(f.Versions)-1] }

// Registry is the fold. It is safe for concurrent use.
type Registry struct {
	mu        sync.RWMutex
	cluster   domain.UUID
	functions map[domain.FunctionID]*Function
	next      int64
	verdicts  map[domain.UUID]func(error) // doors that wait for their own record
}

// New is an empty registry.
func New() *Registry {
	return &Registry{functions: map[domain.FunctionID]*Function{}, verdicts: map[domain.UUID]func(error){}}
}

// Cluster is the cluster's id; zero before the registry's first effective record.
func (r *Registry) Cluster() domain.UUID {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.cluster
}

// Used reports whether a function was ever deployed, also if it was deleted since.
func (r *Registry) Used() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.functions) > 0
}

// Next is the offset after the last record that was folded.
func (r *Registry) Next() int64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.next
}

// Get is the function as it stands; the error is a *domain.Rejection for a person.
func (r *Registry) Get(id domain.FunctionID) (Function, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	f := r.functions[id]
	if f == nil || f.Deleted {
		return Function{}, domain.Reject(domain.CodeNotFound, fmt.Sprintf("there is no function %s", id.Name), "deed functions lists them; deed deploy "+id.Name+" FILE.wasm makes it")
	}
	return *f, nil
}

// Revision is the function's revision, 0 if it never existed.
func (r *Registry) Revision(id domain.FunctionID) int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if f := r.functions[id]; f != nil {
		return f.Revision
	}
	return 0
}

// NextVersion is the name that the function's next version gets.
func (r *Registry) NextVersion(id domain.FunctionID) string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if f := r.functions[id]; f != nil {
		return fmt.Sprint(f.Deploys + 1)
	}
	return "1"
}

// List is every function, by name.
func (r *Registry) List() []Function {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var out []Function
	for _, f := range r.functions {
		if !f.Deleted {
			out = append(out, *f)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].ID.String() < out[j].ID.String() })
	return out
}

// Expect calls verdict once, when the record with that id is folded: nil if it took effect, else why not.
func (r *Registry) Expect(record domain.UUID, verdict func(error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.verdicts[record] = verdict
}

// Forget undoes Expect.
func (r *Registry) Forget(record domain.UUID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.verdicts, record)
}

// Apply folds one record and returns why it is void; nil if it took effect. It is total.
func (r *Registry) Apply(offset int64, rec domain.Record) error {
	r.mu.Lock()
	err := r.apply(rec)
	r.next = offset + 1
	verdict := r.verdicts[rec.ID]
	delete(r.verdicts, rec.ID)
	r.mu.Unlock()
	if verdict != nil {
		verdict(err)
	}
	return err
}

func (r *Registry) apply(rec domain.Record) error {
	switch e := rec.Event.(type) {
	case domain.ClusterFormed:
		if !r.cluster.IsZero() {
			return domain.Reject(domain.CodeConflict, "the cluster has a name already", "")
		}
		r.cluster = e.Cluster
		return nil
	case domain.FunctionDeployed:
		f, err := r.at(e.Function, e.Expected)
		if err != nil {
			return err
		}
		if f.Deleted {
			f.Deleted, f.Versions = false, nil
		}
		f.Deploys++
		f.Versions = append(slices.Clip(f.Versions), Version{e.Version, e.Code, e.Size, e.Limits, e.Env, rec.At})
		f.Revision++
		r.functions[e.Function] = f
		return nil
	case domain.FunctionDeleted:
		f, err := r.at(e.Function, e.Expected)
		if err != nil {
			return err
		}
		if f.Deleted || len(f.Versions) == 0 {
			return domain.Reject(domain.CodeNotFound, fmt.Sprintf("there is no function %s", e.Function.Name), "")
		}
		f.Revision++
		f.Deleted, f.Policy = true, domain.Policy{}
		return nil
	case domain.PolicyChanged:
		f, err := r.at(e.Function, e.Expected)
		if err != nil {
			return err
		}
		if f.Deleted || len(f.Versions) == 0 {
			return domain.Reject(domain.CodeNotFound, fmt.Sprintf("there is no function %s", e.Function.Name), "")
		}
		if err := r.refuseCycle(e.Function, e.Policy); err != nil {
			return err
		}
		f.Policy = e.Policy
		f.Revision++
		return nil
	default:
		if rec.Problem != "" {
			return fmt.Errorf("undecodable: %s", rec.Problem)
		}
		return fmt.Errorf("%s is not an event of the registry", rec.Type)
	}
}

func (r *Registry) at(id domain.FunctionID, expected int) (*Function, error) {
	f := r.functions[id]
	if f == nil {
		f = &Function{ID: id}
	}
	if f.Revision != expected {
		return nil, domain.Reject(domain.CodeConflict, fmt.Sprintf("function %s was changed by somebody else meanwhile (revision %d, not %d)", id.Name, f.Revision, expected), "look at it again, then repeat the change")
	}
	return f, nil
}

// cycle is the path from the function back to itself that the policy would close; nil if it closes none.
func (r *Registry) cycle(id domain.FunctionID, p domain.Policy) []string {
	seen := map[domain.FunctionID]bool{}
	var walk func(at domain.FunctionID, p domain.Policy, path []string) []string
	walk = func(at domain.FunctionID, p domain.Policy, path []string) []string {
		for _, t := range []domain.Target{p.OnSuccess, p.OnFailure} {
			name, ok := t.Function()
			if !ok {
				continue
			}
			to := at
			to.Name = name
			if to == id {
				return append(path, name)
			}
			if next := r.functions[to]; next != nil && !seen[to] {
				seen[to] = true
				if found := walk(to, next.Policy, append(slices.Clip(path), name)); found != nil {
					return found
				}
			}
		}
		return nil
	}
	return walk(id, p, []string{id.Name})
}

// CheckCycle refuses a policy that would close a cycle of functions as things stand; nil if it closes none.
func (r *Registry) CheckCycle(id domain.FunctionID, p domain.Policy) error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.refuseCycle(id, p)
}

func (r *Registry) refuseCycle(id domain.FunctionID, p domain.Policy) error {
	cycle := r.cycle(id, p)
	if cycle == nil {
		return nil
	}
	return domain.Reject(domain.CodeConflict, "the policy closes a cycle of functions: "+strings.Join(cycle, " → "),
		"each outcome would cause the next invocation, for ever; send one of them to an object store instead")
}
