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

// ErrNotMember is returned by a membership that does not have the partition, or has it no longer.
var ErrNotMember = errors.New("not a member of the group that has this partition")

// ErrFull is returned for an append that was refused because too much is unanswered already. It certainly does not stand
// in the log.
var ErrFull = errors.New("too many bytes are unanswered")

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
	ByBroker  bool // Time is the broker's, taken when it appended the record
}

// Log is one topic: an ordered, durable, append-only sequence of records per partition.
//
// The three outcomes of an append are done (offset, nil), not done (an error that is not ErrUnknownOutcome) and
// unknown (an error that is ErrUnknownOutcome). A broker gives no compare-and-swap: who may write is judged by the
// fold of what was written (domain/partition), never here.
type Log interface {
	// Partitions is the number of partitions, 1 to 4096, as far as this log has heard. It may grow, never shrink. The
	// other methods take a partition as soon as the topic has it, heard of or not.
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

	// OffsetAt returns the offset of the first record whose time is at or after t; the end if there is none. Times are search
	// hints: they need not rise with offsets.
	OffsetAt(ctx context.Context, partition int, t time.Time) (int64, error)

	// Trim removes the records of the partition before an offset, for everybody and for ever. It never removes the last
	// record; an offset beyond it is an error. Readers begin at markers, so before must be one that was committed.
	Trim(ctx context.Context, partition int, before int64) error

	// Close flushes what was enqueued and releases the log.
	Close() error
}

// Position is how far a group has come in a partition. The log makes nothing of either field.
type Position struct {
	Offset   int64  // 0 or more; -1: nothing was committed
	Metadata string // what whoever committed wants to find again; brokers take 4,096 bytes by default
}

// Membership tells a node which partitions it is to own. It is a hint for balance, not a fence: the log decides.
// Its methods may be called concurrently, also by assigned and revoked; Run by one goroutine at a time.
type Membership interface {
	// Run joins the group and calls assigned(p) when partition p is given to this node and revoked(p) when it is taken
	// away; revoked may block (bounded by the rebalance timeout) while the partition is drained. Both are called
	// serially for one partition. Partitions that the topic gets while it runs are given out, too. Run returns when ctx
	// ends, after every partition was revoked and the group was left.
	Run(ctx context.Context, assigned, revoked func(partition int)) error

	// Committed is what the group last committed for the partition. It need not be a member's call. A group that
	// nothing was heard of for long may have been forgotten by the cluster, and its positions with it: Offset is then -1.
	Committed(ctx context.Context, partition int) (Position, error)

	// Commit records a position, which replaces the last one even if that is greater. It is on record iff the error is
	// nil; after any other than ErrNotMember it may be. ErrNotMember: the partition is not with this membership (it is
	// from the call of assigned to the return of revoked), or the group says that this member is not one of it.
	Commit(ctx context.Context, partition int, p Position) error

	// Holds asks the group whether this membership is still one of it, and reports whether the partition is with it
	// then. The answer may be out of date when it arrives, so it is no fence; an error says that nobody answered.
	Holds(ctx context.Context, partition int) (bool, error)
}

// Unknown reports whether the error of an append leaves open whether it stands in the log.
func Unknown(err error) bool { return errors.Is(err, ErrUnknownOutcome) }
