package worker

import (
	"sync/atomic"
	"time"

	"deed/domain"
	"deed/eventstore"
)

// call is one Append; appended is one record of it.
type call struct {
	at     time.Time
	offset atomic.Int64 // of the first record; -1 until acknowledged or if unknown
}

type appended struct {
	seq   uint64
	id    domain.InvocationID
	call  *call
	index int64
}

func (o *Owner) pop(r *domain.Record) *appended {
	if len(o.pending) == 0 || o.pending[0].seq != r.Stamp.Seq {
		return nil
	}
	a := o.pending[0]
	o.pending = o.pending[1:]
	if l := o.live[a.id]; l != nil {
		l.pending--
	}
	return a
}

// record stamps an event as this owner's next record.
func (o *Owner) record(e domain.Event, id domain.InvocationID, cause domain.UUID) domain.Record {
	o.stamp.Seq++
	return domain.Record{
		ID: domain.OwnerRecordID(o.stamp.Owner, o.stamp.Seq), Type: e.Type(), Subject: id,
		At: max(o.now(), o.fold.LogTime()), Stamp: o.stamp, Causation: cause, Event: e,
	}
}

// enqueue adds a record to what the next flush appends. id is the invocation that must wait for it.
func (o *Owner) enqueue(r domain.Record, id domain.InvocationID) {
	m, err := eventstore.Encode(o.d.Cluster, o.p, &r)
	if err != nil {
		// Sizes are bounded before this point; a record that cannot be written would stop every next owner, too.
		o.log.Error("record cannot be encoded; the partition is given up", "type", r.Type, "invocation", id, "error", err)
		o.restart("a record cannot be encoded")
		return
	}
	if o.outCall == nil {
		o.outCall = &call{at: o.d.Now()}
		o.outCall.offset.Store(-1)
	}
	o.pending = append(o.pending, &appended{seq: r.Stamp.Seq, id: id, call: o.outCall, index: int64(len(o.out))})
	o.out = append(o.out, m)
	if !id.IsZero() {
		o.alive(id).pending++
	}
}

// flush appends everything that was decided since the last one, in one call. If we crash before it nothing was decided;
// if we crash behind it the next owner reads it.
func (o *Owner) flush() {
	if len(o.out) == 0 {
		return
	}
	out, c, round := o.out, o.outCall, o.round
	c.at = o.d.Now()
	o.out, o.outCall = nil, nil
	o.d.Log.Append(o.p, out, func(offset int64, err error) {
		c.offset.Store(offset)
		if err != nil {
			o.do(round, func() { o.restart("append: " + err.Error()) })
		}
	})
}
