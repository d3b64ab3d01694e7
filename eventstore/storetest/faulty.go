package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"deed/eventstore"
)

// ErrInjected is in every error that a Faulty makes up, beside ErrUnknownOutcome where the outcome is to be unknown.
var ErrInjected = errors.New("injected fault")

// Faulty is a log that fails where it is told to, and is the log it wraps everywhere else. Its methods may be called
// concurrently.
//
// Every instruction (Fail, FailAfterPersisting, Lose) is for one append: the next that matches, after which it is
// forgotten. Of several that match, the oldest is taken. A match function gets the records of a call; it must not keep or
// modify them, nor call the log, and runs on the appender's goroutine. A nil one matches any append.
//
// An instruction is about its append alone. A real log that fails one append fails those enqueued behind it too; whoever
// tests that gives an instruction for each.
type Faulty struct {
	eventstore.Log

	order [4096]sync.Mutex // by partition: held while an append gets its turn and is handed on, so that both have one order

	mu      sync.Mutex
	faults  []fault
	turns   map[int][]*turn // by partition, in the order of the appends
	ready   []*turn         // whose done function is to be called
	running bool            // a goroutine calls them
	idle    sync.Cond       // on mu; told when running becomes false
	closed  bool
}

// turn is an append that was not answered yet.
type turn struct {
	done    func(int64, error)
	settled bool
	offset  int64
	err     error
}

type fault struct {
	match   func([]eventstore.Message) bool
	persist bool
	err     error
}

var _ eventstore.Log = (*Faulty)(nil)

// NewFaulty wraps log. Closing it closes the log it wraps; do not close that one directly.
func NewFaulty(log eventstore.Log) *Faulty {
	f := &Faulty{Log: log, turns: map[int][]*turn{}}
	f.idle.L = &f.mu
	return f
}

// Fail makes the next append that matches fail before anything is persisted, with an error that is not
// ErrUnknownOutcome: it certainly does not stand in the log.
func (f *Faulty) Fail(match func([]eventstore.Message) bool) {
	f.add(fault{match: match, err: ErrInjected})
}

// FailAfterPersisting lets the next append that matches stand in the log, and then reports ErrUnknownOutcome: the
// acknowledgement was lost. If the wrapped log fails it, its error is reported.
func (f *Faulty) FailAfterPersisting(match func([]eventstore.Message) bool) {
	f.add(fault{match: match, persist: true, err: fmt.Errorf("%w: %w", eventstore.ErrUnknownOutcome, ErrInjected)})
}

// Lose reports ErrUnknownOutcome for the next append that matches without persisting it: the request was lost.
func (f *Faulty) Lose(match func([]eventstore.Message) bool) {
	f.add(fault{match: match, err: fmt.Errorf("%w: %w", eventstore.ErrUnknownOutcome, ErrInjected)})
}

// Pending is the number of instructions that no append has matched yet; a test that ends with any tested nothing.
func (f *Faulty) Pending() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.faults)
}

func (f *Faulty) add(x fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = append(f.faults, x)
}

func (f *Faulty) take(records []eventstore.Message) (fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, x := range f.faults {
		if x.match == nil || x.match(records) {
			f.faults = slices.Delete(f.faults, i, i+1)
			return x, true
		}
	}
	return fault{}, false
}

// Append implements eventstore.Log. All done functions run one after another on a goroutine of the Faulty, those of a
// partition in the order of their appends: a made-up failure does not overtake the acknowledgements before it.
func (f *Faulty) Append(partition int, records []eventstore.Message, done func(offset int64, err error)) {
	if partition < 0 || partition >= len(f.order) {
		f.Log.Append(partition, records, done) // has an error of its own for it
		return
	}
	f.order[partition].Lock()
	defer f.order[partition].Unlock()
	mine := &turn{done: done}
	f.mu.Lock()
	closed := f.closed
	f.turns[partition] = append(f.turns[partition], mine)
	f.mu.Unlock()
	x, ok := fault{}, false
	if !closed {
		x, ok = f.take(records)
	}
	switch {
	case ok && x.persist:
		f.Log.Append(partition, records, func(offset int64, err error) {
			if err == nil {
				offset, err = -1, x.error(partition)
			}
			f.settle(partition, mine, offset, err)
		})
	case ok:
		f.settle(partition, mine, -1, x.error(partition))
	default:
		f.Log.Append(partition, records, func(offset int64, err error) { f.settle(partition, mine, offset, err) })
	}
}

func (x fault) error(partition int) error {
	return fmt.Errorf("append to partition %d: %w", partition, x.err)
}

// settle gives a turn its answer, and answers all that waited for it.
func (f *Faulty) settle(partition int, mine *turn, offset int64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	mine.settled, mine.offset, mine.err = true, offset, err
	for len(f.turns[partition]) > 0 && f.turns[partition][0].settled {
		f.ready = append(f.ready, f.turns[partition][0])
		f.turns[partition] = f.turns[partition][1:]
	}
	if len(f.ready) > 0 && !f.running {
		f.running = true
		go f.run()
	}
}

func (f *Faulty) run() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.ready) > 0 {
		next := f.ready[0]
		f.ready = f.ready[1:]
		f.mu.Unlock()
		next.done(next.offset, next.err)
		f.mu.Lock()
	}
	f.running = false
	f.idle.Broadcast()
}

// Close implements eventstore.Log: it closes the wrapped log and returns when every done function has. Instructions that
// nothing matched stay for Pending to count; appends from then on get the wrapped log's ErrClosed.
func (f *Faulty) Close() error {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	err := f.Log.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.running {
		f.idle.Wait()
	}
	return err
}
