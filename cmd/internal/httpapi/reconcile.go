package httpapi

import (
	"net/http"

	"deed/cmd/internal/reconcile"
	"deed/domain"
)

// Reconciliation is how the accounts of notifications agree.
type Reconciliation struct {
	Agrees      bool `json:"agrees"`
	Ended       int  `json:"ended"`       // invocations
	Untold      int  `json:"untold"`      // of them owe nobody anything
	Owed        int  `json:"owed"`        // the others
	Pending     int  `json:"pending"`     // are not told yet
	Delivered   int  `json:"delivered"`   // have a receipt
	Abandoned   int  `json:"abandoned"`   // were given up
	Redelivered int  `json:"redelivered"` // of those, were told when it was asked for
	Verified    int  `json:"verified"`    // the place holds exactly the record
	Doubled     int  `json:"doubled"`     // messages that stand in a topic more than once, the same

	Findings  []Finding `json:"findings"`
	NotListed int       `json:"not_listed,omitempty"`
	Uncovered []string  `json:"uncovered"` // functions whose failures nobody is told of
	Older     bool      `json:"older,omitempty"`
}

// Finding is a difference.
type Finding struct {
	RequestID string `json:"request_id,omitempty"`
	Sink      string `json:"sink,omitempty"`
	What      string `json:"what"`
	Where     string `json:"where,omitempty"`
	Words     string `json:"words"`
}

func (s *Server) reconcile(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	sel := reconcile.Selection{Project: callerOf(r).project}
	if n := q.Get("function"); n != "" {
		sel.Function = domain.FunctionID{Project: sel.Project, Package: domain.NativePackage, Name: n}
		if _, err := s.Registry.Get(sel.Function); err != nil {
			return err
		}
	}
	for name, at := range map[string]*domain.Instant{"since": &sel.Since, "until": &sel.Until} {
		if v := q.Get(name); v != "" {
			var err error
			if *at, err = domain.ParseInstant(v); err != nil {
				return domain.Reject(domain.CodeInvalid, name+": "+err.Error(), "")
			}
		}
	}
	rep, err := s.Reconciler.Run(r.Context(), sel)
	if err != nil {
		return err
	}
	out := Reconciliation{
		Agrees: rep.Agrees(), Ended: rep.Ended, Untold: rep.Untold, Owed: rep.Owed, Pending: rep.Pending, Delivered: rep.Delivered, Abandoned: rep.Abandoned,
		Redelivered: rep.Redelivered, Verified: rep.Verified, Doubled: rep.Doubled, Findings: []Finding{}, NotListed: rep.More, Uncovered: []string{}, Older: rep.Older,
	}
	for _, f := range rep.Findings {
		v := Finding{Sink: string(f.Target), What: string(f.What), Where: f.Where, Words: f.Words}
		if !f.Invocation.IsZero() {
			v.RequestID = f.Invocation.String()
		}
		out.Findings = append(out.Findings, v)
	}
	for _, f := range rep.Uncovered {
		name := f.Name
		if f.Package != domain.NativePackage {
			name = f.Package + ":" + name
		}
		out.Uncovered = append(out.Uncovered, name)
	}
	return reply(w, http.StatusOK, out)
}
