package door

import (
	"context"
	"errors"
	"fmt"

	"deed/domain"
	"deed/domain/partition"
)

// judge is step 3: it reports whether an id that is too old to be acknowledged any more took effect (true) or never can
// (false), by what the read model has folded and by nothing else. The error is *Undecided if that cannot be said in time.
//
// The log closes the window of an id by its own time, which stands still in a partition where nothing happens: a row of a
// request that was lost would be pending for as long. So the request is appended once more under its id, and no
// acknowledgement of that is believed. It is one more copy, of which 6.9 allows any number: admissible, then the model comes
// to know the id; or too late, then its log time is past the window; and in either case it is a record for which the owner
// renews its marker.
func (c *keyed) judge(ctx context.Context, id domain.InvocationID) (taken bool, err error) {
	patience, cancel := context.WithTimeout(ctx, c.patience())
	defer cancel()
	if taken, settled := c.settled(c.f, id); settled {
		return taken, nil
	}
	row, err := c.Find(patience, id) // the model may be behind
	if err == nil && row.State.Known {
		return true, nil
	}
	if taken, settled := c.settled(c.f, id); settled {
		return taken, nil
	}
	if c.past(id) { // a copy would be too late, and nothing would be learned from it
		return false, &Undecided{c.key, keyPatience, fmt.Errorf("the read model keeps the newest %s invocations of a function, and this one may be older", thousands(c.Model.Keeps()))}
	}
	if err := c.admit(); err != nil {
		return false, err
	}
	now := c.Now()
	_, unwritten := c.submit(patience, c.request(id, now), c.event, c.trace, now)
	if rejection := (*domain.Rejection)(nil); errors.As(unwritten, &rejection) {
		return false, unwritten
	}
	err = c.Model.Until(patience, func() (settled bool) {
		taken, settled = c.settled(c.f, id)
		return settled
	})
	unacknowledged := (*Unacknowledged)(nil)
	switch {
	case err == nil:
		return taken, nil
	case errors.As(unwritten, &unacknowledged):
		err = unacknowledged.Err // without the id, which may be replaced
	case unwritten != nil:
		err = unwritten
	default:
		err = fmt.Errorf("the read model has not come past it: %w", err)
	}
	return false, &Undecided{c.key, keyPatience, err}
}

// settled reports whether the read model has the last word on an id, and which. The order matters: a model that is past the
// window now knows every id that ever took effect in it, whatever it reads later, or has dropped it. Of what it may have
// dropped it has no word: to call that not taken would be to run it twice.
func (d *Door) settled(f domain.FunctionID, id domain.InvocationID) (taken, settled bool) {
	past := d.past(id)
	if row, ok := d.Model.Get(id); ok && row.State.Known {
		return true, true
	}
	return false, past && id.T0() > d.Model.Dropped(f)
}

// past reports whether the read model has read past the window of an id, and all before it.
func (d *Door) past(id domain.InvocationID) bool {
	return d.Model.LogTime(id.Slot()) > id.T0().Add(partition.AdmissionWindow) && !d.Model.Partial(id.Slot())
}
