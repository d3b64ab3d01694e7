package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"deed/domain"
	"deed/domain/partition"
	"deed/eventstore"
)

type phase int

const (
	away     phase = iota // not assigned to this node, or on the way out
	folding               // reading up to the end of the log as it was when the partition was assigned
	claimed               // the claim is appended and not read back
	acting                // the own claim is in force
	draining              // acting, but nothing new is begun
)

// Owner acts on one partition, on the goroutine of its Line. It decides on folded state only, and one decision at a time
// per invocation: while an own append for it is not read back, nothing else is decided for it.
type Owner struct {
	d    *Deps
	p    int
	line Line
	log  *slog.Logger
	up   Upkeep

	// All below is owned by the line's goroutine.
	fold    *partition.Fold
	phase   phase
	round   int // counts claims; what comes back from an earlier round is dropped
	stamp   domain.Stamp
	upTo    int64 // folding: the sampled end of the log
	ctx     context.Context
	stop    context.CancelCauseFunc
	live    map[domain.InvocationID]*live
	held    int
	pending []*appended // own records that are not read back, in order
	out     []eventstore.Message
	outCall *call
	timers  timers
	drained []func()
	tick    *time.Timer
	epoch   upkeepState
	grants  int  // how often the partition was assigned
	foreign bool // another group claimed this partition: it is not claimed again

	acts atomic.Bool // mirrors phase for doors, which prefer partitions that their node owns
}

// live is what an owner knows of an invocation besides the log: what is under way.
type live struct {
	pending    int                 // own records enqueued and not read back
	request    *eventstore.Message // the request's record, while it is held
	kept       *prepared           // what a run needs of it, in memory of its own, while it waits
	ticket     *Ticket             // place in Runs; nil if none is wanted
	granted    bool
	preparing  bool
	prepared   *prepared
	running    context.CancelCauseFunc // of the attempt that runs
	ended      bool                    // the attempt ended and its outcome is on its way
	writing    bool                    // the notification's record is being made
	tell       *Ticket                 // place in Tells
	telling    bool
	ahead      time.Duration  // of this node's clock is the invocation's
	wake       domain.Instant // the timer that is set, by this node's clock; 0 if none
	unprepared int            // how often preparation failed
	retryAt    domain.Instant // not before: after a failed preparation
	then       []func()       // what waits until the pending records are read back
}

type prepared struct {
	seed  [16]byte
	at    domain.Instant
	env   []domain.EnvVar
	event []byte
}

// NewOwner is an owner that does nothing until the partition is assigned.
func NewOwner(d *Deps, p int, line Line) *Owner {
	return &Owner{d: d, p: p, line: line, log: d.Logger.With("partition", p), live: map[domain.InvocationID]*live{}, up: d.Upkeep.filled()}
}

// Acting reports whether the partition is owned by this node now. It may be called from anywhere.
func (o *Owner) Acting() bool { return o.acts.Load() }

// Assign begins to take the partition over: fold to the end of the log, claim, act once the claim was read back.
func (o *Owner) Assign() {
	o.line.Do(func(f *partition.Fold) {
		o.grants++
		if o.phase == away && !o.foreign {
			o.fold = f
			o.takeOver()
		}
	})
}

// Revoke drains: nothing is begun any more, running attempts may end until ctx does. It returns when the partition is
// given up.
func (o *Owner) Revoke(ctx context.Context) {
	done := make(chan struct{})
	ok := o.line.Do(func(*partition.Fold) {
		if o.phase != acting {
			o.giveUp("revoked")
			close(done)
			return
		}
		o.phase = draining
		o.act(false)
		o.drained = append(o.drained, func() { close(done) })
		for _, l := range o.live {
			if !l.granted && l.ticket != nil {
				o.leaveRuns(l)
			}
		}
		o.settleDrain()
	})
	if !ok {
		return
	}
	select {
	case <-done:
	case <-ctx.Done():
		gone := make(chan struct{})
		if o.line.Do(func(*partition.Fold) { o.giveUp("revoked before it was drained"); close(gone) }) {
			<-gone
		}
	}
}

func (o *Owner) now() domain.Instant { return domain.InstantOf(o.d.Now()) }

func (o *Owner) alarm(what string) {
	o.log.Error("alarm", "what", what)
	if o.d.Alarm != nil {
		o.d.Alarm(o.p, what)
	}
}

// point is a labelled point of an invocation's life.
func (o *Owner) point(label string) {
	if o.d.Point != nil {
		o.d.Point(label)
	}
}

