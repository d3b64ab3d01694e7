package domain

import (
	"fmt"
	"time"
)

// Instant is a moment in milliseconds since 1970-01-01 UTC, the resolution of everything in the log. Zero is "never".
type Instant int64

// InstantOf cuts t to milliseconds.
func InstantOf(t time.Time) Instant { return Instant(t.UnixMilli()) }

// Add moves the instant; the duration is cut to milliseconds.
func (i Instant) Add(d time.Duration) Instant { return i + Instant(d.Milliseconds()) }

// Sub is the time from j to i.
func (i Instant) Sub(j Instant) time.Duration { return time.Duration(i-j) * time.Millisecond }

// Time is the instant in UTC.
func (i Instant) Time() time.Time { return time.UnixMilli(int64(i)).UTC() }

// instantLayout is RFC 3339 with exactly three digits of a second.
const instantLayout = "2006-01-02T15:04:05.000Z07:00"

func (i Instant) String() string { return i.Time().Format(instantLayout) }

// Append appends the instant in RFC 3339, UTC, with milliseconds.
func (i Instant) Append(b []byte) []byte { return i.Time().AppendFormat(b, instantLayout) }

// ParseInstant reads RFC 3339; what is finer than a millisecond is cut.
func ParseInstant(s string) (Instant, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a time in RFC 3339 (like 2026-01-31T12:00:00.000Z)", clip(s, 40))
	}
	return InstantOf(t), nil
}
