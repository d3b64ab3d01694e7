package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"deed/eventstore"
)

// Group is a group under test, on a topic of four partitions.
type Group struct {
	Member func() eventstore.Membership // a new one with every call
	Grow   func(partitions int)         // gives the topic more partitions
}

// GroupRecords is how many records the partitions under a group under test hold.
const GroupRecords = 110

// groupPartitions is how many partitions the topic of a group under test begins with.
const groupPartitions = 4

// ExerciseMembership holds memberships to the contract of eventstore.Membership. It calls open once per subtest, for a
// group that has no members and no positions, on a topic of four partitions. Each partition, also one that Grow adds, holds
// GroupRecords records: a broker may refuse positions beyond the end.
func ExerciseMembership(t *testing.T, open func(t *testing.T) Group) {
	for _, c := range []struct {
		name string
		test func(*owners)
	}{
		{"Shares", shares},
		{"Positions", positions},
		{"PositionsFollow", positionsFollow},
		{"CommitWhileDraining", commitWhileDraining},
		{"GrowingTopic", growingTopic},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // groups wait for heartbeats
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			t.Cleanup(cancel)
			o := &owners{T: t, ctx: ctx, group: open(t), has: map[int]*member{}, change: make(chan struct{})}
			defer o.leaveAll()
			c.test(o)
		})
	}
}

// owners watches who has what.
type owners struct {
	*testing.T
	ctx   context.Context
	group Group

	mu      sync.Mutex // guards the rest
	members []*member
	has     map[int]*member
	change  chan struct{} // closed and replaced with every change
}

// member is a running membership.
type member struct {
	eventstore.Membership
	leave func() // returns when Run has returned
}

// join runs a membership. assigned and revoked may be nil; they are called while the member counts as having the partition.
func (o *owners) join(assigned, revoked func(m *member, p int)) *member {
	ctx, cancel := context.WithCancel(o.ctx)
	m := &member{Membership: o.group.Member()}
	o.mu.Lock()
	o.members = append(o.members, m)
	o.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err := m.Run(ctx, func(p int) {
			o.pass(p, nil, m)
			if assigned != nil {
				assigned(m, p)
			}
		}, func(p int) {
			if revoked != nil {
				revoked(m, p)
			}
			o.pass(p, m, nil)
		})
		if err != nil {
			o.Errorf("run: %v", err)
		}
	}()
	m.leave = func() {
		cancel()
		<-ended
		o.mu.Lock()
		defer o.mu.Unlock()
		for p, other := range o.has {
			if m == other {
				o.Errorf("a member has left and still has partition %d", p)
			}
		}
	}
	return m
}

func (o *owners) leaveAll() {
	for _, m := range o.members {
		m.leave()
	}
}

// pass takes note that a partition changes hands.
func (o *owners) pass(p int, from, to *member) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.has[p] != from {
		o.Errorf("partition %d goes from %p to %p, but %p has it", p, from, to, o.has[p])
	}
	if o.has[p] = to; to == nil {
		delete(o.has, p)
	}
	close(o.change)
	o.change = make(chan struct{})
}

// until waits until every member has as many partitions as wanted.
func (o *owners) until(want map[*member]int) {
	o.Helper()
	for {
		o.mu.Lock()
		change, have, ok := o.change, map[*member]int{}, true
		for _, m := range o.has {
			have[m]++
		}
		o.mu.Unlock()
		for _, m := range o.members {
			ok = ok && have[m] == want[m]
		}
		if ok {
			return
		}
		select {
		case <-change:
		case <-o.ctx.Done():
			o.Fatalf("after %s the members have %v, want %v", patience, have, want)
		}
	}
}

// one is a partition that the member has.
func (o *owners) one(m *member) int {
	o.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	for p, other := range o.has {
		if m == other {
			return p
		}
	}
	o.Fatal("the member has no partition")
	return -1
}

func (o *owners) committed(m eventstore.Membership, p int, want eventstore.Position) {
	o.Helper()
	if got, err := m.Committed(o.ctx, p); err != nil || got != want {
		o.Errorf("committed of %d: %+v, %v, want %+v", p, got, err, want)
	}
}

func (o *owners) holds(m eventstore.Membership, p int, want bool) {
	o.Helper()
	if got, err := m.Holds(o.ctx, p); err != nil || got != want {
		o.Errorf("holds %d: %v, %v, want %v", p, got, err, want)
	}
}

func (o *owners) notMember(m eventstore.Membership, p int) {
	o.Helper()
	if err := m.Commit(o.ctx, p, eventstore.Position{Offset: 99}); !errors.Is(err, eventstore.ErrNotMember) {
		o.Errorf("commit of %d by no member: %v, want ErrNotMember", p, err)
	}
}

