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
func Backfill(ctx context.Context, log eventstore.Log, p int, fold *partition.Fold, until int64, fn func([]eventstore.Judged)) error {
	if fold.Next() >= until {
		return nil
	}
	err := log.Follow(ctx, p, fold.Next(), func(ms []eventstore.Message) error {
		batch := make([]eventstore.Judged, 0, len(ms))
		for _, m := range ms {
			if m.Offset >= until {
				break
			}
			j := eventstore.Judged{Message: m, Record: eventstore.DecodeLean(m)}
			if j.Verdict = fold.Apply(m.Offset, &j.Record); j.Verdict.Stop() {
				return fmt.Errorf("partition %d, offset %d: %s (%s): %w", p, m.Offset, j.Record.Type, j.Verdict.Reason, ErrStopped)
			}
			if e := fold.Touched(); e != nil {
				j.After = e.Invocation
			}
			j.Message.Value, j.Message.Key, j.Message.Headers = nil, nil, nil
			batch = append(batch, j)
		}
		fn(batch)
		if ms[len(ms)-1].Offset >= until-1 {
			return errReached
		}
		return nil
	})
	if errors.Is(err, errReached) {
		return nil
	}
	return err
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
