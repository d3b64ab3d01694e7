package partition

import (
	"fmt"
	"slices"

	"deed/integration/model/mc"
)

// How long an owner waits for AttemptStarted before it runs the function.
const (
	AwaitFold   = iota // until it has read the record back from the log and it took effect
	AwaitAck           // until the broker acknowledged it
	AwaitNone          // not at all: started and outcome travel together
	Speculative        // first attempt of a request that arrived live: run at once, but publish only after the fold; else AwaitFold
)

// Config is a scenario: the protocol's switches and the faults that are let loose.
type Config struct {
	Name string
	Rules
	Await int
	// Owner's switches (true: corrected protocol)
	FoldFirst       bool // fold to the end of the log before claiming
	Barrier         bool // act only after the own claim was read back
	StopOnNewer     bool // stop on reading a newer effective claim
	MarkerStart     bool // commit only offsets of effective markers
	Guard           bool // a settled invocation may be forgotten only when its admission window is over by the marker's time
	CopiesBlock     bool // a copy behind a marker, admissible when it landed, keeps the marker from being committed
	ClaimKeepsTime  bool // a claim is stamped with the log time in force: only a renewed marker moves it
	OneAtATime      bool // no decision on an invocation while an own append for it is not folded
	StopOnLoss      bool // stop after an append with unknown outcome
	ForgetUnsettled bool // draft: an invocation counts as closed at its terminal fact, notified or not

	TrimAnywhere bool  // draft: the log may be cut at any marker below the committed one, and readers start there
	Lag          bool  // owners read record by record, at any pace (else at once, see readAll)
	Invs         uint8 // door requests (1 or 2)
	WithChild    bool  // invocation 0 has a function sink; its child is invocation 1
	ChildDoor    bool  // the child request is an unfenced record, as one appended to another partition is
	MayFail      bool
	Lossy        bool // a live owner's producer may give an append up (outcome unknown)

	// Budgets
	Rebalances, Crashes, Dups, LateReq, Cancels, Carries, Renews, Ticks, Losses uint8
	LateOwn                                                                     uint8 // copies of owners' records that land at any later time, out of order
	GuardFor                                                                    int8  // how long a settled invocation is kept, on top of its acceptance time
	GenSame                                                                     bool  // a new owner may get the generation of the one before (static member rejoining)
	GenReset                                                                    bool  // a new owner may get generation 1 again (group deleted, expired, lost)
	Skew                                                                        int8  // owner clocks may be ahead by this much
	AckIn                                                                       int8  // door: acknowledge only within this time of acceptance
	MaxLog                                                                      int
}

// Owner phases.
const (
	folding = iota + 1
	claimed
	acting
	stopped // has seen a newer claim or an unknown append; its appends in flight may still land
	dead
)

type owner struct {
	Phase    uint8
	Start    int8 // offset it began to fold at
	Pos      int8 // next offset to read
	End      int8 // end of the log when it was assigned
	ID, Ep   uint8
	Gen      uint8
	Seq      uint8
	ClaimOff int8 // offset of its own effective claim
	Ran      [MaxInv]uint8
	Spec     [MaxInv]bool // ran speculatively, outcome not yet published
	Q        []Rec        // appended by the owner, not yet in the log, in order
}

type door struct {
	St    uint8 // 0 not sent, 1 sent, 2 in the log
	Acked bool
	T0    int8
}

// State is the whole world.
type State struct {
	Log                                                                []Rec
	C                                                                  int8 // committed offset
	Owners                                                             []owner
	Doors                                                              [MaxInv]door
	Now                                                                int8
	NextID                                                             uint8
	Execs                                                              [MaxInv]uint8
	Uncounted                                                          [MaxInv]uint8
	Sent                                                               [MaxInv]uint8 // outcomes that went out to the sink: 1 S, 2 F, 4 D
	Rebal, Crash, Dup, Late, LateOwn, Cancel, Carry, Renew, Tick, Loss uint8
	Limbo                                                              []Rec // copies of owners\' records that may still land
}

// World is the model of one Config.
type World struct{ C Config }

