// Package kafka keeps the promises of the log with Kafka. It is the only importer of Sarama and Watermill; none of their
// types stand in its signatures but those of the Watermill adapters.
package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/IBM/sarama"
)

// Config says which cluster, and how to write to it.
type Config struct {
	Brokers  []string // host:port of some brokers; at least one
	ClientID string   // shown in the brokers' logs; defaults to "deed"

	// Linger is how long the producer waits for more records before it sends: 0 on the embedded broker or at low rates,
	// 1–2 ms under load with replication (2.1–2.6 times better there). Defaults to 0.
	Linger time.Duration
	// Producers is how many producers a log opens, partition mod Producers. More than one helps only the embedded broker,
	// which serves one request of a connection at a time. Defaults to 1.
	Producers int
	// Replication of the topics that are created. Defaults to 1.
	Replication int
	// Log is told of retries. Defaults to slog.Default().
	Log *slog.Logger
}

// appendDeadline is how long an append is retried before its outcome is unknown (protocol 6.2: 30 s). A produce deadline
// below ~15 s would turn a dead partition leader into unknown outcomes.
const appendDeadline = 30 * time.Second

const retryBackoff = 50 * time.Millisecond

// maxMessage bounds what the producer takes: above domain.MaxRecord and what a batch adds.
const maxMessage = 1 << 20

func (c Config) sarama() *sarama.Config {
	s := sarama.NewConfig()
	s.ClientID = c.ClientID
	s.Version = sarama.V2_8_0_0
	s.ChannelBufferSize = 4096
	s.Net.MaxOpenRequests = 1
	s.Net.DialTimeout = 5 * time.Second
	s.Metadata.Retry.Max = 20
	s.Metadata.Retry.Backoff = retryBackoff
	s.Metadata.AllowAutoTopicCreation = false
	s.Producer.RequiredAcks = sarama.WaitForAll
	s.Producer.Idempotent = true
	s.Producer.Partitioner = sarama.NewManualPartitioner
	s.Producer.Return.Successes = true
	s.Producer.Return.Errors = true
	s.Producer.MaxMessageBytes = maxMessage
	s.Producer.Flush.Frequency = c.Linger
	s.Producer.Retry.Max = int(appendDeadline / (2 * retryBackoff))
	s.Producer.Retry.Backoff = 2 * retryBackoff
	s.Consumer.Offsets.Initial = sarama.OffsetNewest
	s.Consumer.Offsets.AutoCommit.Enable = false
	s.Consumer.Group.ResetInvalidOffsets = false
	s.Consumer.Group.Session.Timeout = 10 * time.Second
	s.Consumer.Group.Heartbeat.Interval = time.Second
	s.Consumer.Group.Rebalance.Retry.Backoff = 100 * time.Millisecond
	s.Consumer.Group.Rebalance.Timeout = 30 * time.Second
	s.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategyCooperativeSticky()}
	s.Consumer.Return.Errors = true
	return s
}

// Cluster is a connection to a Kafka cluster.
type Cluster struct {
	config Config
	conf   *sarama.Config
	client sarama.Client
}

// Open connects; it tries until ctx ends.
func Open(ctx context.Context, c Config) (*Cluster, error) {
	if len(c.Brokers) == 0 {
		return nil, errors.New("kafka: no brokers given")
	}
	if c.ClientID == "" {
		c.ClientID = "deed"
	}
	c.Producers, c.Replication = max(c.Producers, 1), max(c.Replication, 1)
	if c.Log == nil {
		c.Log = slog.Default()
	}
	conf := c.sarama()
	for {
		client, err := sarama.NewClient(c.Brokers, conf)
		if err == nil {
			return &Cluster{config: c, conf: conf, client: client}, nil
		}
		if wait(ctx, 4*retryBackoff) != nil {
			return nil, fmt.Errorf("kafka: connect to %v: %w", c.Brokers, err)
		}
	}
}

// wait blocks for d or until ctx ends, whose cause it then returns.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// EnsureTopic creates the topic if it is absent. Nothing of it expires, and nothing is compacted away. A topic that
// exists keeps its partition count: an id names its partition, so the count may grow, but never by itself.
func (c *Cluster) EnsureTopic(ctx context.Context, name string, partitions int) error {
	admin, err := sarama.NewClusterAdminFromClient(c.client)
	if err != nil {
		return fmt.Errorf("kafka: create topic %s: %w", name, err)
	}
	text := func(s string) *string { return &s }
	err = admin.CreateTopic(name, &sarama.TopicDetail{
		NumPartitions: int32(partitions), ReplicationFactor: int16(c.config.Replication), //nolint:gosec // small numbers
		ConfigEntries: map[string]*string{
			"retention.ms": text("-1"), "retention.bytes": text("-1"), "cleanup.policy": text("delete"), "max.message.bytes": text("1048576"),
		},
	}, false)
	if err != nil && !errors.Is(err, sarama.ErrTopicAlreadyExists) {
		return fmt.Errorf("kafka: create topic %s: %w", name, err)
	}
	for {
		if err = c.client.RefreshMetadata(name); err == nil {
			if ps, perr := c.client.Partitions(name); perr == nil && len(ps) > 0 {
				return nil
			}
		}
		if wait(ctx, retryBackoff) != nil {
			return fmt.Errorf("kafka: topic %s did not come up: %w", name, errors.Join(err, context.Cause(ctx)))
		}
	}
}

// Close ends the connection; logs opened on it must be closed before.
func (c *Cluster) Close() error { return c.client.Close() }
