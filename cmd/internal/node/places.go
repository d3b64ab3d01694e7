package node

import (
	"context"
	"errors"
	"fmt"

	"deed/cmd/internal/reconcile"
	"deed/domain"
	"deed/eventstore/blob"
	"deed/eventstore/kafka"
)

// places are where a reconciliation looks.
type places struct{ n *Node }

var _ reconcile.Places = places{}

func (p places) Bucket(_ context.Context, _ domain.FunctionID, name string) (reconcile.Bucket, error) {
	b, err := p.n.openBucket(name)
	if err != nil {
		return nil, err // and not a bucket that is nil inside
	}
	return b, nil
}

func (places) Absent(err error) bool { return errors.Is(err, blob.ErrNotFound) }

func (p places) Topic(_ context.Context, _ domain.FunctionID, target domain.Target) (reconcile.Topic, error) {
	name, ok := target.Stream()
	if !ok {
		return nil, fmt.Errorf("%s is not a topic", target)
	}
	l, err := p.n.cluster.Log(name)
	if err != nil {
		return nil, err
	}
	return l, nil
}

var _ reconcile.Topic = (*kafka.Log)(nil)
