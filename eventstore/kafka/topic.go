package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/IBM/sarama"
)

// EnsureTopic creates the topic if it is absent. Nothing of it expires, and nothing is compacted away. A topic that
// exists keeps its partition count: an id names its partition, so the count may grow, but never by itself. It tries
// until ctx ends, or until the cluster refuses.
func (c *Cluster) EnsureTopic(ctx context.Context, name string, partitions int) error {
	for {
		err := within(ctx, func() error { return c.ensureTopic(name, partitions) })
		if err == nil {
			return nil
		}
		if refused(err) {
			return fmt.Errorf("kafka: create topic %s: %w", name, err)
		}
		if wait(ctx, retryBackoff) != nil {
			return fmt.Errorf("kafka: topic %s did not come up: %w", name, err)
		}
	}
}

var errLeaderless = errors.New("not all partitions have a leader yet")

func (c *Cluster) ensureTopic(name string, partitions int) error {
	if all, err := c.client.Partitions(name); err != nil || len(all) == 0 {
		if err := c.createTopic(name, partitions); err != nil {
			return err
		}
	}
	if err := c.client.RefreshMetadata(name); err != nil {
		return err
	}
	all, err := c.client.Partitions(name)
	if err != nil {
		return err
	}
	led, err := c.client.WritablePartitions(name)
	if err == nil && (len(led) == 0 || len(led) < len(all)) {
		err = errLeaderless
	}
	return err
}

func (c *Cluster) createTopic(name string, partitions int) error {
	admin, err := sarama.NewClusterAdminFromClient(c.client) // holds nothing of its own: closing it would close the client
	if err != nil {
		return err
	}
	text := func(s string) *string { return &s }
	replication, insync := c.replication()
	err = admin.CreateTopic(name, &sarama.TopicDetail{
		NumPartitions: int32(partitions), ReplicationFactor: int16(replication), //nolint:gosec // small numbers
		ConfigEntries: map[string]*string{
			"retention.ms": text("-1"), "retention.bytes": text("-1"), "cleanup.policy": text("delete"), "max.message.bytes": text("1048576"),
			// The broker's own time of every append: nodes compare their clocks with it. (The embedded broker keeps the producers'.)
			"message.timestamp.type": text("LogAppendTime"),
			"min.insync.replicas":    text(strconv.Itoa(insync)), "unclean.leader.election.enable": text("false"),
		},
	}, false)
	if errors.Is(err, sarama.ErrTopicAlreadyExists) {
		return nil
	}
	return err
}

// replication is that of topics which are created, and how many replicas must have a record before it is acknowledged.
func (c *Cluster) replication() (replicas, insync int) {
	replicas, insync = c.config.Replication, c.config.InSync
	if replicas == 0 {
		replicas = min(3, max(1, len(c.client.Brokers())))
	}
	if insync == 0 {
		insync = replicas/2 + 1
	}
	return replicas, insync
}

// GrowTopic gives a topic more partitions: so many in all. It does nothing if there are as many already, and it never
// takes any away. When it returns every partition has a leader; logs and groups notice within seconds. It tries until ctx
// ends, or until the cluster refuses.
func (c *Cluster) GrowTopic(ctx context.Context, name string, partitions int) error {
	for {
		err := within(ctx, func() error { return c.growTopic(name, partitions) })
		if err == nil {
			return nil
		}
		if refused(err) {
			return fmt.Errorf("kafka: grow topic %s to %d partitions: %w", name, partitions, err)
		}
		if wait(ctx, retryBackoff) != nil {
			return fmt.Errorf("kafka: grow topic %s to %d partitions: %w: %w", name, partitions, context.Cause(ctx), err)
		}
	}
}

func (c *Cluster) growTopic(name string, partitions int) error {
	if err := c.client.RefreshMetadata(name); err != nil {
		return err
	}
	all, err := c.client.Partitions(name)
	if err != nil {
		return err
	}
	if len(all) < partitions {
		admin, err := sarama.NewClusterAdminFromClient(c.client) // holds nothing of its own: closing it would close the client
		if err != nil {
			return err
		}
		// ErrInvalidPartitions may mean that somebody else was faster; then the next look at the topic says so.
		if err := admin.CreatePartitions(name, int32(partitions), nil, false); err != nil { //nolint:gosec // at most 4096
			return err
		}
		if err := c.client.RefreshMetadata(name); err != nil {
			return err
		}
		if all, err = c.client.Partitions(name); err != nil {
			return err
		}
	}
	led, err := c.client.WritablePartitions(name)
	if err == nil && (len(led) < len(all) || len(all) < partitions) {
		err = errLeaderless
	}
	return err
}

// refused reports whether trying again is of no use.
func refused(err error) bool {
	for _, e := range []error{
		sarama.ErrInvalidReplicationFactor, sarama.ErrInvalidPartitions, sarama.ErrInvalidConfig, sarama.ErrInvalidTopic, sarama.ErrPolicyViolation,
		sarama.ErrInvalidRequest, sarama.ErrTopicAuthorizationFailed, sarama.ErrClusterAuthorizationFailed, sarama.ErrUnsupportedVersion, sarama.ErrClosedClient,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
