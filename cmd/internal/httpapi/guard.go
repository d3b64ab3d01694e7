package httpapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"

	"deed/cmd/internal/access"
	"deed/domain"
)

// guard refuses what a page on another site could make a browser send here.
func (s *Server) guard(next http.Handler) http.Handler {
	return access.Guard(next, s.Keyring.Any, func(w http.ResponseWriter, r *http.Request, words string) {
		s.fail(w, r, &Problem{Type: "deed:forbidden", Title: words, Status: http.StatusForbidden, Hint: "use http://127.0.0.1 and the port that deed serve printed"})
	})
}

// caller is who is calling, and what project the call is about.
type caller struct {
	access.Caller
	project string
	named   bool // the call names it
}

// by is the caller's name in the log.
func (c caller) by() string {
	if c.Access == "" {
		return "api"
	}
	return "key/" + c.Access
}

type callerKey struct{}

// callerOf is the caller that admit let in.
func callerOf(r *http.Request) caller {
	c, _ := r.Context().Value(callerKey{}).(caller)
	return c
}

// headerProject names the project of a call, as Huawei's clients do.
const headerProject = "X-Project-Id"

// admit lets in who may make the call: the request that it returns knows its caller. With keys the body is read first, for
// it is signed; without credentials that are known nobody's body is read.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, t route) (*http.Request, error) {
	who := t.who
	if who == anybody {
		return r, nil
	}
	if err := s.Keyring.Expect(r); err != nil {
		return r, err
	}
	var b []byte
	if s.Keyring.Any() {
		var err error
		if b, err = body(w, r, max(t.most, maxModule), "the body"); err != nil {
			return r, err
		}
		_ = r.Body.Close()
		r.Body = io.NopCloser(bytes.NewReader(b))
	}
	c := caller{}
	var err error
	if c.Caller, err = s.Keyring.Caller(r, b); err != nil {
		return r, err
	}
	for _, header := range []string{headerProject, headerKey} {
		if s.Keyring.Any() && !access.Covers(r, header) {
			return r, &Problem{Type: "deed:forbidden", Title: "the signature does not cover the header " + header, Status: http.StatusForbidden, Hint: "name it among the signed headers"}
		}
	}
	if who == operators && !c.Operator {
		return r, &Problem{Type: "deed:forbidden", Title: "only an operator's key may do that", Status: http.StatusForbidden, Hint: "deed keys create --operator makes one"}
	}
	if who == tenants {
		c.named = r.Header.Get(headerProject) != ""
		if c.project, err = c.Project(r.Header.Get(headerProject), domain.NativeProject); err != nil {
			return r, &Problem{Type: "deed:forbidden", Title: err.Error(), Status: http.StatusForbidden, Hint: "--project, or the header " + headerProject + ", names one"}
		}
	}
	return r.WithContext(context.WithValue(r.Context(), callerKey{}, c)), nil
}

// unauthorized is the answer to who did not say who is calling, or did not prove it.
func unauthorized(w http.ResponseWriter, err error) *Problem {
	denied := (*access.Denied)(nil)
	if !errors.As(err, &denied) {
		return nil
	}
	w.Header().Set("WWW-Authenticate", "Bearer")
	return &Problem{
		Type: "deed:unauthorized", Title: denied.Words, Status: http.StatusUnauthorized,
		Hint: "set DEED_ACCESS_KEY and DEED_SECRET_KEY; deed keys create makes a key",
	}
}
