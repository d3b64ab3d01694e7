package kafka_test

import (
	"errors"
	"fmt"
	"maps"
	"testing"

	"deed/eventstore"
	"deed/eventstore/kafka"
	"deed/eventstore/memory"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill"
	wkafka "github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/message"
)

// TestStockSubscriber: Watermill's own subscriber reads what a log wrote, directly and through our publisher.
func TestStockSubscriber(t *testing.T) {
	addrs, topic := brokers(t), newTopic()
	l := open(t, connect(t, kafka.Config{Brokers: addrs}), topic, 2)
	acked := make(chan error, 1)
	l.Append(0, []eventstore.Message{{
		Key: []byte("k"), Value: []byte(`{"a":1}`),
		Headers: []eventstore.Header{{Key: "ce_type", Value: "deed.InvocationRequested.v1"}, {Key: "_watermill_message_uuid", Value: "uuid-0"}},
	}}, func(_ int64, err error) { acked <- err })
	if err := <-acked; err != nil {
		t.Fatal(err)
	}
	p := kafka.NewPublisher(l, kafka.PublisherConfig{Topic: topic, Key: func(m *message.Message) []byte { return []byte(m.UUID) }})
	want := map[string]string{"uuid-0": `{"a":1}`}
	var messages []*message.Message
	for i := 1; i < 50; i++ {
		m := message.NewMessage(fmt.Sprint("uuid-", i), fmt.Append(nil, i))
		m.Metadata = message.Metadata{"b": "2", "a": "1"}
		want[m.UUID] = string(m.Payload)
		messages = append(messages, m)
	}
	if err := p.Publish(topic, messages...); err != nil {
		t.Fatal(err)
	}

	conf := wkafka.DefaultSaramaSubscriberConfig()
	conf.Consumer.Offsets.Initial = sarama.OffsetOldest
	s, err := wkafka.NewSubscriber(wkafka.SubscriberConfig{
		Brokers: addrs, Unmarshaler: wkafka.DefaultMarshaler{}, OverwriteSaramaConfig: conf, ConsumerGroup: topic,
	}, watermill.NopLogger{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	in, err := s.Subscribe(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for len(got) < len(want) {
		m := <-in
		got[m.UUID] = string(m.Payload)
		meta := message.Metadata{"a": "1", "b": "2"}
		if m.UUID == "uuid-0" {
			meta = message.Metadata{"ce_type": "deed.InvocationRequested.v1"}
		}
		if !maps.Equal(m.Metadata, meta) {
			t.Errorf("%s has %v, want %v", m.UUID, m.Metadata, meta)
		}
		m.Ack()
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestStockPublisher: a log reads what Watermill's own publisher wrote.
func TestStockPublisher(t *testing.T) {
	addrs, topic := brokers(t), newTopic()
	l := open(t, connect(t, kafka.Config{Brokers: addrs}), topic, 1)
	p, err := wkafka.NewPublisher(wkafka.PublisherConfig{
		Brokers: addrs, Marshaler: wkafka.NewWithPartitioningMarshaler(func(_ string, m *message.Message) (string, error) { return m.UUID, nil }),
	}, watermill.NopLogger{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	m := message.NewMessage("uuid-1", []byte("payload"))
	m.Metadata.Set("a", "1")
	if err := p.Publish(topic, m); err != nil {
		t.Fatal(err)
	}
	all, err := l.Read(t.Context(), 0, 0, 10)
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	headers := map[string]string{}
	for _, h := range all[0].Headers {
		headers[h.Key] = h.Value
	}
	if r := all[0]; string(r.Key) != "uuid-1" || string(r.Value) != "payload" || !maps.Equal(headers, map[string]string{"_watermill_message_uuid": "uuid-1", "a": "1"}) {
		t.Errorf("read %+v", r)
	}
}

// TestPublisherRefuses: another topic, the reserved name, a closed publisher.
func TestPublisherRefuses(t *testing.T) {
	l := memory.New(2)
	p := kafka.NewPublisher(l, kafka.PublisherConfig{Topic: "t", Partition: func(*message.Message) int { return 1 }})
	if err := p.Publish("other", message.NewMessage("u", nil)); err == nil {
		t.Error("published to another topic")
	}
	m := message.NewMessage("u", nil)
	m.Metadata.Set("_watermill_message_uuid", "v")
	if err := p.Publish("t", m); err == nil {
		t.Error("published with a reserved name")
	}
	if err := p.Publish("t", message.NewMessage("a", nil), message.NewMessage("b", nil)); err != nil {
		t.Error(err)
	}
	if _, end, _ := l.Bounds(t.Context(), 1); end != 2 {
		t.Errorf("%d records in partition 1, want 2", end)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if err := p.Publish("t", message.NewMessage("u", nil)); !errors.Is(err, eventstore.ErrClosed) {
		t.Errorf("publish after close: %v", err)
	}
	if _, _, err := l.Bounds(t.Context(), 0); err != nil {
		t.Errorf("the log was closed with the publisher: %v", err)
	}
}
