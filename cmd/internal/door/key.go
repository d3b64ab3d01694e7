package door

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"deed/domain"
	"deed/eventstore/keys"
)

// Keys remembers idempotency keys (eventstore/keys): rows that are unique by project and key, durable when a call returns.
type Keys interface {
	Get(ctx context.Context, project, key string, now domain.Instant) (keys.Row, bool, error)
	Claim(ctx context.Context, project, key string, id domain.InvocationID, fingerprint domain.Digest, now domain.Instant) (keys.Row, error)
	Replace(ctx context.Context, project, key string, old, fresh domain.InvocationID) (keys.Row, error)
	Accept(ctx context.Context, project, key string, id domain.InvocationID) error
}

// MaxKey is the length of the longest idempotency key, in bytes.
const MaxKey = 255

// CheckKey refuses what is not an idempotency key: 1 to 255 printable ASCII characters.
func CheckKey(key string) error {
	ok := len(key) >= 1 && len(key) <= MaxKey
	for _, c := range []byte(key) {
		ok = ok && c >= ' ' && c <= '~'
	}
	if !ok {
		return domain.Reject(domain.CodeInvalid, fmt.Sprintf("the idempotency key is not 1 to %d printable ASCII characters", MaxKey), "a random UUID makes a good key")
	}
	return nil
}

// fingerprint tells requests apart: it is of the function, whatever its version, and of the event's bytes.
func fingerprint(f domain.FunctionID, event []byte) domain.Digest {
	sum := domain.DigestOf(event)
	return sha256.Sum256(fmt.Appendf(nil, "invoke\x00%s\x00%s", f, sum))
}

// Undecided says that an earlier call with the key got no answer, and that it cannot be said yet what became of it. Nothing
// was decided: the same call may be made again.
type Undecided struct {
	Key   string
	After time.Duration // when it is worth it
	Err   error
}

func (u *Undecided) Error() string {
	return fmt.Sprintf("what became of the first call with this key is not known yet: %v", u.Err)
}
func (u *Undecided) Unwrap() error { return u.Err }

// keyPatience bounds how long a call waits to learn what became of an earlier one, and is when to come back.
const keyPatience = 10 * time.Second

func (d *Door) patience() time.Duration {
	if d.keyWait > 0 {
		return d.keyWait
	}
	return keyPatience
}

// keyTries bounds how often a call begins again because another door was faster; each time that one got on.
const keyTries = 16

// InvokeKey is Invoke for a call with an idempotency key: however often it is made, at whichever door on the same Keys,
// while a row lives it makes one invocation (protocol 6.9). Besides Invoke's errors there is *Undecided. A rejection may be
// of this call alone: then nothing was written by it.
//
// The row is durable before anything is appended. If we crash behind it the next call finds it pending, and what it does
// then is what a second door would do now.
func (d *Door) InvokeKey(ctx context.Context, f domain.FunctionID, key string, event []byte, trace string) (Accepted, error) {
	if err := CheckKey(key); err != nil {
		return Accepted{}, err
	}
	if d.Keys == nil {
		return Accepted{}, domain.Reject(domain.CodeInvalid, "Idempotency-Key is not supported on a cluster yet: its nodes share no database of keys", "leave it out; a repeated call makes a second invocation")
	}
	if len(event) > domain.MaxPayload {
		return Accepted{}, TooLarge("the event", len(event))
	}
	c := &keyed{Door: d, f: f, key: key, event: event, trace: trace, print: fingerprint(f, event)}
	defer func() { d.inFlight.Add(-c.counted) }()
	row, known, err := d.Keys.Get(ctx, f.Project, key, domain.InstantOf(d.Now()))
	for range keyTries {
		if err != nil {
			return Accepted{}, err
		}
		now := domain.InstantOf(d.Now())
		switch {
		case !known:
			row, err = c.claim(ctx)
			known = true
		case row.Fingerprint != c.print:
			return Accepted{}, domain.Reject(domain.CodeConflict, "the idempotency key was used for another request: another function or another event", "a key names one request for 24 hours; take a new one for this")
		case row.Accepted:
			return Accepted{ID: row.ID, Replayed: true}, nil
		case row.ID.T0().Sub(now) > maxSkew:
			return Accepted{}, domain.Reject(domain.CodeUnavailable, fmt.Sprintf("the first call with this key was made at %s, which is later than this node's clock", row.ID.T0()), "set the clock")
		case now.Sub(row.ID.T0()) <= AckWithin:
			return c.write(ctx, row.ID)
		default:
			var taken bool
			if taken, err = c.judge(ctx, row.ID); err == nil && taken {
				c.accept(ctx, row.ID)
				return Accepted{ID: row.ID, Replayed: true}, nil
			}
			if err == nil {
				row, err = c.replace(ctx, row.ID)
				known = !row.ID.IsZero()
			}
		}
	}
	return Accepted{}, &Undecided{key, keyPatience, errors.New("other calls with it are being answered")}
}

