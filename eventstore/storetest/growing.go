package storetest

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"deed/eventstore"
)

// growingLog: a topic that gets partitions while it is written to and read loses and mixes up nothing, and the new ones
// are like the old ones, whether or not the log has heard of them when they are asked for.
func growingLog(f *fixture) {
	const calls = 200
	before := f.log.Partitions()
	if err := f.wait(f.append(before, record("too early"))); err == nil || errors.Is(err, eventstore.ErrUnknownOutcome) {
		f.Errorf("append to a partition that is not there: %v, want a definite error", err)
	}
	if _, err := f.log.Read(f.ctx, before, 0, 1); err == nil {
		f.Error("a partition was read that is not there")
	}
	after := before + 5
	var wg sync.WaitGroup
	fill := func(p int) {
		wg.Go(func() {
			var last *call
			for i := range calls {
				last = f.append(p, record(fmt.Sprintf("%d/%d", p, i)))
			}
			if err := f.wait(last); err != nil {
				f.Error(err)
			}
		})
		wg.Go(func() {
			all, err := f.collect(p, 0, calls)
			if err != nil {
				f.Error(err)
				return
			}
			for i, m := range all {
				if want := fmt.Sprintf("%d/%d", p, i); string(m.Value) != want {
					f.Errorf("partition %d: record %d is %q, want %q", p, i, m.Value, want)
					return
				}
			}
		})
	}
	for p := range before {
		fill(p)
	}
	f.grow(after)
	for p := before; p < after; p++ {
		fill(p) // at once: the log has to find out
	}
	wg.Wait()
	for p := range after {
		if _, end, err := f.log.Bounds(f.ctx, p); err != nil || end < calls {
			f.Errorf("partition %d ends at %d, %v, want %d or more", p, end, err, calls)
		}
	}
	if n := f.log.Partitions(); n != after {
		f.Errorf("%d partitions, want %d", n, after)
	}
	f.grow(after + 1) // nobody asks for it
	for tick := time.NewTicker(time.Millisecond); f.log.Partitions() != after+1; {
		select {
		case <-tick.C:
		case <-f.ctx.Done():
			f.Fatalf("%d partitions after %s, want %d", f.log.Partitions(), patience, after+1)
		}
	}
}
