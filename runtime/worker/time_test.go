package worker_test

import (
	"testing"
	"time"

	"deed/domain"
	"deed/eventstore/memory"
	"deed/eventstore/storetest"
)

// TestARequestOfAFastClock: an invocation that was accepted, or run, by a clock an hour ahead has its retries after their
// backoff, and not after an hour; its own time never goes back.
func TestARequestOfAFastClock(t *testing.T) {
	e, s := &engine{runs: map[string]int{}, fail: 1}, &sink{told: map[domain.UUID][]string{}}
	w := newOwner(t, storetest.NewFaulty(memory.New(1)), e, s)
	ahead := domain.InstantOf(time.Now().Add(time.Hour))
	i := w.settled(t, w.requestAt(t, ahead, []byte("event")))
	if i.Outcome != domain.Succeeded || i.Started != 2 || i.EndedAt <= ahead || i.EndedAt > ahead.Add(time.Minute) {
		t.Errorf("%+v", i)
	}
}
