package invocations

import (
	"slices"
	"strings"
	"time"

	"deed/domain"
	"deed/domain/partition"
	"deed/eventstore"
)

// Ref is a record of an invocation: where it stands, and how the fold judged it.
type Ref struct {
	Offset int64
	Reason partition.Reason // "" if it took effect
}

// Row is one invocation.
type Row struct {
	// State is what the fold says. Of a refused request it has the ID, and as much of Function as its record tells; so it is
	// with Function if the request could not be decoded: then there is the project, or nothing.
	State     domain.Invocation
	Partition int
	Refused   partition.Reason // the request was void, and the invocation is unknown
	Request   int64            // offset of the record that opened it; -1 if none did
	Outcome   int64            // offset of the last attempt's outcome; -1 if none
	Ran       time.Duration    // of the last attempt that ended, in the guest
	Refs      []Ref
	Stale     bool // of a copy: its later history is still being read (Partial)

	home *function // where it is listed; nil: nowhere
	late bool      // it is among home.late
	live bool      // the state is from the tail: what is older does not change it

	// Of State, side by side, for those who look at very many rows.
	settled, open, sync bool
	status              domain.Status // "": State is not known
}

// shown reports whether there is anything to show: a void restatement alone says nothing of an invocation.
func (r *Row) shown() bool { return r.State.Known || r.Refused != "" }

// ended reports whether nothing is left to be done: it is settled, or was refused.
func (r *Row) ended() bool { return r.settled || !r.State.Known && r.Refused != "" }

// last is the offset of the latest record of the invocation.
func (r *Row) last() int64 { return r.Refs[len(r.Refs)-1].Offset }

// add keeps the references in the order of offsets. A record may be judged twice, by the tail, which may not know the
// invocation, and by the history, which does.
func (r *Row) add(ref Ref, old bool) {
	at := len(r.Refs)
	for at > 0 && r.Refs[at-1].Offset > ref.Offset {
		at--
	}
	if at > 0 && r.Refs[at-1].Offset == ref.Offset {
		if old {
			r.Refs[at-1] = ref
		}
		return
	}
	r.Refs = slices.Insert(r.Refs, at, ref)
}

// copy is a row for a caller: it shares nothing with the model.
func (m *Model) copy(r *Row) Row {
	c := *r
	c.Refs = slices.Clone(r.Refs)
	c.Stale = !r.live && m.isPartial(r.Partition)
	c.home, c.late = nil, false
	return c
}

// place is what a function is found by: its region is where it was made, and no part of its name.
func place(f domain.FunctionID) domain.FunctionID {
	f.Region = ""
	return f
}

// wanted is the function that a request's record names. Of one that cannot be decoded it is the project alone, from the
// header ce_source; zero if that tells none.
func wanted(j *eventstore.Judged) domain.FunctionID {
	if req, ok := j.Record.Event.(domain.InvocationRequested); ok {
		return req.Function
	}
	source := strings.Split(eventstore.Attributes(j.Message)["source"], "/") // "", deed, cluster, project
	if len(source) != 4 || source[1] != "deed" {
		return domain.FunctionID{}
	}
	return domain.FunctionID{Project: source[3]}
}