// keyed is one call with a key.
type keyed struct {
	*Door
	f       domain.FunctionID
	key     string
	event   []byte
	trace   string
	print   domain.Digest
	req     domain.InvocationRequested // pinned, once admitted
	counted int64                      // 1 once it counts among those in flight
}

// admit makes the checks of every request, once. A call that is refused by them has claimed nothing: its key is as free as
// before.
func (c *keyed) admit() error {
	if c.counted > 0 {
		return nil
	}
	req, err := c.pin(Call{Function: c.f})
	if err != nil {
		return err
	}
	c.inFlight.Add(1)
	if err := c.admits(); err != nil {
		c.inFlight.Add(-1)
		return err
	}
	c.req, c.counted = req, 1
	c.req.Key = c.key
	return nil
}

// claim is step 1: the row that stands, this call's or a faster one's.
func (c *keyed) claim(ctx context.Context) (keys.Row, error) {
	if err := c.admit(); err != nil {
		return keys.Row{}, err
	}
	id, began, err := c.identify(c.Slots())
	if err != nil {
		return keys.Row{}, err
	}
	return c.Keys.Claim(ctx, c.f.Project, c.key, id, c.print, domain.InstantOf(began))
}

// write is step 2: the request under the row's id, which is this call's or an earlier one's. Copies of it fold away.
func (c *keyed) write(ctx context.Context, id domain.InvocationID) (Accepted, error) {
	err := c.admit()
	if err == nil {
		err = c.behind(id.Slot(), id.T0())
	}
	if err != nil {
		// What an earlier call wrote may have taken effect all the same.
		if row, found := c.Find(ctx, id); found == nil && row.State.Known {
			c.accept(ctx, id)
			return Accepted{ID: id, Replayed: true}, nil
		}
		return Accepted{}, err
	}
	now := c.Now()
	began := now.Add(-max(0, domain.InstantOf(now).Sub(id.T0()))) // both its clocks are set back to the acceptance
	a, err := c.submit(ctx, c.request(id, now), c.event, c.trace, began)
	if err == nil {
		c.accept(ctx, id)
	}
	return a, err
}

// request is the call's under that id. Its validity counts from this call: it is now that somebody wants it done.
func (c *keyed) request(id domain.InvocationID, now time.Time) domain.InvocationRequested {
	req := c.req
	req.ID = id
	req.Deadline = domain.InstantOf(now).Add(req.Policy.Age())
	return req
}

// accept marks the row. If we crash before, or it fails, the row stays pending and the next call asks the log; so its
// failure is no reason to take back an answer that the log has given.
func (c *keyed) accept(ctx context.Context, id domain.InvocationID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keyPatience)
	defer cancel()
	_ = c.Keys.Accept(ctx, c.f.Project, c.key, id)
}

// replace is the end of step 3: another id, in the same partition, for a row whose id can never take effect.
func (c *keyed) replace(ctx context.Context, old domain.InvocationID) (keys.Row, error) {
	if err := c.admit(); err != nil {
		return keys.Row{}, err
	}
	id, _, err := c.identify(old.Slot())
	if err != nil {
		return keys.Row{}, err
	}
	return c.Keys.Replace(ctx, c.f.Project, c.key, old, id)
}
