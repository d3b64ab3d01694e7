// Package stream is the stream sink: a message per outcome in a Kafka topic, whose id is the notification's and whose key is
// the invocation's. It may stand there more than once, and is then the same.
package stream

import (
	"context"
	"fmt"

	"deed/domain"
	"deed/eventstore"
	"deed/runtime/worker"
)

// Topics publishes to the topics of one cluster. Publish waits for the message to be durable, and says where it stands; any
// error leaves open whether it does.
type Topics interface {
	Publish(ctx context.Context, topic, uuid string, m eventstore.Message) (partition int, offset int64, err error)
}

// Sink publishes to streams, whose cluster Open finds by their name and by who owes the notification.
type Sink struct {
	Cluster string // whose notifications these are: the CloudEvents source
	Open    func(ctx context.Context, owes domain.FunctionID, stream string) (Topics, error)
}

// Deliver implements worker.Sink.
func (s *Sink) Deliver(ctx context.Context, n worker.Notification) (string, error) {
	name, ok := n.Target.Stream()
	if !ok {
		return "", &worker.GiveUp{Reason: "target", Err: fmt.Errorf("%s is not a stream", n.Target)}
	}
	m, err := eventstore.Notification(s.Cluster, n.ID, n.Invocation, n.Target, n.Record)
	if err != nil {
		return "", &worker.GiveUp{Reason: "record", Err: err}
	}
	topics, err := s.Open(ctx, n.Invocation.Function, name)
	if err != nil {
		return "", fmt.Errorf("open stream %s: %w", name, err)
	}
	partition, offset, err := topics.Publish(ctx, name, n.ID.String(), m)
	if err != nil {
		return "", fmt.Errorf("stream %s: %w", name, err)
	}
	return Location(name, partition, offset), nil
}

// Location is where a message stands, as receipts say it: topic:partition:offset.
func Location(topic string, partition int, offset int64) string {
	return fmt.Sprintf("%s:%d:%d", topic, partition, offset)
}
