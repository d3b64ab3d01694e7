package node

import (
	"cmp"
	"context"
	"errors"

	"deed/domain"
	"deed/domain/partition"
	"deed/eventstore"
	"deed/projections"
)

// newFeed makes the feed of a partition, and the partition of deed.notifications if that is missing: deed.invocations may have
// got more.
func (n *Node) newFeed(ctx context.Context, p int, log eventstore.Log) (*feed, error) {
	if p >= n.notices.Partitions() {
		if err := n.cluster.GrowTopic(ctx, n.topics().Notifications(), log.Partitions()); err != nil {
			return nil, err
		}
	}
	return &feed{
		p: p, from: log, to: n.notices, blobs: n.blobs, cluster: func() string { return n.Registry.Cluster().String() },
		marker: func(ctx context.Context) (int64, error) {
			at, err := n.group.Committed(ctx, p)
			return at.Offset, err
		},
		first: func(ctx context.Context) (*partition.Fold, error) {
			start, _, err := log.Bounds(ctx, p)
			if err != nil {
				return nil, err
			}
			return projections.FirstMarker(ctx, log, p, start)
		},
		fed: func() domain.NotificationsFed { return n.Operations.Fed(p) },
		note: func(ctx context.Context, at domain.NotificationsFed) error {
			err := n.Door.Operate(ctx, at)
			if r := (*domain.Rejection)(nil); errors.As(err, &r) {
				return nil // another node is further
			}
			return err
		},
		warn: func(err error) {
			if errors.Is(err, errBehind) {
				n.config.Logger.Debug("notifications are copied from the log again", "partition", p)
				return
			}
			n.config.Logger.Warn("notifications are not copied; trying again", "topic", n.topics().Notifications(), "partition", p, "error", err)
		},
		most: cmp.Or(n.config.feedMost, feedMost), idle: cmp.Or(n.config.feedIdle, feedIdle),
		wake: make(chan struct{}, 1),
	}, nil
}
