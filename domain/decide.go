package domain

import (
	"fmt"
	"time"
)

// Command is what may be asked of an invocation. It carries the time; nothing here reads a clock.
//
//sumtype:decl
type Command interface{ command() }

type (
	// Advance asks what follows from the state at that time: a retry, or the end.
	Advance struct{ At Instant }
	// Begin asks for the next attempt.
	Begin struct {
		At   Instant
		Seed [16]byte
	}
	// Finish reports how the running attempt ended: an AttemptSucceeded or AttemptFailed without its number.
	Finish struct{ Event Event }
	// Throttle asks that a waiting invocation end, because its function may not run at all.
	Throttle struct{ Reason string }
	// Notify asks for the notification that the outcome owes; Record is its bytes, made by NotificationRecord.
	Notify struct{ Record Payload }
)

func (Advance) command()  {}
func (Begin) command()    {}
func (Finish) command()   {}
func (Notify) command()   {}
func (Throttle) command() {}

// NotificationValidity is how long delivery of a notification is tried, from the terminal fact on.
const NotificationValidity = 24 * time.Hour

// Decide returns the events that the command leads to; none if there is nothing to do. A *Rejection says why a command
// that must have an effect cannot have it.
func (i Invocation) Decide(c Command) ([]Event, error) {
	switch c := c.(type) {
	case Advance:
		if e := i.advance(c.At); e != nil {
			return []Event{e}, nil
		}
		return nil, nil
	case Begin:
		return i.must(AttemptStarted{Attempt: i.Started + 1, Seed: c.Seed}, c.At, i.Waits(c.At))
	case Finish:
		switch e := c.Event.(type) {
		case AttemptSucceeded:
			e.Attempt = i.Started
			return i.must(e, i.At, false)
		case AttemptFailed:
			e.Attempt = i.Started
			e.Error, _ = CutText(e.Error, MaxError)
			return i.must(e, i.At, false)
		default:
			return nil, reject(CodeInvalid, fmt.Sprintf("%s does not end an attempt", e.Type()), "")
		}
	case Throttle:
		return i.must(InvocationDiscarded{Attempts: i.Done, Condition: Throttled, Reason: c.Reason}, i.At, false)
	case Notify:
		sink := i.Owes()
		if sink == "" || i.Notified.Owed {
			return nil, nil
		}
		return []Event{NotificationOwed{
			Sink: sink, ID: NotificationID(i.ID, sink, i.Outcome),
			ValidUntil: i.EndedAt.Add(NotificationValidity), Record: c.Record,
		}}, nil
	}
	return nil, nil
}

func (i Invocation) must(e Event, at Instant, early bool) ([]Event, error) {
	if m := first(i.Fit(e, at), when(early, MisfitNotDue)); m != Fits {
		return nil, reject(CodeConflict, fmt.Sprintf("invocation %s: %s does not fit: %s", i.ID, e.Type(), m), "")
	}
	return []Event{e}, nil
}

// Waits reports whether a retry is not yet scheduled or not yet due, so that no attempt may begin.
func (i Invocation) Waits(at Instant) bool {
	return i.Done > 0 && (i.Retry != i.Started+1 || at < i.Due)
}

// Ready reports whether the next attempt may begin now.
func (i Invocation) Ready(at Instant) bool {
	return !i.Waits(at) && i.Fit(AttemptStarted{Attempt: i.Started + 1}, at) == Fits
}

// WakeAt is when, without any event, something may follow from the state as it is at that time: a retry's due time or the
// end of the validity, whichever is still to come. Zero: never, or not by time alone.
func (i Invocation) WakeAt(at Instant) Instant {
	switch {
	case !i.Open() || i.Running():
		return 0
	case i.Retry == i.Started+1 && i.Done > 0 && i.Due > at:
		return min(i.Due, i.Deadline+1)
	}
	return i.Deadline + 1
}

// advance decides between a retry and the end.
func (i Invocation) advance(at Instant) Event {
	switch {
	case !i.Open() || i.Running():
		return nil
	case i.Success:
		return InvocationSucceeded{Attempts: i.Done}
	case i.Broken:
		return InvocationFailed{Condition: SystemError, Kind: FailedPlatform, Error: "undecodable: the request's record cannot be read"}
	case i.Kind == FailedCanceled:
		return i.fail()
	case i.Done > 0 && i.exhausted():
		return i.fail()
	case i.Cancel:
		return InvocationDiscarded{Attempts: i.Done, Condition: Canceled, Reason: "cancelled before " + nth(i.Started+1) + " attempt"}
	case i.Hops >= MaxHops:
		return InvocationDiscarded{Condition: CyclicInvocation, Reason: fmt.Sprintf("the lineage from %s has %d links, the most that are allowed: %s was not run", i.LineageRoot(), MaxHops, i.Function.Name)}
	case i.Done == 0:
		if at > i.Deadline {
			return InvocationDiscarded{Condition: EventAgeExceeded, Reason: fmt.Sprintf("valid until %s, and not run until then", i.Deadline)}
		}
		return nil
	case i.Retry == i.Started+1:
		if at > i.Deadline {
			return i.fail()
		}
		return nil
	}
	due := at.Add(Backoff(UUID(i.ID), i.Done))
	if due > i.Deadline {
		return i.fail()
	}
	return RetryScheduled{Attempt: i.Started + 1, Due: due}
}

func (i Invocation) fail() Event {
	text := i.Error
	if i.Lost > MaxLost {
		text, _ = CutText(fmt.Sprintf("%d attempts were lost or failed by the platform; %s is suspected of killing its host. Last: %s", i.Lost, i.Function.Name, i.Error), MaxError)
	}
	return InvocationFailed{Attempts: i.Done, Condition: ConditionOf(i.Kind), Kind: i.Kind, Error: text}
}

func nth(n int) string {
	if n == 1 {
		return "the first"
	}
	return "the next"
}
