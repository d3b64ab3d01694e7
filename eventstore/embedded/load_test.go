package embedded

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"deed/eventstore"
	"deed/eventstore/kafka"
)

type spot struct {
	partition int
	offset    int64
}

// witness is what clients were told or have read.
type witness struct {
	mu     sync.Mutex
	all    map[spot]string
	enough int           // so many
	done   chan struct{} // closed when there are enough
}

func (w *witness) saw(partition int, offset int64, value string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all[spot{partition, offset}] = value
	if w.done != nil && len(w.all) >= w.enough {
		close(w.done)
		w.done = nil
	}
}

func (w *witness) statement() map[spot]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.all)
}

// verify opens a directory and finds in it all that was stated.
func verify(t *testing.T, dir string, partitions int, stated map[spot]string) []Repair {
	t.Helper()
	b, err := Open(Config{Dir: dir, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	c, err := kafka.Open(t.Context(), kafka.Config{Brokers: []string{b.Addr()}, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	l, err := c.Log("t")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	found := 0
	for p := range partitions {
		for m := range content(t, l, p) {
			if want, ok := stated[spot{p, m.Offset}]; ok {
				found++
				if string(m.Value) != want {
					t.Errorf("%d/%d is %q, and was %q", p, m.Offset, m.Value, want)
				}
			}
		}
	}
	if found != len(stated) {
		t.Errorf("%d of %d records are there; repairs: %+v", found, len(stated), b.Repairs())
	}
	return b.Repairs()
}

// content gives all records of a partition.
func content(t *testing.T, l *kafka.Log, partition int) func(func(eventstore.Message) bool) {
	t.Helper()
	return func(yield func(eventstore.Message) bool) {
		start, end, err := l.Bounds(t.Context(), partition)
		if err != nil {
			t.Fatal(err)
		}
		if start == end {
			return
		}
		enough := errors.New("enough")
		err = l.Follow(t.Context(), partition, start, func(batch []eventstore.Message) error {
			for _, m := range batch {
				if !yield(m) || m.Offset+1 >= end {
					return enough
				}
			}
			return nil
		})
		if !errors.Is(err, enough) {
			t.Error(err)
		}
	}
}

// load appends to and follows all partitions until it is stopped, or the broker fails. Each append has a value of its own.
func load(t *testing.T, b *Broker, partitions int, w *witness, name string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c, err := kafka.Open(ctx, kafka.Config{Brokers: []string{b.Addr()}, Producers: 2, AppendTimeout: time.Second, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.EnsureTopic(ctx, "t", partitions); err != nil {
		t.Fatal(err)
	}
	l, err := c.Log("t")
	if err != nil {
		t.Fatal(err)
	}
	var left sync.WaitGroup
	for p := range partitions {
		left.Go(func() {
			_, end, err := l.Bounds(ctx, p)
			if err != nil {
				return // the broker is gone
			}
			_ = l.Follow(ctx, p, end, func(batch []eventstore.Message) error {
				for _, m := range batch {
					w.saw(p, m.Offset, string(m.Value))
				}
				return nil
			})
		})
	}
	left.Go(func() {
		window := make(chan struct{}, 64)
		for i := 0; ctx.Err() == nil; i++ {
			select {
			case window <- struct{}{}:
			case <-ctx.Done():
				continue
			}
			p, value := i%partitions, fmt.Sprintf("%s-%d-%s", name, i, strings.Repeat("x", i*7919%900))
			l.Append(p, []eventstore.Message{{Key: []byte("k"), Value: []byte(value)}}, func(offset int64, err error) {
				<-window
				if err == nil {
					w.saw(p, offset, value)
				}
			})
		}
	})
	return func() {
		cancel()
		left.Wait()
		_ = l.Close()
		_ = c.Close()
	}
}

// written makes a directory with the records of a broker that was closed, and says what they are. Segments are of so many
// bytes.
func written(t *testing.T, how Durability, partitions, records int, segment string) (string, map[spot]string) {
	t.Helper()
	dir := t.TempDir()
	b, err := Open(Config{Dir: dir, Durability: how, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.cluster.CreateTopic("t", int32(partitions), map[string]string{"segment.bytes": segment}); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil { // made behind the back of the syncer, which learns of it at the next start
		t.Fatal(err)
	}
	if b, err = Open(Config{Dir: dir, Durability: how, Log: quiet}); err != nil {
		t.Fatal(err)
	}
	w, done := wants(records)
	stop := load(t, b, partitions, w, "r")
	<-done
	stop()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, w.statement()
}

// wants is a witness who says when it has seen enough records.
func wants(records int) (*witness, <-chan struct{}) {
	done := make(chan struct{})
	return &witness{all: map[spot]string{}, enough: records, done: done}, done
}
