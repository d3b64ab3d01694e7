package access

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestAuthorization(t *testing.T) {
	sig := strings.Repeat("0f", 32)
	for s, ok := range map[string]bool{
		"SDK-HMAC-SHA256 Access=A, SignedHeaders=x-sdk-date, Signature=" + sig:                                        true,
		"SDK-HMAC-SHA256 Access=A,SignedHeaders=x-sdk-date,Signature=" + sig:                                          true,
		" SDK-HMAC-SHA256   Access=A ,   SignedHeaders=host;x-sdk-date ,  Signature=" + strings.ToUpper(sig) + " ":    true,
		"SDK-HMAC-SHA256 Signature=" + sig + ", SignedHeaders=x-sdk-date;host, Access=a_b-9":                          true,
		"SDK-HMAC-SHA256 Access=A, SignedHeaders=x-sdk-date, Signature=" + sig + ",":                                  false,
		"SDK-HMAC-SHA256 Access=A, SignedHeaders=x-sdk-date, Signature=" + sig + ", More=1":                           false,
		"SDK-HMAC-SHA256 Access=A, Access=A, SignedHeaders=x-sdk-date, Signature=" + sig:                              false,
		"SDK-HMAC-SHA256 Access=, SignedHeaders=x-sdk-date, Signature=" + sig:                                         false,
		"SDK-HMAC-SHA256 Access=A B, SignedHeaders=x-sdk-date, Signature=" + sig:                                      false,
		"SDK-HMAC-SHA256 Access=" + strings.Repeat("A", 129) + ", SignedHeaders=x-sdk-date, Signature=" + sig:         false,
		"SDK-HMAC-SHA256 Access=A, SignedHeaders=x-sdk-date, Signature=" + sig[1:]:                                    false,
		"SDK-HMAC-SHA256 Access=A, SignedHeaders=x-sdk-date, Signature=" + sig[1:] + "g":                              false,
		"SDK-HMAC-SHA256 Access=A, SignedHeaders=X-Sdk-Date, Signature=" + sig:                                        false,
		"SDK-HMAC-SHA256 Access=A, SignedHeaders=x-sdk-date;x-sdk-date, Signature=" + sig:                             false,
		"SDK-HMAC-SHA256 Access=A, SignedHeaders=x-sdk-date;, Signature=" + sig:                                       false,
		"SDK-HMAC-SHA256 Access=A, SignedHeaders=é;x-sdk-date, Signature=" + sig:                                      false,
		"SDK-HMAC-SHA256 Access=A, SignedHeaders=" + strings.Repeat("a;", maxSigned) + "x-sdk-date, Signature=" + sig: false,
		"SDK-HMAC-SHA256 Access=A, Signature=" + sig:                                                                  false,
		"sdk-hmac-sha256 Access=A, SignedHeaders=x-sdk-date, Signature=" + sig:                                        false,
		"SDK-HMAC-SHA256": false,
		"":                false,
	} {
		a, err := parseAuthorization(s)
		if (err == nil) != ok || ok && (a.signature[0] != 0x0f || !slices.Contains(a.signed, dateName)) {
			t.Errorf("%s: %+v, %v", s, a, err)
		}
	}
}

// FuzzAuthorization: the parser takes any bytes, and what it takes has one meaning.
func FuzzAuthorization(f *testing.F) {
	for _, v := range vectors(f) {
		r, _, _ := v.received(f)
		f.Add(r.Header.Get("Authorization"))
	}
	f.Add("SDK-HMAC-SHA256 ,=,=")
	f.Add("Bearer A.b")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := parseAuthorization(s)
		if err != nil {
			if _, ok := errors.AsType[*Denied](err); !ok {
				t.Fatalf("%T", err)
			}
			return
		}
		again := fmt.Sprintf("%s Access=%s, SignedHeaders=%s, Signature=%x", Algorithm, a.access, strings.Join(a.signed, ";"), a.signature)
		b, err := parseAuthorization(again)
		if err != nil || b.access != a.access || b.signature != a.signature || !slices.Equal(a.signed, b.signed) {
			t.Fatalf("%q and %q: %v", s, again, err)
		}
	})
}

func TestCanonicalQuery(t *testing.T) {
	for raw, want := range map[string]string{
		"": "", "&&": "", "a": "a=", "a=": "a=", "=": "=", "=b": "=b", "a=b=c": "a=b%3Dc",
		"b=1&a=2":       "a=2&b=1",
		"k=b&k&k=a&k=b": "k=&k=a&k=b&k=b",
		"a=b+c%20d%2Be": "a=b%20c%20d%2Be",
		"a=%c3%BC&~=.-": "a=%C3%BC&~=.-",
		"%C3%A9=1&z=2":  "z=2&%C3%A9=1",
		"a=%00%ff":      "a=%00%FF",
		"a=%":           "refused", "a=%zz": "refused", "%4": "refused", "a;b": "refused",
	} {
		got, err := canonicalQuery(raw)
		if err != nil {
			got = "refused"
		}
		if got != want {
			t.Errorf("%q: %q, want %q", raw, got, want)
		}
	}
}

func TestCanonicalPath(t *testing.T) {
	for raw, want := range map[string]string{
		"/": "/", "/a": "/a/", "/a/": "/a/", "//a": "//a/", "/urn:fss:!x": "/urn%3Afss%3A%21x/", "/urn%3Afss%3a%21x": "/urn%3Afss%3A%21x/",
		"/a%20b%25c~d+e": "/a%20b%25c~d%2Be/", "/ü": "/%C3%BC/", "/%ff": "/%FF/", "/a%2Fb": "refused", "*": "refused", "http://h": "/", "h:1": "refused", "/%252F": "/%252F/",
	} {
		u, err := url.ParseRequestURI(raw)
		if err != nil {
			t.Fatal(err)
		}
		got, err := canonicalPath(u)
		if err != nil {
			got = "refused"
		}
		if got != want {
			t.Errorf("%q: %q, want %q", raw, got, want)
		}
	}
}

// FuzzCanonical: every URL has a canonical form or is refused; the form means the same as the URL, and is its own.
func FuzzCanonical(f *testing.F) {
	for _, s := range []string{"/", "/a:b%21?x&y=1+2&x=%zz", "/ü%2F?a;b", "//%25?=&==", "*", "h:a", "/%ff?%ff=%00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := url.ParseRequestURI(raw)
		if err != nil {
			return
		}
		if path, err := canonicalPath(u); err == nil {
			back, err := url.ParseRequestURI("http://h" + path)
			if err != nil || strings.TrimSuffix(back.Path, "/") != strings.TrimSuffix(u.Path, "/") {
				t.Fatalf("%q is %q: %v", u.Path, path, err)
			}
		}
		query, err := canonicalQuery(u.RawQuery)
		if err != nil {
			return
		}
		again, err := canonicalQuery(query)
		values, _ := url.ParseQuery(query)
		want := u.Query()
		for k := range want {
			slices.Sort(want[k])
		}
		if err != nil || again != query || fmt.Sprint(values) != fmt.Sprint(want) {
			t.Fatalf("%q is %q and then %q: %v", u.RawQuery, query, again, err)
		}
	})
}
