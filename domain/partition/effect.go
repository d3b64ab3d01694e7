package partition

import "deed/domain"

func (f *Fold) known(id domain.InvocationID) bool { return f.entries[id] != nil || f.settled.has(id) }

// request opens an invocation iff the id is unknown and log time has not left it behind (4.1).
func (f *Fold) request(offset int64, r *domain.Record, e domain.InvocationRequested) Reason {
	if f.known(e.ID) {
		f.copied(offset, e.ID)
		return Reason(domain.MisfitKnown)
	}
	if !f.admissible(e.ID) {
		f.refused[e.ID] = offset
		return TooLate
	}
	f.opened(offset, r, domain.Invocation{}.Evolve(e, r.At, domain.OwnerID{}))
	return Effective
}

func (f *Fold) admissible(id domain.InvocationID) bool {
	return f.logTime <= id.T0().Add(AdmissionWindow)
}

// child opens the child and settles the parent's notification, in one record (4.7).
func (f *Fold) child(offset int64, r *domain.Record, e domain.InvocationRequested) Reason {
	parent := f.entries[e.Parent]
	if parent == nil && f.settled.has(e.Parent) ||
		parent != nil && (!parent.Notified.Owed || parent.Notified.Settled || parent.Notified.ID != e.Notification) {
		return Reason(domain.MisfitNotOwed)
	}
	if f.known(e.ID) {
		return Reason(domain.MisfitKnown)
	}
	if parent != nil {
		parent.Invocation = parent.SettledByChild(r.At)
		parent.Last = r.ID
		f.settle(parent)
	}
	f.opened(offset, r, domain.Invocation{}.Evolve(e, r.At, r.Stamp.Owner))
	return Effective
}

func (f *Fold) opened(offset int64, r *domain.Record, i domain.Invocation) {
	e := &Entry{Invocation: i, First: offset, From: offset, FromAt: r.At, Outcome: -1, Owed: -1, Copied: -1, Last: r.ID}
	f.entries[i.ID] = e
	f.open++
	f.last = e
}

// copied takes note of a copy of a request that is known: a reader who begins before it and does not know the request must not
// be able to admit it.
func (f *Fold) copied(offset int64, id domain.InvocationID) {
	if !f.admissible(id) {
		return
	}
	if e := f.entries[id]; e != nil {
		e.Copied = offset
	}
	f.settled.copied(id, offset)
}

// settle ends the work on an invocation: from here on its id is all that has to be known.
func (f *Fold) settle(e *Entry) {
	f.open--
	f.settled.add(e.ID, e.First, e.Copied, !e.Parent.IsZero())
	if !f.whole {
		delete(f.entries, e.ID)
	}
}

// carried restates an invocation. It never clears a cancel, and moves the mark only if it knew the cancel that the fold
// knows (4.6): else the next owner, who starts behind the cancel, would never learn of it.
func (f *Fold) carried(offset int64, r *domain.Record, c domain.InvocationCarried) Reason {
	id := c.State.ID
	e := f.entries[id]
	var was domain.Invocation
	if e != nil {
		was = e.Invocation
	}
	if id != r.Subject {
		return Reason(domain.MisfitNotYours)
	}
	if e == nil && f.settled.has(id) {
		return Reason(domain.MisfitSettled)
	}
	if m := was.Fit(c, r.At); m != domain.Fits {
		return Reason(m)
	}
	if e == nil {
		f.opened(offset, r, was.Evolve(c, r.At, r.Stamp.Owner))
		f.last.Outcome, f.last.Owed = offset, offset
		return Effective
	}
	e.Invocation = was.Evolve(c, r.At, r.Stamp.Owner)
	if was.Cancel == c.State.Cancel && was.Force == c.State.Force {
		e.From, e.FromAt = offset, r.At
		// The restatement holds what was printed and what is owed, too: nothing before it is needed any more.
		if e.Outcome >= 0 {
			e.Outcome = offset
		}
		if e.Owed >= 0 {
			e.Owed = offset
		}
	}
	e.Last, f.last = r.ID, e
	return Effective
}

// change applies what concerns a known invocation.
func (f *Fold) change(offset int64, r *domain.Record) Reason {
	e := f.entries[r.Subject]
	if e == nil {
		return f.absent(r)
	}
	if m := e.Fit(r.Event, r.At); m != domain.Fits {
		return Reason(m)
	}
	was := e.Settled()
	e.Invocation = e.Evolve(r.Event, r.At, r.Stamp.Owner)
	switch r.Event.(type) {
	case domain.AttemptSucceeded, domain.AttemptFailed:
		e.Outcome = offset
	case domain.NotificationOwed:
		e.Owed = offset
	default:
	}
	e.Last, f.last = r.ID, e
	if e.Settled() && !was {
		f.settle(e)
	}
	return Effective
}

// absent is why a record about an invocation without an entry is void.
func (f *Fold) absent(r *domain.Record) Reason {
	_, cancel := r.Event.(domain.CancelRequested)
	switch {
	case !f.settled.has(r.Subject):
		return Reason(domain.MisfitUnknown)
	case cancel:
		return Reason(domain.MisfitTerminal)
	}
	return Reason(domain.MisfitSettled)
}

// poison judges what could not be decoded (9.4). A request whose headers are sound opens its invocation, which will fail:
// an accepted request has an outcome even then.
func (f *Fold) poison(offset int64, r *domain.Record) Reason {
	if r.Must {
		return UnknownCritical
	}
	if r.Stamp.IsOwner() {
		// An owner's broken record still continues the count, or everything behind it would be a hole.
		if reason := f.current(r.Stamp); reason != Effective {
			return reason
		}
	}
	if r.Type == "InvocationRequested" && !r.Stamp.IsOwner() && !r.Subject.IsZero() {
		if f.known(r.Subject) {
			f.copied(offset, r.Subject)
			return Reason(domain.MisfitKnown)
		}
		if f.admissible(r.Subject) {
			f.opened(offset, r, domain.BrokenRequest(r.Subject))
			return Effective
		}
	}
	if r.Problem == "" {
		return UnknownType
	}
	return Undecodable
}
