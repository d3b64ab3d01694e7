package access

import (
	"bytes"
	"crypto/rand"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestKeyring(t *testing.T) {
	at := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	seal, err := ParseSealer(strings.Repeat("7", 64))
	if err != nil {
		t.Fatal(err)
	}
	random := func(b []byte) { _, _ = rand.Read(b) }
	keys := map[string]Key{}
	ring := &Keyring{
		Find: func(a string) (Key, bool) { k, ok := keys[a]; return k, ok },
		Any:  func() bool { return len(keys) > 0 }, Sealer: seal, Now: func() time.Time { return at },
	}
	body := []byte(`{"a":1}`)
	call := func(sign func(r *Credentials) bool) (Caller, error) {
		r := httptest.NewRequest("POST", "http://h/v1/x?a=1", bytes.NewReader(body))
		var c Credentials
		if token := sign(&c); token {
			r.Header.Set("Authorization", "Bearer "+Token(c))
		} else if c.Access != "" {
			if err := Sign(r, body, c, at); err != nil {
				t.Fatal(err)
			}
		}
		if err := ring.Expect(r); err != nil {
			return Caller{}, err
		}
		return ring.Caller(r, body)
	}
	nobody := func(*Credentials) bool { return false }
	if c, err := call(nobody); err != nil || !c.May("any") || !c.Operator {
		t.Errorf("without keys: %+v, %v", c, err)
	}
	add := func(c Credentials, operator bool, projects ...string) {
		keys[c.Access] = Key{Access: c.Access, Sealed: seal.Seal([]byte(c.Secret), c.Access), Operator: operator, Projects: projects}
	}
	op, one, two := NewCredentials(random), NewCredentials(random), NewCredentials(random)
	add(op, true)
	add(one, false, "p1")
	add(two, false, "p1", "p2")
	for _, token := range []bool{true, false} {
		as := func(who Credentials) func(*Credentials) bool {
			return func(c *Credentials) bool { *c = who; return token }
		}
		for name, tt := range map[string]struct {
			who      Credentials
			operator bool
			may      []string
			not      []string
		}{
			"operator": {op, true, []string{"p1", "p9", ""}, nil},
			"one":      {one, false, []string{"p1"}, []string{"p2", ""}},
			"two":      {two, false, []string{"p1", "p2"}, []string{"p3", ""}},
			"root":     {RootCredentials(seal), true, []string{"p1", ""}, nil},
		} {
			c, err := call(as(tt.who))
			if err != nil || c.Operator != tt.operator || c.Access != tt.who.Access {
				t.Errorf("%s: %+v, %v", name, c, err)
			}
			for _, p := range tt.may {
				if !c.May(p) {
					t.Errorf("%s may not touch %q", name, p)
				}
			}
			for _, p := range tt.not {
				if c.May(p) {
					t.Errorf("%s may touch %q", name, p)
				}
			}
		}
		wrong := one
		wrong.Secret = two.Secret
		stranger := NewCredentials(random)
		noRoot := Credentials{Access: Root, Secret: one.Secret}
		moved := Credentials{Access: "MOVED", Secret: one.Secret}
		keys["MOVED"] = Key{Access: "MOVED", Sealed: keys[one.Access].Sealed, Projects: []string{"p2"}}
		for name, who := range map[string]Credentials{"a wrong secret": wrong, "a stranger": stranger, "a guessed root": noRoot, "a sealed secret moved to another key": moved} {
			if c, err := call(as(who)); err == nil {
				t.Errorf("%s comes in: %+v", name, c)
			} else if denied := (*Denied)(nil); !errors.As(err, &denied) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if _, err := call(nobody); err == nil {
		t.Error("without credentials one comes in")
	}
	delete(keys, one.Access)
	if _, err := call(func(c *Credentials) bool { *c = one; return true }); err == nil {
		t.Error("a revoked key comes in")
	}
	ring.Sealer = nil
	if _, err := call(func(c *Credentials) bool { *c = op; return true }); err == nil {
		t.Error("a key comes in that cannot be checked")
	}
}

func TestCallersProject(t *testing.T) {
	for _, tt := range []struct {
		caller Caller
		named  string
		want   string
	}{
		{Caller{Operator: true}, "", "default"},
		{Caller{Operator: true}, "p9", "p9"},
		{Caller{projects: []string{"p1"}}, "", "p1"},
		{Caller{projects: []string{"p1"}}, "p1", "p1"},
		{Caller{projects: []string{"p1"}}, "p2", ""},
		{Caller{projects: []string{"p1", "p2"}}, "", ""},
		{Caller{projects: []string{"p1", "p2"}}, "p2", "p2"},
	} {
		got, err := tt.caller.Project(tt.named, "default")
		if got != tt.want || (err != nil) != (tt.want == "") || err != nil && !errors.Is(err, ErrProject) {
			t.Errorf("%+v names %q: %q, %v", tt.caller, tt.named, got, err)
		}
	}
}

// TestCovers: a signature vouches for the headers that it names, a token for all.
func TestCovers(t *testing.T) {
	at := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	c := Credentials{Access: "AK", Secret: "secret"}
	signed := httptest.NewRequest("GET", "http://h/", nil)
	signed.Header.Set("X-Project-Id", "p1")
	if err := Sign(signed, nil, c, at); err != nil {
		t.Fatal(err)
	}
	added := httptest.NewRequest("GET", "http://h/", nil)
	if err := Sign(added, nil, c, at); err != nil {
		t.Fatal(err)
	}
	added.Header.Set("X-Project-Id", "p2")
	token := httptest.NewRequest("GET", "http://h/", nil)
	token.Header.Set("Authorization", "Bearer "+Token(c))
	token.Header.Set("X-Project-Id", "p1")
	for name, ok := range map[string]bool{"signed": Covers(signed, "X-Project-Id"), "absent": Covers(signed, "Idempotency-Key"), "token": Covers(token, "X-Project-Id"), "added": !Covers(added, "X-Project-Id")} {
		if !ok {
			t.Errorf("%s: the wrong answer", name)
		}
	}
}

// TestGuard: without keys a browser gets nothing here for a page of another name or site; with keys any name will do.
func TestGuard(t *testing.T) {
	keyed := false
	h := Guard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }), func() bool { return keyed },
		func(w http.ResponseWriter, _ *http.Request, _ string) { w.WriteHeader(http.StatusForbidden) })
	for _, tt := range []struct {
		keyed                      bool
		method, host, origin, site string
		want                       int
	}{
		{false, "GET", "127.0.0.1:3333", "", "", 200},
		{false, "GET", "[::1]:3333", "", "", 200},
		{false, "GET", "rebound.example", "", "same-origin", 403},
		{false, "POST", "rebound.example", "", "", 403},
		{false, "POST", "localhost:3333", "http://localhost:3333", "same-origin", 200},
		{false, "POST", "localhost:3333", "http://elsewhere.example", "", 403},
		{false, "POST", "localhost:3333", "", "cross-site", 403},
		{true, "GET", "deed.example", "", "", 200},
		{true, "POST", "deed.example", "", "", 200},
		{true, "POST", "deed.example", "http://elsewhere.example", "", 403},
	} {
		keyed = tt.keyed
		r := httptest.NewRequest(tt.method, "http://x/", nil)
		r.Host = tt.host
		for k, v := range map[string]string{"Origin": tt.origin, "Sec-Fetch-Site": tt.site} {
			if v != "" {
				r.Header.Set(k, v)
			}
		}
		rec := httptest.NewRecorder()
		if h.ServeHTTP(rec, r); rec.Code != tt.want {
			t.Errorf("%+v: %d", tt, rec.Code)
		}
	}
}
