package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"deed/cmd/internal/redrive"
	"deed/domain"
	"deed/projections/operations"
)

// NewOperation asks for an operation: of the invocations that are listed, or of all that the rest selects.
type NewOperation struct {
	Kind      string   `json:"kind"` // redrive, or renotify
	IDs       []string `json:"ids,omitempty"`
	Function  string   `json:"function,omitempty"` // NAME or PACKAGE:NAME
	Status    string   `json:"status,omitempty"`   // succeeded, failed or discarded
	Condition *string  `json:"condition,omitempty"`
	Since     string   `json:"since,omitempty"` // of acceptance, inclusive
	Until     string   `json:"until,omitempty"`
	Rate      int      `json:"rate,omitempty"`   // a second at most
	Pinned    bool     `json:"pinned,omitempty"` // as the version that each had
	DryRun    bool     `json:"dry_run,omitempty"`
}

// Operation is how far one is.
type Operation struct {
	ID          string   `json:"id,omitempty"` // none of a dry run
	Kind        string   `json:"kind"`
	Status      string   `json:"status"`
	By          string   `json:"by,omitempty"`
	RequestedAt string   `json:"requested_at,omitempty"`
	EndedAt     string   `json:"ended_at,omitempty"`
	Reason      string   `json:"reason,omitempty"` // why it ended early
	Total       int      `json:"total"`
	Done        int      `json:"done"`
	Failed      int      `json:"failed"`
	PassedOver  int      `json:"passed_over"`     // were redriven, or delivered again, before
	Open        int      `json:"open"`            // have no outcome yet, and are passed over, too
	Older       bool     `json:"older,omitempty"` // the read model has dropped some that might have been selected
	Version     int64    `json:"version,omitempty"`
	Results     []Result `json:"results,omitempty"` // the newest thousand; of a dry run the first
}

// Result is what became of one invocation.
type Result struct {
	RequestID  string `json:"request_id"`
	RedrivenAs string `json:"redriven_as,omitempty"`
	Place      string `json:"place,omitempty"` // where a notification is
	Problem    string `json:"problem,omitempty"`
}

func (in NewOperation) selection() (s domain.OperationSelection, err error) {
	s = domain.OperationSelection{Function: in.Function, Status: domain.Status(in.Status), AnyCondition: in.Condition == nil}
	if in.Condition != nil {
		s.Condition = domain.Condition(*in.Condition)
	}
	for _, text := range in.IDs {
		id, err := domain.ParseInvocationID(text)
		if err != nil {
			return s, err
		}
		s.IDs = append(s.IDs, id)
	}
	for text, at := range map[*string]*domain.Instant{&in.Since: &s.Since, &in.Until: &s.Until} {
		if *text == "" {
			continue
		}
		if *at, err = domain.ParseInstant(*text); err != nil {
			return s, domain.Reject(domain.CodeInvalid, err.Error(), "")
		}
	}
	return s, s.Check()
}

// maxDry is how many a dry run names; it counts all.
const maxDry = 1000

func (s *Server) operate(w http.ResponseWriter, r *http.Request) error {
	b, err := body(w, r, 1<<20, "the operation")
	if err != nil {
		return err
	}
	var in NewOperation
	if err := strict(b, &in); err != nil {
		return err
	}
	e := domain.OperationRequested{Kind: domain.OperationKind(in.Kind), Project: callerOf(r).project, By: callerOf(r).by(), Rate: in.Rate, Pinned: in.Pinned}
	if e.Kind != domain.Redrive && e.Kind != domain.Renotify {
		return domain.Reject(domain.CodeInvalid, fmt.Sprintf("%q is not a kind of operation", in.Kind), "one is redrive or renotify")
	}
	if e.Rate == 0 {
		e.Rate = domain.DefaultRate
	}
	if e.Rate < 1 || e.Rate > domain.MaxRate {
		return domain.Reject(domain.CodeInvalid, fmt.Sprintf("rate %d is out of range: allowed are 1 to %d a second", e.Rate, domain.MaxRate), "")
	}
	if e.Select, err = in.selection(); err != nil {
		return err
	}
	if in.DryRun {
		return reply(w, http.StatusOK, dryRun(e, s.Redriver.Choose(e.Kind, e.Project, e.Select)))
	}
	s.Door.Random(e.ID[:])
	e.ID[6], e.ID[8] = e.ID[6]&0x0f|0x40, e.ID[8]&0x3f|0x80
	if err := s.Door.Operate(r.Context(), e); err != nil {
		return err
	}
	return s.showOperation(w, e.ID)
}

