// Package memory is the log as it would be if disks and networks never failed: the reference implementation of
// eventstore.Log, and what unit tests use. Nothing survives the process.
package memory

import (
	"context"
	"fmt"
	"sync"
	"time"

	"deed/eventstore"
)

// maxBatch is the most records Follow hands over at once. It bounds how long the partition is locked for a copy, and
// lets a follower far behind notice the end of its context.
const maxBatch = 1024

// Log is a topic in memory. Its methods may be called concurrently.
type Log struct {
	acks acks

	mu     sync.RWMutex  // guards the rest
	parts  []*partition  // only ever appended to
	grown  chan struct{} // closed and replaced by Grow
	closed bool
}

type partition struct {
	mu      sync.Mutex
	start   int64                // offset of the first record
	records []eventstore.Message // the record at offset start+i is records[i]; only ever appended to, and cut at the front
	more    chan struct{}        // closed and replaced with every append, closed for good by Close
	closed  bool
}

var _ eventstore.Log = (*Log)(nil)

// New is an empty log of that many partitions, 1 to 4096; it panics on any other number, for that is a mistake in the
// program and not in its surroundings.
func New(partitions int) *Log {
	if partitions < 1 || partitions > 4096 {
		panic(fmt.Sprintf("memory: a log has 1 to 4096 partitions, not %d", partitions))
	}
	l := &Log{grown: make(chan struct{})}
	l.acks.idle.L = &l.acks.mu
	l.Grow(partitions)
	return l
}

// Grow gives the log more partitions, which are empty: so many in all, up to 4096. It panics on more, and does nothing if
// it has as many already or is closed.
func (l *Log) Grow(partitions int) {
	if partitions > 4096 {
		panic(fmt.Sprintf("memory: a log has at most 4096 partitions, not %d", partitions))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || partitions <= len(l.parts) {
		return
	}
	for len(l.parts) < partitions {
		l.parts = append(l.parts, &partition{more: make(chan struct{})})
	}
	close(l.grown)
	l.grown = make(chan struct{})
}

// Partitions implements eventstore.Log.
func (l *Log) Partitions() int {
	n, _ := l.count()
	return n
}

// count is the number of partitions, and grown is closed when there are more.
func (l *Log) count() (n int, grown <-chan struct{}) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return len(l.parts), l.grown
}

// Append implements eventstore.Log. It never blocks. The outcome is never unknown: the error is ErrClosed or says that
// there is no such partition, and then nothing was appended. An append of no records is done at offset -1.
//
// done functions run one after another on one goroutine that is not the caller's, those of one partition in the order
// of their appends; they may call anything but Close, which waits for them.
func (l *Log) Append(p int, records []eventstore.Message, done func(offset int64, err error)) {
	part, err := l.partition(p)
	if err != nil {
		l.acks.put(func() { done(-1, fmt.Errorf("append: %w", err)) })
		return
	}
	part.mu.Lock()
	defer part.mu.Unlock() // after the put: acknowledgements are queued in the order of offsets
	first := int64(-1)
	switch {
	case part.closed:
		err = fmt.Errorf("append to partition %d: %w", p, eventstore.ErrClosed)
	case len(records) > 0:
		first = part.end()
		for i, r := range records {
			r.Partition, r.Offset = p, first+int64(i)
			part.records = append(part.records, r)
		}
		close(part.more)
		part.more = make(chan struct{})
	}
	l.acks.put(func() { done(first, err) })
}

// Follow implements eventstore.Log; a batch has at most 1,024 records. It returns the context's cause when ctx ends,
// and ErrClosed once the log is closed and everything in it has been handed over.
func (l *Log) Follow(ctx context.Context, p int, from int64, fn func([]eventstore.Message) error) error {
	part, err := l.partition(p)
	if err != nil {
		return fmt.Errorf("follow: %w", err)
	}
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		batch, more, closed, err := part.read(p, from, maxBatch)
		switch {
		case err != nil:
			return fmt.Errorf("follow: %w", err)
		case len(batch) > 0:
			from += int64(len(batch))
			if err := fn(batch); err != nil {
				return err
			}
			continue
		case closed:
			return fmt.Errorf("follow partition %d: %w", p, eventstore.ErrClosed)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-more:
		}
	}
}

