package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"deed/cmd/internal/door"
	"deed/domain"
	"deed/projections/invocations"
)

// name is the function of that name in the caller's project.
func (s *Server) name(r *http.Request) domain.FunctionID {
	return domain.FunctionID{Region: s.Region, Project: callerOf(r).project, Package: domain.NativePackage, Name: r.PathValue("name")}
}

func (s *Server) invoke(w http.ResponseWriter, r *http.Request) error {
	event, err := body(w, r, domain.MaxPayload, "the event")
	if err != nil {
		return err
	}
	if ct := r.Header.Get("Content-Type"); strings.HasPrefix(ct, "application/json") && len(event) > 0 && !json.Valid(event) {
		return domain.Reject(domain.CodeInvalid, "the event is declared as JSON and is not", "send it as application/octet-stream, or mend it")
	}
	key, keyed, err := idempotencyKey(r.Header)
	if err != nil {
		return err
	}
	wait, err := preferWait(r.Header.Get("Prefer"))
	if err != nil {
		return err
	}
	var a door.Accepted
	if trace := traceParent(r.Header.Get("Traceparent")); keyed {
		a, err = s.Door.InvokeKey(r.Context(), s.name(r), key, event, trace)
	} else {
		a, err = s.Door.Invoke(r.Context(), s.name(r), event, trace)
	}
	if err != nil {
		return err
	}
	if a.Replayed {
		w.Header().Set(headerReplayed, "true")
	}
	w.Header().Set("Location", "/v1/invocations/"+a.ID.String())
	w.Header().Set("X-Request-Id", a.ID.String())
	if wait == 0 {
		return reply(w, http.StatusAccepted, Accepted{a.ID.String()})
	}
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	w.Header().Set("Preference-Applied", "wait="+strconv.Itoa(int(wait.Seconds())))
	row, err := s.Door.Wait(ctx, a.ID)
	if err != nil {
		return reply(w, http.StatusAccepted, Accepted{a.ID.String()}) // accepted all the same; the wait ended first
	}
	return s.show(w, r, row)
}

// traceParent keeps a W3C trace context that is one.
func traceParent(s string) string {
	if len(s) != 55 || s[2] != '-' || s[35] != '-' || s[52] != '-' || strings.Trim(s, "0123456789abcdef-") != "" {
		return ""
	}
	return s
}

// maxWait bounds Prefer: wait.
const maxWait = 15 * time.Minute

func preferWait(prefer string) (time.Duration, error) {
	for p := range strings.SplitSeq(prefer, ",") {
		if n, ok := strings.CutPrefix(strings.TrimSpace(p), "wait="); ok {
			seconds, err := strconv.Atoi(n)
			if err != nil || seconds < 1 || seconds > int(maxWait.Seconds()) {
				return 0, domain.Reject(domain.CodeInvalid, fmt.Sprintf("Prefer: wait=%s is out of range: allowed are 1 to %d seconds", n, int(maxWait.Seconds())), "")
			}
			return time.Duration(seconds) * time.Second, nil
		}
	}
	return 0, nil
}

func (s *Server) show(w http.ResponseWriter, r *http.Request, row invocations.Row) error {
	result, err := s.Door.Result(r.Context(), row)
	if err != nil {
		return err
	}
	out := invocationOf(row, result)
	s.again(&out, row.State.ID)
	return reply(w, http.StatusOK, out)
}

func (s *Server) find(r *http.Request) (invocations.Row, error) {
	id, err := domain.ParseInvocationID(r.PathValue("id"))
	if err != nil {
		return invocations.Row{}, err
	}
	row, err := s.Door.Find(r.Context(), id)
	if err == nil && !callerOf(r).May(row.State.Function.Project) {
		return invocations.Row{}, s.Door.NoInvocation(id) // the same words as of one that does not exist
	}
	return row, err
}

func (s *Server) get(w http.ResponseWriter, r *http.Request) error {
	row, err := s.find(r)
	if err != nil {
		return err
	}
	if wait, err := preferWait(r.Header.Get("Prefer")); err != nil {
		return err
	} else if wait > 0 {
		ctx, cancel := context.WithTimeout(r.Context(), wait)
		defer cancel()
		if row, err = s.Door.Wait(ctx, row.State.ID); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return s.show(w, r, row)
}

func (s *Server) result(w http.ResponseWriter, r *http.Request) error {
	row, err := s.find(r)
	if err != nil {
		return err
	}
	b, err := s.Door.Result(r.Context(), row)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(b) // a client that went away
	return nil
}

func (s *Server) list(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	f := invocations.Filter{Project: callerOf(r).project, Status: domain.Status(q.Get("status")), Limit: 100}
	if n := q.Get("function"); n != "" {
		f.Function = domain.FunctionID{Project: f.Project, Package: domain.NativePackage, Name: n}
	}
	switch f.Status {
	case "", domain.Waiting, domain.Running, domain.Status(domain.Succeeded), domain.Status(domain.Failed), domain.Status(domain.Discarded):
	default:
		return domain.Reject(domain.CodeInvalid, fmt.Sprintf("%q is not a status", f.Status), "a status is waiting, running, succeeded, failed or discarded")
	}
	if v := q.Get("limit"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > 10_000 {
			return domain.Reject(domain.CodeInvalid, fmt.Sprintf("limit %q is out of range: allowed are 1 to 10000", v), "")
		}
		f.Limit = n
	}
	if v := q.Get("since"); v != "" {
		at, err := domain.ParseInstant(v)
		if err != nil {
			return domain.Reject(domain.CodeInvalid, "since: "+err.Error(), "")
		}
		f.Since = at
	}
	out := []Invocation{}
	for _, row := range s.Model.List(f) {
		v := invocationOf(row, nil)
		s.again(&v, row.State.ID)
		out = append(out, v)
	}
	return reply(w, http.StatusOK, map[string]any{"invocations": out})
}

func (s *Server) cancel(w http.ResponseWriter, r *http.Request) error {
	row, err := s.find(r)
	if err != nil {
		return err
	}
	id := row.State.ID
	var opts struct {
		Force bool `json:"force"`
	}
	b, err := body(w, r, 4<<10, "the body")
	if err != nil {
		return err
	}
	if len(b) > 0 {
		if err := strict(b, &opts); err != nil {
			return err
		}
	}
	if err := s.Door.Cancel(r.Context(), id, opts.Force, callerOf(r).by()); err != nil {
		return err
	}
	return reply(w, http.StatusOK, Accepted{id.String()})
}
