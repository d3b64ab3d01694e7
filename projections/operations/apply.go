package operations

import (
	"fmt"
	"slices"

	"deed/domain"
)

// apply folds one record under the lock.
func (m *Model) apply(rec domain.Record) error {
	switch e := rec.Event.(type) {
	case domain.OperationRequested:
		if m.operations[e.ID] != nil {
			return domain.Reject(domain.CodeConflict, fmt.Sprintf("there is an operation %s already", e.ID), "")
		}
		m.operations[e.ID] = &Operation{OperationRequested: e, At: rec.At}
		m.order = append(m.order, e.ID)
		return m.change(e.ID, func(*Operation) error { return nil })
	case domain.OperationPlanned:
		return m.change(e.ID, func(o *Operation) error {
			if o.Planned {
				return conflict(e.ID, "it was planned already")
			}
			o.Planned, o.Total, o.Already, o.Open, o.Older = true, e.Total, e.Already, e.Open, e.Older
			return nil
		})
	case domain.OperationAdvanced:
		return m.change(e.ID, func(o *Operation) error { return m.advance(o, e) })
	case domain.OperationSettled:
		return m.change(e.ID, func(o *Operation) error { return m.settle(o, e) })
	case domain.OperationPaused:
		return m.change(e.ID, func(o *Operation) error {
			if o.Paused {
				return conflict(e.ID, "it is paused already")
			}
			o.Paused = true
			return nil
		})
	case domain.OperationResumed:
		return m.change(e.ID, func(o *Operation) error {
			if !o.Paused {
				return conflict(e.ID, "it is not paused")
			}
			o.Paused = false
			return nil
		})
	case domain.OperationEnded:
		return m.change(e.ID, func(o *Operation) error {
			if o.UnderWay() && e.By == "" {
				return conflict(e.ID, "a step is under way")
			}
			o.Ended, o.EndedBy, o.Reason, o.EndedAt = true, e.By, e.Reason, rec.At
			return nil
		})
	case domain.NotificationsFed:
		if before := m.fed[e.Partition]; e.Upto < before.Upto || e.Marker > e.Upto {
			return domain.Reject(domain.CodeConflict, fmt.Sprintf("deed.notifications is further in partition %d: at %d", e.Partition, before.Upto), "")
		}
		m.fed[e.Partition] = e
		return nil
	default:
		if rec.Problem != "" {
			return fmt.Errorf("undecodable: %s", rec.Problem)
		}
		return fmt.Errorf("%s is not an event of operations", rec.Type)
	}
}

// change makes a change of an operation that has not ended. Of one that somebody stopped while a step was under way the
// step is still settled.
func (m *Model) change(id domain.UUID, fn func(*Operation) error) error {
	o := m.operations[id]
	if o == nil {
		return NoOperation(id)
	}
	if o.Ended && !o.UnderWay() {
		return conflict(id, "it has ended")
	}
	if err := fn(o); err != nil {
		return err
	}
	m.version++
	o.Version = m.version
	return nil
}

// advance begins a step: the next one, with none under way, of invocations that no step of this kind has, or had with success.
func (m *Model) advance(o *Operation, e domain.OperationAdvanced) error {
	if e.Step != o.Step+1 || len(e.Old) == 0 || len(e.Old) > domain.MaxStep {
		return conflict(e.ID, fmt.Sprintf("step %d of %d is not the next one after %d", e.Step, len(e.Old), o.Step))
	}
	if o.Ended || o.Paused {
		return conflict(e.ID, "it is paused, or has ended")
	}
	if o.UnderWay() {
		return conflict(e.ID, fmt.Sprintf("step %d is under way", o.Step))
	}
	if len(e.New) != len(e.Old) {
		return conflict(e.ID, fmt.Sprintf("step %d has %d ids for %d", e.Step, len(e.New), len(e.Old)))
	}
	for _, old := range e.Old {
		if as, ok := m.taken[subject{o.Kind, old}]; ok {
			return conflict(e.ID, fmt.Sprintf("%s was taken for a %s already, as %s", old, o.Kind, as))
		}
	}
	for i, old := range e.Old {
		m.taken[subject{o.Kind, old}] = e.New[i]
	}
	o.Again = slices.DeleteFunc(slices.Clone(o.Again), func(id domain.InvocationID) bool { return slices.Contains(e.Old, id) })
	o.Step, o.Current, o.Last = e.Step, e, e.Old[len(e.Old)-1]
	return nil
}

// Lost is the problem of what was not accepted and never will be, under the id of its step: it goes into a later one.
const Lost = "lost"

// settle ends the step under way. What could not be done may be another time.
func (m *Model) settle(o *Operation, e domain.OperationSettled) error {
	if !o.UnderWay() || e.Step != o.Step {
		return conflict(e.ID, fmt.Sprintf("step %d is not under way", e.Step))
	}
	at := func(list []string, i int) string {
		if i < len(list) {
			return list[i]
		}
		return ""
	}
	for i, old := range o.Current.Old {
		r := Result{Old: old, Problem: at(e.Problems, i), Place: at(e.Places, i)}
		if i < len(o.Current.New) {
			r.New = o.Current.New[i]
		}
		switch {
		case r.Problem == Lost:
			o.Again = append(o.Again, old)
			delete(m.taken, subject{o.Kind, old})
			continue
		case r.Problem != "":
			o.Failed++
			r.New = domain.InvocationID{}
			delete(m.taken, subject{o.Kind, old})
		default:
			o.Done++
			if o.Kind == domain.Renotify {
				m.retold[old] = r.Place
			}
		}
		o.Results = append(o.Results, r)
	}
	if over := len(o.Results) - keepResults; over > 0 {
		o.Results = slices.Clone(o.Results[over:])
	}
	o.Current = domain.OperationAdvanced{}
	return nil
}

func conflict(id domain.UUID, words string) error {
	return domain.Reject(domain.CodeConflict, fmt.Sprintf("operation %s: %s", id, words), "")
}
