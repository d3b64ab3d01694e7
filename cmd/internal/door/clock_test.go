package door

import (
	"context"
	"errors"
	"testing"
	"time"

	"deed/domain"
	"deed/eventstore"
)

// stamped is a log whose record times are the broker's, whose clock is off from the node's.
type stamped struct {
	eventstore.Log
	now func() time.Time
}

func (s stamped) Read(ctx context.Context, p int, from int64, limit int) ([]eventstore.Message, error) {
	ms, err := s.Log.Read(ctx, p, from, limit)
	for i := range ms {
		ms[i].ByBroker, ms[i].Time = true, s.now()
	}
	return ms, err
}

// TestWrongClockAcceptsNothing: a door compares its clock with the broker's before the first request is answered, and again when
// the clock was set meanwhile; with one that is wrong no request is answered as accepted.
func TestWrongClockAcceptsNothing(t *testing.T) {
	w := newWorld(t)
	d := w.door(t)
	broker := w.clock
	d.Log = stamped{w.log, func() time.Time { return broker() }}
	var said time.Duration
	d.Skewed = func(ahead time.Duration) { said = ahead }
	invoke := func() error {
		_, err := d.Invoke(t.Context(), echo, []byte("x"), "")
		return err
	}
	if err := invoke(); err != nil || said != 0 {
		t.Fatalf("with the right clock: %v, %s", err, said)
	}
	for _, jump := range []time.Duration{time.Hour, -time.Hour} {
		right := w.now.Load()
		broker = func() time.Time { return time.Unix(0, right).UTC() }
		w.pass(jump)
		err := invoke()
		var unacknowledged *Unacknowledged
		var rejection *domain.Rejection
		if !errors.As(err, &unacknowledged) && !errors.As(err, &rejection) {
			t.Errorf("a clock that jumped by %s: answered %v", jump, err)
		}
		if said == 0 && rejection == nil {
			t.Errorf("a clock that jumped by %s is not told of", jump)
		}
		w.now.Store(right)
		said, broker = 0, w.clock
		if err := invoke(); err != nil {
			t.Errorf("with the right clock again: %v", err)
		}
	}
	d.BrokerTime = func() time.Time { return w.clock().Add(time.Hour) }
	var rejection *domain.Rejection
	if err := invoke(); !errors.As(err, &rejection) || rejection.Code != domain.CodeUnavailable {
		t.Errorf("the broker is an hour ahead of this node: %v", err)
	}
}
