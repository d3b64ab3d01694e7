package access

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
)

// Algorithm is the name of the one that is spoken here, as it begins the Authorization header.
const Algorithm = "SDK-HMAC-SHA256"

// maxAuthorization is the length of the longest Authorization header that is read, in bytes. The longest that was seen of
// an SDK has about 300.
const maxAuthorization = 4096

// maxSigned is how many headers a signature may name.
const maxSigned = 64

// others are schemes by which a client may be known, for the words that refuse them. What is not among them is not
// repeated: it may be a secret that was put in the wrong place.
var others = []string{"SDK-HMAC-SM3", "SDK-ECDSA-P256-SHA256", "SDK-SM2-SM3", "V11-HMAC-SHA256", "AWS4-HMAC-SHA256", "Bearer", "Basic"}

// authorization is a parsed Authorization header:
//
//	SDK-HMAC-SHA256 Access=AK, SignedHeaders=host;x-sdk-date, Signature=64 hex digits
type authorization struct {
	access    string
	signed    []string // names of headers, lower case, as they were listed; host or not, x-sdk-date always
	signature [sha256.Size]byte
}

// authorizationOf finds and reads the header. Two of them are refused: proxies and servers do not agree which one counts.
func authorizationOf(h http.Header) (authorization, error) {
	values := h.Values(headerAuthorization)
	switch len(values) {
	case 0:
		return authorization{}, denied(CodeMissing, "the request says not who is calling: it has no Authorization header; sign it with "+Algorithm)
	case 1:
		return parseAuthorization(values[0])
	}
	return authorization{}, denied(CodeMalformed, "there is more than one Authorization header; send one")
}

// parseAuthorization takes the header's fields in any order, each once, with or without spaces around commas.
func parseAuthorization(s string) (authorization, error) {
	var a authorization
	if len(s) > maxAuthorization {
		return a, denied(CodeMalformed, "the Authorization header is longer than 4096 bytes")
	}
	scheme, rest, _ := strings.Cut(strings.TrimLeft(s, " "), " ")
	if scheme != Algorithm {
		return a, otherAlgorithm(scheme)
	}
	seen := map[string]bool{}
	for field := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.Trim(field, " "), "=")
		if seen[name] {
			return a, malformed("a field twice")
		}
		seen[name] = true
		var ok bool
		switch name {
		case "Access":
			a.access, ok = value, validAccess(value)
		case "SignedHeaders":
			a.signed, ok = parseSigned(value)
		case "Signature":
			ok = len(value) == hex.EncodedLen(len(a.signature))
			if ok {
				_, err := hex.Decode(a.signature[:], []byte(value))
				ok = err == nil
			}
		}
		if !ok {
			return a, malformed("something else")
		}
	}
	if len(seen) != 3 { // all that are known, or one would not have been ok
		return a, malformed("less")
	}
	return a, nil
}

func malformed(has string) error {
	return denied(CodeMalformed, "the Authorization header is not `"+Algorithm+" Access=…, SignedHeaders=…;x-sdk-date, Signature=64 hex digits`: it has "+has)
}

// parseSigned reads the list of signed headers. Their names are unique and in lower case, so that one list has one form.
func parseSigned(list string) ([]string, bool) {
	if strings.Count(list, ";") >= maxSigned {
		return nil, false
	}
	names := strings.Split(list, ";")
	seen := map[string]bool{}
	for _, name := range names {
		if !validName(name) || seen[name] {
			return nil, false
		}
		seen[name] = true
	}
	return names, seen[dateName]
}

// validName reports whether it is the name of a header in lower case (RFC 9110, 5.6.2).
func validName(name string) bool {
	for _, c := range []byte(name) {
		if 'A' <= c && c <= 'Z' || !alphanumeric(c) && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return name != ""
}

func otherAlgorithm(scheme string) error {
	for _, o := range others {
		if strings.EqualFold(scheme, o) {
			return denied(CodeAlgorithm, "the request is not signed with "+Algorithm+", which is the only algorithm here, but is authorized by "+o)
		}
	}
	return denied(CodeAlgorithm, "the request is not signed with "+Algorithm+", which is the only algorithm here")
}
