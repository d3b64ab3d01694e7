package worker

import (
	"container/heap"
	"time"

	"deed/domain"
	"deed/domain/partition"
)

// timers is a heap of wake-up times with one clock timer under it: a waiting invocation costs an entry, not a goroutine.
type timers struct {
	heap  wakes
	timer *time.Timer
	next  domain.Instant
}

type wake struct {
	at domain.Instant
	id domain.InvocationID
}

type wakes []wake

func (w wakes) Len() int           { return len(w) }
func (w wakes) Less(i, j int) bool { return w[i].at < w[j].at }
func (w wakes) Swap(i, j int)      { w[i], w[j] = w[j], w[i] }
func (w *wakes) Push(x any)        { *w = append(*w, x.(wake)) } //nolint:forcetypeassert // only this file pushes
func (w *wakes) Pop() any {
	old := *w
	x := old[len(old)-1]
	*w = old[:len(old)-1]
	return x
}

func (t *timers) clear() {
	t.heap = nil
	t.next = 0
	if t.timer != nil {
		t.timer.Stop()
	}
}

// wakeAt steps the invocation again at that time; an earlier or equal one that is set already is enough.
func (o *Owner) wakeAt(id domain.InvocationID, l *live, at domain.Instant) {
	if at == 0 {
		return
	}
	if at = at.Add(-l.ahead); l.wake != 0 && l.wake <= at {
		return
	}
	l.wake = at
	heap.Push(&o.timers.heap, wake{at, id})
	o.arm()
}

func (o *Owner) arm() {
	t := &o.timers
	if len(t.heap) == 0 || t.next != 0 && t.next <= t.heap[0].at {
		return
	}
	t.next = t.heap[0].at
	d := max(t.next.Sub(o.now()), 0)
	round := o.round
	if t.timer != nil {
		t.timer.Stop()
	}
	t.timer = time.AfterFunc(d, func() { o.do(round, o.ring) })
}

func (o *Owner) ring() {
	t := &o.timers
	t.next = 0
	now := o.now()
	for len(t.heap) > 0 && t.heap[0].at <= now {
		w := heap.Pop(&t.heap).(wake) //nolint:forcetypeassert // as above
		if l := o.live[w.id]; l != nil && l.wake == w.at {
			l.wake = 0
			o.step(w.id)
		}
	}
	o.arm()
}

// time is what it is for an invocation: now, or later if its last event is of a clock that was ahead of this node's. From
// there it goes on as fast as this node's: a clock that was wrong for a moment must not hold a retry up for as long as it was
// wrong.
func (o *Owner) time(e *partition.Entry, l *live) domain.Instant {
	now := o.now()
	l.ahead = max(l.ahead, e.At.Sub(now))
	return now.Add(l.ahead)
}
