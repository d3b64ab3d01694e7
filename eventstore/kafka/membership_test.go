package kafka_test

import (
	"context"
	"maps"
	"sync"
	"testing"
	"time"

	"deed/eventstore"
	"deed/eventstore/embedded"
	"deed/eventstore/kafka"
	"deed/eventstore/storetest"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// group watches who owns what. A member is a number; 0 is nobody.
type group struct {
	*testing.T
	topic  string
	mu     sync.Mutex
	owners map[int]int
	change chan struct{} // closed and replaced with every change
	drain  func(p int)   // called by revoked
}

func newGroup(t *testing.T) *group {
	return &group{T: t, topic: newTopic(), owners: map[int]int{}, change: make(chan struct{})}
}

func (g *group) set(p, from, to int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.owners[p] != from {
		g.Errorf("partition %d goes from %d to %d, but %d has it", p, from, to, g.owners[p])
	}
	g.owners[p] = to
	close(g.change)
	g.change = make(chan struct{})
}

// until waits until the members have so many partitions.
func (g *group) until(want map[int]int) {
	g.Helper()
	g.wait(func(have map[int]int) bool { return maps.Equal(have, want) })
}

// wait waits until what the members have is as wanted.
func (g *group) wait(wanted func(have map[int]int) bool) {
	g.Helper()
	for {
		g.mu.Lock()
		have, change := map[int]int{}, g.change
		for _, m := range g.owners {
			if m != 0 {
				have[m]++
			}
		}
		g.mu.Unlock()
		if wanted(have) {
			return
		}
		select {
		case <-change:
		case <-time.After(time.Minute):
			g.Fatalf("the members have %v, which is not as wanted", have)
		}
	}
}

// join makes a member; the function it returns makes it leave, and checks that it has let go of everything.
func (g *group) join(c *kafka.Cluster, me int) (leave func()) {
	ctx, cancel := context.WithCancel(g.Context())
	var gone sync.WaitGroup
	gone.Go(func() {
		err := c.Membership(g.topic+".owners", g.topic).Run(ctx,
			func(p int) { g.set(p, 0, me) },
			func(p int) {
				if g.drain != nil {
					g.drain(p)
				}
				g.set(p, me, 0)
			})
		if err != nil {
			g.Errorf("member %d: %v", me, err)
		}
	})
	var once sync.Once
	leave = func() {
		once.Do(func() {
			cancel()
			gone.Wait()
			g.mu.Lock()
			defer g.mu.Unlock()
			for p, m := range g.owners {
				if m == me {
					g.Errorf("member %d has left and still has partition %d", me, p)
				}
			}
		})
	}
	g.Cleanup(leave)
	return leave
}

// TestGroup holds memberships to their contract.
func TestGroup(t *testing.T) {
	c := connect(t, kafka.Config{Brokers: brokers(t)})
	storetest.ExerciseMembership(t, func(t *testing.T) storetest.Group {
		topic := newTopic()
		l := open(t, c, topic, 4)
		fill := func(from, to int) {
			for p := from; p < to; p++ {
				appendAll(t, l, p, make([]string, storetest.GroupRecords)...)
			}
		}
		fill(0, 4)
		return storetest.Group{
			Member: func() eventstore.Membership { return c.Membership(topic+".owners", topic) },
			Grow: func(n int) {
				if err := c.GrowTopic(t.Context(), topic, n); err != nil {
					t.Error(err)
				}
				fill(4, n)
			},
		}
	})
}

// TestMembership: members come and go, and no partition is given to one before another has let go of it.
func TestMembership(t *testing.T) {
	t.Parallel() // it waits for heartbeats
	c := connect(t, kafka.Config{Brokers: brokers(t)})
	g := newGroup(t)
	open(t, c, g.topic, 4)
	start := time.Now()
	leave1 := g.join(c, 1)
	g.until(map[int]int{1: 4})
	t.Logf("a lone member has everything after %s", time.Since(start))
	start = time.Now()
	leave2 := g.join(c, 2)
	g.until(map[int]int{1: 2, 2: 2})
	t.Logf("a second one has its half after %s", time.Since(start))
	g.join(c, 3)
	g.wait(func(have map[int]int) bool { return have[3] == 1 && have[1]+have[2] == 3 })
	start = time.Now()
	leave2()
	t.Logf("left after %s", time.Since(start))
	g.until(map[int]int{1: 2, 3: 2})
	leave1()
	g.until(map[int]int{3: 4})
}

// TestDrain: a partition that is being drained is nobody else's, and the others are not held up.
func TestDrain(t *testing.T) {
	t.Parallel() // it waits for heartbeats
	c := connect(t, kafka.Config{Brokers: brokers(t)})
	g := newGroup(t)
	open(t, c, g.topic, 4)
	draining, drained := make(chan int, 4), make(chan struct{})
	g.drain = func(p int) {
		draining <- p
		<-drained
	}
	g.join(c, 1)
	g.until(map[int]int{1: 4})
	g.join(c, 2)
	<-draining
	<-draining
	g.mu.Lock()
	for p, m := range g.owners {
		if m != 1 {
			t.Errorf("member %d has partition %d while it is being drained", m, p)
		}
	}
	g.mu.Unlock()
	close(drained)
	g.until(map[int]int{1: 2, 2: 2})
}

// TestGroupOutlivesBroker: a broker that forgot its groups gives the partitions out again.
func TestGroupOutlivesBroker(t *testing.T) {
	t.Parallel() // it waits for heartbeats
	dir := t.TempDir()
	b, err := embedded.Open(embedded.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	c := connect(t, kafka.Config{Brokers: []string{b.Addr()}})
	g := newGroup(t)
	open(t, c, g.topic, 2)
	leave := g.join(c, 1)
	g.until(map[int]int{1: 2})
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	g.until(map[int]int{})
	if b, err = embedded.Open(embedded.Config{Dir: dir, Listen: b.Addr()}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	g.until(map[int]int{1: 2})
	leave()
}

// TestLeaveWhileJoining: a member may go before it has anything.
func TestLeaveWhileJoining(t *testing.T) {
	c := connect(t, kafka.Config{Brokers: brokers(t)})
	g := newGroup(t)
	open(t, c, g.topic, 4)
	for range 20 {
		g.join(c, 1)()
	}
	g.join(c, 2)
	g.until(map[int]int{2: 4})
}

// TestCommitBetweenGenerations: a member that leaves while its answer to a join is on the way is one all the same, and
// what it commits last is committed.
func TestCommitBetweenGenerations(t *testing.T) {
	b := fake(t, "t")
	c := connect(t, kafka.Config{Brokers: b.ListenAddrs()})
	assigned, done := make(chan struct{}), make(chan error, 1)
	ctx, leave := context.WithCancel(t.Context())
	m := c.Membership("g", "t")
	left := make(chan error, 2)
	go func() {
		left <- m.Run(ctx, func(int) { close(assigned) }, func(p int) {
			held, err := m.Holds(t.Context(), p)
			if !held || err != nil {
				t.Errorf("holds: %v, %v", held, err)
			}
			done <- m.Commit(t.Context(), p, eventstore.Position{Offset: 7})
		})
	}()
	<-assigned
	syncing, free := make(chan struct{}, 100), make(chan struct{})
	b.ControlKey(int16(kmsg.SyncGroup), func(kmsg.Request) (kmsg.Response, error, bool) { //nolint:revive // the broker's signature
		b.KeepControl()
		syncing <- struct{}{}
		b.SleepControl(func() { <-free })
		return nil, nil, false
	})
	asked := make(chan struct{}, 100)
	b.ControlKey(int16(kmsg.Heartbeat), func(kmsg.Request) (kmsg.Response, error, bool) { //nolint:revive // the broker's signature
		b.KeepControl()
		asked <- struct{}{}
		return nil, nil, false
	})
	other, cancel := context.WithCancel(t.Context())
	go func() { left <- c.Membership("g", "t").Run(other, func(int) {}, func(int) {}) }()
	<-syncing
	<-syncing // both have joined the next generation
	for len(asked) > 0 {
		<-asked
	}
	leave()
	for range 3 {
		select {
		case <-asked: // with the generation before
		case err := <-done:
			t.Fatalf("the last commit was not tried again: %v", err)
		}
	}
	close(free)
	if err := <-done; err != nil {
		t.Errorf("the last commit: %v", err)
	}
	if at, err := m.Committed(t.Context(), 0); err != nil || at.Offset != 7 {
		t.Errorf("%+v is committed, %v, want 7", at, err)
	}
	cancel()
	for range 2 {
		if err := <-left; err != nil {
			t.Error(err)
		}
	}
}
