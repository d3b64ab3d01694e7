// Package partition models one partition of the invocation log: its records, the fold that every reader applies,
// the owners that act on it, and the faults that befall them.
package partition

import "fmt"

// Kind is the kind of a record.
type Kind uint8

// The kinds of records.
const (
	Claim    Kind = iota // PartitionOwned{claim}: a new owner
	Renew                // PartitionOwned{renew}: the same owner, again
	Request              // InvocationRequested, by a door
	Cancel               // CancelRequested, by a door
	Start                // AttemptStarted
	Succeed              // AttemptSucceeded
	Fail                 // AttemptFailed{by the function}
	Lost                 // AttemptFailed{platform: the worker died}
	Terminal             // InvocationSucceeded / Failed / Discarded; the notification is owed from here on
	Settle               // NotificationDelivered
	Child                // function sink: the InvocationRequested of the child; it settles the parent's notification, too
	Carry                // InvocationCarried
)

var names = []string{"CLAIM", "RENEW", "requested", "cancel", "started", "succeeded", "failed", "lost", "TERMINAL", "delivered", "child", "carried"}

// Inv is the folded state of an invocation.
type Inv struct {
	Known   bool
	Cancel  bool
	Started uint8 // attempts started
	By      uint8 // owner that started the last one
	Done    uint8 // attempts with an outcome; Started > Done: one is running
	OK      bool  // the last outcome was a success
	Code    uint8 // attempts that the function itself failed
	LostN   uint8 // attempts lost with their worker
	Term    byte  // 0, or S(ucceeded) F(ailed) D(iscarded)
	Settled bool
	IsChild bool
	T0      int8 // acceptance time, part of the id
	From    int8 // offset from which a reader can rebuild it (not part of a carried state)
	First   int8 // offset of the record that opened it
	Copy    int8 // offset of the last copy of its request that would have been admissible (not part of a carried state)
}

func (i Inv) open() bool    { return i.Known && i.Term == 0 }
func (i Inv) running() bool { return i.Started > i.Done }
func (i Inv) bare() Inv     { i.From, i.First, i.Copy = 0, 0, 0; return i }

// Rec is a record of the log.
type Rec struct {
	K   Kind
	ID  uint8 // invocation
	N   uint8 // attempt
	Own uint8 // random owner id, unique per claim; 0: a door
	Ep  uint8 // epoch of the claim
	Gen uint8 // Kafka group generation (only the drafts use it)
	Seq uint8 // number of the record within the epoch
	T   int8  // Request: acceptance time; Claim, Renew: time stamped by the owner
	Out byte  // Terminal
	St  Inv   // Carry
}

func (r Rec) String() string {
	s := names[r.K]
	switch r.K {
	case Claim, Renew:
		return fmt.Sprintf("%s{owner %d epoch %d gen %d seq %d at %d}", s, r.Own, r.Ep, r.Gen, r.Seq, r.T)
	case Request:
		return fmt.Sprintf("%s{inv %d t0 %d}", s, r.ID, r.T)
	case Cancel:
		return fmt.Sprintf("%s{inv %d}", s, r.ID)
	default:
	}
	return fmt.Sprintf("%s{inv %d n %d %s owner %d epoch %d seq %d}", s, r.ID, r.N, string(rune(max(r.Out, ' '))), r.Own, r.Ep, r.Seq)
}

// How the fold tells the acting records that count.
const (
	ByEpoch      = iota // corrected: claim counts if its epoch is higher; acting record if epoch and owner are the current ones
	ByLogOrder          // every claim counts: the latest marker in log order
	ByGeneration        // draft: claim counts if its group generation is not lower; acting record if the generation is equal
	ByNothing           // no fence
)

// Rules are the fold's rules; the zero value plus Fence is the corrected protocol with everything on only if Full() made it.
type Rules struct {
	Fence       int
	Seq         bool // acting records count only in gapless sequence
	Window      int8 // admission window W; 0: a request is always admissible
	MaxCode     uint8
	MaxLost     uint8
	CarryOR     bool // a carried record never clears a cancel
	CarryFrom   bool // a carried record that did not know of a cancel does not move the mark
	StartGuard  bool // AttemptStarted does not count after a cancel
	AnyMarker   bool // a reader may start at a marker stamped behind the log time
	BlindAccept bool // reader without an owner yet: accept acting records (else ignore them)
}

// MaxInv is the number of invocations (the second one is the first one's child in the child scenarios).
const MaxInv = 2

// Mark is an effective marker. One stamped behind the log time in force counts, but no reader may start there: it would
// take an older log time for the current one.
type Mark struct {
	Off, At int8
	Behind  bool
}

