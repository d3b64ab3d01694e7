// Package memory is the log as it would be if disks never failed: the reference implementation, and what unit tests use.
package memory

import (
	"context"
	"fmt"
	"sync"

	"deed/eventstore"
)

// Log is a topic in memory.
type Log struct {
	mu     sync.Mutex
	parts  [][]eventstore.Message
	more   chan struct{} // closed and replaced with every append
	closed bool
	acks   chan func()
	idle   chan struct{}
}

var _ eventstore.Log = (*Log)(nil)

// New is an empty log of that many partitions.
func New(partitions int) *Log {
	l := &Log{parts: make([][]eventstore.Message, partitions), more: make(chan struct{}), acks: make(chan func(), 1024), idle: make(chan struct{})}
	go func() {
		defer close(l.idle)
		for ack := range l.acks {
			ack()
		}
	}()
	return l
}

// Partitions implements eventstore.Log.
func (l *Log) Partitions() int { return len(l.parts) }

// Append implements eventstore.Log.
func (l *Log) Append(p int, records []eventstore.Message, done func(int64, error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		go done(-1, fmt.Errorf("append to %d: %w", p, eventstore.ErrClosed))
		return
	}
	first := int64(len(l.parts[p]))
	for i, r := range records {
		r.Partition, r.Offset = p, first+int64(i)
		l.parts[p] = append(l.parts[p], r)
	}
	close(l.more)
	l.more = make(chan struct{})
	l.acks <- func() { done(first, nil) }
}

// Follow implements eventstore.Log.
func (l *Log) Follow(ctx context.Context, p int, from int64, fn func([]eventstore.Message) error) error {
	for {
		l.mu.Lock()
		more := l.more
		if from < 0 || from > int64(len(l.parts[p])) {
			l.mu.Unlock()
			return fmt.Errorf("follow %d: offset %d is not in the log", p, from)
		}
		batch := append([]eventstore.Message(nil), l.parts[p][from:]...)
		l.mu.Unlock()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if len(batch) > 0 {
			from += int64(len(batch))
			if err := fn(batch); err != nil {
				return err
			}
			continue
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-more:
		}
	}
}

// Read implements eventstore.Log.
func (l *Log) Read(_ context.Context, p int, from int64, limit int) ([]eventstore.Message, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.parts[p]
	if from < 0 || from > int64(len(all)) {
		return nil, fmt.Errorf("read %d: offset %d is not in the log", p, from)
	}
	return append([]eventstore.Message(nil), all[from:min(from+int64(limit), int64(len(all)))]...), nil
}

// Bounds implements eventstore.Log.
func (l *Log) Bounds(_ context.Context, p int) (start, end int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return 0, int64(len(l.parts[p])), nil
}

// Close implements eventstore.Log.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.mu.Unlock()
	close(l.acks)
	<-l.idle
	return nil
}
