// Package keys models client idempotency keys at the doors: two doors, one key, a key store with compare-and-set,
// the log's admission window, and a read model that lags behind the log.
package keys

import (
	"fmt"
	"slices"

	"deed/integration/model/mc"
)

// Window is the log's admission window W; AppendIn is how long a door waits for the acknowledgement of its append.
const (
	Window   = 1
	AppendIn = 0
	none     = int8(-1)
)

// Config switches the doors' rules off.
type Config struct {
	NoStore                       bool // every door makes its own id
	NoWait                        bool // an old pending row is replaced at once, without asking the read model
	NoPosition                    bool // the read model is asked without looking how far it has read
	AckLate                       bool // the door acknowledges whenever the broker does, however late
	Calls, Crashes, Copies, Ticks uint8
}

// Door phases.
const (
	idle    = iota
	holding // has an id to append
	waiting // appended, no acknowledgement yet
	acked   // acknowledged by the log, row not yet marked
)

type door struct {
	Phase uint8
	ID    int8 // an id is its acceptance time, made unique by the door where there is no store
}

// State is the world of one key. An id n stands for a UUIDv7 with time n/2 (n%2 tells the doors apart).
type State struct {
	Now, ModelAt                  int8 // the read model has seen everything that landed before or at ModelAt
	Row                           int8 // id in the key store, or none
	Done                          bool // row marked accepted
	Doors                         [2]door
	Flight                        []int8 // copies of requests under way
	Open                          []int8 // ids that took effect in the log, in order
	OpenAt                        []int8
	Told                          []int8 // ids that clients were told
	Calls, Crashes, Copies, Ticks uint8
}

// World is the model of one Config.
type World struct{ C Config }

// Init is the state in which everything begins.
func (w *World) Init() *State {
	return &State{Row: none, ModelAt: -1, Calls: w.C.Calls, Crashes: w.C.Crashes, Copies: w.C.Copies, Ticks: w.C.Ticks}
}

// Key encodes a state.
func (w *World) Key(s *State) []byte { return []byte(fmt.Sprint(*s)) }

func (s *State) clone() *State {
	t := *s
	c := func(x []int8) []int8 { return append([]int8(nil), x...) }
	t.Flight, t.Open, t.OpenAt, t.Told = c(s.Flight), c(s.Open), c(s.OpenAt), c(s.Told)
	return &t
}

func has(x []int8, id int8) bool {
	return slices.Contains(x, id)
}

func when(id int8) int8 { return id / 2 }

// inModel: the read model knows the invocation.
func (s *State) inModel(id int8) bool {
	for k, x := range s.Open {
		if x == id && s.OpenAt[k] <= s.ModelAt {
			return true
		}
	}
	return false
}

func (s *State) tell(id int8) {
	if !has(s.Told, id) {
		s.Told = append(s.Told, id)
	}
}

// Steps lists every next step.
func (w *World) Steps(s *State) (out []mc.Step[*State]) {
	add := func(fault bool, label string, do func(t *State)) {
		t := s.clone()
		do(t)
		out = append(out, mc.Step[*State]{Label: label, Fault: fault, To: t})
	}
	if s.Ticks > 0 {
		add(false, "clock ticks", func(t *State) { t.Ticks--; t.Now++ })
	}
	if s.ModelAt < s.Now-1 { // it has surely read everything of an earlier tick
		add(false, "read model catches up", func(t *State) { t.ModelAt = t.Now - 1 })
	}
	for k, id := range s.Flight {
		land := func(t *State) {
			if t.Now <= when(id)+Window && !has(t.Open, id) {
				t.Open, t.OpenAt = append(t.Open, id), append(t.OpenAt, t.Now)
			}
			for d := range t.Doors {
				if t.Doors[d] == (door{waiting, id}) {
					t.Doors[d].Phase = acked
					if t.Now > when(id)+AppendIn && !w.C.AckLate {
						t.Doors[d] = door{} // 503: nobody may be told
					}
				}
			}
		}
		add(false, fmt.Sprintf("request %d reaches the log at %d", id, s.Now), func(t *State) {
			t.Flight = append(t.Flight[:k:k], t.Flight[k+1:]...)
			land(t)
		})
		if s.Copies > 0 {
			add(true, fmt.Sprintf("request %d reaches the log at %d, a copy is still under way", id, s.Now), func(t *State) { t.Copies--; land(t) })
		}
	}
	for d := range s.Doors {
		who := fmt.Sprintf("door %d: ", d)
		me := s.Doors[d]
		if me.Phase != idle && s.Crashes > 0 {
			add(true, who+"crashes", func(t *State) { t.Crashes--; t.Doors[d] = door{} })
		}
		switch me.Phase {
		case idle:
			if s.Calls == 0 {
				continue
			}
			fresh := 2*s.Now + int8(d)
			begin := func(label string, id, row int8) {
				add(false, who+label, func(t *State) { t.Calls--; t.Row = row; t.Doors[d] = door{holding, id} })
			}
			row := s.Row
			switch {
			case w.C.NoStore:
				begin(fmt.Sprintf("client calls, new id %d", fresh), fresh, row)
			case row == none:
				begin(fmt.Sprintf("client calls, key is new, row %d", fresh), fresh, fresh)
			case s.Done:
				add(false, who+"client calls, key is known and accepted", func(t *State) { t.Calls--; t.tell(row) })
			case s.Now <= when(row)+AppendIn:
				begin(fmt.Sprintf("client calls, row %d is pending: append it, too", row), row, row)
			case s.ModelAt > when(row)+Window || w.C.NoWait || w.C.NoPosition:
				if !w.C.NoWait && s.inModel(row) {
					add(false, who+"client calls, the read model knows the pending id", func(t *State) { t.Calls--; t.Done = true; t.tell(row) })
				} else {
					begin(fmt.Sprintf("client calls, pending row %d never took effect: replaced by %d", row, fresh), fresh, fresh)
				}
			default: // 503, try again later; nobody trusts the acknowledgement of this one, only the read model decides
				add(false, fmt.Sprintf("%sclient calls, pending row %d is old: it is appended once more, 503", who, row), func(t *State) {
					t.Calls--
					t.Flight = append(t.Flight, row)
				})
			}
		case holding:
			add(false, fmt.Sprintf("%sappends request %d", who, me.ID), func(t *State) {
				t.Flight = append(t.Flight, me.ID)
				t.Doors[d].Phase = waiting
			})
		case waiting: // gives up: answers 503
			if len(s.Flight) == 0 || s.Now > when(me.ID)+AppendIn {
				add(false, who+"answers 503", func(t *State) { t.Doors[d] = door{} })
			}
		case acked:
			add(false, fmt.Sprintf("%smarks row %d accepted, answers 202", who, me.ID), func(t *State) {
				if t.Row == me.ID {
					t.Done = true
				}
				t.tell(me.ID)
				t.Doors[d] = door{}
			})
		}
	}
	return out
}

// Check is the invariant: one key, one invocation; what a client was told is that invocation.
func (w *World) Check(s *State) error {
	if len(s.Open) > 1 {
		return fmt.Errorf("one key, %d invocations: %v", len(s.Open), s.Open)
	}
	for _, id := range s.Told {
		if !has(s.Open, id) {
			return fmt.Errorf("a client was told %d, the log does not know it", id)
		}
	}
	return nil
}

// Good reports whether the end is a good one: a client has its answer, or has no call left to make, or the model's clock has run out.
func (w *World) Good(s *State) bool { return len(s.Told) > 0 || s.Calls == 0 || s.Ticks == 0 }
