package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"deed/cmd/internal/door"
	"deed/domain"
	"deed/eventstore"
)

// fail answers with the problem; only what is our own fault is logged.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	var p *Problem
	var rejection *domain.Rejection
	var unacknowledged *door.Unacknowledged
	var undecided *door.Undecided
	again := retryAfter
	denied := unauthorized(w, err)
	switch {
	case denied != nil:
		p = denied
	case errors.As(err, &p):
	case errors.As(err, &rejection):
		p = &Problem{Type: "deed:" + string(rejection.Code), Title: rejection.Words, Status: statusOf[rejection.Code], Hint: rejection.Hint}
	case errors.As(err, &undecided):
		again = strconv.Itoa(int(undecided.After.Seconds()))
		p = &Problem{
			Type: "deed:undecided", Title: "the first call with this Idempotency-Key got no answer, and the log does not say yet what became of it", Status: 503,
			Detail: undecided.Err.Error(), Hint: "make the same call again in " + again + " seconds, with the same Idempotency-Key: there will be one invocation",
		}
	case errors.As(err, &unacknowledged):
		p = &Problem{
			Type: "deed:unacknowledged", Title: "the log did not acknowledge the request in time; whether it will run is unknown", Status: 503,
			Detail: unacknowledged.Error(), Hint: "deed get " + unacknowledged.ID.String() + " tells later", ID: unacknowledged.ID.String(),
		}
		if unacknowledged.Key != "" {
			// The id may be replaced: nobody is told it before the log is known to have it.
			p.Hint, p.Detail, p.ID = "make the same call again, with the same Idempotency-Key: there will be one invocation", unacknowledged.Err.Error(), ""
		}
	default:
		s.Logger.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path, "error", err)
		p = &Problem{Type: "deed:internal", Title: "the server failed", Status: 500, Detail: err.Error()}
		if errors.Is(err, eventstore.ErrUnknownOutcome) {
			p.Title = "the change was written, and whether it took effect is unknown"
		}
	}
	if p.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", again)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // a client that went away
}

func reply(w http.ResponseWriter, status int, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // a client that went away
	return nil
}

// body reads a body of at most limit bytes.
func body(w http.ResponseWriter, r *http.Request, limit int, what string) ([]byte, error) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(limit)))
	if err != nil {
		return nil, unreadable(what, err)
	}
	return b, nil
}

// unreadable is the rejection of a body that could not be read, or was more than may be read.
func unreadable(what string, err error) error {
	if most := (*http.MaxBytesError)(nil); errors.As(err, &most) {
		return tooLarge(what, int(most.Limit))
	}
	return domain.Reject(domain.CodeInvalid, what+" could not be read: "+err.Error(), "")
}

func tooLarge(what string, limit int) error {
	return domain.Reject(domain.CodeTooLarge, fmt.Sprintf("%s is too large; the limit is %d bytes (%d MiB)", what, limit, limit>>20), "")
}

// strict decodes JSON and refuses members that nobody knows: a misspelt option must not be passed over in silence.
func strict(b []byte, v any) error {
	dec := json.NewDecoder(strings.NewReader(string(b)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return domain.Reject(domain.CodeInvalid, "the body is not the JSON that is expected: "+strings.TrimPrefix(err.Error(), "json: "), "GET /openapi.json describes it")
	}
	if dec.More() {
		return domain.Reject(domain.CodeInvalid, "the body holds more than one JSON value", "")
	}
	return nil
}