// shares: members come and go, and nothing has two of them.
func shares(o *owners) {
	a := o.join(nil, nil)
	o.until(map[*member]int{a: 4})
	b := o.join(nil, nil)
	o.until(map[*member]int{a: 2, b: 2})
	a.leave()
	o.until(map[*member]int{b: 4})
}

// positions: what is committed is there for everybody, and only a member that has the partition commits.
func positions(o *owners) {
	stranger := o.group.Member()
	none := eventstore.Position{Offset: -1}
	for p := range groupPartitions {
		o.committed(stranger, p, none)
		o.notMember(stranger, p)
		o.holds(stranger, p, false)
	}
	last := eventstore.Position{Offset: 13, Metadata: "last words"}
	a := o.join(nil, func(m *member, p int) {
		o.holds(m, p, true)
		if err := m.Commit(o.ctx, p, last); err != nil {
			o.Errorf("commit while revoked: %v", err)
		}
	})
	o.until(map[*member]int{a: 4})
	for p := range groupPartitions {
		for _, at := range []eventstore.Position{{Offset: int64(10 * p), Metadata: fmt.Sprint(p)}, {Offset: 100}, {Offset: 5, Metadata: `{"a":"é"}`}} {
			if err := a.Commit(o.ctx, p, at); err != nil {
				o.Errorf("commit: %v", err)
			}
			o.committed(a, p, at)
			o.committed(stranger, p, at)
		}
		o.holds(a, p, true)
		o.holds(stranger, p, false)
		o.notMember(stranger, p)
	}
	if err := a.Commit(o.ctx, 0, none); err == nil {
		o.Error("an offset of -1 was committed")
	}
	a.leave()
	for p := range groupPartitions {
		o.committed(stranger, p, last)
		o.committed(a, p, last)
		o.notMember(a, p)
		o.holds(a, p, false)
	}
	over, cancel := context.WithCancelCause(o.ctx)
	cancel(errEnough)
	if _, err := a.Committed(over, 0); !errors.Is(err, errEnough) {
		o.Errorf("committed when ctx is over: %v, want its cause", err)
	}
}

// positionsFollow: whoever gets a partition finds what the one before it committed while it was being drained.
func positionsFollow(o *owners) {
	a := o.join(nil, func(m *member, p int) {
		if err := m.Commit(o.ctx, p, eventstore.Position{Offset: int64(100 + p), Metadata: "drained"}); err != nil {
			o.Errorf("commit of %d while it is drained: %v", p, err)
		}
	})
	o.until(map[*member]int{a: 4})
	b := o.join(func(m *member, p int) {
		o.committed(m, p, eventstore.Position{Offset: int64(100 + p), Metadata: "drained"})
		o.holds(m, p, true)
	}, nil)
	o.until(map[*member]int{a: 2, b: 2})
	a.leave()
	o.until(map[*member]int{b: 4})
}

// commitWhileDraining: a rebalance that waits for one partition does not keep the others from committing.
func commitWhileDraining(o *owners) {
	draining, drained := make(chan int, groupPartitions), make(chan struct{})
	a := o.join(nil, func(_ *member, p int) {
		draining <- p
		<-drained
	})
	o.until(map[*member]int{a: 4})
	var goes sync.WaitGroup
	b := o.join(nil, nil)
	first := <-draining
	for i := range 20 {
		for p := range groupPartitions {
			goes.Go(func() {
				if err := a.Commit(o.ctx, p, eventstore.Position{Offset: int64(i)}); err != nil {
					o.Errorf("commit of %d while %d is drained: %v", p, first, err)
				}
				o.holds(a, p, true)
			})
		}
		goes.Wait()
	}
	close(drained)
	o.until(map[*member]int{a: 2, b: 2})
	mine := o.one(b)
	o.notMember(a, mine)
	o.holds(a, mine, false)
	if err := b.Commit(o.ctx, mine, eventstore.Position{Offset: 21}); err != nil {
		o.Errorf("commit by the new one: %v", err)
	}
	o.committed(a, mine, eventstore.Position{Offset: 21})
}

// growingTopic: new partitions are given out while members run.
func growingTopic(o *owners) {
	a, b := o.join(nil, nil), o.join(nil, nil)
	o.until(map[*member]int{a: 2, b: 2})
	start := time.Now()
	o.group.Grow(8)
	o.until(map[*member]int{a: 4, b: 4})
	o.Logf("8 partitions are shared %s after the topic had them", time.Since(start))
	for p := range 8 {
		m := a
		if held, err := a.Holds(o.ctx, p); err != nil {
			o.Error(err)
		} else if !held {
			m = b
		}
		if err := m.Commit(o.ctx, p, eventstore.Position{Offset: int64(p)}); err != nil {
			o.Errorf("commit: %v", err)
		}
		o.committed(a, p, eventstore.Position{Offset: int64(p)})
	}
}
