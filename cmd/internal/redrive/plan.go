package redrive

import (
	"context"
	"slices"
	"strings"
	"time"

	"deed/domain"
	"deed/projections/invocations"
	"deed/projections/operations"
)

// plan is what a node that acts keeps of an operation.
type plan struct {
	made bool
	todo []domain.InvocationID // oldest first
	next time.Time             // when the next step may begin
	said string                // the last trouble that was logged
}

func (p *plan) fill(c Chosen) { p.made, p.todo = true, c.IDs }

// next is what the next step is about, at most n: first what was lost, then what is left behind the last step, without what
// another operation has redriven meanwhile.
func (o *Redriver) next(op operations.Operation, p *plan, n int) []domain.InvocationID {
	if len(op.Again) > 0 {
		return op.Again[:min(n, len(op.Again))]
	}
	if i := slices.Index(p.todo, op.Last); i >= 0 {
		p.todo = p.todo[i+1:]
	}
	var next []domain.InvocationID
	for _, id := range p.todo {
		if len(next) == n {
			break
		}
		if !o.was(op.Kind, id) {
			next = append(next, id)
		}
	}
	return next
}

// Chosen is what a selection selects.
type Chosen struct {
	IDs     []domain.InvocationID // to be acted on, oldest first; those that are listed, in their order
	Already int                   // were acted on before
	Open    int                   // have no outcome yet
	Older   bool                  // the read model has dropped some that might have been selected
}

// Choose is what an operation would act on if it were asked for now.
func (o *Redriver) Choose(kind domain.OperationKind, project string, s domain.OperationSelection) Chosen {
	return o.choose(operations.Operation{OperationRequested: domain.OperationRequested{Kind: kind, Project: project, Select: s}})
}

func (o *Redriver) choose(op operations.Operation) (c Chosen) {
	s := op.Select
	take := func(i domain.Invocation) {
		switch {
		case i.Outcome == domain.Open:
			c.Open++
		case o.was(op.Kind, i.ID):
			c.Already++
		default:
			c.IDs = append(c.IDs, i.ID)
		}
	}
	if len(s.IDs) > 0 {
		for _, id := range s.IDs {
			row, ok := o.Rows.Get(id)
			if !ok || row.State.Function.Project != op.Project {
				c.IDs = append(c.IDs, id) // it is answered for, one by one
				continue
			}
			take(row.State)
		}
		return c
	}
	want := invocations.Selection{Project: op.Project, Since: s.Since, Until: s.Until, Status: s.Status, Sync: true}
	if s.Function != "" {
		want.Function = functionOf(op.Project, s.Function)
	}
	if op.At != 0 && (want.Until == 0 || want.Until > op.At) {
		want.Until = op.At // what comes later was not meant: it may be what comes of this
	}
	c.Older = o.Rows.Each(want, func(i domain.Invocation) bool {
		if (s.AnyCondition || i.Cond == s.Condition && i.Outcome != domain.Open) && (op.Kind != domain.Renotify || i.Notified.Abandoned) {
			take(i)
		}
		return true
	})
	slices.Reverse(c.IDs)
	return c
}

// was reports whether an invocation was acted on before.
func (o *Redriver) was(kind domain.OperationKind, id domain.InvocationID) bool {
	return o.Model.Taken(kind, id)
}

// functionOf is a function of a project by its name, or by PACKAGE:NAME.
func functionOf(project, name string) domain.FunctionID {
	f := domain.FunctionID{Project: project, Package: domain.NativePackage, Name: name}
	if pkg, name, ok := strings.Cut(name, ":"); ok {
		f.Package, f.Name = pkg, name
	}
	return f
}

// plan looks up what an operation is to act on, and says so.
func (o *Redriver) plan(ctx context.Context, op operations.Operation, p *plan) error {
	c := o.choose(op)
	p.fill(c)
	return o.Door.Operate(ctx, domain.OperationPlanned{ID: op.ID, Total: len(c.IDs), Already: c.Already, Open: c.Open, Older: c.Older})
}
