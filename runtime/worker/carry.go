package worker

import (
	"context"
	"fmt"
	"slices"

	"deed/domain"
	"deed/domain/partition"
	"deed/eventstore"
)

// maxCarriedInline is the largest payload that a restatement holds itself, in bytes; a larger one moves to the blob store, for
// the record that held it will be trimmed.
const maxCarriedInline = 1 << 10

// readAhead is how many records are read at once when many are restated: they lie close together.
const readAhead = 256

// restated is what a restatement holds besides the state.
type restated struct {
	id      domain.InvocationID
	from    int64
	outcome int64
	owed    int64

	request domain.Payload
	env     []domain.EnvVar
	result  domain.Payload
	record  domain.Payload
	err     error
}

// carry restates what has been open for long, the oldest first, so that the place from which the partition is folded moves
// on however long an invocation waits.
func (o *Owner) carry() {
	limit := o.now().Add(-o.up.CarryAfter)
	if o.epoch.carrying || o.epoch.oldest > limit {
		return
	}
	var old []restated
	oldest := o.now()
	o.fold.Entries(func(e *partition.Entry) bool {
		if e.Settled() || o.fold.Quarantine(e.ID) != "" {
			return true
		}
		oldest = min(oldest, e.FromAt)
		if l := o.live[e.ID]; e.FromAt <= limit && (l == nil || l.pending == 0) {
			old = append(old, restated{id: e.ID, from: e.From, outcome: e.Outcome, owed: e.Owed})
		}
		return true
	})
	o.epoch.oldest = oldest // nothing becomes due before this has aged
	if len(old) == 0 {
		return
	}
	slices.SortFunc(old, func(a, b restated) int { return int(a.from - b.from) })
	old = old[:min(len(old), o.up.CarryRate)]
	o.epoch.carrying = true
	round, ctx := o.round, o.ctx
	go func() {
		r := reader{o: o}
		for i := range old {
			old[i].err = r.restate(ctx, &old[i])
			if ctx.Err() != nil {
				return
			}
		}
		o.do(round, func() { o.carried(old) })
	}()
}

func (o *Owner) carried(old []restated) {
	o.epoch.carrying = false
	failed := 0
	defer func() {
		if failed > 0 { // one word for all of them: a blob store that is down fails many
			o.log.Warn("invocations cannot be restated; trying again", "count", failed)
		}
	}()
	for i := range old {
		c := &old[i]
		e := o.fold.Get(c.id)
		if e == nil || e.From != c.from || e.Outcome != c.outcome || e.Owed != c.owed {
			continue // it moved on; it is looked at again
		}
		if c.err != nil {
			if failed++; failed == 1 {
				o.log.Warn("invocation cannot be restated", "invocation", c.id, "error", c.err)
			}
			continue
		}
		if l := o.alive(c.id); l.pending > 0 {
			continue // a restatement overlaps nothing
		}
		r := o.record(domain.InvocationCarried{State: e.Invocation, Request: c.request, Env: c.env, Result: c.result, Record: c.record}, c.id, e.Last)
		r.At, r.Correlation = max(r.At, e.At), e.Root
		o.enqueue(r, c.id)
		if o.phase != acting {
			return
		}
	}
}

// reader reads records that lie close together with few requests.
type reader struct {
	o     *Owner
	batch []eventstore.Message
}

func (r *reader) at(ctx context.Context, offset int64) (domain.Record, error) {
	find := func() (domain.Record, bool) {
		n, ok := slices.BinarySearchFunc(r.batch, offset, func(m eventstore.Message, at int64) int { return int(m.Offset - at) })
		if !ok {
			return domain.Record{}, false
		}
		return eventstore.Decode(r.batch[n]), true
	}
	if rec, ok := find(); ok {
		return rec, nil
	}
	batch, err := r.o.d.Log.Read(ctx, r.o.p, offset, readAhead)
	if err != nil {
		return domain.Record{}, err
	}
	r.batch = batch
	if rec, ok := find(); ok {
		return rec, nil
	}
	return domain.Record{}, fmt.Errorf("partition %d has no record at offset %d", r.o.p, offset)
}

// restate collects what the restatement must hold, large payloads already in the blob store.
func (r *reader) restate(ctx context.Context, c *restated) error {
	rec, err := r.at(ctx, c.from)
	if err != nil {
		return err
	}
	switch e := rec.Event.(type) {
	case domain.InvocationRequested:
		c.request, c.env = e.Payload, e.Env
	case domain.InvocationCarried:
		c.request, c.env, c.result, c.record = e.Request, e.Env, e.Result, e.Record
	case nil: // a request that cannot be read: it will end as that
	default:
		return fmt.Errorf("offset %d holds %s, which nothing can be rebuilt from", c.from, rec.Type)
	}
	if c.outcome >= 0 && c.outcome != c.from {
		if rec, err = r.at(ctx, c.outcome); err != nil {
			return err
		}
		switch e := rec.Event.(type) {
		case domain.AttemptSucceeded:
			c.result = e.Result
		case domain.AttemptFailed:
			c.result = e.Result
		case domain.InvocationCarried:
			c.result = e.Result
		default:
		}
	}
	if c.owed >= 0 && c.owed != c.from {
		if rec, err = r.at(ctx, c.owed); err != nil {
			return err
		}
		switch e := rec.Event.(type) {
		case domain.NotificationOwed:
			c.record = e.Record
		case domain.InvocationCarried:
			c.record = e.Record
		default:
		}
	}
	for _, p := range []*domain.Payload{&c.request, &c.result, &c.record} {
		if p.Stored || len(p.Inline) <= maxCarriedInline {
			continue
		}
		d, err := r.o.d.Blobs.Put(ctx, p.Inline)
		if err != nil {
			return err
		}
		*p = domain.Payload{Stored: true, Digest: d, Size: int64(len(p.Inline))}
	}
	return nil
}
