package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"deed/eventstore"

	"github.com/IBM/sarama"
)

// Log is one topic. It has producers of its own, so that doors and owners do not wait for one another: each opens a Log.
type Log struct {
	cluster    *Cluster
	topic      string
	partitions int
	producers  []sarama.AsyncProducer
	clients    []sarama.Client
	drained    sync.WaitGroup

	mu     sync.RWMutex // guards closed against appends under way
	closed bool

	readers readers
}

var _ eventstore.Log = (*Log)(nil)

// Log opens a topic that exists.
func (c *Cluster) Log(topic string) (*Log, error) {
	ps, err := c.client.Partitions(topic)
	if err != nil {
		return nil, fmt.Errorf("kafka: open topic %s: %w", topic, err)
	}
	l := &Log{cluster: c, topic: topic, partitions: len(ps)}
	l.readers.log = l
	for range min(c.config.Producers, len(ps)) {
		// A client per producer: producers that share one share its connections, too.
		client, err := sarama.NewClient(c.config.Brokers, c.conf)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("kafka: open topic %s: %w", topic, err), l.Close())
		}
		p, err := sarama.NewAsyncProducerFromClient(client)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("kafka: open topic %s: %w", topic, err), client.Close(), l.Close())
		}
		l.producers, l.clients = append(l.producers, p), append(l.clients, client)
		l.drained.Add(2)
		go l.successes(p)
		go l.failures(p)
	}
	return l, nil
}

// Partitions implements eventstore.Log.
func (l *Log) Partitions() int { return l.partitions }

// appendCall is one Append: its records come back one by one, on two channels.
type appendCall struct {
	mu     sync.Mutex
	left   int
	first  int64
	err    error
	landed bool // some record of the call was acknowledged
	done   func(int64, error)
}

// Append implements eventstore.Log. It blocks while the producer's queue of 4,096 records is full.
func (l *Log) Append(partition int, records []eventstore.Message, done func(int64, error)) {
	if len(records) == 0 {
		done(-1, nil)
		return
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		done(-1, fmt.Errorf("append to %s/%d: %w", l.topic, partition, eventstore.ErrClosed))
		return
	}
	call := &appendCall{left: len(records), first: -1, done: done}
	in := l.producers[partition%len(l.producers)].Input()
	for i := range records {
		r := &records[i]
		headers := make([]sarama.RecordHeader, len(r.Headers))
		for j, h := range r.Headers {
			headers[j] = sarama.RecordHeader{Key: []byte(h.Key), Value: []byte(h.Value)}
		}
		in <- &sarama.ProducerMessage{
			Topic: l.topic, Partition: int32(partition), Timestamp: r.Time, //nolint:gosec // below 4096
			Key: sarama.ByteEncoder(r.Key), Value: sarama.ByteEncoder(r.Value), Headers: headers, Metadata: call,
		}
	}
}

func (l *Log) successes(p sarama.AsyncProducer) {
	defer l.drained.Done()
	for m := range p.Successes() {
		m.Metadata.(*appendCall).back(m.Offset, nil)
	}
}

func (l *Log) failures(p sarama.AsyncProducer) {
	defer l.drained.Done()
	for e := range p.Errors() {
		err := fmt.Errorf("append to %s/%d: %w", l.topic, e.Msg.Partition, e.Err)
		if !definite(e.Err) {
			err = fmt.Errorf("append to %s/%d: %w: %w", l.topic, e.Msg.Partition, eventstore.ErrUnknownOutcome, e.Err)
		}
		e.Msg.Metadata.(*appendCall).back(-1, err)
	}
}

// definite reports whether the record certainly does not stand in the log: it never left this process.
func definite(err error) bool {
	return errors.Is(err, sarama.ErrMessageSizeTooLarge) || errors.Is(err, sarama.ErrInvalidPartition)
}

func (c *appendCall) back(offset int64, err error) {
	c.mu.Lock()
	c.left--
	switch {
	case err != nil && (c.err == nil || errors.Is(err, eventstore.ErrUnknownOutcome)):
		c.err = err
	case err == nil:
		c.landed = true
		if c.first < 0 || offset >= 0 && offset < c.first {
			c.first = offset
		}
	}
	last := c.left == 0
	if last && c.err != nil {
		c.first = -1
		if c.landed && !errors.Is(c.err, eventstore.ErrUnknownOutcome) {
			c.err = fmt.Errorf("%w: a part of the call stands in the log: %w", eventstore.ErrUnknownOutcome, c.err)
		}
	}
	c.mu.Unlock()
	if last {
		c.done(c.first, c.err)
	}
}

// Bounds implements eventstore.Log.
func (l *Log) Bounds(_ context.Context, partition int) (start, end int64, err error) {
	p := int32(partition) //nolint:gosec // below 4096
	if start, err = l.cluster.client.GetOffset(l.topic, p, sarama.OffsetOldest); err == nil {
		end, err = l.cluster.client.GetOffset(l.topic, p, sarama.OffsetNewest)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("bounds of %s/%d: %w", l.topic, partition, err)
	}
	return start, end, nil
}

// Close implements eventstore.Log: it flushes what was enqueued, then every done function has been called.
func (l *Log) Close() error {
	l.mu.Lock()
	closed := l.closed
	l.closed = true
	l.mu.Unlock()
	if closed {
		return nil
	}
	for _, p := range l.producers {
		p.AsyncClose()
	}
	l.drained.Wait()
	l.readers.close()
	var errs []error
	for _, c := range l.clients {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
