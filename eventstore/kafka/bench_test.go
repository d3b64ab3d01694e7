package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"deed/eventstore"
	"deed/eventstore/kafka"

	"github.com/IBM/sarama"
)

// sample is a record like ours: 14 headers, a key of 16 bytes, a value of 512.
func sample() eventstore.Message {
	m := eventstore.Message{Time: time.UnixMilli(1_700_000_000_000), Key: make([]byte, 16), Value: make([]byte, 512)}
	for _, k := range []string{
		"ce_specversion", "ce_id", "ce_source", "ce_type", "ce_subject", "ce_time", "ce_causationid", "ce_correlationid", "ce_ownerepoch", "ce_ownerid",
		"ce_ownersequence", "ce_logtime", "content-type", "_watermill_message_uuid",
	} {
		m.Headers = append(m.Headers, eventstore.Header{Key: k, Value: "0b9e4f52-6a0d-4c8e-9b7d-1f2a3c4d5e6f"})
	}
	return m
}

func rawConfig() *sarama.Config {
	c := sarama.NewConfig()
	c.Version, c.ChannelBufferSize, c.Net.MaxOpenRequests = sarama.V2_8_0_0, 1024, 1
	c.Producer.RequiredAcks, c.Producer.Idempotent, c.Producer.Partitioner = sarama.WaitForAll, true, sarama.NewManualPartitioner
	c.Producer.Return.Successes = true
	return c
}

// BenchmarkAppend is throughput with everything on the way at once, on one partition. Metric times-raw is how much longer
// it takes than a bare AsyncProducer does in the same run.
func BenchmarkAppend(b *testing.B) {
	addrs, topic := brokers(b), newTopic()
	l := open(b, connect(b, kafka.Config{Brokers: addrs}), topic, 1)
	m := sample()
	b.ReportAllocs()
	for b.Loop() {
		const n = 5000
		var left sync.WaitGroup
		left.Add(n)
		for range n {
			l.Append(0, []eventstore.Message{m}, func(_ int64, err error) {
				if err != nil {
					b.Error(err)
				}
				left.Done()
			})
		}
		left.Wait()
	}
	ours := float64(b.Elapsed()) / float64(b.N)
	b.StopTimer()
	p, err := sarama.NewAsyncProducer(addrs, rawConfig())
	if err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	for range b.N {
		const n = 5000
		go func() {
			for range n {
				headers := make([]sarama.RecordHeader, len(m.Headers))
				for i, h := range m.Headers {
					headers[i] = sarama.RecordHeader{Key: []byte(h.Key), Value: []byte(h.Value)}
				}
				p.Input() <- &sarama.ProducerMessage{
					Topic: topic, Timestamp: m.Time, Headers: headers, Key: sarama.ByteEncoder(m.Key), Value: sarama.ByteEncoder(m.Value),
				}
			}
		}()
		for range n {
			<-p.Successes()
		}
	}
	raw := float64(time.Since(start)) / float64(b.N)
	_ = p.Close()
	b.ReportMetric(5000/ours*1e9, "records/s")
	b.ReportMetric(ours/raw, "times-raw")
}

// BenchmarkFollow reads a partition from its beginning, once per iteration. Metric times-raw is against Sarama's own
// PartitionConsumer in the same run.
func BenchmarkFollow(b *testing.B) {
	const n = 50_000
	addrs, topic := brokers(b), newTopic()
	l := open(b, connect(b, kafka.Config{Brokers: addrs}), topic, 1)
	m := sample()
	var left sync.WaitGroup
	left.Add(n)
	for range n {
		l.Append(0, []eventstore.Message{m}, func(int64, error) { left.Done() })
	}
	left.Wait()
	enough := errors.New("enough")
	b.ReportAllocs()
	for b.Loop() {
		seen := 0
		err := l.Follow(b.Context(), 0, 0, func(batch []eventstore.Message) error {
			if seen += len(batch); seen >= n {
				return enough
			}
			return nil
		})
		if !errors.Is(err, enough) {
			b.Fatal(err)
		}
	}
	ours := float64(b.Elapsed()) / float64(b.N)
	b.StopTimer()
	c, err := sarama.NewConsumer(addrs, rawConfig())
	if err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	for range b.N {
		pc, err := c.ConsumePartition(topic, 0, 0)
		if err != nil {
			b.Fatal(err)
		}
		for range n {
			<-pc.Messages()
		}
		_ = pc.Close()
	}
	raw := float64(time.Since(start)) / float64(b.N)
	_ = c.Close()
	b.ReportMetric(n/ours*1e9, "records/s")
	b.ReportMetric(ours/raw, "times-raw")
}

// BenchmarkHop is one record from Append to a follower, one at a time.
func BenchmarkHop(b *testing.B) {
	l := open(b, connect(b, kafka.Config{Brokers: brokers(b), Producers: 4}), newTopic(), 4)
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
}

// BenchmarkPaced is the time to the acknowledgement of single records at a rate, over eight partitions: with the linger,
// and never-p50 without it, in turn. They differ only on a cluster of three brokers or more (DEED_TEST_BROKERS), where the
// topic is replicated; its first seconds are slow, so let it run for some rounds (-benchtime 5x).
func BenchmarkPaced(b *testing.B) {
	addrs, topic := brokers(b), newTopic()
	m := sample()
	for _, rate := range []int{500, 10_000} {
		b.Run(fmt.Sprintf("%d a second", rate), func(b *testing.B) {
			var logs [2]*kafka.Log
			for i, linger := range []time.Duration{0, -1} {
				logs[i] = open(b, connect(b, kafka.Config{Brokers: addrs, Linger: linger, Replication: min(len(addrs), 3)}), topic, 8)
				paced(b, logs[i], m, rate, rate)
			}
			var took [2][]time.Duration
			for b.Loop() {
				for i, l := range logs {
					took[i] = append(took[i], paced(b, l, m, rate, 2*rate)...)
				}
			}
			for i, unit := range []string{"", "never-"} {
				slices.Sort(took[i])
				b.ReportMetric(float64(took[i][len(took[i])/2].Microseconds()), unit+"p50-µs")
				b.ReportMetric(float64(took[i][len(took[i])*99/100].Microseconds()), unit+"p99-µs")
			}
		})
	}
}

// paced appends n records at a rate and returns how long they took.
func paced(b *testing.B, l eventstore.Log, m eventstore.Message, rate, n int) []time.Duration {
	b.Helper()
	took := make([]time.Duration, n)
	var left sync.WaitGroup
	left.Add(n)
	start := time.Now()
	for i := range n {
		due := start.Add(time.Duration(i) * time.Second / time.Duration(rate))
		if d := time.Until(due); d > 0 {
			time.Sleep(d)
		}
		at := time.Now()
		l.Append(i%8, []eventstore.Message{m}, func(_ int64, err error) {
			if err != nil {
				b.Error(err)
			}
			took[i] = time.Since(at)
			left.Done()
		})
	}
	left.Wait()
	return took
}
