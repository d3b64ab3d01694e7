package kafka

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"deed/eventstore"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestLingerRule: it waits under load behind slow acknowledgements, and at no other time.
func TestLingerRule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := linger{most: time.Millisecond}
		ack := func(took time.Duration) {
			sent := time.Now()
			time.Sleep(took)
			l.answered(sent)
		}
		expect := func(what string, onTheWay int, want bool) {
			t.Helper()
			l.paid = time.Time{}
			if l.wanted(time.Now(), onTheWay) != want {
				t.Errorf("%s, %d on their way: wanted: %v", what, onTheWay, !want)
			}
		}
		expect("nothing was acknowledged yet", 100, false)
		ack(5 * time.Millisecond)
		expect("slow", 100, true)
		expect("slow", manyCalls, true)
		expect("slow, and hardly any", manyCalls-1, false)
		expect("slow, and quiet", 0, false)
		ack(200 * time.Microsecond)
		expect("one was fast", 100, false)
		time.Sleep(time.Second)
		ack(5 * time.Millisecond)
		expect("one was fast in the second before", 100, false)
		time.Sleep(time.Second)
		ack(5 * time.Millisecond)
		expect("slow for long", 100, true)
		if time.Sleep(lingerFor - 1); !l.wanted(time.Now(), 0) {
			t.Error("a short lull ends it")
		}
		if time.Sleep(time.Nanosecond); l.wanted(time.Now(), 0) {
			t.Error("a long lull does not end it")
		}
		time.Sleep(time.Minute)
		ack(time.Millisecond)
		expect("fast after a pause", 100, false)
	})
}

// TestLingerNeedsReplicas: without replicas there is one producer; with them what is appended lands in the order of the
// calls, however often the producers change.
func TestLingerNeedsReplicas(t *testing.T) {
	b, err := kfake.NewCluster(kfake.NumBrokers(3))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for replication, pipes := range map[int]int{1: 1, 3: 2} {
		c, err := Open(t.Context(), Config{Brokers: b.ListenAddrs(), Replication: replication})
		if err != nil {
			t.Fatal(err)
		}
		name := map[int]string{1: "one", 3: "three"}[replication]
		if err := c.EnsureTopic(t.Context(), name, 1); err != nil {
			t.Fatal(err)
		}
		l, err := c.Log(name)
		if err != nil {
			t.Fatal(err)
		}
		p := l.producers[0]
		if len(p.pipes) != pipes {
			t.Errorf("with replication %d there are %d producers, want %d", replication, len(p.pipes), pipes)
		}
		const rounds, n = 30, 100
		offsets := make(chan int64, rounds*n)
		changes, on := 0, false
		for round := range rounds {
			p.mu.Lock()
			if p.linger.on != on {
				changes++
				on = p.linger.on
			}
			if p.linger.fixed, p.linger.paid = (time.Time{}), (time.Time{}); round%2 == 0 {
				p.linger.paid = time.Now() // as if the rule said so
			}
			p.mu.Unlock()
			for range n {
				l.Append(0, []eventstore.Message{{Value: make([]byte, 1000)}}, func(offset int64, err error) {
					if err != nil {
						t.Error(err)
					}
					offsets <- offset
				})
			}
			if round%3 > 0 {
				continue // the next change finds this round under way
			}
			for len(offsets) < (round+1)*n {
				runtime.Gosched()
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		for i := range int64(rounds * n) {
			if got := <-offsets; got != i {
				t.Fatalf("offset %d, want %d", got, i)
			}
		}
		if changes == 0 && pipes == 2 {
			t.Error("the producers never changed")
		}
		t.Logf("%d changes", changes)
		_ = c.Close()
	}
}

// TestLingerStalled: a producer that does not become empty is not waited for, and what is appended then lands all the
// same.
func TestLingerStalled(t *testing.T) {
	b, err := kfake.NewCluster(kfake.NumBrokers(3))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	c, err := Open(t.Context(), Config{Brokers: b.ListenAddrs(), Replication: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.EnsureTopic(t.Context(), "t", 1); err != nil {
		t.Fatal(err)
	}
	l, err := c.Log("t")
	if err != nil {
		t.Fatal(err)
	}
	held, free := make(chan struct{}, 100), make(chan struct{})
	b.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) { //nolint:revive // the broker's signature
		held <- struct{}{}
		<-free
		return nil, nil, false
	})
	offsets := make(chan int64, 2)
	one := func() {
		l.Append(0, []eventstore.Message{{Value: []byte("x")}}, func(offset int64, err error) {
			if err != nil {
				t.Error(err)
			}
			offsets <- offset
		})
	}
	one()
	<-held
	p := l.producers[0]
	p.mu.Lock()
	p.linger.paid = time.Now()
	p.mu.Unlock()
	one()
	for given := false; !given; runtime.Gosched() {
		p.mu.Lock()
		given = !p.linger.fixed.IsZero()
		if p.linger.on {
			t.Fatal("the producers changed while one held a record")
		}
		p.mu.Unlock()
	}
	close(free)
	for i := range int64(2) {
		if got := <-offsets; got != i {
			t.Errorf("offset %d, want %d", got, i)
		}
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
