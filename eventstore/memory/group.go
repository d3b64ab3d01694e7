package memory

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"deed/eventstore"
)

// Group shares the partitions of a log among memberships, as evenly as it goes: a partition that may stay stays. Its
// methods may be called concurrently.
type Group struct {
	log *Log

	mu        sync.Mutex // guards the rest
	members   []*membership
	slots     []slot        // by partition
	change    chan struct{} // closed and replaced when there is something to do
	committed map[int]eventstore.Position
}

// slot is who has a partition and who is to have it; nil is nobody.
type slot struct {
	has, wants *membership
	busy       bool // assigned or revoked was called and has not returned
}

type membership struct{ group *Group }

var _ eventstore.Membership = (*membership)(nil)

// NewGroup is a group without members and without positions.
func NewGroup(log *Log) *Group {
	return &Group{log: log, change: make(chan struct{}), committed: map[int]eventstore.Position{}}
}

// Membership is a place in the group that is taken while Run runs.
func (g *Group) Membership() eventstore.Membership { return &membership{g} }

// Run implements eventstore.Membership. It never fails but when it runs already.
func (m *membership) Run(ctx context.Context, assigned, revoked func(int)) error {
	g := m.group
	g.mu.Lock()
	if slices.Contains(g.members, m) {
		g.mu.Unlock()
		return fmt.Errorf("join the group: this membership runs already")
	}
	g.members = append(g.members, m)
	g.balance()
	g.mu.Unlock()
	for joined := true; ; {
		count, grown := g.log.count()
		g.mu.Lock()
		if joined && ctx.Err() != nil {
			joined = false
			g.members = slices.DeleteFunc(g.members, func(o *membership) bool { return o == m })
			g.balance()
		}
		if count > len(g.slots) {
			g.slots = append(g.slots, make([]slot, count-len(g.slots))...)
			g.balance()
		}
		left := !m.step(assigned, revoked) && !joined
		change := g.change
		g.mu.Unlock()
		if left {
			return nil
		}
		over := ctx.Done()
		if !joined {
			over = nil
		}
		select {
		case <-change:
		case <-grown:
		case <-over:
		}
	}
}

// step begins what is to be done for this member, and reports whether it has any partition. The group is locked.
func (m *membership) step(assigned, revoked func(int)) (has bool) {
	g := m.group
	for p := range g.slots {
		s := &g.slots[p]
		switch {
		case s.has == m && s.wants != m && !s.busy:
			s.busy = true
			go func() {
				revoked(p)
				g.settle(p, nil)
			}()
		case s.has == nil && s.wants == m:
			s.has, s.busy = m, true
			go func() {
				assigned(p)
				g.settle(p, m)
			}()
		}
		has = has || s.has == m
	}
	return has
}

// settle is called when assigned or revoked has returned.
func (g *Group) settle(p int, has *membership) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.slots[p].has, g.slots[p].busy = has, false
	g.wake()
}

func (g *Group) wake() {
	close(g.change)
	g.change = make(chan struct{})
}

// balance decides anew who is to have what. The group is locked.
func (g *Group) balance() {
	defer g.wake()
	have := map[*membership]int{}
	for p := range g.slots {
		if w := g.slots[p].wants; !slices.Contains(g.members, w) {
			g.slots[p].wants = nil
		} else {
			have[w]++
		}
	}
	if len(g.members) == 0 {
		return
	}
	least := func() *membership {
		return slices.MinFunc(g.members, func(a, b *membership) int { return have[a] - have[b] })
	}
	for p := range g.slots {
		s := &g.slots[p]
		if to := least(); s.wants == nil || have[s.wants] > have[to]+1 {
			if s.wants != nil {
				have[s.wants]--
			}
			s.wants = to
			have[to]++
		}
	}
}

// Committed implements eventstore.Membership.
func (m *membership) Committed(ctx context.Context, p int) (eventstore.Position, error) {
	if err := m.check(ctx, p); err != nil {
		return eventstore.Position{}, fmt.Errorf("committed: %w", err)
	}
	m.group.mu.Lock()
	defer m.group.mu.Unlock()
	if at, ok := m.group.committed[p]; ok {
		return at, nil
	}
	return eventstore.Position{Offset: -1}, nil
}

// Commit implements eventstore.Membership.
func (m *membership) Commit(ctx context.Context, p int, at eventstore.Position) error {
	err := m.check(ctx, p)
	if err == nil && at.Offset < 0 {
		err = fmt.Errorf("an offset of %d", at.Offset)
	}
	if err == nil {
		m.group.mu.Lock()
		defer m.group.mu.Unlock()
		if m.holds(p) {
			m.group.committed[p] = at
			return nil
		}
		err = fmt.Errorf("partition %d: %w", p, eventstore.ErrNotMember)
	}
	return fmt.Errorf("commit: %w", err)
}

// Holds implements eventstore.Membership.
func (m *membership) Holds(ctx context.Context, p int) (bool, error) {
	if err := m.check(ctx, p); err != nil {
		return false, fmt.Errorf("holds: %w", err)
	}
	m.group.mu.Lock()
	defer m.group.mu.Unlock()
	return m.holds(p), nil
}

func (m *membership) holds(p int) bool {
	return p < len(m.group.slots) && m.group.slots[p].has == m
}

func (m *membership) check(ctx context.Context, p int) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	_, err := m.group.log.partition(p)
	return err
}
