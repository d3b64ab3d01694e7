package access

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	noon  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	alice = Credentials{Access: "ALICEALICEALICEALICE", Secret: "a-secret_of_alice"}
)

func known(access string) (string, bool) { return alice.Secret, access == alice.Access }

func codeOf(err error) Code {
	if d, ok := errors.AsType[*Denied](err); ok {
		return d.Code
	}
	return ""
}

// changes are of everything in a request that its signature covers, one at a time.
func changes(r *http.Request) map[string]func(*http.Request, []byte) []byte {
	all := map[string]func(*http.Request, []byte) []byte{
		"method":    func(r *http.Request, b []byte) []byte { r.Method += "X"; return b },
		"path":      func(r *http.Request, b []byte) []byte { r.URL.Path = "/x" + r.URL.Path; r.URL.RawPath = ""; return b },
		"query":     func(r *http.Request, b []byte) []byte { r.URL.RawQuery += "&zz=1"; return b },
		"empty key": func(r *http.Request, b []byte) []byte { r.URL.RawQuery += "&zz"; return b },
		"body":      func(_ *http.Request, b []byte) []byte { return append(slices.Clone(b), '\n') },
		"signature": func(r *http.Request, b []byte) []byte {
			a := []byte(r.Header.Get("Authorization"))
			i := strings.Index(string(a), "Signature=") + len("Signature=")
			a[i] = map[bool]byte{true: '1', false: '0'}[a[i] == '0']
			r.Header.Set("Authorization", string(a))
			return b
		},
		"access key": func(r *http.Request, b []byte) []byte {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "Access=", "Access=A", 1))
			return b
		},
		"list of headers": func(r *http.Request, b []byte) []byte {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "SignedHeaders=", "SignedHeaders=absent;", 1))
			return b
		},
	}
	a, err := authorizationOf(r.Header)
	if err != nil {
		return all
	}
	for _, name := range a.signed {
		all["value of "+name] = func(r *http.Request, b []byte) []byte {
			switch name {
			case hostName:
				r.Host += "x"
			case dateName:
				at, _ := time.Parse(dateLayout, r.Header.Get(dateName))
				r.Header.Set(dateName, at.Add(time.Second).Format(dateLayout))
			default:
				r.Header.Set(name, r.Header.Get(name)+"x")
			}
			return b
		}
		if name != hostName {
			all["count of "+name] = func(r *http.Request, b []byte) []byte { r.Header.Add(name, "one more"); return b }
			all["absence of "+name] = func(r *http.Request, b []byte) []byte { r.Header.Del(name); return b }
		}
	}
	return all
}

// TestSignVerify: over random requests what Sign made passes, from an odd name in the path to a body of any bytes, and any
// single change of what is signed fails.
func TestSignVerify(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		text := func() string {
			const some = "ab:!%/ +&=;?#~*'ü名\x01-._"
			runes := []rune(some)
			var b strings.Builder
			for range rnd.IntN(6) {
				b.WriteRune(runes[rnd.IntN(len(runes))])
			}
			return b.String()
		}
		u := url.URL{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", rnd.IntN(60000)), Path: "/"}
		for range rnd.IntN(5) {
			u.Path += strings.ReplaceAll(text(), "/", "") + "/"
		}
		query := url.Values{}
		for range rnd.IntN(5) {
			query.Add(text(), text())
		}
		u.RawQuery = query.Encode()
		body := []byte(text())
		build := func() (*http.Request, []byte) {
			r, err := http.NewRequest([]string{"GET", "POST", "PUT", "DELETE"}[seed%4], u.String(), nil)
			if err != nil {
				t.Fatal(u.String(), err)
			}
			r.Header = http.Header{"X-Project-Id": {"p"}, "Content-Type": {"application/json"}, "X-Many": {"b ", " a"}, "User-Agent": {"deed"}}
			if err := Sign(r, body, alice, noon); err != nil {
				t.Fatal(u.String(), err)
			}
			r.Header.Set("Content-Type", "text/plain") // is not signed
			r.Header.Set("User-Agent", "a proxy")
			return r, body
		}
		r, body := build()
		if access, err := Verify(r, body, known, noon.Add(Window)); err != nil || access != alice.Access {
			t.Fatalf("seed %d, %s: %q, %v", seed, u.String(), access, err)
		}
		for what, change := range changes(r) {
			r, body := build()
			body = change(r, body)
			if _, err := Verify(r, body, known, noon); err == nil {
				t.Errorf("seed %d, %s: another %s passes", seed, u.String(), what)
			}
		}
		for _, secret := range []string{"", alice.Secret + " ", nobody} {
			if _, err := Verify(r, body, func(string) (string, bool) { return secret, true }, noon); codeOf(err) != CodeSignature {
				t.Errorf("seed %d: the secret %q: %v", seed, secret, err)
			}
		}
	}
}

