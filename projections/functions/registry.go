// Package functions is the registry as a projection: what is deployed now, folded from deed.functions. The checks that two
// doors could race — the expected revision, cycles through functions — are made here, in the fold, so that all readers
// decide them alike; a door answers after it has folded its own record back.
package functions

import (
	"fmt"
	"sort"
	"strings"
	"sync"

	"deed/domain"
)

// Registry is the fold. It is safe for concurrent use.
type Registry struct {
	mu         sync.RWMutex
	cluster    domain.UUID
	functions  map[domain.FunctionID]*Function // by place; replaced and never changed
	keys       map[string]Key
	statusLogs map[string]bool // projects that asked for theirs
	next       int64
	verdicts   map[domain.UUID]func(error) // doors that wait for their own record
}

// place is what a function is found by: its region is where it was made, and no part of its name.
func place(id domain.FunctionID) domain.FunctionID {
	id.Region = ""
	return id
}

// New is an empty registry.
func New() *Registry {
	return &Registry{
		functions: map[domain.FunctionID]*Function{}, keys: map[string]Key{}, statusLogs: map[string]bool{}, verdicts: map[domain.UUID]func(error){},
	}
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
	f := r.functions[place(id)]
	if f == nil || f.Deleted {
		return Function{}, domain.Reject(domain.CodeNotFound, fmt.Sprintf("there is no function %s", id.Name), "deed functions lists them; deed deploy "+id.Name+" FILE.wasm makes it")
	}
	return *f, nil
}

// State is the function as a change of it is made on: also one that was deleted or never existed.
func (r *Registry) State(id domain.FunctionID) (f Function, exists bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if f := r.functions[place(id)]; f != nil {
		return *f, !f.Deleted
	}
	return Function{ID: id, MaxInstances: domain.NoMaxInstances}, false
}

// Deployment resolves what a call names: the function and the version that runs. qualifier is a version's name, or ! and an
// alias's, or "" for what was deployed last; route chooses where an alias has two versions.
func (r *Registry) Deployment(id domain.FunctionID, qualifier string, route func(domain.Alias) string) (Function, Version, error) {
	f, err := r.Get(id)
	if err != nil {
		return f, Version{}, err
	}
	if qualifier == "" {
		return f, f.Newest(), nil
	}
	if alias, ok := strings.CutPrefix(qualifier, "!"); ok {
		a, ok := f.Alias(alias)
		if !ok {
			return f, Version{}, noAlias(id, alias)
		}
		qualifier = route(a.Alias)
	}
	v, ok := f.Version(qualifier)
	if !ok {
		return f, Version{}, NoVersion(id, qualifier)
	}
	return f, v, nil
}

// MaxInstances is how many attempts of the function may run at once; domain.NoMaxInstances if it was not limited, or is not
// known (any more).
func (r *Registry) MaxInstances(id domain.FunctionID) int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if f := r.functions[place(id)]; f != nil && !f.Deleted {
		return f.MaxInstances
	}
	return domain.NoMaxInstances
}

// Limited are the functions of which only so many attempts may run at once, or none.
func (r *Registry) Limited() (limited []domain.FunctionID) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, f := range r.functions {
		if !f.Deleted && f.MaxInstances != domain.NoMaxInstances {
			limited = append(limited, f.ID)
		}
	}
	return limited
}

// StatusLog reports whether the project asked for its status log.
func (r *Registry) StatusLog(project string) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.statusLogs[project]
}

// List is every function of the project, by package and name.
func (r *Registry) List(project string) []Function {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var out []Function
	for _, f := range r.functions {
		if !f.Deleted && f.ID.Project == project {
			out = append(out, *f)
		}
	}
	sort.Slice(out, func(i, j int) bool { return place(out[i].ID).String() < place(out[j].ID).String() })
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
