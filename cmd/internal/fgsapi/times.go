package fgsapi

import (
	"fmt"
	"regexp"
	"time"

	"deed/domain"
)

// The layouts of times in answers, both in UTC and of whole seconds. The clients are particular about them: one reads the times
// of records only without a suffix, and tests those of configurations for one; all drop an offset instead of applying it.
const (
	recordLayout = "2006-01-02T15:04:05"
	zuluLayout   = "2006-01-02T15:04:05Z"
)

// recordTime is the start or end of an invocation in a listing; "" is never.
func recordTime(at domain.Instant) string { return formatTime(at, recordLayout) }

// zuluTime is last_modified of a function, a version or an alias, and created_time and last_modified of an async-invoke-config;
// "" is never.
func zuluTime(at domain.Instant) string { return formatTime(at, zuluLayout) }

func formatTime(at domain.Instant, layout string) string {
	if at == 0 {
		return ""
	}
	return at.Time().Format(layout)
}

// queryTime is stricter than time.Parse, which takes an hour of one digit and a comma before the fraction.
var queryTime = regexp.MustCompile(`^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d(?:\.\d{1,9})?)(Z|[+-]\d\d:\d\d)?$`)

// ParseTime reads the query parameter called name. Without an offset the time is UTC: some clients send the Z and some do not,
// and mean the same. What is finer than a millisecond is cut. Anything else is 400 FSS.1001.
func ParseTime(name, s string) (domain.Instant, error) {
	m := queryTime.FindStringSubmatch(s)
	if m == nil {
		return 0, notTime(name, s)
	}
	zone := m[3]
	if zone == "" {
		zone = "Z"
	}
	t, err := time.Parse(time.RFC3339Nano, m[1]+"T"+m[2]+zone)
	if err != nil {
		return 0, notTime(name, s)
	}
	if y := t.UTC().Year(); y < 1 || y > 9999 { // the offset moved it where four digits do not reach
		return 0, notTime(name, s)
	}
	at := domain.InstantOf(t)
	if at == 0 {
		at = 1 // 1970-01-01 was asked for; zero would be read as no bound. Nothing happened in between
	}
	return at, nil
}

func notTime(name, s string) *Fault {
	return fault("FSS.1001", fmt.Sprintf("%s: %q is not a time. Write it like 2024-05-06T07:08:09 or 2024-05-06T07:08:09Z (both UTC), "+
		"or 2024-05-06T09:08:09+02:00 with + escaped as %%2B", name, short(s, 40)))
}