// Init is the state in which everything begins.
func (w *World) Init() *State {
	c := w.C
	s := &State{NextID: 1, Rebal: c.Rebalances, Crash: c.Crashes, Dup: c.Dups, Late: c.LateReq, LateOwn: c.LateOwn, Cancel: c.Cancels, Carry: c.Carries, Renew: c.Renews, Tick: c.Ticks, Loss: c.Losses}
	w.newOwner(s, 1)
	return s
}

func (w *World) newOwner(s *State, gen uint8) {
	s.Owners = append(s.Owners, owner{Phase: folding, Start: s.C, Pos: s.C, End: int8(len(s.Log)), Gen: gen, ClaimOff: -1})
}

func (s *State) clone() *State {
	t := *s
	t.Log = append(make([]Rec, 0, len(s.Log)+1), s.Log...)
	t.Limbo = append([]Rec(nil), s.Limbo...)
	t.Owners = append(make([]owner, 0, len(s.Owners)+1), s.Owners...)
	for i := range t.Owners {
		t.Owners[i].Q = append([]Rec(nil), s.Owners[i].Q...)
	}
	return &t
}

func (w *World) fold(s *State, from, to int8) *Fold {
	f := NewFold(&w.C.Rules, int(from))
	for o := from; o < to; o++ {
		f.Apply(int(o), s.Log[o])
	}
	return f
}

// busy: the owner has an append for this invocation that it has not folded yet.
func (s *State) busy(o *owner, id uint8) bool {
	for _, r := range o.Q {
		if r.K > Renew && (r.ID == id || (r.K == Child && id == 0)) {
			return true
		}
	}
	for _, r := range s.Log[o.Pos:] {
		if r.Own == o.ID && r.K > Cancel && (r.ID == id || (r.K == Child && id == 0)) {
			return true
		}
	}
	return false
}

func (o *owner) put(r Rec) {
	r.Own, r.Ep, r.Gen, r.Seq = o.ID, o.Ep, o.Gen, o.Seq
	o.Seq++
	o.Q = append(o.Q, r)
}

func bit(out byte) uint8 { return map[byte]uint8{'S': 1, 'F': 2, 'D': 4}[out] }

// Steps lists every next step.
func (w *World) Steps(s *State) (out []mc.Step[*State]) {
	c := &w.C
	add := func(fault bool, label string, do func(t *State) error) {
		t := s.clone()
		err := do(t)
		if !c.Lag {
			w.readAll(t)
		}
		out = append(out, mc.Step[*State]{Label: label, Fault: fault, To: t, Err: err})
	}
	room := len(s.Log) < c.MaxLog
	newest := len(s.Owners) - 1

	// Time
	if s.Tick > 0 {
		add(true, "clock ticks", func(t *State) error { t.Tick--; t.Now++; return nil })
	}
	// Doors
	for id := range c.Invs {
		d := s.Doors[id]
		switch {
		case d.St == 0:
			add(false, fmt.Sprintf("door accepts inv %d at %d", id, s.Now), func(t *State) error { t.Doors[id] = door{St: 1, T0: t.Now}; return nil })
		case d.St == 1 && room:
			add(false, fmt.Sprintf("log[%d] requested{inv %d t0 %d}", len(s.Log), id, d.T0), func(t *State) error {
				t.Log = append(t.Log, Rec{K: Request, ID: id, T: d.T0})
				t.Doors[id].St, t.Doors[id].Acked = 2, t.Now-d.T0 <= c.AckIn
				return nil
			})
		case d.St == 2 && s.Late > 0 && room:
			add(true, fmt.Sprintf("log[%d] requested{inv %d t0 %d} again (late duplicate)", len(s.Log), id, d.T0), func(t *State) error {
				t.Late--
				t.Log = append(t.Log, Rec{K: Request, ID: id, T: d.T0})
				return nil
			})
		}
		if d.Acked && s.Cancel > 0 && room {
			add(true, fmt.Sprintf("log[%d] cancel{inv %d}", len(s.Log), id), func(t *State) error {
				t.Cancel--
				t.Log = append(t.Log, Rec{K: Cancel, ID: id})
				return nil
			})
		}
	}
	for k, r := range s.Limbo {
		if room {
			add(true, fmt.Sprintf("log[%d] %v (late copy)", len(s.Log), r), func(t *State) error {
				t.Log = append(t.Log, r)
				t.Limbo = append(t.Limbo[:k:k], t.Limbo[k+1:]...)
				return nil
			})
		}
	}
	// Group coordinator
	assign := func(fault bool, why string) {
		last := s.Owners[newest].Gen
		gens := []uint8{last + 1}
		if c.GenSame {
			gens = append(gens, last)
		}
		if c.GenReset && last > 1 {
			gens = append(gens, 1)
		}
		for _, g := range gens {
			add(fault, fmt.Sprintf("%s: owner #%d assigned, generation %d, folds from %d", why, newest+1, g, s.C), func(t *State) error {
				if fault {
					t.Rebal--
				}
				w.newOwner(t, g)
				return nil
			})
		}
	}
	if s.Rebal > 0 && s.Owners[newest].Phase != folding {
		assign(true, "rebalance")
	}
	if s.Owners[newest].Phase == dead {
		assign(false, "recovery")
	}
	// Owners
	for k := range s.Owners {
		w.ownerSteps(s, k, add)
	}
	return out
}

