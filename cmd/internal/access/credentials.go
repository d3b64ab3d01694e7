package access

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// The lengths of what NewCredentials makes, in characters.
const (
	accessLength = 20
	secretLength = 40
)

// letters are those of an access key: base32 of RFC 4648, which has none that look alike.
const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

// Credentials are an access key, which names who is calling, and the secret that proves it.
type Credentials struct {
	Access string
	Secret string
}

// NewCredentials makes an access key of 20 letters and digits (100 bits) and a secret of 40 characters (240 bits) that
// needs no escaping in a URL and has no dot. random fills a slice with random bytes and cannot fail.
func NewCredentials(random func([]byte)) Credentials {
	var b [accessLength + secretLength*3/4]byte
	random(b[:])
	access := b[:accessLength]
	for i := range access {
		access[i] = letters[access[i]%byte(len(letters))]
	}
	return Credentials{Access: string(access), Secret: asSecret(b[accessLength:])}
}

// asSecret writes 30 bytes as a secret.
func asSecret(b []byte) string { return base64.RawURLEncoding.EncodeToString(b[:secretLength*3/4]) }

// shown is what is printed of them: whose they are, and not the secret.
func (c Credentials) shown() string { return fmt.Sprintf("%q with [secret]", c.Access) }

// String implements fmt.Stringer, without the secret.
func (c Credentials) String() string { return c.shown() }

// Format implements fmt.Formatter: whatever the verb, the secret is not printed.
func (c Credentials) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.shown()) }

// LogValue implements slog.LogValuer, without the secret.
func (c Credentials) LogValue() slog.Value { return slog.StringValue(c.shown()) }

// MarshalJSON fails: who means to send or store the secret has to say so, field by field.
func (c Credentials) MarshalJSON() ([]byte, error) {
	return nil, errors.New("credentials are not written as JSON; write their fields")
}

// validAccess reports whether a is an access key: 1 to 128 letters, digits, hyphens and underscores.
func validAccess(a string) bool {
	if len(a) < 1 || len(a) > 128 {
		return false
	}
	for _, c := range []byte(a) {
		if !alphanumeric(c) && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
