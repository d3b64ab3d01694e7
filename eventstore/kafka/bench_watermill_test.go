package kafka_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"deed/eventstore"
	"deed/eventstore/kafka"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill/message"
)

// sampleMessages are Watermill messages like our records.
func sampleMessages(n int) []*message.Message {
	r := sample()
	all := make([]*message.Message, n)
	for i := range all {
		m := message.NewMessage("0b9e4f52-6a0d-4c8e-9b7d-1f2a3c4d5e6f", r.Value)
		for _, h := range r.Headers[:len(r.Headers)-1] { // the last is the UUID's, which the publisher puts there
			m.Metadata[h.Key] = h.Value
		}
		all[i] = m
	}
	return all
}

// BenchmarkPublish is one Publish of a thousand messages. Metric of-raw is its speed as a part of that of a bare
// AsyncProducer with the same thousand, in turn with it.
func BenchmarkPublish(b *testing.B) {
	const n = 1000
	addrs, topic := brokers(b), newTopic()
	m, messages := sample(), sampleMessages(n)
	p := kafka.NewPublisher(open(b, connect(b, kafka.Config{Brokers: addrs}), topic, 1), kafka.PublisherConfig{
		Topic: topic, Key: func(*message.Message) []byte { return m.Key },
	})
	bare, err := sarama.NewAsyncProducer(addrs, rawConfig())
	if err != nil {
		b.Fatal(err)
	}
	var ours, raw time.Duration
	for b.Loop() {
		start := time.Now()
		if err := p.Publish(topic, messages...); err != nil {
			b.Fatal(err)
		}
		ours += time.Since(start)
		start = time.Now()
		go func() {
			for range n {
				headers := make([]sarama.RecordHeader, len(m.Headers))
				for i, h := range m.Headers {
					headers[i] = sarama.RecordHeader{Key: []byte(h.Key), Value: []byte(h.Value)}
				}
				bare.Input() <- &sarama.ProducerMessage{Topic: topic, Headers: headers, Key: sarama.ByteEncoder(m.Key), Value: sarama.ByteEncoder(m.Value)}
			}
		}()
		for range n {
			<-bare.Successes()
		}
		raw += time.Since(start)
	}
	_ = bare.Close()
	b.ReportMetric(float64(n*b.N)/ours.Seconds(), "messages/s")
	b.ReportMetric(raw.Seconds()/ours.Seconds(), "of-raw")
}

// rawHandler is a consumer that does nothing but take note, and the time from its first message to its last.
type rawHandler struct {
	left   int
	enough context.CancelFunc
	took   time.Duration
}

func (*rawHandler) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (*rawHandler) Cleanup(sarama.ConsumerGroupSession) error { return nil }
func (h *rawHandler) ConsumeClaim(s sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
	var start time.Time
	for m := range c.Messages() {
		if start.IsZero() {
			start = time.Now()
		}
		s.MarkMessage(m, "")
		if h.left--; h.left == 0 {
			h.took = time.Since(start)
			h.enough()
		}
	}
	return nil
}

// BenchmarkSubscribe is a group that works through a partition with handlers that do nothing, from its first message on.
// Metric of-raw is its speed as a part of that of a bare ConsumerGroup, in turn with it. Joining is in neither.
func BenchmarkSubscribe(b *testing.B) {
	const n = 100_000
	addrs, topic := brokers(b), newTopic()
	c := connect(b, kafka.Config{Brokers: addrs})
	l := open(b, c, topic, 1)
	m := sample()
	var left sync.WaitGroup
	left.Add(n)
	for i := range n {
		r := m
		r.Key = fmt.Appendf(nil, "%016d", i)
		l.Append(0, []eventstore.Message{r}, func(int64, error) { left.Done() })
	}
	left.Wait()
	var ours, raw time.Duration
	for b.Loop() {
		group := newTopic()
		s, in := subscribe(b, c, topic, kafka.SubscriberConfig{Group: group, Window: 256})
		first := <-in
		start := time.Now()
		first.Ack()
		for range n - 1 {
			(<-in).Ack()
		}
		ours += time.Since(start)
		_ = s.Close()

		conf := rawConfig()
		conf.Consumer.Offsets.Initial = sarama.OffsetOldest
		g, err := sarama.NewConsumerGroup(addrs, newTopic(), conf)
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(b.Context())
		h := &rawHandler{left: n, enough: cancel}
		if err := g.Consume(ctx, []string{topic}, h); err != nil {
			b.Fatal(err)
		}
		raw += h.took
		_ = g.Close()
	}
	b.ReportMetric(float64(n*b.N)/ours.Seconds(), "messages/s")
	b.ReportMetric(raw.Seconds()/ours.Seconds(), "of-raw")
}