func (w *World) ownerSteps(s *State, k int, add func(bool, string, func(*State) error)) {
	c := &w.C
	o := &s.Owners[k]
	room := len(s.Log) < c.MaxLog
	newest := k == len(s.Owners)-1
	who := fmt.Sprintf("owner #%d (id %d): ", k, o.ID)
	// Appends in flight, of the living and the dead.
	if len(o.Q) > 0 {
		r := o.Q[0]
		if room {
			add(o.Phase == dead || o.Phase == stopped, fmt.Sprintf("log[%d] %v", len(s.Log), r), func(t *State) error {
				t.Log = append(t.Log, r)
				t.Owners[k].Q = t.Owners[k].Q[1:]
				return nil
			})
			if s.Dup > 0 {
				add(true, fmt.Sprintf("log[%d] %v (ack lost, will be retried)", len(s.Log), r), func(t *State) error {
					t.Dup--
					t.Log = append(t.Log, r)
					return nil
				})
			}
		}
		if room && s.LateOwn > 0 {
			add(true, fmt.Sprintf("log[%d] %v (and a copy is still under way)", len(s.Log), r), func(t *State) error {
				t.LateOwn--
				t.Log = append(t.Log, r)
				t.Owners[k].Q = t.Owners[k].Q[1:]
				t.Limbo = append(t.Limbo, r)
				return nil
			})
		}
		if o.Phase == dead || o.Phase == stopped {
			add(false, who+"what is in flight is lost", func(t *State) error { t.Owners[k].Q = nil; return nil })
		} else if s.Loss > 0 {
			add(true, who+"append given up, outcome unknown: "+r.String(), func(t *State) error {
				t.Loss--
				t.Owners[k].Q = t.Owners[k].Q[1:]
				if c.StopOnLoss {
					t.Owners[k].Phase = stopped
					if newest { // it gives the partition up; somebody is assigned again
						t.Owners[k].Phase = dead
					}
				}
				return nil
			})
		}
	}
	if o.Phase == dead || o.Phase == stopped {
		return
	}
	if s.Crash > 0 && o.Phase != folding {
		add(true, who+"crashes", func(t *State) error { t.Crash--; t.Owners[k].Phase = dead; return nil })
	}
	if c.Lag && int(o.Pos) < len(s.Log) {
		add(false, fmt.Sprintf("%sreads %d: %v", who, o.Pos, s.Log[o.Pos]), func(t *State) error { w.read(t, k); return nil })
	}
	f := w.fold(s, o.Start, o.Pos)
	if o.Phase == folding && (!c.FoldFirst || o.Pos >= o.End) {
		add(false, fmt.Sprintf("owner #%d claims", k), func(t *State) error {
			n := &t.Owners[k]
			n.ID, n.Ep, n.Seq = t.NextID, f.Ep+1, 0
			n.Ran, n.Spec = [MaxInv]uint8{}, [MaxInv]bool{}
			t.NextID++
			at := max(f.LT, t.Now+w.skew(k))
			if c.ClaimKeepsTime {
				at = f.LT
			}
			n.put(Rec{K: Claim, T: at})
			n.Phase = claimed
			if !c.Barrier {
				n.Phase = acting
			}
			return nil
		})
	}
	if o.Phase != acting {
		return
	}
	// Commit: Kafka lets only the member of the current generation do it.
	if best := w.commit(f, o); newest && best > s.C {
		add(false, fmt.Sprintf("%scommits %d", who, best), func(t *State) error { t.C = best; return nil })
	}
	renewing := false
	for _, r := range o.Q {
		renewing = renewing || r.K == Renew
	}
	if s.Renew > 0 && !renewing {
		add(true, who+"renews its marker", func(t *State) error {
			t.Renew--
			n := &t.Owners[k]
			n.put(Rec{K: Renew, T: max(f.LT, t.Now+w.skew(k))})
			return nil
		})
	}
	for id := range uint8(MaxInv) {
		w.decide(s, k, f, id, who, add)
	}
}

