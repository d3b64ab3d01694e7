package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"deed/domain"
	"deed/eventstore"
)

// upkeepState is of one epoch.
type upkeepState struct {
	committed  int64     // what the group has on record; -1 if nothing
	committing bool      // a commit is under way
	marker     int64     // offset of the latest own marker
	renewed    time.Time // when that was written
	renewing   bool      // a renewal is not read back yet
	carrying   bool      // restatements are being made
	oldest     domain.Instant
	clockAt    time.Time // when the clock was last found right
}

// tickLater sets the next look.
func (o *Owner) tickLater() {
	round := o.round
	o.tick = time.AfterFunc(o.up.Tick, func() { o.do(round, o.lookAfter) })
}

// lookAfter does what is due by the clock.
func (o *Owner) lookAfter() {
	if o.phase != acting && o.phase != draining {
		return
	}
	if len(o.pending) > 0 {
		if waited := o.d.Now().Sub(o.pending[0].call.at); !o.pending[0].call.at.IsZero() && waited > o.up.AppendWithin {
			o.restart(fmt.Sprintf("own record %d was appended %s ago and has not come back", o.pending[0].seq, waited.Round(time.Millisecond)))
			return
		}
	}
	if o.phase == acting {
		o.renew()
		o.carry()
	}
	o.tickLater()
}

// renew writes a new marker while there are records since the last one, or something settled that the next one may let
// everybody forget. An idle partition gets none.
func (o *Owner) renew() {
	now := o.d.Now()
	if o.epoch.renewing || now.Sub(o.epoch.renewed) < o.up.Renew || o.fold.Next() == o.epoch.marker+1 && !o.fold.Forgettable() {
		return
	}
	digest, good := o.line.Chain()
	if !good {
		return // cannot be: the own claim began it
	}
	at := o.fold.LogTime()
	// Only an owner whose clock was found right moves log time.
	if o.epoch.clockAt.IsZero() || now.Sub(o.epoch.clockAt) < 2*o.up.Renew+o.up.AppendWithin {
		at = max(at, domain.InstantOf(now))
	}
	o.epoch.renewed, o.epoch.renewing = now, true
	o.enqueue(o.record(domain.PartitionOwned{
		Renewal: true, LogTime: at, Group: o.d.Group, Node: o.d.Node, Protocol: domain.Protocol, Upto: o.fold.Next(), Chain: digest,
	}, domain.InvocationID{}, domain.UUID{}), domain.InvocationID{})
}

// commit puts the highest marker at which the next owner may begin on record. If we crash before it, he folds more.
func (o *Owner) commit() {
	m, ok := o.fold.Committable()
	if !ok || o.epoch.committing || m.Offset <= o.epoch.committed {
		return
	}
	o.point("before commit")
	o.epoch.committing = true
	round, ctx := o.round, o.ctx
	go func() {
		ctx, cancel := context.WithTimeout(ctx, askTimeout)
		defer cancel()
		err := o.d.Place.Commit(ctx, o.p, eventstore.Position{Offset: m.Offset, Metadata: m.ID.String()})
		o.do(round, func() {
			o.epoch.committing = false
			if err == nil {
				o.epoch.committed = m.Offset
				return
			}
			if !errors.Is(err, eventstore.ErrNotMember) { // else the partition is about to be revoked
				o.log.Warn("position not committed; the next marker brings another one", "offset", m.Offset, "error", err)
			}
		})
	}()
}

// checkClock compares this node's clock with the broker's, where the topic's record times are the broker's: the record was
// stamped between its append and now. It reports false when the owner has stopped.
func (o *Owner) checkClock(j *eventstore.Judged, a *appended) bool {
	now := o.d.Now()
	if !j.Message.ByBroker || a == nil || now.Sub(o.epoch.clockAt) < time.Second {
		return true
	}
	// Our clock is ahead if it showed, before the broker took the record, more than the broker's then; behind, if it shows less
	// now. That the record was appended late says neither.
	ahead := a.call.at.Sub(j.Message.Time)
	behind := j.Message.Time.Sub(now)
	if behind > MaxSkew {
		ahead = -behind
	}
	if ahead <= MaxSkew && behind <= MaxSkew {
		o.epoch.clockAt = now
		return true
	}
	o.giveUp("the clock of this node is wrong")
	o.alarm(fmt.Sprintf("the clock of this node is %s ahead of the broker's (negative: behind); allowed are %s", ahead.Round(time.Second), MaxSkew))
	if o.d.Skewed != nil {
		o.d.Skewed(ahead)
	}
	return false
}
