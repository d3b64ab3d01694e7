package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"deed/eventstore"

	"github.com/IBM/sarama"
	wkafka "github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/message"
)

// Streams publishes to topics that are other people's: to any of a cluster, a message at a time, by Watermill's own
// publisher, which the stock subscriber reads. Its settings are not: it waits for all replicas, and is idempotent.
type Streams struct {
	dial      *dialer
	publisher *wkafka.Publisher
}

// Bounds of one message on its way. Who waits less long leaves it to end by itself.
const (
	streamTries   = 20
	streamBackoff = 250 * time.Millisecond
	streamTimeout = 10 * time.Second
)

// OpenStreams connects for publishing. Close it before the cluster.
func (c *Cluster) OpenStreams() (*Streams, error) {
	s := &Streams{dial: newDialer()}
	conf := c.config.sarama(s.dial)
	conf.Metadata.Retry.Max = 3
	conf.Producer.RequiredAcks, conf.Producer.Idempotent = sarama.WaitForAll, true
	conf.Producer.Return.Successes, conf.Producer.Return.Errors = true, true
	conf.Producer.MaxMessageBytes = MaxRecord
	conf.Producer.Partitioner = sarama.NewHashPartitioner
	conf.Producer.Timeout = streamTimeout
	conf.Producer.Retry.Max, conf.Producer.Retry.Backoff = streamTries, streamBackoff
	var err error
	if s.publisher, err = wkafka.NewPublisher(wkafka.PublisherConfig{Brokers: c.config.Brokers, Marshaler: asRecord{}, OverwriteSaramaConfig: conf}, nil); err != nil {
		s.dial.cut()
		return nil, fmt.Errorf("kafka: open streams: %w", err)
	}
	return s, nil
}

// ErrNoTopic is the error of a message for a topic that the cluster does not have.
var ErrNoTopic = errors.New("the cluster has no such topic")

// Publish writes one message, with uuid as Watermill's, and returns where it stands, once all replicas that are in sync
// have it. Any error leaves open whether it does: publish it again, under the same id. A topic is never made.
func (s *Streams) Publish(ctx context.Context, topic, uuid string, m eventstore.Message) (partition int, offset int64, err error) {
	p := &posted{message: m}
	w := message.NewMessage(uuid, m.Value)
	w.SetContext(context.WithValue(ctx, postedKey{}, p))
	err = within(ctx, func() error { return s.publisher.Publish(topic, w) })
	if errors.Is(err, sarama.ErrUnknownTopicOrPartition) || errors.Is(err, sarama.ErrInvalidTopic) {
		err = ErrNoTopic
	}
	if err != nil {
		return 0, 0, fmt.Errorf("publish to %s: %w", topic, err)
	}
	return int(p.record.Partition), p.record.Offset, nil
}

// Close ends what is under way.
func (s *Streams) Close() error {
	s.dial.cut()
	return s.publisher.Close()
}

// posted is a message on its way through the publisher, which has no word for keys, for the order of headers, nor for where
// a message came to stand.
type posted struct {
	message eventstore.Message
	record  *sarama.ProducerMessage
}

type postedKey struct{}

// asRecord is the marshaler: a header with the UUID, as Watermill's subscriber expects it, and then the message's own.
type asRecord struct{}

func (asRecord) Marshal(topic string, w *message.Message) (*sarama.ProducerMessage, error) {
	p, ok := w.Context().Value(postedKey{}).(*posted)
	if !ok {
		return nil, errors.New("not a message of a stream")
	}
	headers := []sarama.RecordHeader{{Key: []byte(headerUUID), Value: []byte(w.UUID)}}
	for _, h := range p.message.Headers {
		headers = append(headers, sarama.RecordHeader{Key: []byte(h.Key), Value: []byte(h.Value)})
	}
	p.record = &sarama.ProducerMessage{Topic: topic, Key: sarama.ByteEncoder(p.message.Key), Value: sarama.ByteEncoder(p.message.Value), Headers: headers}
	return p.record, nil
}