// read lets owner k fold the next record.
func (w *World) read(t *State, k int) {
	n := &t.Owners[k]
	r := t.Log[n.Pos]
	f := w.fold(t, n.Start, n.Pos)
	effective := f.Apply(int(n.Pos), r)
	n.Pos++
	if r.K != Claim {
		return
	}
	newest := k == len(t.Owners)-1
	switch {
	case n.Phase == claimed && r.Own == n.ID:
		switch {
		case effective || w.C.Fence == ByGeneration:
			n.Phase, n.ClaimOff = acting, n.Pos-1
		case newest: // lost the race: again
			n.Phase, n.End = folding, int8(len(t.Log))
		default:
			n.Phase = stopped
		}
	case n.Phase == acting && effective && r.Own != n.ID && w.C.StopOnNewer:
		n.Phase = stopped
		if newest { // still assigned (it asked the coordinator): claim again under a new id
			n.Phase, n.End = folding, int8(len(t.Log))
		}
	}
}

// readAll lets every living owner fold to the end of the log at once. Nothing is lost by it: what an owner does on an
// older view is only to append, and an append made early and landing late is the same as one made late.
func (w *World) readAll(t *State) {
	for k := range t.Owners {
		for p := t.Owners[k].Phase; p != dead && p != stopped && int(t.Owners[k].Pos) < len(t.Log); p = t.Owners[k].Phase {
			w.read(t, k)
		}
	}
}

func (w *World) skew(k int) int8 {
	if k%2 == 1 {
		return w.C.Skew
	}
	return 0
}

// commit is the highest offset that may be committed from fold f.
func (w *World) commit(f *Fold, o *owner) int8 {
	c := &w.C
	ok := func(m Mark) bool {
		for _, i := range f.Inv {
			closed := i.Settled || (c.ForgetUnsettled && i.Term != 0)
			switch {
			case !i.Known:
			case !closed && i.From < m.Off:
				return false
			case closed && i.First < m.Off && c.Guard && !i.IsChild && i.T0+c.GuardFor >= m.At:
				// A reader from m would admit a copy that stands behind it. Log time has to have passed, so that none can come, and none
				// may stand there.
				if f.LT <= i.T0+c.GuardFor || c.CopiesBlock && i.Copy >= m.Off {
					return false
				}
			}
		}
		return true
	}
	if !c.MarkerStart {
		for off := o.Pos; off > 0; off-- {
			if ok(Mark{Off: off, At: f.LT}) {
				return off
			}
		}
		return 0
	}
	for _, v := range slices.Backward(f.Marks) {
		if !v.Behind && ok(v) {
			return v.Off
		}
	}
	return 0
}

