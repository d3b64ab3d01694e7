package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"deed/domain"
	"deed/domain/partition"
	"deed/eventstore"
)

func (o *Owner) takeOver() {
	o.phase, o.upTo = folding, -1
	o.round++
	o.ctx, o.stop = context.WithCancelCause(context.Background())
	round, ctx := o.round, o.ctx
	go func() {
		for {
			end, committed, err := o.inspect(ctx)
			if errors.Is(err, eventstore.ErrDiverged) {
				o.do(round, func() {
					o.alarm(err.Error())
					o.giveUp("the log does not begin where the group's position says")
				})
				return
			}
			if err == nil {
				o.do(round, func() { o.upTo, o.epoch.committed = end, committed; o.claim() })
				return
			}
			o.log.Warn("state of the partition cannot be read; trying again", "error", err)
			if pause(ctx, retryClaim) != nil {
				return
			}
		}
	}()
}

// inspect is what an owner looks at before it claims: how far the log goes, and whether it is the log that the group has
// committed a position of.
func (o *Owner) inspect(ctx context.Context) (end, committed int64, err error) {
	start, end, err := o.d.Log.Bounds(ctx, o.p)
	if err != nil {
		return 0, 0, err
	}
	at, err := o.d.Place.Committed(ctx, o.p)
	if err != nil {
		return 0, 0, err
	}
	return end, at.Offset, eventstore.CheckPosition(ctx, o.d.Log, o.p, at, start, end)
}

// claim appends the claim once the fold has reached the sampled end. Nothing is done before it is read back: to act on a
// claim that was only acknowledged is to act on a state that is not the last one.
func (o *Owner) claim() {
	if o.phase != folding || o.upTo < 0 || o.fold.Next() < o.upTo {
		return
	}
	o.phase = claimed
	var id domain.UUID
	o.d.Random(id[:])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	o.stamp = domain.Stamp{Epoch: o.fold.Owner().Epoch + 1, Owner: domain.OwnerID(id)}
	marker := domain.PartitionOwned{LogTime: o.fold.LogTime(), Group: o.d.Group, Node: o.d.Node, Protocol: domain.Protocol}
	o.enqueue(domain.Record{ID: domain.OwnerRecordID(o.stamp.Owner, 0), At: o.now(), Stamp: o.stamp, Event: marker}, domain.InvocationID{})
	o.flush()
}

func (o *Owner) seeClaim(j *eventstore.Judged) bool {
	own := j.Record.Stamp.Owner == o.stamp.Owner && o.phase != folding
	switch {
	case own && j.Verdict.Effective():
		a := o.pop(&j.Record)
		o.phase = acting
		o.act(true)
		o.log.Info("partition owned", "epoch", o.stamp.Epoch, "unsettled", o.fold.Unsettled())
		o.epoch = upkeepState{committed: o.epoch.committed, marker: j.Message.Offset, renewed: o.d.Now()}
		if !o.checkClock(j, a) {
			return false
		}
		o.begin()
		o.commit()
		o.tickLater()
	case own: // somebody was faster
		o.restart("the claim was void")
		return false
	case j.Verdict.Effective() && o.phase != folding:
		if m, ok := j.Record.Event.(domain.PartitionOwned); ok && m.Group != o.d.Group {
			// Two groups on one topic would supersede each other for ever: safe, and not live.
			o.foreign = true
			o.giveUp("superseded by another group")
			o.alarm(fmt.Sprintf("node %s of group %q owns partition %d, this node is of group %q: two deployments share the topic; this one stands back until it is restarted", m.Node, m.Group, o.p, o.d.Group))
			return false
		}
		o.restart(fmt.Sprintf("superseded by the claim of epoch %d", j.Record.Stamp.Epoch))
		return false
	}
	return true
}

// begin steps everything that is not settled, once, right after the own claim came into force.
func (o *Owner) begin() {
	var ids []domain.InvocationID // stepping may give the partition up
	o.fold.Entries(func(e *partition.Entry) bool {
		ids = append(ids, e.ID)
		return true
	})
	for _, id := range ids {
		o.step(id)
	}
	o.fold.Refused(func(id domain.InvocationID, offset int64) {
		o.enqueue(o.record(domain.RequestRefused{Offset: offset, Reason: string(partition.TooLate)}, id, domain.UUID{}), domain.InvocationID{})
	})
}

// missed reports whether the reader has come past the offset at which the oldest pending record was acknowledged.
func (o *Owner) missed(offset int64) bool {
	if len(o.pending) == 0 || o.pending[0].index != 0 {
		return false
	}
	acked := o.pending[0].call.offset.Load()
	return acked >= 0 && offset >= acked
}

// restart stops this owner's epoch, for one of the reasons of protocol 6.2, and claims anew after a while: the partition is
// still assigned. What was appended under the old claim counts as far as the log says so.
func (o *Owner) restart(why string) {
	round := o.round
	if o.phase == away {
		return
	}
	waiting := o.drained
	o.drained = nil
	o.giveUp(why)
	if waiting != nil {
		for _, fn := range waiting {
			fn()
		}
		return
	}
	o.phase = folding
	o.upTo = -1
	var jitter [1]byte
	o.d.Random(jitter[:])
	time.AfterFunc(retryClaim+time.Duration(jitter[0])*time.Millisecond, func() { o.reclaim(round + 1) })
}

// reclaim takes the partition over again if it is still assigned: the coordinator says.
func (o *Owner) reclaim(round int) {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	asked := make(chan int, 1)
	if !o.line.Do(func(*partition.Fold) { asked <- o.grants }) {
		return
	}
	var grants int
	select {
	case grants = <-asked:
	case <-ctx.Done(): // the line has ended
		return
	}
	holds, err := o.d.Place.Holds(ctx, o.p)
	o.line.Do(func(*partition.Fold) {
		switch {
		case o.phase != folding || o.round != round || o.upTo >= 0:
		case err != nil:
			o.log.Warn("the group does not say whether the partition is still ours; asking again", "error", err)
			time.AfterFunc(retryClaim, func() { o.reclaim(round) })
		case !holds && grants != o.grants: // it was assigned again after the question
			time.AfterFunc(retryClaim, func() { o.reclaim(round) })
		case !holds:
			o.giveUp("not assigned any more")
		default:
			o.takeOver()
		}
	})
}