// Read implements eventstore.Log: it returns limit records if there are as many. An offset outside the bounds or a limit
// below one is an error, and so is a closed log (ErrClosed).
func (l *Log) Read(ctx context.Context, p int, from int64, limit int) ([]eventstore.Message, error) {
	part, err := l.partition(p)
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if limit < 1 {
		return nil, fmt.Errorf("read partition %d: a limit of %d records", p, limit)
	}
	batch, _, closed, err := part.read(p, from, limit)
	if err == nil && closed {
		err = fmt.Errorf("partition %d: %w", p, eventstore.ErrClosed)
	}
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	return batch, nil
}

// Bounds implements eventstore.Log.
func (l *Log) Bounds(ctx context.Context, p int) (start, end int64, err error) {
	part, err := l.partition(p)
	if err != nil {
		return 0, 0, fmt.Errorf("bounds: %w", err)
	}
	if ctx.Err() != nil {
		return 0, 0, context.Cause(ctx)
	}
	part.mu.Lock()
	defer part.mu.Unlock()
	if part.closed {
		return 0, 0, fmt.Errorf("bounds of partition %d: %w", p, eventstore.ErrClosed)
	}
	return part.start, part.end(), nil
}

// OffsetAt implements eventstore.Log.
func (l *Log) OffsetAt(ctx context.Context, p int, t time.Time) (int64, error) {
	part, err := l.partition(p)
	if err != nil {
		return 0, fmt.Errorf("offset at %s: %w", t, err)
	}
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	part.mu.Lock()
	defer part.mu.Unlock()
	for i := range part.records {
		if !part.records[i].Time.Before(t) {
			return part.start + int64(i), nil
		}
	}
	return part.end(), nil
}

// Trim implements eventstore.Log.
func (l *Log) Trim(ctx context.Context, p int, before int64) error {
	part, err := l.partition(p)
	if err != nil {
		return fmt.Errorf("trim: %w", err)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	part.mu.Lock()
	defer part.mu.Unlock()
	if before < 0 || before >= part.end() {
		return fmt.Errorf("trim partition %d: offset %d is not one of a record (%d to %d)", p, before, part.start, part.end()-1)
	}
	if before > part.start {
		part.records = append([]eventstore.Message(nil), part.records[before-part.start:]...)
		part.start = before
	}
	return nil
}

// Close implements eventstore.Log: when it returns, the done function of every append made before it has returned. It
// may be called again, and must not be called by a done function. It never fails.
func (l *Log) Close() error {
	l.mu.Lock()
	l.closed = true
	for _, part := range l.parts {
		part.mu.Lock()
		if !part.closed {
			part.closed = true
			close(part.more)
		}
		part.mu.Unlock()
	}
	l.mu.Unlock() // done functions may ask the log for things
	l.acks.wait()
	return nil
}

func (l *Log) partition(p int) (*partition, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if p < 0 || p >= len(l.parts) {
		return nil, fmt.Errorf("partition %d is not one of 0 to %d", p, len(l.parts)-1)
	}
	return l.parts[p], nil
}

// end is the offset after the last record.
func (part *partition) end() int64 { return part.start + int64(len(part.records)) }

// read copies at most limit records; more is closed when there is reason to read again.
func (part *partition) read(p int, from int64, limit int) (batch []eventstore.Message, more <-chan struct{}, closed bool, err error) {
	part.mu.Lock()
	defer part.mu.Unlock()
	end := part.end()
	if from < part.start || from > end {
		return nil, nil, part.closed, fmt.Errorf("partition %d: offset %d is not one of %d to %d", p, from, part.start, end)
	}
	at := from - part.start
	batch = append(batch, part.records[at:at+min(int64(limit), end-from)]...)
	return batch, part.more, part.closed, nil
}

// acks calls functions one after another, in order, on a goroutine that lives only while there are some: a log that is
// dropped without being closed leaves nothing behind. The queue has no bound, so that a done function may append.
type acks struct {
	mu      sync.Mutex
	queue   []func()
	running bool
	idle    sync.Cond // on mu; told when running becomes false
}

func (a *acks) put(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.queue = append(a.queue, f)
	if !a.running {
		a.running = true
		go a.run()
	}
}

func (a *acks) run() {
	a.mu.Lock()
	for len(a.queue) > 0 {
		todo := a.queue
		a.queue = nil
		a.mu.Unlock()
		for _, f := range todo {
			f()
		}
		a.mu.Lock()
	}
	a.running = false
	a.idle.Broadcast()
	a.mu.Unlock()
}

// wait returns when every function put before it has returned.
func (a *acks) wait() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.running {
		a.idle.Wait()
	}
}