// do runs fn on the line unless the round has ended meanwhile, and then sends what fn decided.
func (o *Owner) do(round int, fn func()) {
	o.line.Do(func(*partition.Fold) {
		if round == o.round {
			fn()
			o.flush()
			o.settleDrain()
		}
	})
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// Batch implements projections.Subscriber.
func (o *Owner) Batch(f *partition.Fold, batch []eventstore.Judged) {
	if o.phase == away {
		return
	}
	o.fold = f
	for i := range batch {
		if o.phase == away || !o.see(&batch[i]) {
			break
		}
	}
	if o.phase == folding {
		o.claim()
	}
	o.flush()
	o.settleDrain()
}

// see looks at one judged record. It reports false when the owner has stopped.
func (o *Owner) see(j *eventstore.Judged) bool {
	r := &j.Record
	if m, ok := r.Event.(domain.PartitionOwned); ok && !m.Renewal {
		return o.seeClaim(j)
	}
	if o.phase != acting && o.phase != draining {
		return true
	}
	if o.d.Seen != nil {
		o.d.Seen(j)
	}
	if r.Stamp == (domain.Stamp{Epoch: o.stamp.Epoch, Owner: o.stamp.Owner, Seq: r.Stamp.Seq}) {
		if !o.seeOwn(j) {
			return false
		}
	} else if o.missed(j.Message.Offset) {
		o.restart(fmt.Sprintf("an own record was acknowledged at offset %d, and another one stands there", o.pending[0].call.offset.Load()))
		o.alarm(fmt.Sprintf("%v: an acknowledged record is gone", eventstore.ErrDiverged))
		return false
	} else if j.Verdict.Reason == partition.TooLate {
		o.enqueue(o.record(domain.RequestRefused{Offset: j.Message.Offset, Reason: string(partition.TooLate)}, r.Subject, r.ID), domain.InvocationID{})
	}
	if !j.Verdict.Effective() {
		return true
	}
	if req, ok := r.Event.(domain.InvocationRequested); ok {
		o.point("after request read")
		o.hold(req.ID, &j.Message)
		if !req.Parent.IsZero() {
			o.step(req.Parent)
		}
	}
	o.step(r.Subject)
	return true
}

// seeOwn matches an own record that came back. It must be the next one, effective, and where it was acknowledged;
// anything else says that the log is not what this owner thought: it stops.
func (o *Owner) seeOwn(j *eventstore.Judged) bool {
	if j.Verdict.Reason == partition.Duplicate {
		return true // a copy of one that was read back before
	}
	a := o.pop(&j.Record)
	switch {
	case a == nil:
		o.restart(fmt.Sprintf("own record %d came back unexpected at offset %d", j.Record.Stamp.Seq, j.Message.Offset))
		return false
	case j.Record.Type == "AttemptStarted" && j.Verdict.Reason == partition.Reason(domain.MisfitCanceled):
		// A cancel landed first: the start is void, and the invocation is discarded.
		if l := o.live[a.id]; l != nil {
			o.leaveRuns(l)
		}
		o.step(a.id)
	case !j.Verdict.Effective():
		o.restart(fmt.Sprintf("own %s (record %d) came back %s", j.Record.Type, a.seq, j.Verdict))
		return false
	case a.index == 0 && a.call.offset.Load() >= 0 && a.call.offset.Load() != j.Message.Offset:
		o.restart(fmt.Sprintf("own %s (record %d) came back at offset %d, and was acknowledged at %d", j.Record.Type, a.seq, j.Message.Offset, a.call.offset.Load()))
		return false
	}
	if !o.checkClock(j, a) {
		return false
	}
	switch j.Record.Type {
	case "AttemptSucceeded", "AttemptFailed":
		o.point("after outcome")
	case "NotificationDelivered":
		o.point("after receipt")
	}
	if m, ok := j.Record.Event.(domain.PartitionOwned); ok && m.Renewal {
		o.epoch.marker, o.epoch.renewing = j.Message.Offset, false
		o.commit()
	}
	return true
}

var errGivenUp = errors.New("the partition was given up")

// act takes note of whether the owner acts, and passes it on.
func (o *Owner) act(now bool) {
	if o.acts.Swap(now) != now && o.d.Acts != nil {
		o.d.Acts()
	}
}

// giveUp ends the epoch: no new appends, running guests stopped, timers dropped.
func (o *Owner) giveUp(why string) {
	if o.phase == away {
		return
	}
	o.log.Info("partition given up", "epoch", o.stamp.Epoch, "why", why)
	o.round++
	o.act(false)
	o.phase = away
	if o.stop != nil {
		o.stop(errGivenUp)
	}
	for _, l := range o.live {
		o.leaveRuns(l)
		if l.tell != nil {
			o.d.Tells.Leave(l.tell)
		}
	}
	o.live = map[domain.InvocationID]*live{}
	o.held = 0
	o.pending, o.out, o.outCall = nil, nil, nil
	o.timers.clear()
	if o.tick != nil {
		o.tick.Stop()
	}
	for _, fn := range o.drained {
		fn()
	}
	o.drained = nil
}

// settleDrain ends a drain when nothing runs and nothing is under way.
func (o *Owner) settleDrain() {
	if o.phase != draining || len(o.pending) > 0 || len(o.out) > 0 {
		return
	}
	for _, l := range o.live {
		if l.running != nil || l.preparing || l.writing || l.telling {
			return
		}
	}
	o.giveUp("drained")
}
