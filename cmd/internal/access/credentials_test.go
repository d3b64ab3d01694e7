package access

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

func random(b []byte) { _, _ = rand.Read(b) }

func TestNewCredentials(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		c := NewCredentials(random)
		if !regexp.MustCompile(`^[A-Z2-7]{20}$`).MatchString(c.Access) || !regexp.MustCompile(`^[A-Za-z0-9_-]{40}$`).MatchString(c.Secret) {
			t.Fatal(c.Access, c.Secret)
		}
		if seen[c.Access] || seen[c.Secret] {
			t.Fatal("twice the same")
		}
		seen[c.Access], seen[c.Secret] = true, true
		r := &http.Request{Header: http.Header{"Authorization": {"Bearer " + Token(c)}}}
		if got, ok := BearerToken(r); !ok || got != c {
			t.Fatal(Token(c))
		}
	}
}

func TestBearerToken(t *testing.T) {
	type h = http.Header
	long := strings.Repeat("s", maxToken)
	for _, c := range []struct {
		h    h
		want string // the token, or nothing
	}{
		{h{}, ""},
		{h{"Authorization": {"Bearer A.b"}}, "A.b"},
		{h{"Authorization": {"bearer  A.b.c"}}, "A.b.c"},
		{h{"X-Auth-Token": {"A.b"}}, "A.b"},
		{h{"Authorization": {"Bearer A.b"}, "X-Auth-Token": {"C.d"}}, "A.b"},
		{h{"Authorization": {Algorithm + " Access=A"}, "X-Auth-Token": {"C.d"}}, ""},
		{h{"Authorization": {"Bearer A.b", "Bearer A.b"}}, ""},
		{h{"X-Auth-Token": {"A.b", "A.b"}}, ""},
		{h{"Authorization": {"A.b"}}, ""},
		{h{"Authorization": {"Bearer"}}, ""},
		{h{"Authorization": {"Bearer A"}}, ""},
		{h{"Authorization": {"Bearer A."}}, ""},
		{h{"Authorization": {"Bearer .b"}}, ""},
		{h{"Authorization": {"Bearer A b.c"}}, ""},
		{h{"X-Auth-Token": {"A." + long}}, ""},
	} {
		got, ok := BearerToken(&http.Request{Header: c.h})
		if ok != (c.want != "") || ok && Token(got) != c.want {
			t.Errorf("%v: %q %v", c.h, Token(got), ok)
		}
	}
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{{"a", "a", true}, {"a", "b", false}, {"a", "aa", false}, {"", "", false}, {"", "a", false}} {
		if got := (Credentials{"A", c.a}).Matches(c.b); got != c.want {
			t.Error(c, got)
		}
	}
	if access, err := Check(alice, known); err != nil || access != alice.Access {
		t.Error(access, err)
	}
	if _, err := Check(Credentials{alice.Access, "x"}, known); codeOf(err) != CodeSignature {
		t.Error(err)
	}
}

// TestSecretsStay: however these types are printed, logged or written, what is secret in them does not come out.
func TestSecretsStay(t *testing.T) {
	key := strings.Repeat("c0ffee42", 8)
	s, err := ParseSealer(key)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	nested := struct {
		C *Credentials
		D Credentials
		S *Sealer
		T Sealer
		u *Sealer
	}{&alice, alice, s, *s, s}
	for _, v := range []any{alice, &alice, s, *s, nested, []any{alice, s}, map[string]any{"a": alice, "s": s}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
		b, err := json.Marshal(v)
		fmt.Fprintln(&out, string(b), err, fmt.Errorf("%v", v))
	}
	fmt.Fprintln(&out, alice.String(), s.String(), Sealer{}, (*Sealer)(nil))
	text := strings.ToLower(out.String())
	raw := bytes.Repeat([]byte{0xc0, 0xff, 0xee, 0x42}, 8)
	decimal := func(b []byte) string { return strings.Trim(fmt.Sprintf("%d", b), "[]") }
	derive := s.keys().derive[:8]
	for _, secret := range []string{alice.Secret, fmt.Sprintf("%x", alice.Secret), key[:16], decimal(raw[:8]), decimal(derive), fmt.Sprintf("%x", derive)} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in\n%s", secret, text)
		}
	}
	if !strings.Contains(text, strings.ToLower(alice.Access)) || !strings.Contains(text, s.ID()) {
		t.Error("says not whose it is")
	}
	if _, err := json.Marshal(alice); err == nil {
		t.Error("credentials were written as JSON")
	}
}
