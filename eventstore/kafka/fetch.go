package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"deed/eventstore"

	"github.com/IBM/sarama"
)

const (
	fetchWait     = 500 * time.Millisecond // a long poll: the broker answers as soon as there is a record
	fetchMax      = 4 << 20                // bytes of one response; the broker always sends at least one batch
	fetchDirect   = 64 << 10               // bytes asked for by Read: it wants few records
	fetchBackoff  = 20 * time.Millisecond
	fetchPatience = 30 * time.Second // Read gives up then
)

// fetcher reads one partition over a connection of its own. Sarama's consumer hands records over one by one and makes
// every partition of a broker wait for the slowest; here one response is one batch, and nobody waits for anybody.
type fetcher struct {
	log       *Log
	partition int32
	broker    *sarama.Broker
	dialer    *dialer
}

// dialer keeps the connection, so that a long poll can be cut short: Broker.Close would wait for its answer.
type dialer struct {
	net.Dialer
	mu   sync.Mutex
	conn net.Conn
	cut  bool
}

func (d *dialer) Dial(network, addr string) (net.Conn, error) {
	c, err := d.Dialer.Dial(network, addr) //nolint:noctx // Sarama's interface has no context; the dialer has a timeout
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cut {
		return nil, errors.Join(net.ErrClosed, c.Close())
	}
	d.conn = c
	return c, nil
}

func (d *dialer) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cut = true
	if d.conn != nil {
		_ = d.conn.Close()
	}
}

// connect opens a connection to the partition's leader.
func (f *fetcher) connect() error {
	client := f.log.cluster.client
	leader, err := client.Leader(f.log.topic, f.partition)
	if err != nil {
		return err
	}
	conf := *f.log.cluster.conf
	f.dialer = &dialer{Dialer: net.Dialer{Timeout: conf.Net.DialTimeout}}
	conf.Net.Proxy.Enable, conf.Net.Proxy.Dialer = true, f.dialer
	f.broker = sarama.NewBroker(leader.Addr())
	if err := f.broker.Open(&conf); err != nil {
		return err
	}
	_, err = f.broker.Connected()
	return err
}

func (f *fetcher) disconnect() {
	if f.dialer != nil {
		f.dialer.Close()
	}
	if f.broker != nil {
		_ = f.broker.Close()
	}
	f.broker, f.dialer = nil, nil
}

// fetch asks for records from an offset on and returns them with the offset to ask for next. Control batches, which only
// a transactional stranger can have written, are stepped over.
func (f *fetcher) fetch(from int64, maxBytes int32, wait time.Duration) ([]eventstore.Message, int64, error) {
	req := &sarama.FetchRequest{
		Version: 11, MinBytes: 1, MaxBytes: maxBytes, MaxWaitTime: int32(wait.Milliseconds()), //nolint:gosec // half a second
		Isolation: sarama.ReadUncommitted, SessionEpoch: -1,
	}
	req.AddBlock(f.log.topic, f.partition, from, maxBytes, -1)
	resp, err := f.broker.Fetch(req)
	if err != nil {
		return nil, from, err
	}
	block := resp.GetBlock(f.log.topic, f.partition)
	if block == nil {
		return nil, from, sarama.ErrIncompleteResponse
	}
	if block.Err != sarama.ErrNoError {
		return nil, from, block.Err
	}
	count, headers := 0, 0
	for _, set := range block.RecordsSet {
		if set.RecordBatch != nil {
			count += len(set.RecordBatch.Records)
			for _, r := range set.RecordBatch.Records {
				headers += len(r.Headers)
			}
		}
	}
	if count == 0 && len(block.RecordsSet) > 0 && maxBytes < sarama.MaxResponseSize/2 {
		// A batch larger than was asked for, cut short: ask for more. (Kafka sends one batch whole; a broker need not.)
		if set := block.RecordsSet[0]; set.RecordBatch == nil || set.RecordBatch.PartialTrailingRecord {
			return f.fetch(from, maxBytes*4, wait)
		}
	}
	out := make([]eventstore.Message, 0, count)
	room := make([]eventstore.Header, 0, headers)
	next := from
	for _, set := range block.RecordsSet {
		b := set.RecordBatch
		if b == nil || b.PartialTrailingRecord {
			continue
		}
		next = max(next, b.LastOffset()+1)
		if b.Control {
			continue
		}
		for _, r := range b.Records {
			offset := b.FirstOffset + r.OffsetDelta
			if offset < from {
				continue
			}
			at := b.FirstTimestamp.Add(r.TimestampDelta)
			if b.LogAppendTime {
				at = b.MaxTimestamp
			}
			start := len(room)
			for _, h := range r.Headers {
				room = append(room, eventstore.Header{Key: string(h.Key), Value: string(h.Value)})
			}
			out = append(out, eventstore.Message{
				Partition: int(f.partition), Offset: offset, Time: at, Key: r.Key, Value: r.Value, Headers: room[start:len(room):len(room)],
			})
		}
	}
	return out, next, nil
}

