package node

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"deed/cmd/internal/door"
	"deed/domain"
	"deed/eventstore"
	"deed/runtime/wasm/wasmtest"
)

// counting counts what a node asks of its logs.
type counting struct {
	eventstore.Log
	c *counts
}

type counts struct{ appends, records, fetches atomic.Int64 }

func (l counting) Append(p int, rs []eventstore.Message, done func(int64, error)) {
	l.c.appends.Add(1)
	l.c.records.Add(int64(len(rs)))
	l.Log.Append(p, rs, done)
}

func (l counting) Follow(ctx context.Context, p int, from int64, fn func([]eventstore.Message) error) error {
	return l.Log.Follow(ctx, p, from, func(b []eventstore.Message) error {
		l.c.fetches.Add(1)
		return fn(b)
	})
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkEcho prints what an invocation of the smallest function costs, whole, with 64 clients that wait for nothing but the
// acknowledgement, and beside it what raw Sarama does with records of the same size on the same broker.
func BenchmarkEcho(b *testing.B) {
	for _, durability := range []string{"fsync", "process"} {
		b.Run(durability, func(b *testing.B) { echo(b, durability) })
	}
}

func echo(b *testing.B, durability string) {
	const clients, each = 64, 400
	var c counts
	n := running(b, Config{Durability: durability, Logger: slog.New(slog.DiscardHandler), wrapLog: func(l eventstore.Log) eventstore.Log { return counting{l, &c} }})
	f := domain.NativeFunction("echo")
	if _, err := n.Door.Deploy(b.Context(), f, door.Code{Module: wasmtest.Echo()}, domain.DefaultLimits(), nil); err != nil {
		b.Fatal(err)
	}
	event := []byte(`{"a":1,"b":"some text of an ordinary size, as events have it"}`)
	round := func(clients, each int) (took []time.Duration) {
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range clients {
			wg.Go(func() {
				for range each {
					start := time.Now()
					a, err := n.Door.Invoke(b.Context(), f, event, "")
					if err != nil {
						b.Error(err)
						return
					}
					if clients == 1 {
						_, _ = n.Door.Wait(b.Context(), a.ID)
					}
					mu.Lock()
					took = append(took, time.Since(start))
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if err := n.Model.Until(b.Context(), func() bool { return n.Model.Unsettled() == 0 }); err != nil {
			b.Fatal(err)
		}
		slices.Sort(took)
		return took
	}
	round(clients, 20) // warm
	for b.Loop() {
		c.appends.Store(0)
		c.records.Store(0)
		c.fetches.Store(0)
		start, before := time.Now(), cpu()
		round(clients, each)
		elapsed, used := time.Since(start), cpu()-before
		total := float64(clients * each)
		completed := total / elapsed.Seconds()
		b.ReportMetric(completed, "completed/s")
		b.ReportMetric(float64(used.Microseconds())/total, "cpu-µs/inv")
		b.ReportMetric(float64(c.records.Load())/total, "records/inv")
		b.ReportMetric(float64(c.appends.Load())/total, "appends/inv")
		b.ReportMetric(float64(c.fetches.Load())/total, "fetches/inv")
		raw := rawSarama(b, n.BrokerAddr(), int(total))
		b.ReportMetric(raw, "raw-sarama-records/s")
		b.ReportMetric(completed*4/raw, "of-raw")
	}
	one := round(1, 300)
	fmt.Printf("one client, accept to outcome: p50 %s p99 %s\n", one[len(one)/2], one[len(one)*99/100])
}

// rawSarama is how many records of 400 bytes a second Sarama's producer brings into the same broker.
func rawSarama(b *testing.B, broker string, records int) float64 {
	b.Helper()
	conf := sarama.NewConfig()
	conf.Version = sarama.V2_8_0_0
	conf.Producer.Idempotent, conf.Producer.RequiredAcks, conf.Net.MaxOpenRequests = true, sarama.WaitForAll, 1
	conf.Producer.Return.Successes = true
	admin, err := sarama.NewClusterAdmin([]string{broker}, conf)
	if err != nil {
		b.Fatal(err)
	}
	_ = admin.CreateTopic("raw", &sarama.TopicDetail{NumPartitions: 4, ReplicationFactor: 1}, false)
	_ = admin.Close()
	p, err := sarama.NewAsyncProducer([]string{broker}, conf)
	if err != nil {
		b.Fatal(err)
	}
	value := make([]byte, 400)
	start := time.Now()
	go func() {
		for range records {
			p.Input() <- &sarama.ProducerMessage{Topic: "raw", Value: sarama.ByteEncoder(value)}
		}
	}()
	for range records {
		select {
		case <-p.Successes():
		case err := <-p.Errors():
			b.Fatal(err)
		}
	}
	rate := float64(records) / time.Since(start).Seconds()
	_ = p.Close()
	return rate
}
