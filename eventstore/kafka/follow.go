package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"deed/eventstore"

	"github.com/IBM/sarama"
)

const (
	followWait    = 500 * time.Millisecond // a long poll: the broker answers as soon as there is a record
	followBytes   = 4 << 20                // of one response
	firstBackoff  = 20 * time.Millisecond  // doubled with every failure
	lastBackoff   = 100 * time.Millisecond // a broker that comes back is found within this and a dial
	warnAfter     = 5 * time.Second        // then, and every minute, the trouble is logged
	warnEvery     = time.Minute
	followPatient = 30 * time.Second // with a broker that answers but does not have the topic or does not allow it
)

// Follow implements eventstore.Log. One response of the broker, at most 4 MiB unless one record batch is larger, is one
// batch for fn; its records share memory. A leader that is gone is looked for without end. Errors are the cause of ctx,
// that of fn, ErrClosed, and in words: an offset that is not in the log (after asking twice), a topic that is not there
// or not allowed for 30 s, a batch that does not decode.
func (l *Log) Follow(ctx context.Context, partition int, from int64, fn func([]eventstore.Message) error) error {
	ctx, release := l.while(ctx)
	defer release()
	if err := l.check(ctx, partition); err != nil {
		return fmt.Errorf("follow: %w", err)
	}
	f := &fetcher{log: l, partition: int32(partition)} //nolint:gosec // below 4096
	defer f.disconnect()
	var t trouble
	for ctx.Err() == nil {
		err := f.follow(ctx, &from, &t, fn)
		if ctx.Err() != nil {
			break
		}
		if stop, ok := errors.AsType[*stopError](err); ok {
			return stop.err
		}
		f.disconnect()
		if t.hopeless(err) {
			return fmt.Errorf("follow %s/%d at %d: %w", l.topic, partition, from, err)
		}
		if t.warn() {
			l.cluster.config.Log.Warn("the log cannot be read; trying on", "topic", l.topic, "partition", partition, "offset", from, "error", err)
		}
		if wait(ctx, t.backoff) != nil {
			break
		}
		_ = l.cluster.refresh(ctx, l.topic) // if that fails, so will the next connection
	}
	return context.Cause(ctx)
}

// stopError carries the error of the callback past the retries.
type stopError struct{ err error }

func (e *stopError) Error() string { return e.err.Error() }

// follow reads until something fails.
func (f *fetcher) follow(ctx context.Context, from *int64, t *trouble, fn func([]eventstore.Message) error) error {
	if err := f.connect(ctx); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, f.dial.cut)()
	for ctx.Err() == nil {
		got, err := f.fetch(*from, followBytes, followWait)
		if err != nil {
			return err
		}
		*t = trouble{}
		stuck := got.next == *from && got.end > *from
		*from = got.next
		switch {
		case len(got.records) > 0 && ctx.Err() == nil:
			if err := fn(got.records); err != nil {
				return &stopError{err}
			}
		case stuck:
			// The broker has more and sent nothing. Asking at once might go on for ever.
			_ = wait(ctx, firstBackoff)
		}
	}
	return context.Cause(ctx)
}

// trouble is a row of failures.
type trouble struct {
	backoff time.Duration
	since   time.Time
	warned  time.Time
	beyond  int // times that the offset was out of range
	broken  int // times that what was read did not decode
}

// hopeless takes note of a failure and reports whether to give up.
func (t *trouble) hopeless(err error) bool {
	if t.since.IsZero() {
		t.since, t.backoff = time.Now(), firstBackoff
	} else {
		t.backoff = min(2*t.backoff, lastBackoff)
	}
	_, broken := errors.AsType[sarama.PacketDecodingError](err)
	switch {
	case errors.Is(err, errUnreadable), errors.Is(err, eventstore.ErrClosed):
		return true
	case errors.Is(err, sarama.ErrOffsetOutOfRange): // also what a new leader may say that has not caught up with its own log
		t.beyond++
	case broken, errors.Is(err, sarama.ErrInsufficientData):
		t.broken++
	case errors.Is(err, sarama.ErrUnknownTopicOrPartition), errors.Is(err, sarama.ErrTopicAuthorizationFailed), errors.Is(err, sarama.ErrUnsupportedVersion),
		errors.Is(err, sarama.ErrSASLAuthenticationFailed):
		return time.Since(t.since) > followPatient
	}
	return t.beyond > 1 || t.broken > 2
}

// warn reports whether it is time to say that something is wrong.
func (t *trouble) warn() bool {
	now := time.Now()
	if now.Sub(t.since) < warnAfter || now.Sub(t.warned) < warnEvery {
		return false
	}
	t.warned = now
	return true
}