// TestOverTheWire: what a client of ours signs is verified by a server, whatever net/http does on the way.
func TestOverTheWire(t *testing.T) {
	answers := make(chan error, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			_, err = Verify(r, body, known, noon)
		}
		answers <- err
	}))
	defer srv.Close()
	for _, target := range []string{"", "/", "/v2/p/fgs/functions/urn:fss:r:p:function:default:hello:!prod/invocations-async", "/%21%20%25/ü/?a&b=&a=1+2&c=%2B", "/x/%e5%90%8d?"} {
		r, err := http.NewRequest("POST", srv.URL+target, strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Idempotency-Key", `"a  b"`)
		r.Header.Set("X-Empty", "")
		if err := Sign(r, []byte("x"), alice, noon); err != nil {
			t.Fatal(err)
		}
		resp, err := srv.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if err := <-answers; err != nil {
			t.Error(target, err)
		}
	}
}

// TestDenied: each reason has its code and words that help, and none repeats a secret or the signature that would be right.
func TestDenied(t *testing.T) {
	signed := func(change func(*http.Request)) func() *http.Request {
		return func() *http.Request {
			r := httptest.NewRequest("POST", "/v2/p?a=b", nil)
			if err := Sign(r, []byte("x"), alice, noon); err != nil {
				t.Fatal(err)
			}
			change(r)
			return r
		}
	}
	set := func(name, value string) func() *http.Request {
		return signed(func(r *http.Request) { r.Header.Set(name, value) })
	}
	sig := strings.Repeat("0", 64)
	for _, c := range []struct {
		name string
		r    func() *http.Request
		code Code
		says string
	}{
		{"nothing", signed(func(r *http.Request) { r.Header.Del("Authorization") }), CodeMissing, "SDK-HMAC-SHA256"},
		{"two", signed(func(r *http.Request) { r.Header.Add("Authorization", r.Header.Get("Authorization")) }), CodeMalformed, "more than one"},
		{"empty", set("Authorization", ""), CodeAlgorithm, "SDK-HMAC-SHA256"},
		{"SM3", set("Authorization", "SDK-HMAC-SM3 Access=A, SignedHeaders=x-sdk-date, Signature="+sig), CodeAlgorithm, "SDK-HMAC-SM3"},
		{"V11", set("Authorization", "V11-HMAC-SHA256 Credential=A/b, SignedHeaders=x-sdk-date, Signature="+sig), CodeAlgorithm, "not signed with SDK-HMAC-SHA256"},
		{"Bearer", set("Authorization", "bearer "+Token(alice)), CodeAlgorithm, "Bearer"},
		{"a secret in the wrong place", set("Authorization", alice.Secret), CodeAlgorithm, "only algorithm"},
		{"no fields", set("Authorization", Algorithm), CodeMalformed, "Access="},
		{"too long", set("Authorization", Algorithm+" Access="+strings.Repeat("A", 5000)), CodeMalformed, "4096"},
		{"no date among the signed", set("Authorization", Algorithm+" Access=A, SignedHeaders=host, Signature="+sig), CodeMalformed, "x-sdk-date"},
		{"no date", signed(func(r *http.Request) { r.Header.Del(dateName) }), CodeMalformed, "X-Sdk-Date"},
		{"two dates", signed(func(r *http.Request) { r.Header.Add(dateName, r.Header.Get(dateName)) }), CodeMalformed, "X-Sdk-Date"},
		{"a date with a fraction", set(dateName, "20260301T120000.5Z"), CodeMalformed, "X-Sdk-Date"},
		{"a date that is none", set(dateName, "Sun, 01 Mar 2026 12:00:00 GMT"), CodeMalformed, "X-Sdk-Date"},
		{"too late", set(dateName, "20260301T114459Z"), CodeClock, "20260301T120000Z here"},
		{"too early", set(dateName, "20260301T121501Z"), CodeClock, "set the clock"},
		{"another date", set(dateName, "20260301T121500Z"), CodeSignature, "not known, or"},
		{"unsigned body", set(contentName, "UNSIGNED-PAYLOAD"), CodeBody, "must be signed"},
		{"another body's digest", set(contentName, sig), CodeBody, "SHA-256"},
		{"two digests", signed(func(r *http.Request) { r.Header[http.CanonicalHeaderKey(contentName)] = []string{sig, sig} }), CodeBody, "SHA-256"},
		{"an escaped slash", signed(func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/v2/p", "/v2%2fp" }), CodeMalformed, "%2F"},
		{"no path", signed(func(r *http.Request) { r.URL.Opaque = "p" }), CodeMalformed, "path"},
		{"a broken query", signed(func(r *http.Request) { r.URL.RawQuery = "a=%zz" }), CodeMalformed, "query"},
		{"a semicolon in the query", signed(func(r *http.Request) { r.URL.RawQuery = "a=b;c=d" }), CodeMalformed, "semicolon"},
		{"somebody else", set("Authorization", Algorithm+" Access=BOB, SignedHeaders=x-sdk-date, Signature="+sig), CodeSignature, "not known, or"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := c.r()
			access, err := Verify(r, []byte("x"), known, noon)
			if access != "" || codeOf(err) != c.code || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("%q, %q: %v", access, codeOf(err), err)
			}
			right := signed(func(*http.Request) {})().Header.Get("Authorization")
			if strings.Contains(err.Error(), alice.Secret) || strings.Contains(err.Error(), right[strings.Index(right, "Signature=")+len("Signature="):]) {
				t.Error("tells too much:", err)
			}
		})
	}
}

