package door

import (
	"context"
	"fmt"
	"sync"
	"time"

	"deed/domain"
)

// maxSkew is how far this node's clock may be from the broker's, and behind log time.
const maxSkew = 30 * time.Second

// compareEvery is how often the clock is compared with the broker's.
const compareEvery = time.Minute

// maxStep is how far the wall clock may move against the monotonic one before it is compared anew.
const maxStep = 5 * time.Second

// comparison is when the clock was last found right.
type comparison struct {
	mu    sync.Mutex
	wall  time.Time // as the node's clock showed it, without its monotonic part
	since time.Time // the same moment on the monotonic clock
}

// due reports whether the clock must be compared: for the first time, after a minute, or because it was set meanwhile.
func (c *comparison) due(wall time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	elapsed := time.Since(c.since)
	step := wall.Round(0).Sub(c.wall) - elapsed
	return c.since.IsZero() || elapsed > compareEvery || step.Abs() > maxStep
}

func (c *comparison) right(wall time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall, c.since = wall.Round(0), time.Now()
}

// behind refuses a request that the log may call too late: log time, or the broker's, is ahead of this node's clock.
func (d *Door) behind(slot int, t0 domain.Instant) error {
	ahead := d.Model.LogTime(slot).Sub(t0)
	if d.BrokerTime != nil {
		if at := d.BrokerTime(); !at.IsZero() {
			ahead = max(ahead, domain.InstantOf(at).Sub(t0))
		}
	}
	if ahead <= maxSkew {
		return nil
	}
	return domain.Reject(domain.CodeUnavailable, fmt.Sprintf("the clock of this node is %s behind the log's", ahead.Round(time.Second)), "set the clock, or ask another node")
}

// compareClocks reads an own acknowledged request back when a comparison is due, where record times are the broker's. With a
// clock that is wrong the request must not be answered as accepted: whether it is, the log decides.
func (d *Door) compareClocks(ctx context.Context, p int, offset int64, began time.Time) error {
	if d.Skewed == nil || offset < 0 || !d.clock.due(began) {
		return nil
	}
	m, _, err := d.Record(ctx, p, offset)
	if err != nil {
		return fmt.Errorf("compare the clock with the broker's: %w", err)
	}
	now := d.Now()
	if !m.ByBroker {
		d.clock.right(now) // there is nothing to compare with
		return nil
	}
	ahead := began.Sub(m.Time)
	if behind := m.Time.Sub(now); behind > maxSkew {
		ahead = -behind
	}
	if ahead.Abs() > maxSkew && (ahead > 0 || m.Time.Sub(now) > maxSkew) {
		d.Skewed(ahead)
		return fmt.Errorf("the clock of this node is %s ahead of the broker's (negative: behind)", ahead.Round(time.Second))
	}
	d.clock.right(now)
	return nil
}
