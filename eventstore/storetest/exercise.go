// Package storetest is what every eventstore.Log must pass (Exercise), and a log that fails on demand (Faulty).
package storetest

import (
	"context"
	"errors"
	"fmt"
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
// grow is called with a log that open returned, and gives its topic more partitions: so many in all.
//
// It asks nothing that the contract leaves free: an append's offset may be -1, a timestamp may lose what is below a
// millisecond, a nil slice may come back empty and an empty one nil, and records of concurrent callers may mix.
func Exercise(t *testing.T, open func(t *testing.T) eventstore.Log, grow func(log eventstore.Log, partitions int) error) {
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
		{"OffsetAt", offsetAt},
		{"Trim", trim},
		{"Markers", markers},
		{"DecodersAreTotal", decodersAreTotal},
		{"CloseFlushes", closeFlushes},
		{"GrowingTopic", growingLog},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			t.Cleanup(cancel)
			f := &fixture{T: t, ctx: ctx, log: open(t)}
			f.grow = func(partitions int) {
				if err := grow(f.log, partitions); err != nil {
					t.Fatalf("grow to %d partitions: %v", partitions, err)
				}
			}
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

	grow func(partitions int)

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
