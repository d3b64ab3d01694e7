// Package kafka keeps the promises of the log with Kafka. It is the only importer of Sarama and Watermill; none of their
// types stand in its signatures but those of the Watermill adapter.
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

	// Linger is for how long the producer may wait for more records before it sends, when waiting pays: see linger.
	// Negative: never. Defaults to 2 ms.
	Linger time.Duration
	// QueueBytes is how much a producer holds of what is unanswered; an append beyond it is refused with ErrFull. One
	// append is always taken, however large. Defaults to 256 MiB.
	QueueBytes int
	// Producers is how many producers a log opens, partition mod Producers. More than one helps only the embedded broker,
	// which serves one request of a connection at a time. Defaults to 1; a log has no more of them than partitions.
	Producers int
	// Replication of the topics that are created, 1 to the number of brokers. Defaults to 3, or the number of brokers if
	// that is less.
	Replication int
	// InSync is how many replicas must have a record of a topic that is created before it is acknowledged, 1 to
	// Replication. Defaults to a majority.
	InSync int
	// AppendTimeout is how long an append may stay unanswered before its outcome is reported as unknown. Below 15 s a
	// dead partition leader alone would make outcomes unknown: its followers' partitions are silent for 10–12 s by the
	// brokers' defaults. Defaults to 30 s.
	AppendTimeout time.Duration
	// Session is how long a member of a group may be silent before its partitions are given to others; at least 1 s, and at
	// least what the brokers allow (6 s by their defaults). Defaults to 10 s.
	Session time.Duration
	// Security is how client and brokers know one another. Defaults to not at all.
	Security Security
	// Log is told of retries. Defaults to slog.Default().
	Log *slog.Logger

	secure func(*sarama.Config) // Security, its files read
}

const (
	defaultAppendTimeout = 30 * time.Second
	defaultSession       = 10 * time.Second
	defaultLinger        = 2 * time.Millisecond
	defaultQueueBytes    = 256 << 20
	dialTimeout          = 5 * time.Second
	retryBackoff         = 50 * time.Millisecond
)

// MaxRecord is the size of the largest record that a log takes, in bytes, as Sarama counts it: key, value and headers,
// 36 for the record and 10 for each header. It is what brokers take by default.
const MaxRecord = 1 << 20

// sarama is the configuration of a client that connects through d.
func (c Config) sarama(d *dialer) *sarama.Config {
	s := sarama.NewConfig()
	s.ClientID = c.ClientID
	s.MetricRegistry = newQuiet()
	s.Version = sarama.V2_8_0_0
	s.ChannelBufferSize = 1024
	s.Net.MaxOpenRequests = 1
	s.Net.DialTimeout = dialTimeout
	s.Net.Proxy.Enable, s.Net.Proxy.Dialer = true, d
	s.Metadata.Retry.Max = 1 // our loops try again, and see the end of a context
	s.Metadata.Retry.Backoff = retryBackoff
	s.Metadata.AllowAutoTopicCreation = false
	s.Consumer.Return.Errors = true
	c.secure(s)
	return s
}

// producer is the configuration of a producer. Sarama counts retries, we count seconds (AppendTimeout), so its numbers
// are beyond ours: whatever fails before was refused by a broker.
func (c Config) producer(d *dialer, backoff func(retries, most int) time.Duration) *sarama.Config {
	s := c.sarama(d)
	s.Metadata.Retry.Max = int(c.AppendTimeout/retryBackoff) + 1 // a partition without a leader fails its batch after these
	s.Producer.RequiredAcks = sarama.WaitForAll
	s.Producer.Idempotent = true
	s.Producer.Partitioner = sarama.NewManualPartitioner
	s.Producer.Return.Successes = true
	s.Producer.Return.Errors = true
	s.Producer.MaxMessageBytes = MaxRecord
	s.Producer.Retry.Max = int(c.AppendTimeout/retryBackoff) + 1
	s.Producer.Retry.Backoff, s.Producer.Retry.BackoffFunc = retryBackoff, backoff
	return s
}

// Cluster is a connection to a Kafka cluster. Its methods may be called concurrently.
type Cluster struct {
	config Config
	dial   *dialer
	client sarama.Client
}

// Open connects; it tries until ctx ends, and the error then says what the last try met. What trying again does not mend is an
// error at once: files that cannot be read, a certificate that is not trusted, a password that is not taken.
func Open(ctx context.Context, c Config) (*Cluster, error) {
	if len(c.Brokers) == 0 {
		return nil, errors.New("kafka: no brokers given")
	}
	if c.ClientID == "" {
		c.ClientID = "deed"
	}
	if c.AppendTimeout <= 0 {
		c.AppendTimeout = defaultAppendTimeout
	}
	if c.Linger == 0 {
		c.Linger = defaultLinger
	}
	if c.QueueBytes <= 0 {
		c.QueueBytes = defaultQueueBytes
	}
	c.Producers = max(c.Producers, 1)
	if c.Session <= 0 {
		c.Session = defaultSession
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	var err error
	if c.secure, err = c.Security.secure(); err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	d := newDialer()
	defer context.AfterFunc(ctx, d.interrupt)()
	for said := false; ; said = true {
		client, err := sarama.NewClient(c.Brokers, c.sarama(d))
		if err == nil {
			return &Cluster{config: c, dial: d, client: client}, nil
		}
		if configuration(err) || strangers(err) || wait(ctx, 2*retryBackoff) != nil {
			d.cut()
			return nil, fmt.Errorf("kafka: connect to %v: %w", c.Brokers, err)
		}
		if !said {
			c.Log.Warn("no broker can be spoken to yet; trying on", "brokers", c.Brokers, "error", err)
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

// within calls f and returns its error, or the cause of ctx if that ends before; f then ends by itself, on a goroutine
// nobody waits for, within Sarama's timeouts. It is for calls that know no context.
func within(ctx context.Context, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func configuration(err error) bool {
	_, ok := errors.AsType[sarama.ConfigurationError](err)
	return ok
}

// refresh asks the cluster anew who leads the topic's partitions.
func (c *Cluster) refresh(ctx context.Context, topic string) error {
	return within(ctx, func() error { return c.client.RefreshMetadata(topic) })
}

// leader is the address of the broker that leads a partition, as far as is known.
func (c *Cluster) leader(ctx context.Context, topic string, partition int32) (addr string, err error) {
	found := make(chan string, 1)
	err = within(ctx, func() error {
		b, err := c.client.Leader(topic, partition)
		if err == nil {
			found <- b.Addr()
		}
		return err
	})
	if err != nil {
		return "", err
	}
	return <-found, nil
}

// Close ends the connection; logs opened on it must be closed before.
func (c *Cluster) Close() error {
	c.dial.cut()
	return c.client.Close()
}
