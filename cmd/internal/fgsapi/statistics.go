package fgsapi

import (
	"net/http"
	"time"

	"deed/domain"
	"deed/projections/invocations"
)

// maxPeriod is how many minutes statistics go back.
const maxPeriod = 24 * 60

// bucket is what happened within one minute.
type bucket struct {
	count, failed, rejected, byFunction, bySystem int
	ran, most, least                              time.Duration
	runs                                          int
}

// functionStatistics are a function's figures of the last minutes, a value for each in which something was accepted. They are
// of the invocations that the read model keeps.
func (s *Server) functionStatistics(c *call) error {
	ref, f, err := s.function(c)
	if err != nil {
		return err
	}
	minutes, err := number(c.path["period"], "period", 0, 1, maxPeriod)
	if err != nil {
		return err
	}
	sel := invocations.Selection{Function: f.ID, Since: domain.InstantOf(s.Now().Add(-time.Duration(minutes) * time.Minute)), Sync: true}
	if sel.Versions, err = versionsNamed(ref, f); err != nil {
		return err
	}
	buckets := map[int64]*bucket{}
	var order []int64 // newest first
	older := s.Model.Figures(sel, func(row invocations.Figure) {
		minute := row.At.Time().Truncate(time.Minute).UnixMilli()
		b := buckets[minute]
		if b == nil {
			b = &bucket{}
			buckets[minute] = b
			order = append(order, minute)
		}
		b.add(row)
	})
	series := func(value func(b *bucket) (float64, bool)) []object {
		out := []object{}
		for i := range order {
			minute := order[len(order)-1-i]
			if v, ok := value(buckets[minute]); ok {
				out = append(out, object{"timestamp": minute, "value": v})
			}
		}
		return out
	}
	count := func(of func(b *bucket) int) []object {
		return series(func(b *bucket) (float64, bool) { return float64(of(b)), true })
	}
	ran := func(of func(b *bucket) time.Duration) []object {
		return series(func(b *bucket) (float64, bool) { return millis(of(b)), b.runs > 0 })
	}
	if older {
		c.w.Header().Set(headerOlder, "true")
	}
	return c.reply(http.StatusOK, object{
		"count": count(func(b *bucket) int { return b.count }), "fail_count": count(func(b *bucket) int { return b.failed }),
		"reject_count": count(func(b *bucket) int { return b.rejected }), "function_error_count": count(func(b *bucket) int { return b.byFunction }),
		"system_error_count": count(func(b *bucket) int { return b.bySystem }), "duration": ran(func(b *bucket) time.Duration { return b.ran / time.Duration(b.runs) }),
		"max_duration": ran(func(b *bucket) time.Duration { return b.most }), "min_duration": ran(func(b *bucket) time.Duration { return b.least }),
		"reserved_instance_num": []object{}, "concurrency_num": []object{},
	})
}

func (b *bucket) add(row invocations.Figure) {
	b.count++
	switch row.Outcome {
	case domain.Failed:
		b.failed++
		switch {
		case row.Kind.Platform():
			b.bySystem++
		case row.Kind != domain.FailedCanceled: // that was the caller's doing
			b.byFunction++
		}
	case domain.Discarded:
		b.rejected++
	default:
	}
	if row.Ran > 0 {
		b.runs++
		b.ran += row.Ran
		b.most = max(b.most, row.Ran)
		if b.least == 0 || row.Ran < b.least {
			b.least = row.Ran
		}
	}
}
