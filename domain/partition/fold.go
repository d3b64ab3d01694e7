// Package partition is the fold of one partition of the invocation log: the pure function by which every reader, owner or
// not, tells the records that count from those that do not.
//
// In one sentence: an owner's record counts iff its epoch and owner are those of the highest claim before it, it continues
// that owner's count, and it fits the state of its invocation. What does not count is void: kept, shown by audits, without
// any effect. The rules and the counterexample behind each are in docs/protocol.md.
package partition

import (
	"fmt"
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
	NoMarker        Reason = "not-a-marker"     // a fold was to begin here, and there is no marker: the reader stops
	Quarantined     Reason = "quarantined"      // folding the invocation failed once: nothing more of it counts
)

// Verdict is how the fold judged a record.
type Verdict struct{ Reason Reason }

// Effective reports whether the record counts.
func (v Verdict) Effective() bool { return v.Reason == Effective }

// Stop reports whether a reader of this version must not read on.
func (v Verdict) Stop() bool {
	return v.Reason == UnknownCritical || v.Reason == NewerProtocol || v.Reason == NoMarker
}

func (v Verdict) String() string {
	if v.Effective() {
		return "effective"
	}
	return "void: " + string(v.Reason)
}

// Entry is what the fold keeps of an invocation that is not settled. Offsets are -1 where there is none.
type Entry struct {
	domain.Invocation
	First   int64          // the record that opened it
	From    int64          // where it can be rebuilt
	FromAt  domain.Instant // when that record was written: what is old is restated
	Outcome int64          // the record with what the function printed last
	Owed    int64          // the record with what the sink is told
	Copied  int64          // the last copy of its request that a reader who does not know it would have admitted
	Last    domain.UUID    // ce_id of its last effective record: the cause of the next one
}

// Fold is one reader's state of one partition. The zero value is not ready: use New, At or Whole. A Fold is not safe for
// concurrent use; whoever feeds it owns it.
//
// What is settled is remembered by its id alone, and only until log time has left the admission window of the id behind:
// from then on a copy of its request is refused as too late.
type Fold struct {
	epoch   uint64
	owner   domain.OwnerID
	seq     uint64
	logTime domain.Instant
	next    int64
	adopt   bool // the next record must be a marker, which is believed unseen
	whole   bool // settled entries are kept

	claim       domain.PartitionOwned // the claim in force
	marks       []Marker
	entries     map[domain.InvocationID]*Entry
	settled     settled
	refused     map[domain.InvocationID]int64 // requests that were void and unknown, not yet answered
	quarantined map[domain.InvocationID]string
	open        int
	void        int64
	last        *Entry
}

// New is a fold that begins at offset 0.
func New() *Fold {
	return &Fold{
		entries: map[domain.InvocationID]*Entry{}, settled: settled{}, refused: map[domain.InvocationID]int64{},
		quarantined: map[domain.InvocationID]string{},
	}
}

// At is a fold that begins in the middle, at the marker at that offset, which it adopts unseen. Only a marker that was
// committed is a good start (Committable).
func At(offset int64) *Fold {
	f := New()
	f.next, f.adopt = offset, true
	return f
}

// Whole is a fold that begins at offset 0 and keeps the entries of what is settled: for those who want all of the history,
// and have the memory.
func Whole() *Fold {
	f := New()
	f.whole = true
	return f
}

// Owner is the claim in force and the number of its last effective record; the zero Stamp before the first claim.
func (f *Fold) Owner() domain.Stamp {
	return domain.Stamp{Epoch: f.epoch, Owner: f.owner, Seq: f.seq}
}

// Claim is what the claim in force says of its owner: node and group. Zero before the first one, and in a fold that began
// at a renewal.
func (f *Fold) Claim() domain.PartitionOwned { return f.claim }

// LogTime is the greatest time of an effective marker. It never goes back.
func (f *Fold) LogTime() domain.Instant { return f.logTime }

// Next is the offset after the last record that was applied.
func (f *Fold) Next() int64 { return f.next }

// Void is how many records were judged void.
func (f *Fold) Void() int64 { return f.void }

// Unsettled is how many invocations are not settled.
func (f *Fold) Unsettled() int { return f.open }

// Get is the entry of an invocation that is not settled (in a Whole fold, of any); nil if there is none. It belongs to the
// fold: read it, do not keep it.
func (f *Fold) Get(id domain.InvocationID) *Entry { return f.entries[id] }

// Entries calls fn for every invocation that is not settled (in a Whole fold, for all), in no order, until it returns false.
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

// Quarantine is why folding that invocation failed; "" if it did not. Its owner leaves it alone.
func (f *Fold) Quarantine(id domain.InvocationID) string { return f.quarantined[id] }

// Apply folds the record at offset and says whether it counts. It is total. An offset below Next was folded before and
// is a duplicate of itself.
func (f *Fold) Apply(offset int64, r *domain.Record) Verdict {
	f.last = nil
	v := Verdict{Duplicate}
	if offset >= f.next {
		v.Reason = f.judge(offset, r)
	}
	if v.Reason == NoMarker {
		return v
	}
	f.next = max(f.next, offset+1)
	if !v.Effective() {
		f.void++
	}
	return v
}

// Touched is the entry that the last Apply changed, also if that settled it; nil if none.
func (f *Fold) Touched() *Entry { return f.last }

func (f *Fold) judge(offset int64, r *domain.Record) Reason {
	if m, ok := r.Event.(domain.PartitionOwned); ok {
		return f.marker(offset, r, m)
	}
	if f.adopt {
		return NoMarker
	}
	if r.Event == nil {
		return f.poison(offset, r)
	}
	byDoor := false
	switch r.Event.(type) {
	case domain.CancelRequested:
		byDoor = true
	case domain.InvocationRequested:
		byDoor = !r.Stamp.IsOwner()
	case domain.ClusterFormed, domain.FunctionDeployed, domain.FunctionDeleted, domain.PolicyChanged:
		return Reason(domain.MisfitNotYours)
	default:
		if !r.Stamp.IsOwner() {
			return NotOwned
		}
	}
	if !byDoor {
		if reason := f.current(r.Stamp); reason != Effective {
			return reason
		}
	}
	if f.quarantined[r.Subject] != "" {
		return Quarantined
	}
	return f.effect(offset, r)
}

// effect applies a record that may count. Should that panic, the invocation is set aside and the partition goes on: every
// reader folds the same bytes with the same code, so all set aside the same one.
func (f *Fold) effect(offset int64, r *domain.Record) (reason Reason) {
	defer func() {
		if p := recover(); p != nil {
			f.quarantined[r.Subject] = fmt.Sprintf("offset %d, %s: %v", offset, r.Type, p)
			f.last, reason = nil, Quarantined
		}
	}()
	if trouble != nil {
		trouble(r)
	}
	switch e := r.Event.(type) {
	case domain.InvocationRequested:
		if r.Stamp.IsOwner() {
			return f.child(offset, r, e)
		}
		return f.request(offset, r, e)
	case domain.InvocationCarried:
		return f.carried(offset, r, e)
	case domain.RequestRefused:
		delete(f.refused, r.Subject)
		return Effective
	default:
		return f.change(offset, r)
	}
}

// trouble is a test's way to make the fold of a record panic.
var trouble func(*domain.Record)

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
