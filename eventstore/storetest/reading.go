package storetest

import (
	"context"
	"errors"
	"fmt"

	"deed/eventstore"
)

func followFromMiddle(f *fixture) {
	all := f.fill(2, 50)
	for _, i := range []int{1, 25, 49} {
		got, err := f.collect(2, all[i].Offset, len(all)-i)
		if err != nil {
			f.Error(err)
		} else if err := same(got, all[i:]); err != nil {
			f.Errorf("from record %d: %v", i, err)
		}
	}
}

// followLive: what is appended while a follower waits at the end reaches it, and what is appended elsewhere does not.
func followLive(f *fixture) {
	f.fill(0, 10)
	_, end, err := f.log.Bounds(f.ctx, 0)
	if err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithCancel(f.ctx)
	defer cancel()
	got := make(chan eventstore.Message)
	ended := make(chan error, 1)
	go func() {
		ended <- f.log.Follow(ctx, 0, end, func(batch []eventstore.Message) error {
			for _, m := range batch {
				select {
				case got <- m:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return nil
		})
	}()
	for i := range 20 {
		other := f.append(1, record("elsewhere"))
		mine := f.append(0, record(fmt.Sprint(i)))
		select {
		case m := <-got:
			if string(m.Value) != fmt.Sprint(i) || m.Partition != 0 {
				f.Fatalf("got %q of partition %d, want %d", m.Value, m.Partition, i)
			}
			if err := f.wait(mine); err != nil || mine.offset != -1 && mine.offset != m.Offset {
				f.Fatalf("append said %d, %v; followed at %d", mine.offset, err, m.Offset)
			}
		case err := <-ended:
			f.Fatal("follow ended:", err)
		case <-f.ctx.Done():
			f.Fatalf("record %d did not come", i)
		}
		if err := f.wait(other); err != nil {
			f.Fatal(err)
		}
	}
}

func followEndsWithContext(f *fixture) {
	f.fill(0, 3)
	ctx, cancel := context.WithCancel(f.ctx)
	ended := make(chan error, 1)
	seen := make(chan struct{})
	n := 0
	go func() {
		ended <- f.log.Follow(ctx, 0, 0, func(batch []eventstore.Message) error {
			if n += len(batch); n == 3 {
				close(seen)
			}
			return nil
		})
	}()
	select {
	case <-seen: // it waits for more, or is about to
	case err := <-ended:
		f.Fatal("follow ended by itself:", err)
	case <-f.ctx.Done():
		f.Fatal("nothing came")
	}
	cancel()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			f.Errorf("follow returned %v, want that the context was cancelled", err)
		}
	case <-f.ctx.Done():
		f.Fatal("follow outlives its context")
	}
	err := f.log.Follow(ctx, 0, 0, func([]eventstore.Message) error { return nil })
	if !errors.Is(err, context.Canceled) {
		f.Errorf("follow with a context that has ended returned %v", err)
	}
}

func followReturnsError(f *fixture) {
	f.fill(0, 3)
	mine := errors.New("mine")
	times := 0
	err := f.log.Follow(f.ctx, 0, 0, func([]eventstore.Message) error { times++; return mine })
	if !errors.Is(err, mine) || times != 1 {
		f.Errorf("follow called fn %d times and returned %v", times, err)
	}
}

func followOutOfRange(f *fixture) {
	f.fill(0, 3)
	_, end, err := f.log.Bounds(f.ctx, 0)
	if err != nil {
		f.Fatal(err)
	}
	err = f.log.Follow(f.ctx, 0, end+10, func(b []eventstore.Message) error {
		return fmt.Errorf("%d records beyond the end", len(b))
	})
	if err == nil || f.ctx.Err() != nil {
		f.Errorf("follow beyond the end: %v", err)
	}
}

func read(f *fixture) {
	_, end, err := f.log.Bounds(f.ctx, 0)
	if err != nil {
		f.Fatal(err)
	}
	if got, err := f.log.Read(f.ctx, 0, end, 10); err != nil || len(got) != 0 {
		f.Errorf("read of an empty partition: %d records, %v", len(got), err)
	}
	all := f.fill(0, 40)
	f.fill(1, 5)
	for _, limit := range []int{1, 3, 40, 1000} {
		for i := range all {
			got, err := f.log.Read(f.ctx, 0, all[i].Offset, limit)
			if err != nil || len(got) < 1 || len(got) > limit {
				f.Fatalf("read at %d, limit %d: %d records, %v", all[i].Offset, limit, len(got), err)
			}
			if len(got) > len(all)-i {
				f.Fatalf("read at %d: %d records, there are %d", all[i].Offset, len(got), len(all)-i)
			}
			if err := same(got, all[i:i+len(got)]); err != nil {
				f.Fatalf("read at %d, limit %d: %v", all[i].Offset, limit, err)
			}
		}
	}
	if _, end, err = f.log.Bounds(f.ctx, 0); err != nil {
		f.Fatal(err)
	}
	if got, err := f.log.Read(f.ctx, 0, end, 10); err != nil || len(got) != 0 {
		f.Errorf("read at the end: %d records, %v", len(got), err)
	}
	if got, err := f.log.Read(f.ctx, 0, end+10, 10); err == nil {
		f.Errorf("read beyond the end: %d records and no error", len(got))
	}
}

func bounds(f *fixture) {
	for p := range 3 {
		if start, end, err := f.log.Bounds(f.ctx, p); err != nil || start != end || start < 0 {
			f.Errorf("empty partition %d: %d to %d, %v", p, start, end, err)
		}
	}
	all := f.fill(1, 12)
	if start, end, err := f.log.Bounds(f.ctx, 1); err != nil || start != all[0].Offset || end != all[11].Offset+1 {
		f.Errorf("partition 1: %d to %d, %v; the records are %d to %d", start, end, err, all[0].Offset, all[11].Offset)
	}
	if start, end, err := f.log.Bounds(f.ctx, 0); err != nil || start != end {
		f.Errorf("partition 0, to which nothing was appended: %d to %d, %v", start, end, err)
	}
}
