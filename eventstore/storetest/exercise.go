// Package storetest is what every eventstore.Log must pass (Exercise), and a log that fails on demand (Faulty).
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"deed/eventstore"
)

// patience bounds every wait, so that a log that hangs fails its test with the test's name. Nothing waits for it to pass.
const patience = 60 * time.Second

// bigRecord is the size of the large records in bytes: half of what a broker takes by default, and more than what a
// reader asks for at once.
const bigRecord = 500 << 10

// Exercise holds a log to the contract of eventstore.Log. It calls open once per subtest, for an empty log of at least
// three partitions, and closes that log itself before the cleanups that open registers run; what lies under it (a
// broker, a directory) is open's to clean up. Closing a log twice must do no harm.
//
// It asks nothing that the contract leaves free: an append's offset may be -1, a timestamp may lose what is below a
// millisecond, a nil slice may come back empty and an empty one nil, and records of concurrent callers may mix.
func Exercise(t *testing.T, open func(t *testing.T) eventstore.Log) {
	for _, c := range []struct {
		name string
		test func(*fixture)
	}{
		{"OrderAcrossPartitions", orderAcrossPartitions},
		{"OrderPerCaller", orderPerCaller},
		{"FollowFromMiddle", followFromMiddle},
		{"FollowLive", followLive},
		{"FollowEndsWithContext", followEndsWithContext},
		{"FollowReturnsError", followReturnsError},
		{"FollowOutOfRange", followOutOfRange},
		{"Read", read},
		{"Bounds", bounds},
		{"Bytes", exactBytes},
		{"BigRecords", bigRecords},
		{"CloseFlushes", closeFlushes},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			t.Cleanup(cancel)
			f := &fixture{T: t, ctx: ctx, log: open(t)}
			t.Cleanup(func() { _ = f.log.Close() })
			if n := f.log.Partitions(); n < 3 || n > 4096 {
				t.Fatalf("%d partitions, want 3 to 4096", n)
			}
			c.test(f)
			f.close()
		})
	}
}

// fixture is one log under test and the appends made to it.
type fixture struct {
	*testing.T
	ctx context.Context
	log eventstore.Log

	mu      sync.Mutex
	appends []*call
}

// call is one append; ended is closed when done is called for the first time.
type call struct {
	partition int
	times     int // guarded by fixture.mu
	offset    int64
	err       error
	ended     chan struct{}
}

func (f *fixture) append(partition int, records ...eventstore.Message) *call {
	c := &call{partition: partition, ended: make(chan struct{})}
	f.mu.Lock()
	f.appends = append(f.appends, c)
	f.mu.Unlock()
	f.log.Append(partition, records, func(offset int64, err error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if c.times++; c.times == 1 {
			c.offset, c.err = offset, err
			close(c.ended)
		}
	})
	return c
}

// wait returns when the append was acknowledged; it may be called on any goroutine.
func (f *fixture) wait(c *call) error {
	select {
	case <-c.ended:
		return c.err
	case <-f.ctx.Done():
		return fmt.Errorf("append to %d: done was not called in %s", c.partition, patience)
	}
}

// fill appends n records one by one and returns them as they stand in the log.
func (f *fixture) fill(partition, n int) []eventstore.Message {
	f.Helper()
	var last *call
	for i := range n {
		last = f.append(partition, record(fmt.Sprintf("%d/%d", partition, i)))
	}
	if err := f.wait(last); err != nil {
		f.Fatal(err)
	}
	all, err := f.collect(partition, 0, n)
	if err != nil {
		f.Fatal(err)
	}
	for i, m := range all {
		if want := fmt.Sprintf("%d/%d", partition, i); string(m.Value) != want {
			f.Fatalf("record %d is %q, want %q", i, m.Value, want)
		}
	}
	return all
}

var errEnough = errors.New("enough")

// collect follows until it has n records and checks where they claim to stand. It may be called on any goroutine.
func (f *fixture) collect(partition int, from int64, n int) ([]eventstore.Message, error) {
	var all []eventstore.Message
	err := f.log.Follow(f.ctx, partition, from, func(batch []eventstore.Message) error {
		if len(batch) == 0 {
			return errors.New("an empty batch")
		}
		for _, m := range batch {
			if m.Partition != partition || m.Offset < from {
				return fmt.Errorf("a record of %d/%d, want one of %d at or after %d", m.Partition, m.Offset, partition, from)
			}
			from = m.Offset + 1
		}
		if all = append(all, batch...); len(all) >= n {
			return errEnough
		}
		return nil
	})
	switch {
	case !errors.Is(err, errEnough):
		return nil, fmt.Errorf("follow %d: %w after %d of %d records", partition, err, len(all), n)
	case len(all) > n:
		return nil, fmt.Errorf("follow %d: %d records, only %d were appended", partition, len(all), n)
	}
	return all, nil
}

// readAll reads from an offset to the end, at most limit records at a time. It may be called on any goroutine.
func (f *fixture) readAll(partition int, from int64, limit int) ([]eventstore.Message, error) {
	var all []eventstore.Message
	for {
		batch, err := f.log.Read(f.ctx, partition, from, limit)
		if err != nil {
			return nil, err
		}
		if len(batch) == 0 {
			return all, nil
		}
		if len(batch) > limit {
			return nil, fmt.Errorf("read %d: %d records, the limit is %d", partition, len(batch), limit)
		}
		for _, m := range batch {
			if m.Partition != partition || m.Offset < from {
				return nil, fmt.Errorf("a record of %d/%d, want one of %d at or after %d", m.Partition, m.Offset, partition, from)
			}
			from = m.Offset + 1
		}
		all = append(all, batch...)
	}
}

