package partition

import "fmt"

// Key encodes a state. Where commits stand on markers and owners read at once, the past of the log matters only through
// the folds of those who may still read on: the reader of the whole log, the living owners, and a reader from each
// marker that is or can become the committed offset. So states that differ in dead records alone are one state.
func (w *World) Key(s *State) []byte {
	b := make([]byte, 0, 512)
	bb := func(v bool) byte {
		if v {
			return 1
		}
		return 0
	}
	inv := func(i Inv) {
		b = append(b, bb(i.Known)|bb(i.Cancel)<<1|bb(i.OK)<<2|bb(i.Settled)<<3|bb(i.IsChild)<<4, i.Started, i.By, i.Done, i.Code, i.LostN, i.Term, byte(i.T0))
	}
	rec := func(r Rec) {
		b = append(b, byte(r.K), r.ID, r.N, r.Own, r.Ep, r.Gen, r.Seq, byte(r.T), r.Out)
		if r.K == Carry {
			inv(r.St)
		}
	}
	b = append(b, byte(s.Now), s.NextID, s.Rebal, s.Crash, s.Dup, s.Late, s.LateOwn, s.Cancel, s.Carry, s.Renew, s.Tick, s.Loss)
	quotient := w.C.MarkerStart && !w.C.Lag && !w.C.TrimAnywhere
	end := int8(len(s.Log))
	var marks []Mark
	rank := func(off int8) (n byte) { // offsets are only ever compared with markers
		for _, m := range marks {
			if m.Off <= off {
				n++
			}
		}
		return n
	}
	fold := func(f *Fold) {
		b = append(b, 254, bb(f.Have), f.Ep, f.Own, f.Gen, f.Seq, byte(f.LT))
		for _, i := range f.Inv {
			inv(i)
			b = append(b, rank(i.From), rank(i.First), rank(i.Copy))
		}
		for _, m := range f.Marks {
			if m.Off > s.C {
				b = append(b, rank(m.Off), byte(m.At), bb(m.Behind))
			}
		}
	}
	if quotient {
		full := w.fold(s, 0, end)
		for _, m := range full.Marks {
			if m.Off >= s.C {
				marks = append(marks, m)
			}
		}
		fold(full)
		fold(w.fold(s, s.C, end))
		for _, m := range marks {
			fold(w.fold(s, m.Off, end))
		}
	} else {
		b = append(b, byte(len(s.Log)), byte(s.C))
		for _, r := range s.Log {
			rec(r)
		}
	}
	for k, o := range s.Owners {
		alive := o.Phase != dead && o.Phase != stopped
		last := k == len(s.Owners)-1
		if !alive && !last && len(o.Q) == 0 {
			b = append(b, 253)
			continue
		}
		b = append(b, 255, o.Phase)
		if alive {
			b = append(b, o.ID, o.Ep, o.Gen, o.Seq, o.Ran[0], o.Ran[1], bb(o.Spec[0]), bb(o.Spec[1]))
			if quotient {
				f := w.fold(s, o.Start, o.Pos)
				b = append(b, rank(o.ClaimOff), rank(o.Start-1), bb(f.Inv[0].From > o.ClaimOff), bb(f.Inv[1].From > o.ClaimOff))
				fold(f)
			} else {
				b = append(b, byte(o.Start), byte(o.Pos), byte(o.End), byte(o.ClaimOff))
			}
		} else if last {
			b = append(b, o.Gen)
		}
		b = append(b, byte(len(o.Q)))
		for _, r := range o.Q {
			rec(r)
		}
	}
	b = append(b, 252, byte(len(s.Limbo)))
	for _, r := range s.Limbo {
		rec(r)
	}
	for k := range s.Doors {
		b = append(b, s.Doors[k].St, bb(s.Doors[k].Acked), byte(s.Doors[k].T0), s.Execs[k], s.Uncounted[k], s.Sent[k])
	}
	return b
}

// Check is every invariant of a state.
func (w *World) Check(s *State) error {
	c := &w.C
	end := int8(len(s.Log))
	full := w.fold(s, 0, end)
	for id := range uint8(MaxInv) {
		i := full.Inv[id]
		// No acknowledged request is lost.
		if s.Doors[id].Acked && !i.Known {
			return fmt.Errorf("inv %d was acknowledged but no reader of the whole log sees it", id)
		}
		// A cancel that took effect is not forgotten.
		if full.Cancelled[id] && !i.Cancel {
			return fmt.Errorf("inv %d: a cancel that took effect is gone", id)
		}
		// Attempts that really ran are covered by effective AttemptStarted events, and those are bounded.
		if s.Execs[id] > i.Started+min(s.Uncounted[id], 1) {
			return fmt.Errorf("inv %d ran %d times, the log knows of %d attempts", id, s.Execs[id], i.Started)
		}
		if s.Uncounted[id] > 1 {
			return fmt.Errorf("inv %d ran speculatively %d times", id, s.Uncounted[id])
		}
		if i.Started > c.MaxCode+c.MaxLost+1 {
			return fmt.Errorf("inv %d: %d attempts, the bound is %d", id, i.Started, c.MaxCode+c.MaxLost+1)
		}
		// What went out to a sink is the effective terminal fact, and nothing else.
		if s.Sent[id] != 0 && s.Sent[id] != bit(i.Term) {
			return fmt.Errorf("inv %d: sinks were told %03b, the log says %q", id, s.Sent[id], string(rune(max(i.Term, ' '))))
		}
	}
	// Readers that begin in the middle agree with the reader of the whole log.
	starts := map[int8]bool{s.C: true}
	for _, o := range s.Owners {
		if o.Phase != dead && o.Phase != stopped {
			starts[o.Start] = true
		}
	}
	if c.TrimAnywhere {
		for _, m := range full.Marks {
			if m.Off <= s.C && !m.Behind {
				starts[m.Off] = true
			}
		}
	}
	for st := range starts {
		if st == 0 {
			continue
		}
		m := w.fold(s, st, end)
		if m.Have && (m.Own != full.Own || (c.Fence == ByEpoch && m.Ep != full.Ep) || (c.Seq && m.Seq != full.Seq)) {
			return fmt.Errorf("a reader from %d takes owner %d (seq %d) for the current one, a reader from 0 owner %d (seq %d)", st, m.Own, m.Seq, full.Own, full.Seq)
		}
		for id := range full.Inv {
			a, b := full.Inv[id], m.Inv[id]
			switch {
			case a.Known && !a.Settled && a.bare() != b.bare():
				return fmt.Errorf("inv %d: a reader from %d sees %+v, a reader from 0 %+v", id, st, b.bare(), a.bare())
			case a.Settled && b.Known && (b.Term != a.Term || !b.Settled):
				return fmt.Errorf("inv %d: settled as %c, but a reader from %d sees it open again: %+v", id, a.Term, st, b.bare())
			case !a.Known && b.Known:
				return fmt.Errorf("inv %d: a reader from %d sees an invocation that a reader from 0 does not", id, st)
			}
		}
	}
	return nil
}

// Good reports whether every request of the doors is settled for the reader of the whole log.
func (w *World) Good(s *State) bool {
	full := w.fold(s, 0, int8(len(s.Log)))
	for id := range w.C.Invs {
		if s.Doors[id].St != 2 || (s.Doors[id].Acked && !full.Inv[id].Settled) {
			return false
		}
	}
	if w.C.WithChild && full.Inv[0].Settled && !full.Inv[1].Settled {
		return false
	}
	return true
}
