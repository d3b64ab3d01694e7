package memory

import (
	"errors"
	"testing"

	"deed/eventstore"
)

// TestAppendFromDone chains more appends through done functions than any queue would hold: none may wait for another.
func TestAppendFromDone(t *testing.T) {
	l := New(1)
	const n = 5000
	ended := make(chan struct{})
	var next func(int64, error)
	count := 0
	next = func(offset int64, err error) {
		if err != nil || offset != int64(count) {
			t.Error(offset, err)
		}
		if count++; count == n {
			close(ended)
			return
		}
		if _, end, err := l.Bounds(t.Context(), 0); err != nil || end != int64(count) {
			t.Error(end, err)
		}
		l.Append(0, []eventstore.Message{{}}, next)
	}
	l.Append(0, []eventstore.Message{{}}, next)
	<-ended
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestCloseFlushes: after Close every done function has returned, and the log is of no use.
func TestCloseFlushes(t *testing.T) {
	l := New(2)
	called := 0 // on the log's goroutine; Close orders it before the read below
	for i := range 3000 {
		l.Append(i%2, []eventstore.Message{{}, {}}, func(int64, error) { called++ })
	}
	_ = l.Close()
	if called != 3000 {
		t.Fatalf("%d done functions returned before Close, want 3000", called)
	}
	if err := l.Close(); err != nil {
		t.Fatal("second Close:", err)
	}
	if _, err := l.Read(t.Context(), 0, 0, 1); !errors.Is(err, eventstore.ErrClosed) {
		t.Error("read:", err)
	}
	read := 0
	err := l.Follow(t.Context(), 0, 0, func(b []eventstore.Message) error { read += len(b); return nil })
	if !errors.Is(err, eventstore.ErrClosed) || read != 3000 {
		t.Error("follow:", read, err)
	}
}

// TestNoSuchPartition: a wrong number is an error of the call, never a panic.
func TestNoSuchPartition(t *testing.T) {
	l := New(2)
	defer l.Close()
	for _, p := range []int{-1, 2} {
		got := make(chan error, 1)
		l.Append(p, []eventstore.Message{{}}, func(_ int64, err error) { got <- err })
		if err := <-got; err == nil || errors.Is(err, eventstore.ErrUnknownOutcome) {
			t.Error("append:", err)
		}
		if err := l.Follow(t.Context(), p, 0, nil); err == nil {
			t.Error("followed")
		}
		if _, err := l.Read(t.Context(), p, 0, 1); err == nil {
			t.Error("read")
		}
		if _, _, err := l.Bounds(t.Context(), p); err == nil {
			t.Error("bounds")
		}
	}
}
