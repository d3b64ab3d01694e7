package node

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"deed/cmd/internal/door"
	"deed/domain"
	"deed/domain/partition"
	"deed/eventstore"
	"deed/projections"
	"deed/runtime/wasm/wasmtest"
)

// times are when things about invocations were seen, in this process.
type times struct {
	mu      sync.Mutex
	called  map[domain.InvocationID]time.Time // when the door was called
	started map[domain.InvocationID]time.Time
	ended   map[domain.InvocationID]time.Time
}

// BenchmarkPaced prints, at a steady rate of requests, how long it takes from the call of the door until the attempt's start is
// in the log and effective, which is when the guest runs, and until the outcome is.
func BenchmarkPaced(b *testing.B) {
	for _, durability := range []string{"fsync", "process"} {
		for _, rate := range []int{200, 1000} {
			b.Run(fmt.Sprintf("%s/%d", durability, rate), func(b *testing.B) { paced(b, durability, rate) })
		}
	}
}

func paced(b *testing.B, durability string, rate int) {
	n := running(b, Config{Durability: durability, Logger: slog.New(slog.DiscardHandler)})
	f := domain.NativeFunction("echo")
	if _, err := n.Door.Deploy(b.Context(), f, door.Code{Module: wasmtest.Echo()}, domain.DefaultLimits(), nil); err != nil {
		b.Fatal(err)
	}
	at := &times{called: map[domain.InvocationID]time.Time{}, started: map[domain.InvocationID]time.Time{}, ended: map[domain.InvocationID]time.Time{}}
	watch := n.Model.Watch()
	defer watch.Close()
	ctx, stop := context.WithCancel(b.Context())
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for {
			batch, err := watch.Next(ctx)
			if err != nil {
				return
			}
			now := time.Now()
			at.mu.Lock()
			for i := range batch {
				switch batch[i].Record.Type {
				case "AttemptStarted":
					at.started[batch[i].Record.Subject] = now
				case "InvocationSucceeded":
					at.ended[batch[i].Record.Subject] = now
				}
			}
			at.mu.Unlock()
		}
	}()
	invoke := func() {
		began := time.Now()
		a, err := n.Door.Invoke(b.Context(), f, []byte(`{"n":1}`), "")
		if err != nil {
			b.Error(err)
			return
		}
		at.mu.Lock()
		at.called[a.ID] = began
		at.mu.Unlock()
	}
	for range 200 { // warm
		invoke()
	}
	at.mu.Lock()
	clear(at.called)
	at.mu.Unlock()
	for b.Loop() {
		var group sync.WaitGroup
		tick := time.NewTicker(time.Second / time.Duration(rate))
		for range 3 * rate {
			<-tick.C
			group.Go(invoke)
		}
		tick.Stop()
		group.Wait()
	}
	if err := n.Model.Until(b.Context(), func() bool { return n.Model.Unsettled() == 0 }); err != nil {
		b.Fatal(err)
	}
	until := time.After(time.Second)
	for done := false; !done; { // the watch may be a batch behind
		at.mu.Lock()
		done = len(at.ended) >= len(at.called)
		at.mu.Unlock()
		select {
		case <-until:
			done = true
		case <-time.After(time.Millisecond):
		}
	}
	stop()
	<-watched
	for name, seen := range map[string]map[domain.InvocationID]time.Time{"start": at.started, "outcome": at.ended} {
		var took []time.Duration
		for id, began := range at.called {
			if t, ok := seen[id]; ok {
				took = append(took, t.Sub(began))
			}
		}
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms-"+name)
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms-"+name)
	}
}

// BenchmarkFold prints how fast a tail reads, decodes and folds a partition, beside Sarama's consumer reading the same records.
func BenchmarkFold(b *testing.B) {
	n := running(b, Config{Durability: "process", Partitions: 1, Logger: slog.New(slog.DiscardHandler)})
	f := domain.NativeFunction("echo")
	if _, err := n.Door.Deploy(b.Context(), f, door.Code{Module: wasmtest.Echo()}, domain.DefaultLimits(), nil); err != nil {
		b.Fatal(err)
	}
	var clients sync.WaitGroup
	for range 64 {
		clients.Go(func() {
			for range 400 {
				if _, err := n.Door.Invoke(b.Context(), f, []byte(`{"a":1,"b":"some text of an ordinary size, as events have it"}`), ""); err != nil {
					b.Error(err)
				}
			}
		})
	}
	clients.Wait()
	if err := n.Model.Until(b.Context(), func() bool { return n.Model.Unsettled() == 0 }); err != nil {
		b.Fatal(err)
	}
	log := n.Door.Log
	_, end, err := log.Bounds(b.Context(), 0)
	if err != nil {
		b.Fatal(err)
	}
	var raw, folded time.Duration
	for b.Loop() {
		raw += rawConsume(b, n.BrokerAddr(), n.Topic(), end)
		began := time.Now()
		ctx, stop := context.WithCancel(b.Context())
		tail := projections.NewTail(log, 0, partition.New(), until{end, stop})
		_ = tail.Run(ctx)
		folded += time.Since(began)
	}
	b.ReportMetric(float64(end)*float64(b.N)/folded.Seconds(), "records/s")
	b.ReportMetric(float64(end)*float64(b.N)/raw.Seconds(), "raw-sarama-records/s")
	b.ReportMetric(raw.Seconds()/folded.Seconds(), "of-raw")
}

// until ends a tail at an offset.
type until struct {
	end  int64
	stop context.CancelFunc
}

func (u until) Batch(f *partition.Fold, _ []eventstore.Judged) {
	if f.Next() >= u.end {
		u.stop()
	}
}

func rawConsume(b *testing.B, broker, topic string, end int64) time.Duration {
	b.Helper()
	conf := sarama.NewConfig()
	conf.Version = sarama.V2_8_0_0
	conf.Consumer.Fetch.Default = 4 << 20
	consumer, err := sarama.NewConsumer([]string{broker}, conf)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = consumer.Close() }()
	began := time.Now()
	p, err := consumer.ConsumePartition(topic, 0, 0)
	if err != nil {
		b.Fatal(err)
	}
	for m := range p.Messages() {
		if m.Offset >= end-1 {
			break
		}
	}
	took := time.Since(began)
	_ = p.Close()
	return took
}