// Follow implements eventstore.Log.
func (l *Log) Follow(ctx context.Context, partition int, from int64, fn func([]eventstore.Message) error) error {
	f := &fetcher{log: l, partition: int32(partition)} //nolint:gosec // below 4096
	defer f.disconnect()
	backoff := fetchBackoff
	for ctx.Err() == nil {
		err := f.follow(ctx, &from, fn)
		if ctx.Err() != nil {
			break
		}
		var stop *stopError
		switch {
		case errors.As(err, &stop):
			return stop.err
		case errors.Is(err, sarama.ErrOffsetOutOfRange):
			return fmt.Errorf("follow %s/%d: offset %d is not in the log: %w", l.topic, partition, from, err)
		}
		l.cluster.config.Log.Debug("fetch again", "topic", l.topic, "partition", partition, "offset", from, "error", err)
		f.disconnect()
		if wait(ctx, backoff) != nil {
			break
		}
		backoff = min(2*backoff, 10*fetchBackoff)
		_ = l.cluster.client.RefreshMetadata(l.topic)
	}
	return context.Cause(ctx)
}

// stopError carries the error of the callback past the retries.
type stopError struct{ err error }

func (e *stopError) Error() string { return e.err.Error() }

func (f *fetcher) follow(ctx context.Context, from *int64, fn func([]eventstore.Message) error) error {
	if err := f.connect(); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, f.dialer.Close)()
	for ctx.Err() == nil {
		batch, next, err := f.fetch(*from, fetchMax, fetchWait)
		if err != nil {
			return err
		}
		*from = next
		if len(batch) == 0 {
			continue
		}
		if err := fn(batch); err != nil {
			return &stopError{err}
		}
	}
	return context.Cause(ctx)
}

// readers are the connections of Read, one a partition at a time: reads are rare beside the tail.
type readers struct {
	log  *Log
	mu   sync.Mutex
	idle []*fetcher
}

func (r *readers) take(partition int32) *fetcher {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, f := range r.idle {
		if f.partition == partition {
			r.idle = append(r.idle[:i], r.idle[i+1:]...)
			return f
		}
	}
	return &fetcher{log: r.log, partition: partition}
}

// maxIdle bounds the connections kept for reads.
const maxIdle = 8

func (r *readers) give(f *fetcher) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.idle) >= maxIdle {
		r.idle[0].disconnect()
		r.idle = r.idle[1:]
	}
	r.idle = append(r.idle, f)
}

func (r *readers) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.idle {
		f.disconnect()
	}
	r.idle = nil
}

// Read implements eventstore.Log.
func (l *Log) Read(ctx context.Context, partition int, from int64, limit int) ([]eventstore.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchPatience)
	defer cancel()
	f := l.readers.take(int32(partition)) //nolint:gosec // below 4096
	for {
		var batch []eventstore.Message
		var err error
		if f.broker == nil {
			err = f.connect()
		}
		if err == nil {
			stop := context.AfterFunc(ctx, f.dialer.Close)
			batch, _, err = f.fetch(from, fetchDirect, 0)
			stop()
		}
		if err == nil {
			l.readers.give(f)
			return batch[:min(len(batch), limit)], nil
		}
		f.disconnect()
		if errors.Is(err, sarama.ErrOffsetOutOfRange) || ctx.Err() != nil {
			return nil, fmt.Errorf("read %s/%d at %d: %w", l.topic, partition, from, err)
		}
		if wait(ctx, fetchBackoff) != nil {
			return nil, fmt.Errorf("read %s/%d at %d: %w", l.topic, partition, from, err)
		}
		if !errors.Is(err, io.EOF) {
			_ = l.cluster.client.RefreshMetadata(l.topic)
		}
	}
}
