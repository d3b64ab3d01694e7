package access

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// unsigned are headers that a proxy, or the HTTP client itself, may change on the way. Whatever begins with content-type or
// has an underscore is not signed either, as in the SDK.
var unsigned = []string{
	"accept-encoding", "authorization", "connection", "content-length", "expect", "host", "keep-alive", "proxy-authorization",
	"proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "user-agent",
}

// Sign signs a request that a client is about to send with that body, in the form of Huawei's SDKs: it sets X-Sdk-Date and
// Authorization. The host is signed, and every header that is set but for the content type, the user agent and what belongs to
// the connection, such as Connection and Accept-Encoding; set them first. The error is of a
// URL that cannot be signed, or of an access key that is none; then the request must not be sent.
func Sign(r *http.Request, body []byte, c Credentials, now time.Time) error {
	if !validAccess(c.Access) || c.Secret == "" {
		return fmt.Errorf("sign the request: %q is no access key, or has no secret", c.Access)
	}
	date := now.UTC().Format(dateLayout)
	r.Header.Set(dateName, date)
	r.Header.Del(contentName) // it would have to be right
	signed := []string{hostName}
	for name := range r.Header {
		name = strings.ToLower(name)
		if !slices.Contains(unsigned, name) && !strings.HasPrefix(name, "content-type") && !strings.Contains(name, "_") {
			signed = append(signed, name)
		}
	}
	slices.Sort(signed)
	sum := sha256.Sum256(body)
	sig, err := signature(r, signed, hex.EncodeToString(sum[:]), date, c.Secret)
	if err != nil {
		return fmt.Errorf("sign the request: %w", err)
	}
	r.Header.Set(headerAuthorization, fmt.Sprintf("%s Access=%s, SignedHeaders=%s, Signature=%x", Algorithm, c.Access, strings.Join(signed, ";"), sig))
	return nil
}
