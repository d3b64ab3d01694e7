// Package sinktest is what every sink must do, whatever it tells: one suite for all of them.
package sinktest

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"deed/domain"
	"deed/runtime/worker"
)

// World is a sink, and the place behind it.
type World struct {
	Sink   worker.Sink
	Target domain.Target
	// Held is what the place holds of a notification, as often as it holds it.
	Held func(t *testing.T, n worker.Notification) [][]byte
	// Recognises tells whether the place takes no notification twice. Where it does, those who read there tell by the id.
	Recognises bool
	// Told is what a record looks like there; nil if it is the record's own bytes.
	Told func(t *testing.T, n worker.Notification) []byte

	// Break makes the place fail in a way until it is mended. A way that is not there is not told of.
	Break map[Way]func(t *testing.T) (mend func())
}

// Way is how a place fails.
type Way string

// The ways.
const (
	Failing     Way = "failing"              // it says no
	FailsAfter  Way = "failing after effect" // it does what it is asked, and then says no, or nothing
	Slow        Way = "slow"                 // it does not answer
	Credentials Way = "credential wrong"
	Gone        Way = "target gone"
)

// Notification is one that a function's outcome owes; n makes it another one.
func Notification(n byte, target domain.Target) worker.Notification {
	i := domain.Invocation{
		ID: domain.NewInvocationID(1_767_225_600_000, 3, [8]byte{n}), Function: domain.NativeFunction("echo"), Version: "7",
		Outcome: domain.Succeeded, Started: 1, Done: 1, Success: true, EndedAt: 1_767_225_601_000,
	}
	id := domain.NotificationID(i.ID, target, i.Outcome)
	i.Notified = domain.Notification{Owed: true, Sink: target, ID: id}
	record := domain.NotificationRecord(i, []byte(`{"order":17}`), []byte("<shipped> & \x7f\n"))
	return worker.Notification{ID: id, Target: target, Invocation: i, Record: record}
}

// Run holds a sink against what is asked of all. open makes a world, anew for each test.
func Run(t *testing.T, open func(t *testing.T) World) {
	t.Helper()
	t.Run("delivered once", func(t *testing.T) {
		w := open(t)
		n := Notification(1, w.Target)
		if held := w.Held(t, n); len(held) != 0 {
			t.Fatalf("it holds %q before", held)
		}
		where, err := w.Sink.Deliver(t.Context(), n)
		if err != nil || where == "" {
			t.Fatalf("%q, %v", where, err)
		}
		w.holds(t, n, 1)
		if held := w.Held(t, Notification(2, w.Target)); len(held) != 0 {
			t.Errorf("it holds %q of another one", held)
		}
	})
	t.Run("repeated", func(t *testing.T) {
		w := open(t)
		n, other := Notification(1, w.Target), Notification(2, w.Target)
		for _, n := range []worker.Notification{n, other, n, n} {
			if _, err := w.Sink.Deliver(t.Context(), n); err != nil {
				t.Fatal(err)
			}
		}
		w.holds(t, n, 3)
		w.holds(t, other, 1)
	})
	t.Run("another kind of target", func(t *testing.T) {
		w := open(t)
		n := Notification(1, "nobody:knows")
		_, err := w.Sink.Deliver(t.Context(), n)
		if _, up := errors.AsType[*worker.GiveUp](err); !up {
			t.Errorf("%v, which is tried again", err)
		}
	})
	t.Run("given up by its caller", func(t *testing.T) {
		w := open(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		n := Notification(1, w.Target)
		_, _ = w.Sink.Deliver(ctx, n) // it may have been told all the same
		if _, err := w.Sink.Deliver(t.Context(), n); err != nil {
			t.Errorf("the next time: %v", err)
		}
		w.holds(t, n, 2)
	})
	for _, way := range []Way{Failing, FailsAfter, Slow, Credentials, Gone} {
		t.Run(string(way), func(t *testing.T) {
			w := open(t)
			if w.Break[way] == nil {
				t.Skip("this place does not fail so")
			}
			n := Notification(1, w.Target)
			mend := w.Break[way](t)
			ctx, cancel := context.WithCancel(t.Context())
			if way == Slow {
				cancel() // what nobody waits for any more ends
			}
			_, err := w.Sink.Deliver(ctx, n)
			cancel()
			if err == nil {
				t.Error("it says that it was delivered")
			}
			if _, up := errors.AsType[*worker.GiveUp](err); up {
				t.Errorf("it is given up, though it can be mended: %v", err)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error tells a secret: %v", err)
			}
			mend()
			if _, err := w.Sink.Deliver(t.Context(), n); err != nil {
				t.Fatalf("mended: %v", err)
			}
			w.holds(t, n, 2)
		})
	}
}

// holds checks that a place holds the very record, once where it takes none twice, and never more often than it was told.
func (w World) holds(t *testing.T, n worker.Notification, most int) {
	t.Helper()
	want := n.Record
	if w.Told != nil {
		want = w.Told(t, n)
	}
	if w.Recognises {
		most = 1
	}
	held := w.Held(t, n)
	if len(held) < 1 || len(held) > most {
		t.Errorf("it is there %d times; at most %d were told", len(held), most)
	}
	for _, got := range held {
		if !bytes.Equal(got, want) {
			t.Errorf("it holds\n%q, not\n%q", got, want)
		}
	}
}
