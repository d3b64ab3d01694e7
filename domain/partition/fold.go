// Package partition is the fold of one partition of the invocation log: the pure function by which every reader, owner or
// not, tells the records that count from those that do not.
//
// In one sentence: an owner's record counts iff its epoch and owner are those of the highest claim before it, it continues
// that owner's count, and it fits the state of its invocation. What does not count is void: kept, shown by audits, without
// any effect. The rules and the counterexample behind each are in docs/design.md, "Who runs what".
package partition

import (
	"time"

	"deed/domain"
)

// AdmissionWindow is W of the protocol: a request is admissible while log time ≤ t0 + W. All readers must use one value.
const AdmissionWindow = 120 * time.Second

// Reason says why a record is void; "" if it is effective. Besides these it can be any domain.Misfit.
type Reason string

// The reasons of the fold itself.
const (
	Effective       Reason = ""
	StaleClaim      Reason = "stale-claim"      // a claim whose epoch is not higher than the one in force
	StaleOwner      Reason = "stale-owner"      // written under a claim that is not in force
	Duplicate       Reason = "duplicate"        // a sequence number that was already counted
	Hole            Reason = "hole"             // a sequence number too far: nothing of this epoch counts any more
	TooLate         Reason = "too-late"         // a request outside the admission window
	Undecodable     Reason = "undecodable"      // the bytes are not a record of ours
	UnknownType     Reason = "unknown-type"     // a newer version's event that may be skipped
	UnknownCritical Reason = "unknown-critical" // a newer version's event that must not be skipped: the reader stops
	NotOwned        Reason = "not-an-owners"    // an owner's event without an owner's stamp
	NewerProtocol   Reason = "newer-protocol"   // a claim of a newer protocol: the reader stops
)

// Verdict is how the fold judged a record.
type Verdict struct{ Reason Reason }

// Effective reports whether the record counts.
func (v Verdict) Effective() bool { return v.Reason == Effective }

// Stop reports whether a reader of this version must not read on.
func (v Verdict) Stop() bool { return v.Reason == UnknownCritical || v.Reason == NewerProtocol }

func (v Verdict) String() string {
	if v.Effective() {
		return "effective"
	}
	return "void: " + string(v.Reason)
}

// Entry is what the fold keeps of an invocation. Offsets are -1 where there is none.
type Entry struct {
	domain.Invocation
	First   int64       // the record that opened it
	From    int64       // where it can be rebuilt
	Outcome int64       // the last AttemptSucceeded or AttemptFailed: what the function printed
	Owed    int64       // the NotificationOwed: what the sink is told
	Last    domain.UUID // ce_id of its last effective record: the cause of the next one
}

// Fold is one reader's state of one partition. The zero value is not ready: use New. A Fold is not safe for concurrent
// use; whoever feeds it owns it.
type Fold struct {
	epoch   uint64
	owner   domain.OwnerID
	seq     uint64
	logTime domain.Instant
	next    int64

	entries map[domain.InvocationID]*Entry
	refused map[domain.InvocationID]int64 // requests that were void and unknown, not yet answered
	open    int
	void    int64
	last    *Entry
}

// New is a fold that begins at offset 0.
func New() *Fold {
	return &Fold{entries: map[domain.InvocationID]*Entry{}, refused: map[domain.InvocationID]int64{}}
}

// Owner is the claim in force and the number of its last effective record; the zero Stamp before the first claim.
func (f *Fold) Owner() domain.Stamp {
	return domain.Stamp{Epoch: f.epoch, Owner: f.owner, Seq: f.seq}
}

// LogTime is the greatest time of an effective marker. It never goes back.
func (f *Fold) LogTime() domain.Instant { return f.logTime }

// Next is the offset after the last record that was applied.
func (f *Fold) Next() int64 { return f.next }

// Void is how many records were judged void.
func (f *Fold) Void() int64 { return f.void }

// Unsettled is how many invocations are not settled.
func (f *Fold) Unsettled() int { return f.open }

// Get is the entry of an invocation; nil if unknown. It belongs to the fold: read it, do not keep it.
func (f *Fold) Get(id domain.InvocationID) *Entry { return f.entries[id] }

// Entries calls fn for every invocation, in no order, until it returns false.
func (f *Fold) Entries(fn func(*Entry) bool) {
	for _, e := range f.entries {
		if !fn(e) {
			return
		}
	}
}

// Refused calls fn for every void request of an unknown id that no RequestRefused has answered yet.
func (f *Fold) Refused(fn func(id domain.InvocationID, offset int64)) {
	for id, off := range f.refused {
		fn(id, off)
	}
}

// Apply folds the record at offset and says whether it counts. It is total. An offset below Next was folded before and
// is a duplicate of itself.
func (f *Fold) Apply(offset int64, r *domain.Record) Verdict {
	f.last = nil
	v := Verdict{Duplicate}
	if offset >= f.next {
		v.Reason = f.judge(offset, r)
	}
	f.next = max(f.next, offset+1)
	if !v.Effective() {
		f.void++
	}
	return v
}

