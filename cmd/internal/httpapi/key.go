package httpapi

import (
	"net/http"
	"strings"

	"deed/cmd/internal/door"
	"deed/domain"
)

// The headers of a call that may be repeated (draft-ietf-httpapi-idempotency-key-header).
const (
	headerKey      = "Idempotency-Key"
	headerReplayed = "Idempotency-Replayed" // "true" if an earlier call with the key was accepted
)

// idempotencyKey is the call's key; given is false if it has none. The draft makes it a string of RFC 8941, in quotes; most
// clients send it bare. Both are taken, and name the same key.
func idempotencyKey(h http.Header) (key string, given bool, err error) {
	values := h.Values(headerKey)
	switch len(values) {
	case 0:
		return "", false, nil
	case 1:
	default:
		return "", true, domain.Reject(domain.CodeInvalid, "there is more than one Idempotency-Key", "send one")
	}
	key = values[0]
	if strings.HasPrefix(key, `"`) {
		if key, given = unquote(key); !given {
			return "", true, domain.Reject(domain.CodeInvalid, "the Idempotency-Key begins with a quote and is not a quoted string", `write it bare, or in quotes with \" and \\ inside`)
		}
	}
	return key, true, door.CheckKey(key)
}

// unquote reads a string of RFC 8941, section 3.3.3, without parameters.
func unquote(s string) (string, bool) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), i == len(s)-1
		case '\\':
			if i++; i == len(s) || s[i] != '"' && s[i] != '\\' {
				return "", false
			}
			b.WriteByte(s[i])
		default:
			b.WriteByte(s[i])
		}
	}
	return "", false
}

// quote is the reverse.
func quote(key string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
}