// close closes the log: then every append has been answered, and once.
func (f *fixture) close() {
	f.Helper()
	if err := f.log.Close(); err != nil {
		f.Error("close:", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, c := range f.appends {
		if c.times != 1 {
			f.Errorf("append %d, to partition %d: done was called %d times", i, c.partition, c.times)
		}
	}
}

// record has a time of whole milliseconds, which every store keeps.
func record(value string) eventstore.Message {
	return eventstore.Message{Time: time.UnixMilli(1_700_000_000_123), Key: []byte("key"), Value: []byte(value)}
}

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

func exactBytes(f *fixture) {
	var every [256]byte
	for i := range every {
		every[i] = byte(i)
	}
	at := time.UnixMilli(1_700_000_000_456)
	want := func() []eventstore.Message { // anew, for the log owns what it is given
		return []eventstore.Message{
			{Time: at, Key: []byte("k"), Value: []byte("v")},
			{Time: at, Key: []byte("empty value"), Value: []byte{}},
			{Time: at, Key: []byte("no value")},
			{Time: at, Key: []byte{}, Value: []byte("empty key")},
			{Time: at, Value: []byte("no key")},
			{Time: at, Key: bytes.Clone(every[:]), Value: bytes.Clone(every[:])},
			{Time: at, Key: []byte{0xff}, Value: []byte{0xc3, 0x28, 0}, Headers: []eventstore.Header{
				{Key: "b", Value: "2"},
				{Key: "a", Value: "1"},
				{Key: "b", Value: "1"},
				{Key: "b", Value: "2"},
				{Key: "empty"},
				{Key: "", Value: "no key"},
				{Key: "every", Value: string(every[:])},
				{Key: "ü", Value: "ü\xff\x00"},
			}},
			{Time: at.Add(-time.Hour), Key: []byte("earlier"), Value: []byte("time need not grow"), Headers: []eventstore.Header{{Key: "x", Value: "y"}}},
		}
	}
	c := f.append(0, want()...)
	if err := f.wait(c); err != nil {
		f.Fatal(err)
	}
	followed, err := f.collect(0, 0, len(want()))
	if err != nil {
		f.Fatal(err)
	}
	if err := sameContent(followed, want()); err != nil {
		f.Error("follow:", err)
	}
	got, err := f.readAll(0, 0, 3)
	if err != nil {
		f.Fatal(err)
	}
	if err := sameContent(got, want()); err != nil {
		f.Error("read:", err)
	}
}

func bigRecords(f *fixture) {
	const n = 6
	want := func() []eventstore.Message {
		noise := rand.NewChaCha8([32]byte{1}) // does not compress
		out := make([]eventstore.Message, n)
		for i := range out {
			out[i] = record("")
			out[i].Value = make([]byte, bigRecord)
			_, _ = noise.Read(out[i].Value)
		}
		return out
	}
	records := want()
	for _, c := range []*call{f.append(0, records[:3:3]...), f.append(0, records[3]), f.append(0, records[4:]...)} {
		if err := f.wait(c); err != nil {
			f.Fatal(err)
		}
	}
	followed, err := f.collect(0, 0, n)
	if err != nil {
		f.Fatal(err)
	}
	if err := sameContent(followed, want()); err != nil {
		f.Error("follow:", err)
	}
	got, err := f.readAll(0, followed[1].Offset, 2)
	if err != nil {
		f.Fatal(err)
	}
	if err := sameContent(got, want()[1:]); err != nil {
		f.Error("read:", err)
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

// same compares records with where they stand.
func same(got, want []eventstore.Message) error {
	if err := sameContent(got, want); err != nil {
		return err
	}
	for i := range got {
		if got[i].Partition != want[i].Partition || got[i].Offset != want[i].Offset {
			return fmt.Errorf("record %d is %d/%d, want %d/%d", i, got[i].Partition, got[i].Offset, want[i].Partition, want[i].Offset)
		}
	}
	return nil
}

// sameContent compares records without where they stand.
func sameContent(got, want []eventstore.Message) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d records, want %d", len(got), len(want))
	}
	for i, g := range got {
		w := want[i]
		switch {
		case !bytes.Equal(g.Key, w.Key):
			return fmt.Errorf("record %d: key %.40q, want %.40q", i, g.Key, w.Key)
		case !bytes.Equal(g.Value, w.Value):
			return fmt.Errorf("record %d: value of %d bytes %.40q, want %d bytes %.40q", i, len(g.Value), g.Value, len(w.Value), w.Value)
		case !g.Time.Truncate(time.Millisecond).Equal(w.Time.Truncate(time.Millisecond)):
			return fmt.Errorf("record %d: time %s, want %s", i, g.Time, w.Time)
		case len(g.Headers) != len(w.Headers):
			return fmt.Errorf("record %d: %d headers, want %d", i, len(g.Headers), len(w.Headers))
		}
		for j := range g.Headers {
			if g.Headers[j] != w.Headers[j] {
				return fmt.Errorf("record %d, header %d: %q, want %q", i, j, g.Headers[j], w.Headers[j])
			}
		}
	}
	return nil
}
