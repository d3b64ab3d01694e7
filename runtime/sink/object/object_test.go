package object_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"deed/eventstore/blob"
	"deed/integration/s3test"
	"deed/runtime/sink/object"
	"deed/runtime/sink/sinktest"
	"deed/runtime/worker"
)

// faulty is a bucket that fails in the ways of the suite.
type faulty struct {
	object.Bucket
	way sinktest.Way
}

var errPlanted = errors.New("planted")

func (f *faulty) WriteIfAbsent(ctx context.Context, key string, data []byte) (bool, error) {
	switch f.way {
	case sinktest.Failing:
		return false, errPlanted
	case sinktest.Slow:
		<-ctx.Done()
		return false, context.Cause(ctx)
	case sinktest.FailsAfter:
		if _, err := f.Bucket.WriteIfAbsent(ctx, key, data); err != nil {
			return false, err
		}
		return false, errPlanted
	default:
		return f.Bucket.WriteIfAbsent(ctx, key, data)
	}
}

// world is a sink over the bucket "told" of a store.
func world(t *testing.T, store *blob.Store) sinktest.World {
	t.Helper()
	bucket, err := store.Objects("told")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(bucket.Close(), store.Close()); err != nil {
			t.Error(err)
		}
	})
	f := &faulty{Bucket: bucket}
	w := sinktest.World{
		Sink:   &object.Sink{Open: func(string) (object.Bucket, error) { return f, nil }},
		Target: "obs://told/some/where", Recognises: true,
		Held: func(t *testing.T, n worker.Notification) [][]byte {
			b, err := bucket.Read(t.Context(), object.Key("some/where", n.Invocation))
			if errors.Is(err, blob.ErrNotFound) {
				return nil
			}
			if err != nil {
				t.Fatal(err)
			}
			return [][]byte{b}
		},
		Break: map[sinktest.Way]func(*testing.T) func(){},
	}
	for _, way := range []sinktest.Way{sinktest.Failing, sinktest.FailsAfter, sinktest.Slow} {
		w.Break[way] = func(*testing.T) func() {
			f.way = way
			return func() { f.way = "" }
		}
	}
	return w
}

func TestDirectory(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.World {
		store, err := blob.OpenDir(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		return world(t, store)
	})
}

func TestS3(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.World {
		s := s3test.Start(t, "one")
		store, err := blob.Open(t.Context(), s.URL("one"))
		if err != nil {
			t.Fatal(err)
		}
		w := world(t, store)
		w.Break[sinktest.Failing] = func(*testing.T) func() { s.Stop(); return s.Restart }
		w.Break[sinktest.Gone] = func(t *testing.T) func() {
			if err := os.Rename(s.Dir+"/one", s.Dir+"/other"); err != nil {
				t.Fatal(err)
			}
			return func() {
				if err := os.Rename(s.Dir+"/other", s.Dir+"/one"); err != nil {
					t.Error(err)
				}
			}
		}
		return w
	})
}

// TestConflict: what is there and is something else stays, and is not tried again.
func TestConflict(t *testing.T) {
	store, err := blob.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := world(t, store)
	n := sinktest.Notification(1, w.Target)
	other := n
	other.Record = []byte("something else")
	if _, err := w.Sink.Deliver(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	var up *worker.GiveUp
	if _, err := w.Sink.Deliver(t.Context(), n); !errors.As(err, &up) || up.Reason != "conflict" {
		t.Error(err)
	}
	if held := w.Held(t, n); string(held[0]) != "something else" {
		t.Errorf("it was overwritten with %q", held)
	}
}
