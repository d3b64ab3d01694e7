package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"deed/eventstore"

	"github.com/IBM/sarama"
)

// Log is one topic. It has producers of its own, so that doors and owners do not wait for one another: each opens a Log.
// Its methods may be called concurrently.
type Log struct {
	cluster   *Cluster
	topic     string
	producers []*producer // partition mod their number
	readers   readers
	growth    growth
	grown     chan struct{} // closed when the count is followed no longer

	open context.Context // until Close; its cause is then ErrClosed
	shut context.CancelCauseFunc

	closing sync.Once
	closed  error // what closing came to
}

var _ eventstore.Log = (*Log)(nil)

// Log opens a topic that exists.
func (c *Cluster) Log(topic string) (*Log, error) {
	return c.openLog(topic, c.config.Producers)
}

// openLog opens a topic with so many producers, or fewer if it has fewer partitions; with none it must not be appended to.
func (c *Cluster) openLog(topic string, producers int) (*Log, error) {
	ps, err := c.client.Partitions(topic)
	if err != nil {
		return nil, fmt.Errorf("kafka: open topic %s: %w", topic, err)
	}
	l := &Log{cluster: c, topic: topic, grown: make(chan struct{})}
	l.growth.ask = make(chan struct{}, 1)
	l.growth.count.Store(int64(len(ps)))
	l.open, l.shut = context.WithCancelCause(context.Background())
	for range min(producers, len(ps)) {
		p, err := newProducer(c.config, topic, c.lingers(topic))
		if err != nil {
			close(l.grown)
			return nil, errors.Join(fmt.Errorf("kafka: open topic %s: %w", topic, err), l.Close())
		}
		l.producers = append(l.producers, p)
	}
	go l.grow()
	return l, nil
}

// Partitions implements eventstore.Log. A topic that grew is heard of within 5 s, or when somebody asks for a new partition.
func (l *Log) Partitions() int { return int(l.growth.count.Load()) }

// Append implements eventstore.Log. It never blocks: what the cluster does not take yet waits in memory, for
// Config.AppendTimeout at most.
//
// Done functions of acknowledged and failed appends run one after another on a goroutine of the partition's producer,
// those of a partition in the order of the appends; refusals overtake them. They may append. Refused with an error that
// is not ErrUnknownOutcome are a partition that is not there (after asking the cluster), a record above MaxRecord, a time
// before 1970, what is beyond Config.QueueBytes (ErrFull), a closed log, and what a broker refused without having tried
// (a record too large for it, a time it does not take). All other errors are ErrUnknownOutcome. When an append fails that
// was on the way, those behind it in the partition are reported as unknown, too, although they may stand in the log.
//
// The offset is -1 where a broker recognised a repetition, and for an append of no records.
func (l *Log) Append(partition int, records []eventstore.Message, done func(offset int64, err error)) {
	if l.known(partition) {
		l.producer(partition).append(int32(partition), records, done) //nolint:gosec // below 4096
		return
	}
	l.meet(partition, func(err error) {
		if err != nil {
			l.producers[0].refuse(done, fmt.Errorf("append: %w", err))
			return
		}
		l.producer(partition).append(int32(partition), records, done) //nolint:gosec // below 4096
	})
}

func (l *Log) producer(partition int) *producer { return l.producers[partition%len(l.producers)] }

// while is ctx, ended also by Close.
func (l *Log) while(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(l.open, func() { cancel(context.Cause(l.open)) })
	return ctx, func() { stop(); cancel(nil) }
}

// Abandon is told that the broker has stopped for good: appends that are under way become unknown within seconds, instead of
// when Config.AppendTimeout has passed, and so does Close return.
func (l *Log) Abandon() {
	for _, p := range l.producers {
		p.hopeless.Store(true)
	}
}

// closePatience is how long Close waits for Sarama after every append has been answered.
const closePatience = 5 * time.Second

// Close implements eventstore.Log: it flushes what was enqueued, which takes Config.AppendTimeout at most; then every
// done function has returned. Follow and Read end with ErrClosed. It may be called again, and must not be called by a
// done function.
func (l *Log) Close() error {
	l.closing.Do(func() { l.closed = l.close() })
	return l.closed
}

func (l *Log) close() error {
	l.growth.close()
	for _, p := range l.producers {
		p.shut()
	}
	for _, p := range l.producers {
		p.flush()
	}
	l.shut(fmt.Errorf("topic %s: %w", l.topic, eventstore.ErrClosed))
	<-l.grown
	l.readers.close()
	ended := time.After(closePatience)
	for _, p := range l.producers {
		if p.end(); !p.hopeless.Load() && !p.ended(ended) {
			return fmt.Errorf("close topic %s: a producer did not end in %s", l.topic, closePatience)
		}
	}
	return nil
}

// definite reports whether the records certainly do not stand in the log: they never left this process, or a broker
// refused them for what they are. A refusal for any other reason may follow a try that succeeded.
func definite(err error) bool {
	return errors.Is(err, sarama.ErrMessageSizeTooLarge) || errors.Is(err, sarama.ErrInvalidTimestamp) || errors.Is(err, sarama.ErrInvalidPartition) ||
		configuration(err)
}
