package partition

import (
	"slices"

	"deed/domain"
)

// Marker is an effective marker: a claim or a renewal.
type Marker struct {
	Offset int64
	ID     domain.UUID    // its ce_id
	At     domain.Instant // its log time
}

// maxMarks bounds the markers kept as candidates: a day of renewals. Dropping the older half is safe: to commit less is
// always right.
const maxMarks = 2880

// marker judges claims by epoch alone (3.2) and renewals as the owner's next record (3.3). A fold that begins here adopts
// it unseen.
func (f *Fold) marker(offset int64, r *domain.Record, e domain.PartitionOwned) Reason {
	if e.Protocol > domain.Protocol {
		return NewerProtocol
	}
	switch {
	case f.adopt:
		f.adopt = false
		f.epoch, f.owner, f.seq = r.Stamp.Epoch, r.Stamp.Owner, r.Stamp.Seq
	case e.Renewal:
		if reason := f.current(r.Stamp); reason != Effective {
			return reason
		}
	case r.Stamp.Epoch <= f.epoch:
		return StaleClaim
	default:
		f.epoch, f.owner, f.seq = r.Stamp.Epoch, r.Stamp.Owner, r.Stamp.Seq
	}
	f.claim.Node, f.claim.Group, f.claim.Protocol = e.Node, e.Group, e.Protocol
	// A claim that was stamped on an older view counts, but nobody may begin at it: he would take an older log time for the
	// one in force (5.1).
	if e.LogTime >= f.logTime {
		if len(f.marks) == maxMarks {
			f.marks = append(f.marks[:0], f.marks[maxMarks/2:]...)
		}
		f.marks = append(f.marks, Marker{offset, r.ID, e.LogTime})
	}
	f.logTime = max(f.logTime, e.LogTime)
	f.forget()
	return Effective
}

// Committable is the highest marker at which a reader may begin (5.2): every invocation that is not settled can be rebuilt
// from there, and no copy of a request of one that is settled can be admitted behind it: log time has left its admission
// window behind, at the marker or by now, and in the latter case none stands between. It costs a look at every entry.
func (f *Fold) Committable() (Marker, bool) {
	oldest := f.next
	for _, e := range f.entries {
		if !e.Settled() && f.quarantined[e.ID] == "" { // what is set aside must not hold the partition
			oldest = min(oldest, e.From)
		}
	}
	for n, m := range slices.Backward(f.marks) {
		if m.Offset <= oldest && !f.settled.blocks(m) {
			f.marks = append(f.marks[:0], f.marks[n:]...) // those below it will not be asked for again
			return m, true
		}
	}
	return Marker{}, false
}

// Forgettable reports whether renewing the marker would let something settled be forgotten, now or later.
func (f *Fold) Forgettable() bool { return len(f.settled) > 0 }

// forget drops what log time has left behind: no copy of it can be admitted any more. A candidate that an admissible copy
// already stands behind goes with it: it can never become good, and afterwards nobody would know.
func (f *Fold) forget() {
	for key, b := range f.settled {
		if f.logTime <= b.newest.Add(AdmissionWindow) {
			continue
		}
		kept := f.marks[:0]
		for _, m := range f.marks {
			if !b.blocks(m) || b.copy < m.Offset {
				kept = append(kept, m)
			}
		}
		f.marks = kept
		delete(f.settled, key)
	}
}

// settled remembers ids by their acceptance time, in buckets of 8.192 s, so that what can be forgotten goes at once.
type settled map[domain.Instant]*bucket

type bucket struct {
	ids    map[domain.InvocationID]struct{}
	newest domain.Instant // the latest acceptance time of an id that a door made
	lowest int64          // the lowest offset of a record by a door that opened one of them; -1 if none
	copy   int64          // the highest offset of a copy of a request of one of them that was admissible; -1 if none
}

const bucketBits = 13 // of a time in ms

func (s settled) has(id domain.InvocationID) bool {
	b := s[id.T0()>>bucketBits]
	if b == nil {
		return false
	}
	_, ok := b.ids[id]
	return ok
}

func (s settled) add(id domain.InvocationID, first, copied int64, child bool) {
	key := id.T0() >> bucketBits
	b := s[key]
	if b == nil {
		b = &bucket{ids: map[domain.InvocationID]struct{}{}, lowest: -1, copy: -1}
		s[key] = b
	}
	b.ids[id] = struct{}{}
	b.newest = max(b.newest, id.T0())
	b.copy = max(b.copy, copied)
	if !child && (b.lowest < 0 || first < b.lowest) { // a child's record is counted by its owner: no copy of it is admitted
		b.lowest = first
	}
}

func (s settled) copied(id domain.InvocationID, offset int64) {
	if b := s[id.T0()>>bucketBits]; b != nil && s.has(id) {
		b.copy = max(b.copy, offset)
	}
}

// blocks reports whether a reader that begins at m does not see one of them being opened and would admit a copy of its request,
// now or at m. It looks at a bucket as a whole, so it may say yes for some seconds too long.
func (b *bucket) blocks(m Marker) bool {
	return b.lowest >= 0 && b.lowest < m.Offset && m.At <= b.newest.Add(AdmissionWindow)
}

func (s settled) blocks(m Marker) bool {
	for _, b := range s {
		if b.blocks(m) {
			return true
		}
	}
	return false
}
