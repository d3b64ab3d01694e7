package kafka

import (
	"testing"
	"testing/synctest"
	"time"

	"deed/eventstore"

	"github.com/twmb/franz-go/pkg/kfake"
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
			if l.pays(onTheWay) != want {
				t.Errorf("%s, %d on their way: it pays: %v", what, onTheWay, !want)
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
		time.Sleep(time.Minute)
		ack(time.Millisecond)
		expect("fast after a pause", 100, false)
		l.most = 0
		time.Sleep(time.Minute)
		ack(time.Second)
		expect("never", 100, false)
	})
}

// TestLingerNeedsReplicas: without replicas it never waits, with them what waited lands in order, whoever closes when.
func TestLingerNeedsReplicas(t *testing.T) {
	b, err := kfake.NewCluster(kfake.NumBrokers(3))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for replication, want := range map[int]time.Duration{1: 0, 3: defaultLinger} {
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
		p.mu.Lock()
		if p.linger.most != want {
			t.Errorf("with replication %d it waits %s, want %s", replication, p.linger.most, want)
		}
		if p.linger.most > 0 {
			p.linger.most, p.linger.this, p.linger.since = time.Hour, time.Minute, time.Now() // every wait ends by another end
		}
		p.mu.Unlock()
		const n = 3000
		offsets := make(chan int64, n)
		for range n {
			l.Append(0, []eventstore.Message{{Value: make([]byte, 1000)}}, func(offset int64, err error) {
				if err != nil {
					t.Error(err)
				}
				offsets <- offset
			})
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		for i := range int64(n) {
			if got := <-offsets; got != i {
				t.Fatalf("offset %d, want %d", got, i)
			}
		}
		_ = c.Close()
	}
}
