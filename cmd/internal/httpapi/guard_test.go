package httpapi

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"deed/cmd/internal/access"
)

// TestAdmission: once there are keys, nobody comes in without one, a key touches its own projects, an operator's alone the
// cluster, and what a signed call is about must be signed, too.
func TestAdmission(t *testing.T) {
	at := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	seal, err := access.ParseSealer(strings.Repeat("7", 64))
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]access.Key{}
	credentials := func(name string, operator bool, projects ...string) access.Credentials {
		c := access.Credentials{Access: name, Secret: "secret-of-" + name}
		keys[name] = access.Key{Access: name, Sealed: seal.Seal([]byte(c.Secret), name), Operator: operator, Projects: projects}
		return c
	}
	s := testServer()
	s.Keyring = &access.Keyring{
		Find: func(name string) (access.Key, bool) { k, ok := keys[name]; return k, ok }, Any: func() bool { return true },
		Sealer: seal, Now: func() time.Time { return at },
	}
	operator, one, two := credentials("OP", true), credentials("ONE", false, "p1"), credentials("TWO", false, "p1", "p2")
	handler := s.Handler()
	for name, tt := range map[string]struct {
		who        access.Credentials
		path       string
		project    string
		afterwards bool // the project is named behind the signature
		want       int
	}{
		"nobody":                       {access.Credentials{}, "/v1/functions", "", false, http.StatusUnauthorized},
		"nobody, open":                 {access.Credentials{}, "/healthz", "", false, http.StatusOK},
		"a stranger":                   {access.Credentials{Access: "X", Secret: "x"}, "/v1/functions", "", false, http.StatusUnauthorized},
		"its own project":              {one, "/v1/functions", "", false, http.StatusOK},
		"its own project, named":       {one, "/v1/functions", "p1", false, http.StatusOK},
		"another project":              {one, "/v1/functions", "p2", false, http.StatusForbidden},
		"one of two, none named":       {two, "/v1/functions", "", false, http.StatusForbidden},
		"one of two":                   {two, "/v1/functions", "p2", false, http.StatusOK},
		"named behind the signature":   {two, "/v1/functions", "p2", true, http.StatusForbidden},
		"an operator behind signature": {operator, "/v1/functions", "p9", true, http.StatusForbidden},
		"an operator":                  {operator, "/v1/nodes", "", false, http.StatusOK},
		"the cluster, a project's key": {one, "/v1/nodes", "", false, http.StatusForbidden},
		"the keys, a project's key":    {one, "/v1/keys", "", false, http.StatusForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "http://deed.example"+tt.path, nil)
			if tt.project != "" && !tt.afterwards {
				r.Header.Set(headerProject, tt.project)
			}
			if tt.who.Access != "" {
				if err := access.Sign(r, nil, tt.who, at); err != nil {
					t.Fatal(err)
				}
			}
			if tt.afterwards {
				r.Header.Set(headerProject, tt.project)
			}
			rec := httptest.NewRecorder()
			if handler.ServeHTTP(rec, r); rec.Code != tt.want {
				t.Errorf("%d %s", rec.Code, rec.Body)
			}
		})
	}
}
