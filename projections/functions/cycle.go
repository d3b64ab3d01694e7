package functions

import (
	"slices"
	"strings"

	"deed/domain"
)

// cycle is the path from the function back to itself that the policy would close; nil if it closes none. Versions are not
// told apart: an alias, or a version that is published later, may lead from any of them to any.
func (r *Registry) cycle(id domain.FunctionID, p domain.Policy) []string {
	id = place(id)
	seen := map[domain.FunctionID]bool{}
	var walk func(at domain.FunctionID, targets []domain.Target, path []string) []string
	walk = func(at domain.FunctionID, targets []domain.Target, path []string) []string {
		for _, t := range targets {
			to, _, ok := t.Function(at)
			if !ok {
				continue
			}
			if to == id {
				return append(path, to.Name)
			}
			if next := r.functions[to]; next != nil && !next.Deleted && !seen[to] {
				seen[to] = true
				if found := walk(to, next.targets(), append(slices.Clip(path), to.Name)); found != nil {
					return found
				}
			}
		}
		return nil
	}
	return walk(id, []domain.Target{p.OnSuccess, p.OnFailure}, []string{id.Name})
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
