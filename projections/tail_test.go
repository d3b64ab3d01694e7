package projections_test

import (
	"context"
	"errors"
	"testing"

	"deed/domain"
	"deed/domain/partition"
	"deed/eventstore"
	"deed/eventstore/memory"
	"deed/projections"
)

func land(t *testing.T, log *memory.Log, e domain.Event, stamp domain.Stamp) {
	t.Helper()
	write(t, log, domain.Record{ID: domain.OwnerRecordID(stamp.Owner, stamp.Seq), At: 1000, Stamp: stamp, Event: e})
}

// TestTailStopsWhereTheLogDiverges: a renewal that states another digest than what was folded ends the tail, and one that states
// the right one does not. A record of a newer version that must not be skipped ends it, too.
func TestTailStopsWhereTheLogDiverges(t *testing.T) {
	for name, c := range map[string]struct {
		chain domain.Digest
		want  error
	}{"another log": {domain.Digest{1}, eventstore.ErrDiverged}, "a newer protocol": {domain.Digest{}, projections.ErrStopped}} {
		t.Run(name, func(t *testing.T) {
			log := memory.New(1)
			stamp := domain.Stamp{Epoch: 1, Owner: domain.OwnerID{1}}
			claim := domain.PartitionOwned{Protocol: domain.Protocol}
			land(t, log, claim, stamp)
			stamp.Seq++
			if errors.Is(c.want, eventstore.ErrDiverged) {
				land(t, log, domain.PartitionOwned{Renewal: true, Protocol: domain.Protocol, Upto: 1, Chain: c.chain}, stamp)
			} else {
				land(t, log, domain.PartitionOwned{Protocol: domain.Protocol + 1}, domain.Stamp{Epoch: 2, Owner: domain.OwnerID{2}})
			}
			if err := projections.NewTail(log, 0, partition.New()).Run(t.Context()); !errors.Is(err, c.want) {
				t.Errorf("it ends with %v, want %v", err, c.want)
			}
		})
	}
	t.Run("an honest log", func(t *testing.T) {
		log := memory.New(1)
		stamp := domain.Stamp{Epoch: 1, Owner: domain.OwnerID{1}}
		land(t, log, domain.PartitionOwned{Protocol: domain.Protocol}, stamp)
		ms, err := log.Read(t.Context(), 0, 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		var chain eventstore.Chain
		if err := chain.Add(&eventstore.Judged{Message: ms[0], Record: eventstore.Decode(ms[0])}); err != nil {
			t.Fatal(err)
		}
		digest, _ := chain.At()
		stamp.Seq++
		land(t, log, domain.PartitionOwned{Renewal: true, Protocol: domain.Protocol, Upto: 1, Chain: digest}, stamp)
		ctx, cancel := context.WithCancel(t.Context())
		tail := projections.NewTail(log, 0, partition.New(), until{2, cancel})
		if err := tail.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// until ends a tail at an offset.
type until struct {
	end  int64
	stop context.CancelFunc
}

func (u until) Batch(f *partition.Fold, _ []eventstore.Judged) {
	if f.Next() >= u.end {
		u.stop()
	}
}