// TestNoOracle: a known access key with a wrong signature and an unknown one are answered alike, and the secret of nobody
// opens nothing.
func TestNoOracle(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	bob := Credentials{Access: "BOB", Secret: nobody}
	if err := Sign(r, nil, bob, noon); err != nil {
		t.Fatal(err)
	}
	_, unknown := Verify(r, nil, known, noon)
	if err := Sign(r, nil, Credentials{alice.Access, "wrong"}, noon); err != nil {
		t.Fatal(err)
	}
	_, wrong := Verify(r, nil, known, noon)
	if codeOf(wrong) != CodeSignature || unknown == nil || unknown.Error() != wrong.Error() {
		t.Errorf("unknown: %v; wrong: %v", unknown, wrong)
	}
	if _, err := Check(bob, known); codeOf(err) != CodeSignature {
		t.Error(err)
	}
	if _, err := Check(Credentials{"BOB", ""}, func(string) (string, bool) { return "", true }); codeOf(err) != CodeSignature {
		t.Error("no secret at all:", err)
	}
}

// TestCannotSign what cannot be verified.
func TestCannotSign(t *testing.T) {
	for target, c := range map[string]Credentials{"http://h/a%2Fb": alice, "http://h/?%zz": alice, "http://h/": {"A B", "s"}, "http://h/x": {"A", ""}} {
		r, err := http.NewRequest("GET", target, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := Sign(r, nil, c, noon); err == nil || r.Header.Get("Authorization") != "" {
			t.Error(target, c, err)
		}
	}
}
