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

const (
	readBytes    = 64 << 10 // asked for by Read: it wants few records
	readPatience = 30 * time.Second
	maxIdle      = 8 // connections kept for reads
)

// readers are the connections of Read and Bounds, which are rare beside Follow.
type readers struct {
	mu     sync.Mutex // guards the rest
	idle   []*fetcher // oldest first
	closed bool
}

func (r *readers) take(l *Log, partition int32) *fetcher {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, f := range r.idle {
		if f.partition == partition {
			r.idle = append(r.idle[:i], r.idle[i+1:]...)
			return f
		}
	}
	return &fetcher{log: l, partition: partition}
}

func (r *readers) give(f *fetcher) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		f.disconnect()
		return
	}
	if len(r.idle) == maxIdle {
		r.idle[0].disconnect()
		r.idle = append(r.idle[:0], r.idle[1:]...)
	}
	r.idle = append(r.idle, f)
}

func (r *readers) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.idle {
		f.disconnect()
	}
	r.idle, r.closed = nil, true
}

// direct calls ask with a connection to the leader of a partition until it succeeds, ctx ends, there is no hope, or 30 s
// are over.
func (l *Log) direct(ctx context.Context, partition int, ask func(*fetcher) error) error {
	ctx, release := l.while(ctx)
	defer release()
	if err := l.check(ctx, partition); err != nil {
		return err
	}
	f := l.readers.take(l, int32(partition)) //nolint:gosec // below 4096
	var t trouble
	for {
		if ctx.Err() != nil {
			l.readers.give(f)
			return context.Cause(ctx)
		}
		err := f.try(ctx, ask)
		if err == nil {
			l.readers.give(f)
			return nil
		}
		f.disconnect()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case t.hopeless(err) || time.Since(t.since) > readPatience:
			return err
		case wait(ctx, t.backoff) == nil:
			_ = l.cluster.refresh(ctx, l.topic) // if that fails, so will the next connection
		}
	}
}

func (f *fetcher) try(ctx context.Context, ask func(*fetcher) error) error {
	if f.broker == nil {
		if err := f.connect(ctx); err != nil {
			return err
		}
	}
	cut := context.AfterFunc(ctx, f.dial.cut)
	err := ask(f)
	if !cut() && err == nil {
		f.disconnect() // ctx ended in the meantime, and the connection with it
	}
	return err
}

// Read implements eventstore.Log. It tries for 30 s to reach the broker. An offset outside the bounds is an error, and so
// is a limit below one; a closed log is ErrClosed.
func (l *Log) Read(ctx context.Context, partition int, from int64, limit int) (records []eventstore.Message, err error) {
	if limit < 1 {
		return nil, fmt.Errorf("read %s/%d: a limit of %d records", l.topic, partition, limit)
	}
	at := from
	err = l.direct(ctx, partition, func(f *fetcher) error {
		for {
			got, err := f.fetch(at, readBytes, 0)
			if err != nil {
				return err
			}
			if len(got.records) > 0 || got.next >= got.end {
				records = got.records[:min(len(got.records), limit)]
				return nil
			}
			if got.next == at {
				return sarama.ErrIncompleteResponse // there is more, and the broker sent nothing
			}
			at = got.next // nothing but control records, or such that were removed
		}
	})
	if err != nil {
		return nil, fmt.Errorf("read %s/%d at %d: %w", l.topic, partition, from, err)
	}
	return records, nil
}

// Bounds implements eventstore.Log. It tries for 30 s to reach the broker.
func (l *Log) Bounds(ctx context.Context, partition int) (start, end int64, err error) {
	err = l.direct(ctx, partition, func(f *fetcher) error {
		if start, err = f.offset(sarama.OffsetOldest); err == nil {
			end, err = f.offset(sarama.OffsetNewest)
		}
		return err
	})
	if err != nil {
		return 0, 0, fmt.Errorf("bounds of %s/%d: %w", l.topic, partition, err)
	}
	return start, end, nil
}

// OffsetAt implements eventstore.Log, to the millisecond. It tries for 30 s to reach the broker.
func (l *Log) OffsetAt(ctx context.Context, partition int, t time.Time) (offset int64, err error) {
	err = l.direct(ctx, partition, func(f *fetcher) error {
		if offset, err = f.offset(t.UnixMilli()); err == nil && offset < 0 {
			offset, err = f.offset(sarama.OffsetNewest)
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("offset of %s/%d at %s: %w", l.topic, partition, t, err)
	}
	return offset, nil
}

// trimTimeout is how long the brokers may take to agree on a trim.
const trimTimeout = 10 * time.Second

// Trim implements eventstore.Log. It tries for 30 s to reach the broker.
func (l *Log) Trim(ctx context.Context, partition int, before int64) error {
	start, end, err := l.Bounds(ctx, partition)
	if err != nil {
		return err
	}
	if before >= 0 && before <= start {
		return nil // it is gone already
	}
	if before < 0 || before >= end { // a broker would remove all
		return fmt.Errorf("trim %s/%d: offset %d is not one of a record; the last one is at %d", l.topic, partition, before, end-1)
	}
	err = l.direct(ctx, partition, func(f *fetcher) error {
		resp, err := f.broker.DeleteRecords(&sarama.DeleteRecordsRequest{
			Topics:  map[string]*sarama.DeleteRecordsRequestTopic{l.topic: {PartitionOffsets: map[int32]int64{f.partition: before}}},
			Timeout: trimTimeout,
		})
		if err != nil {
			return err
		}
		p := resp.Topics[l.topic]
		if p == nil || p.Partitions[f.partition] == nil {
			return sarama.ErrIncompleteResponse
		}
		if code := p.Partitions[f.partition].Err; !errors.Is(code, sarama.ErrNoError) {
			return code
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("trim %s/%d before %d: %w", l.topic, partition, before, err)
	}
	return nil
}

func (f *fetcher) offset(which int64) (int64, error) {
	req := &sarama.OffsetRequest{Version: 4}
	req.AddBlock(f.log.topic, f.partition, which, 1)
	resp, err := f.broker.GetAvailableOffsets(req)
	if err != nil {
		return 0, err
	}
	block := resp.GetBlock(f.log.topic, f.partition)
	switch {
	case block == nil:
		return 0, sarama.ErrIncompleteResponse
	case !errors.Is(block.Err, sarama.ErrNoError):
		return 0, block.Err
	}
	return block.Offset, nil
}