func dryRun(e domain.OperationRequested, c redrive.Chosen) Operation {
	out := Operation{Kind: string(e.Kind), Status: "dry run", Total: len(c.IDs), PassedOver: c.Already, Open: c.Open, Older: c.Older}
	for _, id := range c.IDs[:min(len(c.IDs), maxDry)] {
		out.Results = append(out.Results, Result{RequestID: id.String()})
	}
	return out
}

func operationOf(o operations.Operation) Operation {
	out := Operation{
		ID: o.ID.String(), Kind: string(o.Kind), By: o.By, RequestedAt: o.At.String(), Reason: o.Reason, Total: o.Total, Done: o.Done, Failed: o.Failed,
		PassedOver: o.Already, Open: o.Open, Older: o.Older, Version: o.Version,
	}
	switch {
	case o.Ended:
		out.Status, out.EndedAt = "ended", o.EndedAt.String()
		if o.EndedBy != "" {
			out.Reason = "stopped by " + o.EndedBy
		}
		if o.Reason == "" && o.EndedBy == "" {
			// What another operation redrove meanwhile is passed over, too.
			out.PassedOver += o.Total - o.Done - o.Failed
		}
	case o.Paused:
		out.Status = "paused"
	case o.Planned:
		out.Status = "running"
	default:
		out.Status = "planned"
	}
	for _, r := range o.Results {
		v := Result{RequestID: r.Old.String(), Place: r.Place, Problem: r.Problem}
		if o.Kind == domain.Redrive && !r.New.IsZero() {
			v.RedrivenAs = r.New.String()
		}
		out.Results = append(out.Results, v)
	}
	return out
}

func (s *Server) operations(w http.ResponseWriter, r *http.Request) error {
	out := []Operation{}
	for _, o := range s.Redriver.Model.List(callerOf(r).project) {
		out = append(out, operationOf(o))
	}
	return reply(w, http.StatusOK, map[string]any{"operations": out})
}

// findOperation is the operation that the path names, if it is the caller's.
func (s *Server) findOperation(r *http.Request) (operations.Operation, error) {
	id, err := domain.ParseUUID(r.PathValue("operation"))
	if err != nil {
		return operations.Operation{}, domain.Reject(domain.CodeInvalid, fmt.Sprintf("%.80q is not the id of an operation", r.PathValue("operation")), "GET /v1/operations lists them")
	}
	o, ok := s.Redriver.Model.Get(id)
	if !ok || !callerOf(r).May(o.Project) {
		return o, operations.NoOperation(id)
	}
	return o, nil
}

func (s *Server) showOperation(w http.ResponseWriter, id domain.UUID) error {
	o, ok := s.Redriver.Model.Get(id)
	if !ok {
		return operations.NoOperation(id)
	}
	return reply(w, http.StatusOK, operationOf(o))
}

func (s *Server) operation(w http.ResponseWriter, r *http.Request) error {
	o, err := s.findOperation(r)
	if err != nil {
		return err
	}
	if text := r.URL.Query().Get("after"); text != "" {
		after, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return domain.Reject(domain.CodeInvalid, fmt.Sprintf("after: %.40q is not a version", text), "")
		}
		wait, err := preferWait(r.Header.Get("Prefer"))
		if err != nil {
			return err
		}
		if wait == 0 {
			wait = 30 * time.Second
		}
		ctx, cancel := context.WithTimeout(r.Context(), wait)
		defer cancel()
		_ = s.Redriver.Model.Until(ctx, func() bool { // its end is an answer, too
			o, _ = s.Redriver.Model.Get(o.ID)
			return o.Version > after || o.Ended
		})
	}
	return s.showOperation(w, o.ID)
}

func (s *Server) pause(w http.ResponseWriter, r *http.Request) error {
	return s.change(w, r, func(o operations.Operation, by string) domain.Event { return domain.OperationPaused{ID: o.ID, By: by} })
}

func (s *Server) resume(w http.ResponseWriter, r *http.Request) error {
	return s.change(w, r, func(o operations.Operation, by string) domain.Event { return domain.OperationResumed{ID: o.ID, By: by} })
}

func (s *Server) stop(w http.ResponseWriter, r *http.Request) error {
	return s.change(w, r, func(o operations.Operation, by string) domain.Event { return domain.OperationEnded{ID: o.ID, By: by} })
}

func (s *Server) change(w http.ResponseWriter, r *http.Request, event func(o operations.Operation, by string) domain.Event) error {
	o, err := s.findOperation(r)
	if err != nil {
		return err
	}
	if err := s.Door.Operate(r.Context(), event(o, callerOf(r).by())); err != nil {
		return err
	}
	return s.showOperation(w, o.ID)
}