// Touched is the entry that the last Apply changed; nil if none.
func (f *Fold) Touched() *Entry { return f.last }

func (f *Fold) judge(offset int64, r *domain.Record) Reason {
	if r.Event == nil {
		return f.poison(offset, r)
	}
	switch e := r.Event.(type) {
	case domain.PartitionOwned:
		return f.marker(r, e)
	case domain.CancelRequested:
		return f.change(offset, r)
	case domain.InvocationRequested:
		if !r.Stamp.IsOwner() {
			return f.request(offset, r, e)
		}
	case domain.ClusterFormed, domain.FunctionDeployed, domain.FunctionDeleted, domain.PolicyChanged:
		return Reason(domain.MisfitNotYours)
	default:
		if !r.Stamp.IsOwner() {
			return NotOwned
		}
	}
	if reason := f.current(r.Stamp); reason != Effective {
		return reason
	}
	switch e := r.Event.(type) {
	case domain.InvocationRequested:
		return f.child(offset, r, e)
	case domain.InvocationCarried:
		return f.carried(offset, r, e)
	case domain.RequestRefused:
		delete(f.refused, r.Subject)
		return Effective
	default:
		return f.change(offset, r)
	}
}

// current judges an owner's stamp and counts the record (3.4). A record that continues the count is counted even when it
// then does not fit: the count is the owner's, not the invocation's.
func (f *Fold) current(s domain.Stamp) Reason {
	switch {
	case s.Epoch != f.epoch || s.Owner != f.owner:
		return StaleOwner
	case s.Seq <= f.seq:
		return Duplicate
	case s.Seq != f.seq+1:
		return Hole
	}
	f.seq++
	return Effective
}

// marker judges claims by epoch alone (3.2) and renewals as the owner's next record (3.3).
func (f *Fold) marker(r *domain.Record, e domain.PartitionOwned) Reason {
	if e.Protocol > domain.Protocol {
		return NewerProtocol
	}
	if e.Renewal {
		if reason := f.current(r.Stamp); reason != Effective {
			return reason
		}
	} else {
		if r.Stamp.Epoch <= f.epoch {
			return StaleClaim
		}
		f.epoch, f.owner, f.seq = r.Stamp.Epoch, r.Stamp.Owner, r.Stamp.Seq
	}
	f.logTime = max(f.logTime, e.LogTime)
	return Effective
}

// request opens an invocation iff the id is unknown and log time has not left it behind (4.1).
func (f *Fold) request(offset int64, r *domain.Record, e domain.InvocationRequested) Reason {
	if f.entries[e.ID] != nil {
		return Reason(domain.MisfitKnown)
	}
	if f.logTime > e.ID.T0().Add(AdmissionWindow) {
		f.refused[e.ID] = offset
		return TooLate
	}
	f.opened(offset, r, domain.Invocation{}.Evolve(e, r.At, domain.OwnerID{}))
	return Effective
}

// child opens the child and settles the parent's notification, in one record (4.7).
func (f *Fold) child(offset int64, r *domain.Record, e domain.InvocationRequested) Reason {
	parent := f.entries[e.Parent]
	if parent != nil && (!parent.Notified.Owed || parent.Notified.Settled || parent.Notified.ID != e.Notification) {
		return Reason(domain.MisfitNotOwed)
	}
	if f.entries[e.ID] != nil {
		return Reason(domain.MisfitKnown)
	}
	if parent != nil {
		parent.Invocation = parent.SettledByChild(r.At)
		parent.Last = r.ID
		f.open--
	}
	f.opened(offset, r, domain.Invocation{}.Evolve(e, r.At, r.Stamp.Owner))
	return Effective
}

func (f *Fold) opened(offset int64, r *domain.Record, i domain.Invocation) {
	e := &Entry{Invocation: i, First: offset, From: offset, Outcome: -1, Owed: -1, Last: r.ID}
	f.entries[i.ID] = e
	f.open++
	f.last = e
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
		e.From = offset
	}
	e.Last, f.last = r.ID, e
	return Effective
}

// change applies what concerns a known invocation.
func (f *Fold) change(offset int64, r *domain.Record) Reason {
	e := f.entries[r.Subject]
	if e == nil {
		return Reason(domain.MisfitUnknown)
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
	if e.Settled() && !was {
		f.open--
	}
	e.Last, f.last = r.ID, e
	return Effective
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
		if f.entries[r.Subject] != nil {
			return Reason(domain.MisfitKnown)
		}
		if f.logTime <= r.Subject.T0().Add(AdmissionWindow) {
			f.opened(offset, r, domain.BrokenRequest(r.Subject))
			return Effective
		}
	}
	if r.Problem == "" {
		return UnknownType
	}
	return Undecodable
}
