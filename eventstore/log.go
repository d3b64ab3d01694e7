package eventstore

import (
	"context"
	"errors"
	"time"
)

// ErrUnknownOutcome marks an append of which nobody knows whether it stands in the log. It is not a failure: whoever
// gets it must fold the log again, never guess.
var ErrUnknownOutcome = errors.New("outcome unknown")

// ErrClosed is returned by a log that was closed.
var ErrClosed = errors.New("log closed")

// Header is one header of a record. The order of headers is kept.
type Header struct{ Key, Value string }

// Message is a record as it stands in the log: bytes, not yet judged or decoded.
// Partition and Offset are set by the log on reading and ignored on appending.
type Message struct {
	Partition int
	Offset    int64
	Time      time.Time // the record's timestamp; the producer's on the embedded broker. Nothing but a search hint rests on it.
	Key       []byte
	Headers   []Header
	Value     []byte
}

// Log is one topic: an ordered, durable, append-only sequence of records per partition.
//
// The three outcomes of an append are done (offset, nil), not done (an error that is not ErrUnknownOutcome) and
// unknown (an error that is ErrUnknownOutcome). A broker gives no compare-and-swap: who may write is judged by the
// fold of what was written (domain/partition), never here.
type Log interface {
	// Partitions is the number of partitions, 1 to 4096.
	Partitions() int

	// Append enqueues records for one partition and returns without waiting. Records of successive calls for the same
	// partition by the same caller land in the order of the calls, gaplessly: when one of them fails, those enqueued
	// behind it must be taken for failed too. done is called exactly once, when all have been acknowledged or any has
	// failed, with the offset of the first of them (-1 if the broker recognised a duplicate and named no offset); it
	// runs on the log's goroutine and must not block. The log owns the slices from the call on.
	Append(partition int, records []Message, done func(offset int64, err error))

	// Follow calls fn with batches of the partition's records in offset order, beginning with the first one at or
	// after from, for ever; it returns when ctx ends, when fn returns an error (that error) or when the log cannot be
	// read on. Transient broker failures are retried inside. fn owns the batch, but must not modify its bytes.
	// Offsets may have gaps; an offset out of range is an error, never a jump.
	Follow(ctx context.Context, partition int, from int64, fn func([]Message) error) error

	// Read returns at least one and at most limit records of the partition, beginning with the one at offset from;
	// none if from is the end.
	Read(ctx context.Context, partition int, from int64, limit int) ([]Message, error)

	// Bounds returns the first offset of the partition and the offset after its last record.
	Bounds(ctx context.Context, partition int) (start, end int64, err error)

	// Close flushes what was enqueued and releases the log.
	Close() error
}

// Membership tells a node which partitions it is to own. It is a hint for balance, not a fence: the log decides.
type Membership interface {
	// Run joins the group and calls assigned(p) when partition p is given to this node and revoked(p) when it is taken
	// away; revoked may block (bounded by the rebalance timeout) while the partition is drained. Both are called
	// serially for one partition. Run returns when ctx ends, after every partition was revoked and the group was left.
	Run(ctx context.Context, assigned, revoked func(partition int)) error
}
