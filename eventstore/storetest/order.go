package storetest

import (
	"errors"
	"fmt"
	"sync"

	"deed/eventstore"
)

// orderAcrossPartitions: a caller on each of three partitions, none waiting for anything, and a follower beside each.
func orderAcrossPartitions(f *fixture) {
	const calls = 300
	var wg sync.WaitGroup
	for p := range 3 {
		followed := make(chan []eventstore.Message, 1)
		total := 0
		for i := range calls {
			total += 1 + i%3
		}
		wg.Go(func() {
			all, err := f.collect(p, 0, total)
			if err != nil {
				f.Error(err)
			}
			followed <- all
		})
		wg.Go(func() {
			var made []*call
			var firsts []int // index of the first record of each call
			n := 0
			for i := range calls {
				var records []eventstore.Message
				firsts = append(firsts, n)
				for range 1 + i%3 {
					records = append(records, record(fmt.Sprintf("%d/%d", p, n)))
					n++
				}
				made = append(made, f.append(p, records...))
			}
			all := <-followed
			if len(all) != total {
				return
			}
			for i, m := range all {
				if want := fmt.Sprintf("%d/%d", p, i); string(m.Value) != want {
					f.Errorf("partition %d: record %d is %q, want %q", p, i, m.Value, want)
					return
				}
			}
			for i, c := range made {
				if err := f.wait(c); err != nil {
					f.Error(err)
				} else if at := all[firsts[i]].Offset; c.offset != -1 && c.offset != at {
					f.Errorf("partition %d: append %d returned offset %d, its first record is read at %d", p, i, c.offset, at)
				}
			}
			for _, limit := range []int{7, 1000} {
				again, err := f.readAll(p, 0, limit)
				if err != nil {
					f.Error(err)
				} else if err := same(again, all); err != nil {
					f.Errorf("partition %d: read is not what was followed: %v", p, err)
				}
			}
		})
	}
	wg.Wait()
}

// orderPerCaller: callers share a partition; the order of each one's calls is kept.
func orderPerCaller(f *fixture) {
	const callers, calls = 4, 100
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			var last *call
			for i := range calls {
				last = f.append(1, eventstore.Message{Key: []byte{byte(c)}, Value: fmt.Append(nil, i)})
			}
			if err := f.wait(last); err != nil {
				f.Error(err)
			}
		})
	}
	wg.Wait()
	all, err := f.collect(1, 0, callers*calls)
	if err != nil {
		f.Fatal(err)
	}
	var next [callers]int
	for _, m := range all {
		if len(m.Key) != 1 || int(m.Key[0]) >= callers {
			f.Fatalf("a record with key %x", m.Key)
		}
		c := m.Key[0]
		if string(m.Value) != fmt.Sprint(next[c]) {
			f.Fatalf("caller %d: %s at offset %d, want %d", c, m.Value, m.Offset, next[c])
		}
		next[c]++
	}
}

func closeFlushes(f *fixture) {
	for i := range 300 {
		f.append(i%3, record(fmt.Sprint(i)))
	}
	f.close()
	f.mu.Lock()
	for i, c := range f.appends {
		if c.err != nil {
			f.Errorf("append %d, before close: %v", i, c.err)
		}
	}
	f.mu.Unlock()
	for p := range 3 {
		if err := f.wait(f.append(p, record("late"))); !errors.Is(err, eventstore.ErrClosed) || errors.Is(err, eventstore.ErrUnknownOutcome) {
			f.Errorf("append after close: %v, want ErrClosed", err)
		}
	}
}