// Fold is a reader.
type Fold struct {
	R     *Rules
	Have  bool // a marker has been adopted
	Ep    uint8
	Own   uint8
	Gen   uint8
	Seq   uint8
	LT    int8 // log time: the time of the latest effective marker
	Inv   [MaxInv]Inv
	Marks []Mark

	Cancelled [MaxInv]bool // a cancel took effect at some time (only the checker looks)
	room      [10]Mark
}

// NewFold begins a fold at offset start. Offset 0 is the true beginning; anything else trusts the first marker it meets.
func NewFold(r *Rules, start int) *Fold {
	f := &Fold{R: r, Have: start == 0, LT: -1}
	f.Marks = f.room[:0]
	return f
}

// current says whether an acting record is the current owner's, and counts it.
func (f *Fold) current(r Rec) bool {
	switch f.R.Fence {
	case ByNothing:
		return true
	case ByGeneration:
		return r.Gen == f.Gen || (!f.Have && f.R.BlindAccept)
	}
	if !f.Have {
		return f.R.BlindAccept
	}
	if r.Own != f.Own || (f.R.Fence == ByEpoch && r.Ep != f.Ep) {
		return false
	}
	if f.R.Seq {
		if r.Seq != f.Seq+1 { // lower: a duplicate; higher: a hole, and nothing after a hole counts
			return false
		}
		f.Seq++
	}
	return true
}

func (f *Fold) adopt(r Rec, off int) {
	f.Have, f.Ep, f.Own, f.Gen, f.Seq = true, r.Ep, r.Own, r.Gen, r.Seq
	f.Marks = append(f.Marks, Mark{int8(off), r.T, r.T < f.LT && !f.R.AnyMarker})
	f.LT = max(f.LT, r.T)
}

// Apply folds one record and says whether it took effect.
func (f *Fold) Apply(off int, r Rec) bool {
	switch r.K {
	case Claim:
		ok := true
		switch {
		case !f.Have:
		case f.R.Fence == ByEpoch:
			ok = r.Ep > f.Ep
		case f.R.Fence == ByGeneration:
			ok = r.Gen >= f.Gen
		}
		if ok {
			f.adopt(r, off)
		}
		return ok
	case Renew:
		if f.Have && !f.current(r) {
			return false
		}
		f.adopt(r, off)
		return true
	case Request:
		i := &f.Inv[r.ID]
		if f.R.Window > 0 && f.LT > r.T+f.R.Window {
			return false
		}
		if i.Known {
			i.Copy = int8(off)
			return false
		}
		*i = Inv{Known: true, T0: r.T, From: int8(off), First: int8(off)}
		return true
	case Cancel:
		i := &f.Inv[r.ID]
		if !i.open() || i.Cancel {
			return false
		}
		i.Cancel, f.Cancelled[r.ID] = true, true
		return true
	default:
	}
	if !f.current(r) {
		return false
	}
	i := &f.Inv[r.ID]
	switch r.K {
	case Start:
		if !i.open() || i.running() || i.OK || r.N != i.Started+1 || i.Code > f.R.MaxCode || i.LostN > f.R.MaxLost || (f.R.StartGuard && i.Cancel) {
			return false
		}
		i.Started, i.By = r.N, r.Own
	case Succeed, Fail, Lost:
		if !i.open() || !i.running() || r.N != i.Started {
			return false
		}
		i.Done = r.N
		switch r.K {
		case Succeed:
			i.OK = true
		case Fail:
			i.Code++
		default:
			i.LostN++
		}
	case Terminal:
		if !i.open() || i.running() || i.OK != (r.Out == 'S') {
			return false
		}
		i.Term = r.Out
	case Settle:
		if i.Term == 0 || i.Settled {
			return false
		}
		i.Settled = true
	case Child: // opens invocation 1 and settles invocation 0, in one record
		if f.Inv[0].Known {
			if f.Inv[0].Term == 0 || f.Inv[0].Settled {
				return false
			}
			f.Inv[0].Settled = true
		}
		if i.Known {
			return false
		}
		*i = Inv{Known: true, IsChild: true, T0: r.T, From: int8(off), First: int8(off)}
	case Carry:
		if i.Settled {
			return false
		}
		f.Cancelled[r.ID] = f.Cancelled[r.ID] || r.St.Cancel
		was := *i
		*i = r.St
		i.From, i.First = int8(off), int8(off)
		if was.Known {
			i.First, i.Copy = was.First, was.Copy
			if f.R.CarryOR && r.St.Term == 0 { // a cancel behind the outcome was void, whatever a reader from the middle took it for
				i.Cancel = i.Cancel || was.Cancel
			}
			if f.R.CarryFrom && was.Cancel != r.St.Cancel {
				i.From = was.From
			}
		}
	default: // judged above
	}
	return true
}
