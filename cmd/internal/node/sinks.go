package node

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"deed/domain"
	"deed/eventstore/kafka"
	"deed/runtime/sink/stream"
	"deed/runtime/worker"
)

// sinks tells each kind of target by the sink of its kind.
type sinks struct{ objects, streams worker.Sink }

func (s sinks) Deliver(ctx context.Context, n worker.Notification) (string, error) {
	if _, _, ok := n.Target.Object(); ok {
		return s.objects.Deliver(ctx, n)
	}
	if _, ok := n.Target.Stream(); ok {
		return s.streams.Deliver(ctx, n)
	}
	return "", &worker.GiveUp{Reason: "target", Err: fmt.Errorf("%s is of no kind that this node knows: a newer one may", n.Target)}
}

// streams are the publishers to the topics of dis: targets.
type streams struct {
	n *Node

	mu   sync.Mutex // guards the rest
	own  *kafka.Streams
	made map[string]bool // topics of the embedded broker that are there
}

// open finds the cluster of a stream. On the embedded broker, where nobody else could, it makes the topic.
func (s *streams) open(ctx context.Context, _ domain.FunctionID, stream string) (stream.Topics, error) {
	if err := s.n.checkStream(stream); err != nil {
		return nil, &worker.GiveUp{Reason: "target", Err: err}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.own == nil {
		own, err := s.n.cluster.OpenStreams()
		if err != nil {
			return nil, err
		}
		s.own = own
	}
	if s.n.broker != nil && !s.made[stream] {
		if err := s.n.cluster.EnsureTopic(ctx, stream, streamPartitions); err != nil {
			return nil, err
		}
		s.made[stream] = true
	}
	return s.own, nil
}

// streamPartitions is how many partitions a stream gets that the node makes.
const streamPartitions = 4

func (s *streams) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.own == nil {
		return nil
	}
	return s.own.Close()
}

// checkStream refuses topics that are the system's own: what is told must never be read as what happened.
func (n *Node) checkStream(name string) error {
	if prefix := n.topics().Prefix(); strings.HasPrefix(name, prefix) || strings.HasPrefix(name, "__") {
		return domain.Reject(domain.CodeInvalid, fmt.Sprintf("the topic %s is not for streams", name), "topics that begin with "+prefix+" or __ are the system's own")
	}
	return nil
}

// checkTarget refuses a target that this deployment cannot have.
func (n *Node) checkTarget(_ domain.FunctionID, t domain.Target) error {
	if name, ok := t.Stream(); ok {
		return n.checkStream(name)
	}
	if _, ok := t.Topic(); ok {
		return domain.Reject(domain.CodeInvalid, fmt.Sprintf("%s: webhook topics are not available yet", t), "a target is function:NAME, obs://bucket/prefix or dis:STREAM")
	}
	return nil
}
