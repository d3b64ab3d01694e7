package httpapi

import (
	"fmt"
	"net/http"
	"strconv"

	"deed/domain"
	"deed/projections/invocations"
)

// Notice is what an outcome owed, and what became of it.
type Notice struct {
	RequestID  string `json:"request_id"`
	Function   string `json:"function"`
	ID         string `json:"notification,omitempty"` // of the record; none while it was not written
	Sink       string `json:"sink"`
	Status     string `json:"status"` // owed, delivered, abandoned, or redelivered after that
	Condition  string `json:"condition,omitempty"`
	EndedAt    string `json:"ended_at"`
	Tries      int    `json:"failed_tries,omitempty"`
	Due        string `json:"due,omitempty"` // of the next try
	ValidUntil string `json:"valid_until,omitempty"`
	Place      string `json:"place,omitempty"` // of one that was delivered again
}

const redelivered = "redelivered"

// again adds what became of an invocation that its own log does not tell.
func (s *Server) again(v *Invocation, id domain.InvocationID) {
	if as, ok := s.Redriver.Model.Redriven(id); ok {
		v.RedrivenAs = as.String()
	}
	if _, ok := s.Redriver.Model.Retold(id); ok && v.Notification != nil {
		v.Notification.Status = redelivered
	}
}

func (s *Server) notice(i domain.Invocation) Notice {
	n := Notice{
		RequestID: i.ID.String(), Function: i.Function.Name, Sink: string(i.Owes()), Status: notified(i), Condition: string(i.Cond), EndedAt: i.EndedAt.String(), Tries: i.Notified.Tries,
	}
	if i.Notified.Owed {
		n.ID, n.ValidUntil = i.Notified.ID.String(), i.Notified.ValidUntil.String()
		if i.Notified.Due != 0 && !i.Notified.Settled {
			n.Due = i.Notified.Due.String()
		}
	}
	if place, ok := s.Redriver.Model.Retold(i.ID); ok {
		n.Status, n.Place = redelivered, place
	}
	return n
}

func (s *Server) notifications(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	want := invocations.Selection{Project: callerOf(r).project, Sync: true}
	if n := q.Get("function"); n != "" {
		want.Function = domain.FunctionID{Project: want.Project, Package: domain.NativePackage, Name: n}
	}
	status, limit := q.Get("status"), 100
	switch status {
	case "", "owed", "delivered", "abandoned", redelivered:
	default:
		return domain.Reject(domain.CodeInvalid, fmt.Sprintf("%.40q is not what becomes of a notification", status), "it is owed, delivered, abandoned or redelivered")
	}
	if v := q.Get("limit"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > 10_000 {
			return domain.Reject(domain.CodeInvalid, fmt.Sprintf("limit %.40q is out of range: allowed are 1 to 10000", v), "")
		}
		limit = n
	}
	if v := q.Get("since"); v != "" {
		at, err := domain.ParseInstant(v)
		if err != nil {
			return domain.Reject(domain.CodeInvalid, "since: "+err.Error(), "")
		}
		want.Since = at
	}
	out := []Notice{}
	s.Model.Each(want, func(i domain.Invocation) bool {
		if i.Owes() != "" {
			if n := s.notice(i); status == "" || n.Status == status {
				out = append(out, n)
			}
		}
		return len(out) < limit
	})
	return reply(w, http.StatusOK, map[string]any{"notifications": out})
}

// notification gives the bytes that the target is told, or by reference names.
func (s *Server) notification(w http.ResponseWriter, r *http.Request) error {
	row, err := s.find(r)
	if err != nil {
		return err
	}
	b, err := s.Door.Owed(r.Context(), row)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(b) // a client that went away
	return nil
}
