package eventstore

import (
	"fmt"
	"strconv"
	"strings"

	"deed/domain"
)

// subjectOperation is what the subjects of deed.operations begin with, before the operation's id.
const subjectOperation = "operation/"

// subjectFed is what the subject of NotificationsFed begins with, before the partition.
const subjectFed = "partition/"

// operationID is the operation that an event of deed.operations is about.
func operationID(e domain.Event) (domain.UUID, bool) {
	switch e := e.(type) {
	case domain.OperationRequested:
		return e.ID, true
	case domain.OperationPlanned:
		return e.ID, true
	case domain.OperationAdvanced:
		return e.ID, true
	case domain.OperationSettled:
		return e.ID, true
	case domain.OperationPaused:
		return e.ID, true
	case domain.OperationResumed:
		return e.ID, true
	case domain.OperationEnded:
		return e.ID, true
	default:
		return domain.UUID{}, false
	}
}

// operation writes the members of an event of deed.operations.
func (o *object) operation(e domain.Event) {
	switch e := e.(type) {
	case domain.OperationRequested:
		o.str("kind", string(e.Kind))
		o.str("project", e.Project)
		o.opt("by", e.By)
		o.raw("select", encodeSelection(e.Select))
		o.num("rate", int64(e.Rate))
		o.flag("pinned", e.Pinned)
	case domain.OperationPlanned:
		o.num("total", int64(e.Total))
		o.num("already", int64(e.Already))
		o.num("open", int64(e.Open))
		o.flag("older", e.Older)
	case domain.OperationAdvanced:
		o.num("step", int64(e.Step))
		o.ids("old", e.Old)
		o.ids("new", e.New)
	case domain.OperationSettled:
		o.num("step", int64(e.Step))
		o.strings("problems", e.Problems)
		o.strings("places", e.Places)
	case domain.OperationPaused:
		o.opt("by", e.By)
	case domain.OperationResumed:
		o.opt("by", e.By)
	case domain.NotificationsFed:
		o.num("upto", e.Upto)
		o.num("marker", e.Marker)
	case domain.OperationEnded:
		o.opt("by", e.By)
		o.opt("reason", e.Reason)
	default:
	}
}

// ids writes a list of ids that is left out when empty.
func (o *object) ids(k string, ids []domain.InvocationID) {
	all := make([]string, len(ids))
	for i, id := range ids {
		all[i] = id.String()
	}
	o.strings(k, all)
}

func encodeSelection(s domain.OperationSelection) []byte {
	o := newObject(nil)
	o.ids("ids", s.IDs)
	o.opt("function", s.Function)
	o.opt("status", string(s.Status))
	if !s.AnyCondition {
		o.str("condition", string(s.Condition))
	}
	if s.Since != 0 {
		o.time("since", s.Since)
	}
	if s.Until != 0 {
		o.time("until", s.Until)
	}
	return o.end()
}

// operationDecoders reads the value of each event of deed.operations.
var operationDecoders = map[string]func(*body, []byte) (domain.Event, error){
	"OperationRequested": func(b *body, v []byte) (domain.Event, error) {
		var e domain.OperationRequested
		var kind string
		err := orNil(b.operation(&e.ID), fields{
			"kind": b.str(&kind), "project": b.str(&e.Project), "by": b.str(&e.By), "select": b.selection(&e.Select), "rate": b.small(&e.Rate), "pinned": b.flag(&e.Pinned),
		}.read(v, "kind", "project", "select", "rate"))
		e.Kind = domain.OperationKind(kind)
		return e, err
	},
	"OperationPlanned": func(b *body, v []byte) (domain.Event, error) {
		var e domain.OperationPlanned
		err := orNil(b.operation(&e.ID), fields{"total": b.small(&e.Total), "already": b.small(&e.Already), "open": b.small(&e.Open), "older": b.flag(&e.Older)}.read(v, "total"))
		return e, err
	},
	"OperationAdvanced": func(b *body, v []byte) (domain.Event, error) {
		var e domain.OperationAdvanced
		err := orNil(b.operation(&e.ID), fields{"step": b.small(&e.Step), "old": b.ids(&e.Old), "new": b.ids(&e.New)}.read(v, "step", "old"))
		return e, err
	},
	"OperationSettled": func(b *body, v []byte) (domain.Event, error) {
		var e domain.OperationSettled
		err := orNil(b.operation(&e.ID), fields{"step": b.small(&e.Step), "problems": b.strings(&e.Problems), "places": b.strings(&e.Places)}.read(v, "step"))
		return e, err
	},
	"OperationPaused": func(b *body, v []byte) (domain.Event, error) {
		var e domain.OperationPaused
		err := orNil(b.operation(&e.ID), fields{"by": b.str(&e.By)}.read(v))
		return e, err
	},
	"OperationResumed": func(b *body, v []byte) (domain.Event, error) {
		var e domain.OperationResumed
		err := orNil(b.operation(&e.ID), fields{"by": b.str(&e.By)}.read(v))
		return e, err
	},
	"NotificationsFed": func(b *body, v []byte) (domain.Event, error) {
		var e domain.NotificationsFed
		var partition string
		err := orNil(b.named(subjectFed, &partition), fields{"upto": b.num(&e.Upto), "marker": b.num(&e.Marker)}.read(v, "upto", "marker"))
		if err == nil {
			e.Partition, err = strconv.Atoi(partition)
		}
		return e, err
	},
	"OperationEnded": func(b *body, v []byte) (domain.Event, error) {
		var e domain.OperationEnded
		err := orNil(b.operation(&e.ID), fields{"by": b.str(&e.By), "reason": b.str(&e.Reason)}.read(v))
		return e, err
	},
}

// operation reads the subject.
func (b *body) operation(dst *domain.UUID) error {
	id, ok := strings.CutPrefix(b.subject, subjectOperation)
	if !ok {
		return fmt.Errorf("subject %q is not %sID", clipped(b.subject), subjectOperation)
	}
	var err error
	*dst, err = domain.ParseUUID(id)
	return err
}

func (b *body) ids(dst *[]domain.InvocationID) func([]byte) error {
	return func(v []byte) error {
		return eachElement(v, func(element []byte) error {
			var id domain.InvocationID
			err := b.id(&id)(element)
			*dst = append(*dst, id)
			return err
		})
	}
}

func (b *body) selection(dst *domain.OperationSelection) func([]byte) error {
	return func(v []byte) error {
		var status, condition string
		dst.AnyCondition = true
		err := fields{
			"ids": b.ids(&dst.IDs), "function": b.str(&dst.Function), "status": b.str(&status), "since": b.time(&dst.Since), "until": b.time(&dst.Until),
			"condition": func(v []byte) error { dst.AnyCondition = false; return b.str(&condition)(v) },
		}.read(v)
		dst.Status, dst.Condition = domain.Status(status), domain.Condition(condition)
		return err
	}
}
