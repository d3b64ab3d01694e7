package kafka_test

import (
	"context"
	"hash/fnv"
	"sync"
	"testing"
	"time"

	"deed/eventstore/kafka"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
)

// suitePublisher is a publisher for the suite, which thinks of topics as names: it opens a log for each.
type suitePublisher struct {
	cluster *kafka.Cluster
	mu      sync.Mutex
	logs    map[string]*kafka.Log
	pubs    map[string]message.Publisher
}

const suitePartitions = 4

func (p *suitePublisher) topic(topic string) (message.Publisher, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if pub, ok := p.pubs[topic]; ok {
		return pub, nil
	}
	if err := p.cluster.EnsureTopic(context.Background(), topic, suitePartitions); err != nil {
		return nil, err
	}
	l, err := p.cluster.Log(topic)
	if err != nil {
		return nil, err
	}
	p.logs[topic], p.pubs[topic] = l, kafka.NewPublisher(l, kafka.PublisherConfig{
		Topic: topic, Key: func(m *message.Message) []byte { return m.Payload }, // the suite wants the order of equal payloads
		Partition: func(m *message.Message) int {
			h := fnv.New32a()
			_, _ = h.Write(m.Payload)
			return int(h.Sum32() % suitePartitions)
		},
	})
	return p.pubs[topic], nil
}

func (p *suitePublisher) Publish(topic string, messages ...*message.Message) error {
	pub, err := p.topic(topic)
	if err != nil {
		return err
	}
	return pub.Publish(topic, messages...)
}

func (p *suitePublisher) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.logs {
		_ = l.Close()
	}
	return nil
}

// suiteSubscriber makes the topics that the suite subscribes to.
type suiteSubscriber struct {
	message.Subscriber
	cluster *kafka.Cluster
}

func (s suiteSubscriber) SubscribeInitialize(topic string) error {
	return s.cluster.EnsureTopic(context.Background(), topic, suitePartitions)
}

// TestSuite is Watermill's own.
func TestSuite(t *testing.T) {
	t.Parallel() // it waits for groups
	c := connect(t, kafka.Config{Brokers: brokers(t)})
	inGroup := func(t *testing.T, group string) (message.Publisher, message.Subscriber) {
		t.Helper()
		s, err := kafka.NewSubscriber(c, kafka.SubscriberConfig{Group: group, DrainTimeout: time.Second, NackDelay: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		return &suitePublisher{cluster: c, logs: map[string]*kafka.Log{}, pubs: map[string]message.Publisher{}}, suiteSubscriber{s, c}
	}
	tests.TestPubSub(t, tests.Features{
		ConsumerGroups: true, GuaranteedOrder: true, Persistent: true,
	}, func(t *testing.T) (message.Publisher, message.Subscriber) { return inGroup(t, "suite") }, inGroup)
}
