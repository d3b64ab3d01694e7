package kafka_test

import (
	"context"
	"fmt"
	"sort"
	"testing"
	"time"

	"deed/eventstore"
	"deed/eventstore/embedded"
	"deed/eventstore/kafka"
)

func open(t testing.TB, dir string) (*kafka.Cluster, func()) {
	b, err := embedded.Open(embedded.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	c, err := kafka.Open(t.Context(), kafka.Config{Brokers: []string{b.Addr()}, Producers: 4})
	if err != nil {
		t.Fatal(err)
	}
	return c, func() { _ = c.Close(); _ = b.Close() }
}

// TestLatency measures append to follow, one record at a time; it prints and asserts nothing about time.
func TestLatency(t *testing.T) {
	c, closeAll := open(t, t.TempDir())
	defer closeAll()
	if err := c.EnsureTopic(t.Context(), "x", 4); err != nil {
		t.Fatal(err)
	}
	l, err := c.Log("x")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan eventstore.Message, 100)
	ended := make(chan error)
	go func() {
		ended <- l.Follow(ctx, 2, 0, func(b []eventstore.Message) error {
			for _, m := range b {
				got <- m
			}
			return nil
		})
	}()
	var took []time.Duration
	for i := range 300 {
		start := time.Now()
		l.Append(2, []eventstore.Message{{Key: []byte("k"), Value: fmt.Append(nil, i), Headers: []eventstore.Header{{Key: "a", Value: "b"}}}}, func(off int64, err error) {
			if err != nil || off != int64(i) {
				t.Error(off, err)
			}
		})
		m := <-got
		if string(m.Value) != fmt.Sprint(i) || m.Offset != int64(i) {
			t.Fatalf("got %s at %d, want %d", m.Value, m.Offset, i)
		}
		took = append(took, time.Since(start))
	}
	sort.Slice(took, func(i, j int) bool { return took[i] < took[j] })
	t.Logf("append to follow: p50 %s p99 %s", took[150], took[297])
	start := time.Now()
	cancel()
	<-ended
	t.Logf("follow ended after %s", time.Since(start))
	msgs, err := l.Read(t.Context(), 2, 100, 3)
	if err != nil || len(msgs) == 0 || msgs[0].Offset != 100 {
		t.Fatal(msgs, err)
	}
	start = time.Now()
	assigned := make(chan int, 10)
	mctx, leave := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		gone <- c.Membership("g", "x").Run(mctx, func(p int) { assigned <- p }, func(p int) {})
	}()
	for range 4 {
		<-assigned
	}
	t.Logf("assigned after %s", time.Since(start))
	start = time.Now()
	leave()
	if err := <-gone; err != nil {
		t.Fatal(err)
	}
	t.Logf("left after %s", time.Since(start))
}
