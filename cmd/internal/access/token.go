package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
)

// The headers that say who is calling.
const (
	headerAuthorization = "Authorization"
	headerToken         = "X-Auth-Token" //nolint:gosec // the name, not the token
)

// maxToken is the length of the longest token that is read, in bytes.
const maxToken = 512

// Token is the credentials as one word, for callers that cannot sign: ACCESS.SECRET. Who sees it has the secret.
func Token(c Credentials) string { return c.Access + "." + c.Secret }

// BearerToken is the token of a request, taken apart; ok is false if it has none that can be read. Authorization decides if
// it is there: with another scheme than Bearer the request has no token, whatever X-Auth-Token says, for a client may send
// one on top of a signature. Nothing was compared yet.
func BearerToken(r *http.Request) (c Credentials, ok bool) {
	values := r.Header.Values(headerAuthorization)
	if len(values) == 0 {
		values = r.Header.Values(headerToken)
		if len(values) != 1 {
			return Credentials{}, false
		}
		return parseToken(values[0])
	}
	scheme, token, found := strings.Cut(values[0], " ")
	if len(values) != 1 || !found || !strings.EqualFold(scheme, "Bearer") {
		return Credentials{}, false
	}
	return parseToken(strings.TrimLeft(token, " "))
}

func parseToken(token string) (Credentials, bool) {
	if len(token) > maxToken {
		return Credentials{}, false
	}
	access, secret, ok := strings.Cut(token, ".")
	if !ok || secret == "" || !validAccess(access) {
		return Credentials{}, false
	}
	return Credentials{Access: access, Secret: secret}, true
}

// Check is what Verify is for a token: the access key it proves, or a *Denied with CodeSignature. An access key that is not
// known and a wrong secret take the same path.
func Check(c Credentials, secret func(access string) (string, bool)) (access string, err error) {
	stored, known := lookUp(secret, c.Access)
	if same := c.Matches(stored); !same || !known {
		return "", denied(CodeSignature, "the access key is not known, or the token's secret is not its own")
	}
	return c.Access, nil
}

// Matches reports whether that is the secret, in a time that tells nothing about either. No secret is never the secret.
func (c Credentials) Matches(secret string) bool {
	a, b := sha256.Sum256([]byte(c.Secret)), sha256.Sum256([]byte(secret))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1 && c.Secret != ""
}

// nobody is the secret of access keys that are not known. It opens nothing: what it proves is refused all the same.
const nobody = "0000000000000000000000000000000000000000"

// lookUp is the secret to compare with. An empty one is nobody's.
func lookUp(secret func(access string) (string, bool), access string) (stored string, known bool) {
	stored, known = secret(access)
	if !known || stored == "" {
		return nobody, false
	}
	return stored, true
}
