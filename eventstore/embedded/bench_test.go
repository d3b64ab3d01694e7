package embedded_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"deed/eventstore"
	"deed/eventstore/embedded"
	"deed/eventstore/kafka"
)

var modes = []struct {
	name       string
	durability embedded.Durability
}{{"process", embedded.Process}, {"fsync", embedded.Fsync}}

// sample is of the size of an event: 12 headers, a key of 16 bytes, a value of 300.
func sample() eventstore.Message {
	m := eventstore.Message{Key: make([]byte, 16), Value: []byte(strings.Repeat("v", 300))}
	for k := range strings.FieldsSeq("ce_specversion ce_id ce_source ce_type ce_subject ce_time ce_causationid ce_correlationid ce_ownerepoch ce_ownerid ce_ownersequence content-type") {
		m.Headers = append(m.Headers, eventstore.Header{Key: k, Value: "0b9e4f52-6a0d-4c8e-9b7d-1f2a3c4d5e6f"})
	}
	return m
}

func openTopic(b *testing.B, d embedded.Durability, n int) *kafka.Log {
	b.Helper()
	broker := open(b, embedded.Config{Dir: b.TempDir(), Durability: d})
	c, err := kafka.Open(b.Context(), kafka.Config{Brokers: []string{broker.Addr()}, Producers: n})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() })
	if err := c.EnsureTopic(b.Context(), "t", n); err != nil {
		b.Fatal(err)
	}
	l, err := c.Log("t")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	return l
}

// BenchmarkHop is one record from Append to a follower, one at a time.
func BenchmarkHop(b *testing.B) {
	for _, mode := range modes {
		b.Run(mode.name, func(b *testing.B) {
			l := openTopic(b, mode.durability, 4)
			ctx, cancel := context.WithCancel(b.Context())
			got := make(chan struct{}, 1)
			var left sync.WaitGroup
			left.Go(func() {
				_ = l.Follow(ctx, 2, 0, func([]eventstore.Message) error {
					got <- struct{}{}
					return nil
				})
			})
			m := sample()
			var took []time.Duration
			for b.Loop() {
				start := time.Now()
				l.Append(2, []eventstore.Message{m}, func(_ int64, err error) {
					if err != nil {
						b.Error(err)
					}
				})
				<-got
				took = append(took, time.Since(start))
			}
			cancel()
			left.Wait()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
		})
	}
}

// BenchmarkAppend is throughput into 4 partitions that are followed, 4000 records on the way at any time.
func BenchmarkAppend(b *testing.B) {
	for _, mode := range modes {
		b.Run(mode.name, func(b *testing.B) {
			const n = 4
			l := openTopic(b, mode.durability, n)
			ctx, cancel := context.WithCancel(b.Context())
			var followers sync.WaitGroup
			for p := range n {
				followers.Go(func() { _ = l.Follow(ctx, p, 0, func([]eventstore.Message) error { return nil }) })
			}
			m := sample()
			window := make(chan struct{}, 4000)
			i := 0
			for b.Loop() {
				window <- struct{}{}
				i++
				l.Append(i%n, []eventstore.Message{m}, func(_ int64, err error) {
					if err != nil {
						b.Error(err)
					}
					<-window
				})
			}
			for range cap(window) {
				window <- struct{}{}
			}
			b.ReportMetric(float64(i)/b.Elapsed().Seconds(), "records/s")
			cancel()
			followers.Wait()
		})
	}
}
