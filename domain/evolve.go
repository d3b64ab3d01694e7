package domain

// Misfit says why an event does not fit a state; "" if it fits. It is shown by audits.
type Misfit string

// The misfits.
const (
	Fits              Misfit = ""
	MisfitUnknown     Misfit = "unknown-invocation"
	MisfitKnown       Misfit = "already-known"
	MisfitTerminal    Misfit = "already-terminal"
	MisfitAttempt     Misfit = "attempt-out-of-order"
	MisfitCanceled    Misfit = "canceled"
	MisfitExpired     Misfit = "past-deadline"
	MisfitExhausted   Misfit = "attempts-exhausted"
	MisfitOutcome     Misfit = "outcome-does-not-fit"
	MisfitNotOwed     Misfit = "not-owed"
	MisfitSettled     Misfit = "already-settled"
	MisfitNotYours    Misfit = "not-of-an-invocation"
	MisfitNoDuplicate Misfit = "already-so"
	MisfitNotDue      Misfit = "not-due"
)

// Fit judges an event by the state alone (protocol section 4). at is the event's stamp. Every rule is also what bounds
// attempts in every reader, whatever an owner does.
func (i Invocation) Fit(e Event, at Instant) Misfit {
	if _, ok := e.(InvocationRequested); ok {
		if i.Known {
			return MisfitKnown
		}
		return Fits
	}
	if c, ok := e.(InvocationCarried); ok {
		if i.Settled() || c.State.Settled() {
			return MisfitSettled
		}
		if !c.State.Known {
			return MisfitUnknown
		}
		return Fits
	}
	if !i.Known {
		return MisfitUnknown
	}
	switch e := e.(type) {
	case CancelRequested:
		return first(i.terminal(), when(i.Cancel && (i.Force || !e.Force), MisfitNoDuplicate))
	case AttemptStarted:
		return first(i.terminal(),
			when(i.Running() || i.Success || e.Attempt != i.Started+1, MisfitAttempt),
			when(i.Cancel, MisfitCanceled),
			when(at > i.Deadline, MisfitExpired),
			when(i.exhausted() || i.Broken || i.Hops >= MaxHops, MisfitExhausted))
	case AttemptSucceeded:
		return first(i.terminal(), i.runs(e.Attempt))
	case AttemptFailed:
		return first(i.terminal(), i.runs(e.Attempt))
	case RetryScheduled:
		return first(i.terminal(), when(i.Running() || i.Success || i.Done == 0 || e.Attempt != i.Started+1 || i.Retry == e.Attempt, MisfitAttempt))
	case InvocationSucceeded:
		return first(i.terminal(), when(i.Running() || !i.Success, MisfitOutcome))
	case InvocationFailed, InvocationDiscarded:
		return first(i.terminal(), when(i.Running() || i.Success, MisfitOutcome))
	case NotificationOwed:
		return first(when(i.Owes() == "" || e.Sink != i.Owes(), MisfitNotOwed), when(i.Notified.Owed, MisfitNoDuplicate))
	case NotificationDelivered:
		return i.owes(e.Sink)
	case NotificationFailed:
		return i.owes(e.Sink)
	case NotificationAbandoned:
		return i.owes(e.Sink)
	default:
		return MisfitNotYours
	}
}

func (i Invocation) terminal() Misfit { return when(i.Outcome != Open, MisfitTerminal) }

func (i Invocation) runs(n int) Misfit { return when(!i.Running() || n != i.Started, MisfitAttempt) }

func (i Invocation) owes(sink Target) Misfit {
	return first(when(!i.Notified.Owed || sink != i.Notified.Sink, MisfitNotOwed), when(i.Notified.Settled, MisfitSettled))
}

func when(b bool, m Misfit) Misfit {
	if b {
		return m
	}
	return Fits
}

func first(ms ...Misfit) Misfit {
	for _, m := range ms {
		if m != Fits {
			return m
		}
	}
	return Fits
}

// Evolve is the state after the event, written at that time by that claim (zero: a door). It never fails: an event that
// does not fit changes nothing.
func (i Invocation) Evolve(e Event, at Instant, by OwnerID) Invocation {
	if i.Fit(e, at) != Fits {
		return i
	}
	switch e := e.(type) {
	case InvocationRequested:
		i = Invocation{
			ID: e.ID, Known: true, Function: e.Function, Version: e.Version, Code: e.Code, Files: e.Files, Limits: e.Limits, Policy: e.Policy,
			Deadline: e.Deadline, Parent: e.Parent, Root: e.Root, Hops: e.Hops, Sync: e.Sync, Redrives: e.Redrives,
		}
	case InvocationCarried:
		cancel, force := i.Cancel, i.Force
		i = e.State
		if i.Outcome == Open {
			// A cancel that landed after the state was looked at stays. One that landed behind the outcome was void; a reader that
			// began in the middle, and met a late copy of the request before this, may have taken it for effective.
			i.Cancel, i.Force = i.Cancel || cancel, i.Force || force
		}
	case CancelRequested:
		i.Cancel, i.Force = true, i.Force || e.Force
		return i // a door's time never moves the invocation's
	case AttemptStarted:
		i.Started, i.By, i.Retry, i.Due = e.Attempt, by, 0, 0
	case AttemptSucceeded:
		i.Done, i.Success, i.Kind, i.Error = e.Attempt, true, NoFailure, ""
	case AttemptFailed:
		i.Done, i.Kind, i.Error = e.Attempt, e.Kind, e.Error
		if e.Kind.Platform() {
			i.Lost++
		} else {
			i.CodeFails++
		}
	case RetryScheduled:
		i.Retry, i.Due = e.Attempt, e.Due
	case InvocationSucceeded:
		i.Outcome, i.EndedAt = Succeeded, at
	case InvocationFailed:
		i.Outcome, i.EndedAt, i.Cond, i.Reason = Failed, at, e.Condition, e.Error
	case InvocationDiscarded:
		i.Outcome, i.EndedAt, i.Cond, i.Reason = Discarded, at, e.Condition, e.Reason
	case NotificationOwed:
		i.Notified = Notification{Owed: true, Sink: e.Sink, ID: e.ID, ValidUntil: e.ValidUntil}
	case NotificationDelivered:
		i.Notified.Settled, i.Notified.Due = true, 0
	case NotificationFailed:
		i.Notified.Tries, i.Notified.Due = e.Try, e.Due
	case NotificationAbandoned:
		i.Notified.Settled, i.Notified.Abandoned, i.Notified.Due = true, true, 0
	default:
		return i // not of an invocation; Fit said so
	}
	i.At = max(i.At, at)
	return i
}

// SettledByChild is the state of a parent whose notification became an invocation of the target function.
func (i Invocation) SettledByChild(at Instant) Invocation {
	i.Notified.Settled, i.Notified.Due, i.At = true, 0, max(i.At, at)
	return i
}

// BrokenRequest is the state opened by a request whose headers could be read and whose body could not.
func BrokenRequest(id InvocationID) Invocation {
	return Invocation{ID: id, Known: true, Broken: true, Deadline: id.T0().Add(DefaultMaxAge)}
}
