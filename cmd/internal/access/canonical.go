package access

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// The names of headers that a signature treats on their own, as it lists them.
const (
	dateName    = "x-sdk-date"
	contentName = "x-sdk-content-sha256"
	hostName    = "host"
)

// signature is of a request by a secret, as Huawei's signers make it (core/auth/signer/signer.go of huaweicloud-sdk-go-v3).
// payload is the digest of the body in hex, date the value of X-Sdk-Date. The error is a *Denied if the request's URL has
// no canonical form.
func signature(r *http.Request, signed []string, payload, date, secret string) ([]byte, error) {
	canonical, err := canonicalRequest(r, signed, payload)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256([]byte(canonical))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(Algorithm + "\n" + date + "\n" + hex.EncodeToString(digest[:])))
	return mac.Sum(nil), nil
}

// canonicalRequest is what is signed: six parts in lines. Clients write one URL in several ways (the colons of a URN bare or
// escaped, a query with or without the = of an empty value), so path and query are of what they mean, and not of what came
// over the wire.
func canonicalRequest(r *http.Request, signed []string, payload string) (string, error) {
	path, err := canonicalPath(r.URL)
	if err != nil {
		return "", err
	}
	query, err := canonicalQuery(r.URL.RawQuery)
	if err != nil {
		return "", err
	}
	method := r.Method
	if method == "" {
		method = http.MethodGet // as net/http sends it
	}
	return strings.Join([]string{method, path, query, canonicalHeaders(r, signed), strings.Join(signed, ";"), payload}, "\n"), nil
}

// canonicalPath ends in a slash. A slash that is escaped is refused: once decoded it is like any other, and whoever changed
// one for the other would have another path with the same signature.
func canonicalPath(u *url.URL) (string, error) {
	if u.Opaque != "" || u.Path != "" && u.Path[0] != '/' {
		return "", denied(CodeMalformed, "the request's target is not a path")
	}
	if strings.Contains(strings.ToLower(u.EscapedPath()), "%2f") {
		return "", denied(CodeMalformed, "the path has an escaped slash (%2F), which a signature cannot tell from a slash")
	}
	parts := strings.Split(u.Path, "/")
	for i, part := range parts {
		parts[i] = escape(part)
	}
	path := strings.Join(parts, "/")
	if !strings.HasSuffix(path, "/") {
		path += "/"
	}
	return path, nil
}

// canonicalQuery is sorted by key and then by value, and every key has its =. What the standard library's parser leaves out
// with an error (semicolons, invalid escapes) is refused: a handler would not see it, though it was signed.
func canonicalQuery(raw string) (string, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return "", denied(CodeMalformed, "the query cannot be read: it has an invalid escape or a semicolon, or too many parameters")
	}
	var pairs []string
	for _, key := range slices.Sorted(maps.Keys(values)) {
		slices.Sort(values[key])
		for _, value := range values[key] {
			pairs = append(pairs, escape(key)+"="+escape(value))
		}
	}
	return strings.Join(pairs, "&"), nil
}

// canonicalHeaders has a line for each value of a signed header; one that is absent has none. The host is not among the
// headers of a request in Go.
func canonicalHeaders(r *http.Request, signed []string) string {
	var b strings.Builder
	for _, name := range signed {
		values := slices.Clone(r.Header.Values(name))
		if name == hostName {
			values = []string{hostOf(r)}
		}
		for i, v := range values {
			values[i] = strings.TrimSpace(v)
		}
		slices.Sort(values)
		for _, v := range values {
			b.WriteString(name + ":" + v + "\n")
		}
	}
	return b.String()
}

// hostOf is the host that a server was sent, or that a client will send.
func hostOf(r *http.Request) string {
	if r.Host != "" {
		return r.Host
	}
	return r.URL.Host
}

// escape leaves what RFC 3986 calls unreserved, and escapes all else, byte by byte.
func escape(s string) string {
	const upper = "0123456789ABCDEF"
	var b strings.Builder
	for _, c := range []byte(s) {
		if alphanumeric(c) || c == '-' || c == '_' || c == '.' || c == '~' {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', upper[c>>4], upper[c&15]})
		}
	}
	return b.String()
}
