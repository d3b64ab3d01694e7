package kafka_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"deed/eventstore"
	"deed/eventstore/embedded"
	"deed/eventstore/kafka"
	"deed/eventstore/storetest"
)

// quiet is a logger that nobody reads.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// brokers are those of the environment variable DEED_TEST_BROKERS, or an embedded one that ends with the test.
func brokers(t testing.TB) []string {
	t.Helper()
	if addrs := os.Getenv("DEED_TEST_BROKERS"); addrs != "" {
		return strings.Split(addrs, ",")
	}
	return []string{broker(t).Addr()}
}

var topics atomic.Int64

// newTopic is a name that nothing has had.
func newTopic() string {
	return fmt.Sprintf("test-%d-%d-%d", time.Now().Unix(), os.Getpid(), topics.Add(1))
}

// broker starts an embedded one that ends with the test.
func broker(t testing.TB) *embedded.Broker {
	t.Helper()
	b, err := embedded.Open(embedded.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// connect opens a cluster that ends with the test.
func connect(t testing.TB, c kafka.Config) *kafka.Cluster {
	t.Helper()
	if c.Log == nil {
		c.Log = quiet()
	}
	cluster, err := kafka.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cluster.Close() })
	return cluster
}

// open makes a topic and opens a log that ends with the test.
func open(t testing.TB, c *kafka.Cluster, topic string, partitions int) *kafka.Log {
	t.Helper()
	if err := c.EnsureTopic(t.Context(), topic, partitions); err != nil {
		t.Fatal(err)
	}
	l, err := c.Log(topic)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// TestLog holds the log to its contract, with one producer and with several.
func TestLog(t *testing.T) {
	for _, producers := range []int{1, 2} {
		t.Run(fmt.Sprint(producers), func(t *testing.T) {
			c := connect(t, kafka.Config{Brokers: brokers(t), Producers: producers})
			names := map[eventstore.Log]string{}
			storetest.Exercise(t, func(t *testing.T) eventstore.Log {
				topic := newTopic()
				l := open(t, c, topic, 3)
				names[l] = topic
				return l
			}, func(l eventstore.Log, n int) error { return c.GrowTopic(t.Context(), names[l], n) })
		})
	}
}

// appendAll appends the values one by one and waits until all are acknowledged.
func appendAll(t testing.TB, l eventstore.Log, partition int, values ...string) {
	t.Helper()
	errs := make(chan error, len(values))
	for _, v := range values {
		l.Append(partition, []eventstore.Message{{Value: []byte(v)}}, func(_ int64, err error) { errs <- err })
	}
	for range values {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
}

// follow delivers what it follows until ctx ends, then the error.
func follow(ctx context.Context, l eventstore.Log, partition int, from int64) (<-chan eventstore.Message, <-chan error) {
	got, ended := make(chan eventstore.Message), make(chan error, 1)
	go func() {
		ended <- l.Follow(ctx, partition, from, func(batch []eventstore.Message) error {
			for _, m := range batch {
				select {
				case got <- m:
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
			return nil
		})
	}()
	return got, ended
}
