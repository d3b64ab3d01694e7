// Package poison keeps in sight what nobody could read: records that do not decode, and invocations that were set aside
// because folding them failed. They are counted and listed, and never block anything.
package poison

import (
	"log/slog"
	"slices"
	"strings"
	"sync"

	"deed/domain"
	"deed/domain/partition"
	"deed/eventstore"
)

// Record is one of them.
type Record struct {
	Topic     string
	Partition int
	Offset    int64
	Type      string
	Subject   string // of the invocation; "" if that cannot be read either
	Reason    partition.Reason
	Problem   string
}

// maxKept is how many are listed, the newest; all are counted and logged.
const maxKept = 10_000

// List is what could not be read of a topic. It is safe for concurrent use.
type List struct {
	topic string
	log   *slog.Logger

	mu    sync.Mutex // guards the rest
	kept  []Record
	count int64
}

// New is an empty list of that topic.
func New(topic string, log *slog.Logger) *List { return &List{topic: topic, log: log} }

// Batch implements projections.Subscriber.
func (l *List) Batch(f *partition.Fold, batch []eventstore.Judged) {
	for i := range batch {
		j := &batch[i]
		unread := j.Record.Event == nil
		if !unread && j.Verdict.Reason != partition.Quarantined {
			continue
		}
		r := Record{Topic: l.topic, Partition: j.Message.Partition, Offset: j.Message.Offset, Type: j.Record.Type, Reason: j.Verdict.Reason, Problem: j.Record.Problem}
		if unread && r.Reason == partition.Effective {
			r.Reason = partition.Undecodable // it opened its invocation, which will fail
		}
		if !j.Record.Subject.IsZero() {
			r.Subject = j.Record.Subject.String()
		}
		if f != nil && r.Problem == "" {
			r.Problem = f.Quarantine(j.Record.Subject)
		}
		l.add(r)
	}
}

// Note adds a record of another topic that does not decode.
func (l *List) Note(topic string, m eventstore.Message, r domain.Record) {
	l.add(Record{Topic: topic, Partition: m.Partition, Offset: m.Offset, Type: r.Type, Reason: partition.Undecodable, Problem: r.Problem})
}

func (l *List) add(r Record) {
	l.log.Warn("a record cannot be read", "topic", r.Topic, "partition", r.Partition, "offset", r.Offset, "type", r.Type, "reason", r.Reason, "problem", r.Problem)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count++
	if len(l.kept) == maxKept {
		l.kept = append(l.kept[:0], l.kept[maxKept/2:]...)
	}
	l.kept = append(l.kept, r)
}

// Records are those kept, by partition and offset.
func (l *List) Records() []Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := slices.Clone(l.kept)
	slices.SortFunc(out, func(a, b Record) int {
		if a.Topic != b.Topic {
			return strings.Compare(a.Topic, b.Topic)
		}
		if a.Partition != b.Partition {
			return a.Partition - b.Partition
		}
		return int(a.Offset - b.Offset)
	})
	return out
}

// Count is how many there were.
func (l *List) Count() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}
