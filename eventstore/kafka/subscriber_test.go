package kafka_test

import (
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"deed/eventstore"
	"deed/eventstore/kafka"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
)

// subscribe makes a subscriber that ends with the test, and its one subscription.
func subscribe(t testing.TB, c *kafka.Cluster, topic string, conf kafka.SubscriberConfig) (message.Subscriber, <-chan *message.Message) {
	t.Helper()
	if conf.Group == "" {
		conf.Group = topic + ".group"
	}
	s, err := kafka.NewSubscriber(c, conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	in, err := s.Subscribe(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	return s, in
}

// place is where a message's record stands.
func place(t testing.TB, m *message.Message) (partition int, offset int64) {
	t.Helper()
	r, ok := kafka.RecordOf(m.Context())
	if !ok {
		t.Fatal("a message without a record")
	}
	return r.Partition, r.Offset
}

// TestSubscriberMessage: a message is the record, and its context ends when it is answered.
func TestSubscriberMessage(t *testing.T) {
	c, topic := connect(t, kafka.Config{Brokers: brokers(t)}), newTopic()
	l := open(t, c, topic, 1)
	at := time.UnixMilli(1_700_000_000_123)
	errs := make(chan error, 1)
	l.Append(0, []eventstore.Message{
		{Time: at, Key: []byte("k"), Value: []byte("v"), Headers: []eventstore.Header{{Key: "_watermill_message_uuid", Value: "u"}, {Key: "a", Value: "1"}, {Key: "a", Value: "2"}}},
		{},
	}, func(_ int64, err error) { errs <- err })
	if err := <-errs; err != nil {
		t.Fatal(err)
	}
	s, in := subscribe(t, c, topic, kafka.SubscriberConfig{Window: 1})
	m := <-in
	if m.UUID != "u" || string(m.Payload) != "v" || !maps.Equal(m.Metadata, message.Metadata{"a": "2"}) {
		t.Errorf("%s, %s, %v", m.UUID, m.Payload, m.Metadata)
	}
	r, ok := kafka.RecordOf(m.Context())
	if !ok || r.Partition != 0 || r.Offset != 0 || !r.ByBroker && !r.Time.Equal(at) || string(r.Key) != "k" || len(r.Headers) != 3 {
		t.Errorf("%+v, %v", r, ok)
	}
	if err := m.Context().Err(); err != nil {
		t.Error(err)
	}
	m.Ack()
	<-m.Context().Done()
	m = <-in
	if m.UUID != "" || len(m.Payload) != 0 || len(m.Metadata) != 0 {
		t.Errorf("of an empty record: %s, %s, %v", m.UUID, m.Payload, m.Metadata)
	}
	m.Ack()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, ok := <-in; ok {
		t.Error("the channel is open after Close")
	}
	if _, err := s.Subscribe(t.Context(), topic); !errors.Is(err, eventstore.ErrClosed) {
		t.Errorf("subscribe after Close: %v", err)
	}
	if at, err := c.Membership(topic+".group", topic).Committed(t.Context(), 0); err != nil || at.Offset != 2 {
		t.Errorf("%+v is committed, %v, want 2", at, err)
	}
}

// TestSubscribeToNothing: a topic that is not there is an error at once.
func TestSubscribeToNothing(t *testing.T) {
	s, err := kafka.NewSubscriber(connect(t, kafka.Config{Brokers: brokers(t)}), kafka.SubscriberConfig{Group: "g"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Subscribe(t.Context(), newTopic()); err == nil {
		t.Error("subscribed to a topic that is not there")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestSlowPartitionOnBroker: a partition with far more than its handlers take does not hold up its neighbour on the same
// broker.
func TestSlowPartitionOnBroker(t *testing.T) {
	t.Parallel() // it waits for a group
	c, topic := connect(t, kafka.Config{Brokers: brokers(t)}), newTopic()
	l := open(t, c, topic, 2)
	big := make([]byte, 100<<10)
	acked := make(chan error, 200)
	for range cap(acked) { // 20 MB: five responses
		l.Append(0, []eventstore.Message{{Value: big}}, func(_ int64, err error) { acked <- err })
	}
	for range cap(acked) {
		if err := <-acked; err != nil {
			t.Fatal(err)
		}
	}
	_, in := subscribe(t, c, topic, kafka.SubscriberConfig{Window: 4, Span: 4, DrainTimeout: time.Millisecond})
	var stuck []*message.Message
	for len(stuck) < 4 {
		stuck = append(stuck, <-in)
	}
	for i := range 200 {
		appendAll(t, l, 1, fmt.Sprint(i))
		m := <-in
		if p, _ := place(t, m); p != 1 || string(m.Payload) != fmt.Sprint(i) {
			t.Fatalf("got a message of %d, want %d of 1", p, i)
		}
		m.Ack()
	}
}

// TestRouter: Watermill's Router runs on subscriber and publisher; a handler that panics gets its
// message again.
func TestRouter(t *testing.T) {
	c, from, to := connect(t, kafka.Config{Brokers: brokers(t)}), newTopic(), newTopic()
	in, out := open(t, c, from, 2), open(t, c, to, 1)
	s, err := kafka.NewSubscriber(c, kafka.SubscriberConfig{Group: from + ".group", NackDelay: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	r, err := message.NewRouter(message.RouterConfig{CloseTimeout: 20 * time.Second}, watermill.NopLogger{})
	if err != nil {
		t.Fatal(err)
	}
	var panicked sync.Map
	r.AddHandler("double", from, s, to, kafka.NewPublisher(out, kafka.PublisherConfig{Topic: to}), func(m *message.Message) ([]*message.Message, error) {
		if _, again := panicked.LoadOrStore(m.UUID, true); !again && m.UUID == "7" {
			panic("the first time")
		}
		return []*message.Message{message.NewMessage(m.UUID+"'", append(m.Payload, m.Payload...))}, nil
	})
	ended := make(chan error, 1)
	go func() { ended <- r.Run(t.Context()) }()
	<-r.Running()
	p := kafka.NewPublisher(in, kafka.PublisherConfig{Topic: from})
	var messages []*message.Message
	for i := range 100 {
		messages = append(messages, message.NewMessage(fmt.Sprint(i), fmt.Append(nil, i, ";")))
	}
	if err := p.Publish(from, messages...); err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	follows, _ := follow(t.Context(), out, 0, 0)
	for len(got) < 100 {
		m := <-follows
		if half := string(m.Value[:len(m.Value)/2]); half+half != string(m.Value) || got[half] {
			t.Fatalf("%q", m.Value)
		} else {
			got[half] = true
		}
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for partition := range 2 {
		at, err := c.Membership(from+".group", from).Committed(t.Context(), partition)
		_, end, err2 := in.Bounds(t.Context(), partition)
		if err != nil || err2 != nil || at.Offset != end {
			t.Errorf("partition %d: %d is committed, the end is %d: %v, %v", partition, at.Offset, end, err, err2)
		}
	}
}