// decide is what the owner does about one invocation, from folded state alone.
func (w *World) decide(s *State, k int, f *Fold, id uint8, who string, add func(bool, string, func(*State) error)) {
	c := &w.C
	o := &s.Owners[k]
	i := f.Inv[id]
	if !i.Known || (c.ForgetUnsettled && i.Term != 0 && i.Settled) || i.Settled {
		return
	}
	busy := s.busy(o, id)
	// AwaitAck: the own AttemptStarted is in the log, not yet folded.
	if c.Await == AwaitAck && busy {
		for off := int(o.Pos); off < len(s.Log); off++ {
			if r := s.Log[off]; r.K == Start && r.Own == o.ID && r.ID == id && o.Ran[id] < r.N {
				w.outcomes(k, id, r.N, who, true, add)
			}
		}
	}
	if busy && c.OneAtATime {
		return
	}
	if s.Carry > 0 {
		add(true, fmt.Sprintf("%scarries inv %d", who, id), func(t *State) error {
			t.Carry--
			t.Owners[k].put(Rec{K: Carry, ID: id, St: i.bare()})
			return nil
		})
	}
	if busy {
		return
	}
	act := func(label string, r ...Rec) {
		add(false, fmt.Sprintf("%sinv %d: %s", who, id, label), func(t *State) error {
			for _, x := range r {
				x.ID = id
				t.Owners[k].put(x)
			}
			return nil
		})
	}
	switch {
	case i.Term != 0:
		if id == 0 && c.WithChild { // function sink
			if c.ChildDoor { // the child's request is an unfenced append; the receipt follows
				add(false, who+"requests the child, then writes the receipt", func(t *State) error {
					n := &t.Owners[k]
					t.Sent[id] |= bit(i.Term)
					n.Q = append(n.Q, Rec{K: Request, ID: 1, T: i.T0})
					n.put(Rec{K: Settle, ID: 0})
					return nil
				})
				return
			}
			add(false, who+"requests the child", func(t *State) error {
				t.Sent[id] |= bit(i.Term)
				t.Owners[k].put(Rec{K: Child, ID: 1, T: t.Now})
				return nil
			})
			return
		}
		add(false, fmt.Sprintf("%sinv %d: delivers %c to the sink, writes the receipt", who, id, i.Term), func(t *State) error {
			t.Sent[id] |= bit(i.Term)
			t.Owners[k].put(Rec{K: Settle, ID: id})
			return nil
		})
	case i.OK:
		act("ends in success", Rec{K: Terminal, Out: 'S'})
	case i.running() && i.By != o.ID:
		act("counts the other owner's attempt as lost", Rec{K: Lost, N: i.Started})
	case i.running() && o.Spec[id]:
		w.outcomes(k, id, i.Started, who, false, add)
	case i.running() && o.Ran[id] < i.Started:
		w.outcomes(k, id, i.Started, who, true, add)
	case i.running():
	case i.Cancel:
		act("is cancelled", Rec{K: Terminal, Out: 'D'})
	case i.Code > c.MaxCode || i.LostN > c.MaxLost:
		act("ends in failure", Rec{K: Terminal, Out: 'F'})
	default:
		n := i.Started + 1
		switch {
		case c.Await == AwaitNone:
			w.outcomesAfter(k, id, n, who, []Rec{{K: Start, ID: id, N: n}}, true, add)
		case c.Await == Speculative && n == 1 && o.ClaimOff >= 0 && i.From > o.ClaimOff && o.Ran[id] == 0:
			add(false, fmt.Sprintf("%sinv %d: starts attempt 1 speculatively", who, id), func(t *State) error {
				p := &t.Owners[k]
				p.put(Rec{K: Start, ID: id, N: n})
				p.Ran[id], p.Spec[id] = 1, true
				t.Execs[id]++
				t.Uncounted[id]++
				return nil
			})
		default:
			act(fmt.Sprintf("starts attempt %d", n), Rec{K: Start, N: n})
		}
	}
}

func (w *World) outcomes(k int, id, n uint8, who string, exec bool, add func(bool, string, func(*State) error)) {
	w.outcomesAfter(k, id, n, who, nil, exec, add)
}

// outcomesAfter runs the function (exec) and appends its outcome behind pre.
func (w *World) outcomesAfter(k int, id, n uint8, who string, pre []Rec, exec bool, add func(bool, string, func(*State) error)) {
	run := func(label string, recs ...Rec) {
		add(false, fmt.Sprintf("%sinv %d: attempt %d %s", who, id, n, label), func(t *State) error {
			o := &t.Owners[k]
			for _, r := range append(append([]Rec(nil), pre...), recs...) {
				r.ID = id
				o.put(r)
			}
			if exec {
				t.Execs[id]++
			} else {
				t.Uncounted[id]--
			}
			o.Ran[id], o.Spec[id] = n, false
			return nil
		})
	}
	run("succeeds", Rec{K: Succeed, N: n}, Rec{K: Terminal, Out: 'S'})
	if w.C.MayFail {
		run("fails", Rec{K: Fail, N: n})
	}
}
