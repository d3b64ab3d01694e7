// Package mc is a small explicit-state model checker: breadth-first search over every interleaving of a model,
// invariants on every state and every step, shortest counterexamples, and one liveness check
// ("from every reachable state, without any further fault, a good state can still be reached").
package mc

import (
	"fmt"
	"hash/maphash"
	"slices"
	"time"
)

// Step is one transition out of a state.
type Step[S any] struct {
	Label string
	Fault bool  // crash, rebalance, duplicate, drop, ...: never needed for progress
	To    S     // the state after the step
	Err   error // a property broken by the step itself
}

// Model is what is checked.
type Model[S any] interface {
	Init() S
	Key(S) []byte      // canonical encoding: equal states, equal bytes
	Steps(S) []Step[S] // every possible next step
	Check(S) error     // invariants of a state
	Good(S) bool       // the goal of the liveness check
}

// Result says what a run found.
type Result struct {
	States, Steps, Depth int
	Complete             bool // the whole state space was visited
	Live                 bool // the liveness check was made (only when Complete)
	Err                  error
	Trace                []string
	Took                 time.Duration
}

type hash [2]uint64

// Run explores m breadth first. It stops at the first broken property, at maxStates, or at the deadline.
func Run[S any](m Model[S], maxStates int, limit time.Duration) (r Result) {
	t0 := time.Now()
	defer func() { r.Took = time.Since(t0).Round(time.Millisecond) }()
	s1, s2 := maphash.MakeSeed(), maphash.MakeSeed()
	key := func(s S) hash { b := m.Key(s); return hash{maphash.Bytes(s1, b), maphash.Bytes(s2, b)} }

	seen := map[hash]uint32{}
	var parent []uint32 // parent[i] is the state i was first reached from,
	var ord []uint16    // ord[i] the number of the step that led there
	var good []bool
	var from, to []uint32 // edges of non-fault steps, for the liveness check
	add := func(s S, p uint32, o int) (uint32, bool) {
		h := key(s)
		if i, ok := seen[h]; ok {
			return i, false
		}
		i := uint32(len(parent))
		seen[h] = i
		parent, ord, good = append(parent, p), append(ord, uint16(o)), append(good, m.Good(s))
		return i, true
	}
	trace := func(i uint32) (out []string, last S) {
		var path []uint16
		for ; i != 0; i = parent[i] {
			path = append(path, ord[i])
		}
		s := m.Init()
		for _, p := range slices.Backward(path) {
			st := m.Steps(s)[p]
			out, s = append(out, st.Label), st.To
		}
		return out, s
	}

	init := m.Init()
	add(init, 0, 0)
	type node struct {
		i uint32
		s S
	}
	level := []node{{0, init}}
	for len(level) > 0 {
		var next []node
		for _, n := range level {
			if len(parent) >= maxStates || time.Since(t0) > limit {
				r.States = len(parent)
				return r
			}
			for o, st := range m.Steps(n.s) {
				r.Steps++
				i, fresh := add(st.To, n.i, o)
				if !st.Fault {
					from, to = append(from, n.i), append(to, i)
				}
				err := st.Err
				if err == nil && fresh {
					err = m.Check(st.To)
				}
				if err != nil {
					r.States, r.Err = len(parent), err
					r.Trace, _ = trace(n.i)
					r.Trace = append(r.Trace, st.Label)
					return r
				}
				if fresh {
					next = append(next, node{i, st.To})
				}
			}
		}
		level = next
		r.Depth++
	}
	r.States, r.Complete, r.Live = len(parent), true, true

	// Liveness: walk the non-fault steps backwards from the good states; whatever is not met is stuck.
	n := len(parent)
	start := make([]uint32, n+1)
	for _, t := range to {
		start[t+1]++
	}
	for i := range n {
		start[i+1] += start[i]
	}
	back := make([]uint32, len(to))
	fill := append([]uint32(nil), start[:n]...)
	for k, t := range to {
		back[fill[t]] = from[k]
		fill[t]++
	}
	ok := make([]bool, n)
	var stack []uint32
	for i := range good {
		if good[i] {
			ok[i] = true
			stack = append(stack, uint32(i))
		}
	}
	for len(stack) > 0 {
		i := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for _, p := range back[start[i]:start[i+1]] {
			if !ok[p] {
				ok[p] = true
				stack = append(stack, p)
			}
		}
	}
	for i := range ok {
		if !ok[i] { // states are numbered in order of distance: this is a nearest one
			r.Err = fmt.Errorf("liveness: from here no fault-free run reaches the goal")
			r.Trace, _ = trace(uint32(i))
			return r
		}
	}
	return r
}
