package projections

import (
	"context"
	"errors"
	"fmt"

	"deed/domain"
	"deed/domain/partition"
	"deed/eventstore"
)

var errReached = errors.New("the end of the history is reached")

// Backfill folds what lies before a tail's beginning, from where the fold begins up to (not including) the offset until, and
// hands it over judged. It is for read models: an owner needs none of it.
//
// The tail does not know what was open at its beginning and was settled by the time its beginning was chosen: it calls void
// what the log still says of that. So the history goes on until the last of those is settled, or restated: from there on the
// tail knows it. It hands over, in batches of their own, what is about them. All of it is in the log already: a marker is
// committed only once they are settled or restated behind it. What is set aside is not waited for, as the marker does not.
func Backfill(ctx context.Context, log eventstore.Log, p int, fold *partition.Fold, until int64, fn func([]eventstore.Judged)) error {
	if fold.Next() >= until {
		return nil
	}
	var open map[domain.InvocationID]bool // at until, and neither settled nor restated yet; nil before
	err := log.Follow(ctx, p, fold.Next(), func(ms []eventstore.Message) error {
		var batch []eventstore.Judged
		for _, m := range ms {
			if m.Offset >= until && open == nil {
				fn(batch)
				if batch, open = nil, stillOpen(fold); len(open) == 0 {
					return errReached
				}
			}
			j := eventstore.Judged{Message: m, Record: eventstore.DecodeLean(m)}
			if j.Verdict = fold.Apply(m.Offset, &j.Record); j.Verdict.Stop() {
				return fmt.Errorf("partition %d, offset %d: %s (%s): %w", p, m.Offset, j.Record.Type, j.Verdict.Reason, ErrStopped)
			}
			if e := fold.Touched(); e != nil {
				j.After = e.Invocation
			}
			j.Message.Value, j.Message.Key = nil, nil
			if j.Record.Event != nil { // of what cannot be decoded the headers are all that tells anything
				j.Message.Headers = nil
			}
			if open == nil || about(&j, open) {
				batch = append(batch, j)
			}
			if open != nil && (!stillTold(fold, j.Record.Subject) || j.Record.Type == "InvocationCarried" && j.Verdict.Effective()) {
				delete(open, j.Record.Subject)
			}
			if parent := parentOf(&j); open[parent] && !stillTold(fold, parent) {
				delete(open, parent)
			}
			if open != nil && len(open) == 0 {
				fn(batch)
				return errReached
			}
		}
		if fn(batch); ms[len(ms)-1].Offset == until-1 {
			if open = stillOpen(fold); len(open) == 0 {
				return errReached
			}
		}
		return nil
	})
	if errors.Is(err, errReached) {
		return nil
	}
	return err
}

func stillOpen(fold *partition.Fold) map[domain.InvocationID]bool {
	open := map[domain.InvocationID]bool{}
	fold.Entries(func(e *partition.Entry) bool {
		if stillTold(fold, e.ID) {
			open[e.ID] = true
		}
		return true
	})
	return open
}

// stillTold reports whether more about an invocation may come that counts.
func stillTold(fold *partition.Fold, id domain.InvocationID) bool {
	e := fold.Get(id)
	return e != nil && !e.Settled() && fold.Quarantine(id) == ""
}

// about reports whether a record says something of one of those: it may be the request of a child that one of them told.
func about(j *eventstore.Judged, ids map[domain.InvocationID]bool) bool {
	return ids[j.Record.Subject] || ids[parentOf(j)]
}

func parentOf(j *eventstore.Judged) domain.InvocationID {
	if req, ok := j.Record.Event.(domain.InvocationRequested); ok {
		return req.Parent
	}
	return domain.InvocationID{}
}

// FirstMarker is the first marker at or after an offset: where a reader begins when the log's beginning was trimmed away. The
// log is trimmed to markers only, so it is the first record; ErrDiverged says that it is not.
func FirstMarker(ctx context.Context, log eventstore.Log, p int, start int64) (*partition.Fold, error) {
	if start == 0 {
		return partition.New(), nil
	}
	ms, err := log.Read(ctx, p, start, 1)
	if err != nil {
		return nil, err
	}
	if len(ms) == 1 {
		if _, ok := eventstore.Decode(ms[0]).Event.(domain.PartitionOwned); ok {
			return partition.At(ms[0].Offset), nil
		}
	}
	return nil, fmt.Errorf("%w: partition %d begins at offset %d, which is not a marker: it was cut by something else than Deed", eventstore.ErrDiverged, p, start)
}
