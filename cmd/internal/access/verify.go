package access

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Window is how far a signature's date may be from this node's clock, both ways. Huawei's gateway has the same.
const Window = 15 * time.Minute

// dateLayout is that of X-Sdk-Date: UTC, whole seconds.
const dateLayout = "20060102T150405Z"

// Verify is the access key that signed the request; any error is a *Denied. body are the bytes as they were received, all
// of them, before anything was made of them. secret is asked once; it says false for an access key that it does not know,
// which then takes the same path as one with a wrong secret.
//
// The signature is good for Window around now. Nothing here remembers it: the same request can come again.
func Verify(r *http.Request, body []byte, secret func(access string) (string, bool), now time.Time) (access string, err error) {
	a, err := authorizationOf(r.Header)
	if err != nil {
		return "", err
	}
	date, err := dateOf(r.Header, now)
	if err != nil {
		return "", err
	}
	payload, err := payloadOf(r.Header, body)
	if err != nil {
		return "", err
	}
	stored, known := lookUp(secret, a.access)
	want, err := signature(r, a.signed, payload, date, stored)
	if err != nil {
		return "", err
	}
	if same := hmac.Equal(want, a.signature[:]); !same || !known {
		return "", notKnown()
	}
	return a.access, nil
}

// dateOf is the X-Sdk-Date as it was sent, if it is one and within the window.
func dateOf(h http.Header, now time.Time) (string, error) {
	values := h.Values(dateName)
	if len(values) != 1 {
		return "", denied(CodeMalformed, "the request has not one X-Sdk-Date; it is signed, and says when")
	}
	at, err := time.Parse(dateLayout, values[0])
	if err != nil || at.Format(dateLayout) != values[0] { // Parse also takes fractions of a second
		return "", denied(CodeMalformed, "X-Sdk-Date is not a time of the form 20060102T150405Z")
	}
	if at.Sub(now).Abs() > Window {
		return "", denied(CodeClock, fmt.Sprintf("the request was signed at %s, and it is %s here: more than %d minutes apart; set the clock, or sign it again",
			values[0], now.UTC().Format(dateLayout), Window/time.Minute))
	}
	return values[0], nil
}

// payloadOf is the digest of the body that was signed, in hex. A client may name it itself, and may say that it has not
// signed the body; that is refused, for anybody could then put another one in its place.
func payloadOf(h http.Header, body []byte) (string, error) {
	sum := sha256.Sum256(body)
	digest := hex.EncodeToString(sum[:])
	values := h.Values(contentName)
	switch {
	case len(values) == 0:
		return digest, nil
	case len(values) == 1 && values[0] == "UNSIGNED-PAYLOAD":
		return "", denied(CodeBody, "X-Sdk-Content-Sha256 is UNSIGNED-PAYLOAD: a body must be signed here; the SDKs do so for Content-Type: application/json")
	case len(values) == 1 && strings.EqualFold(values[0], digest):
		return values[0], nil
	}
	return "", denied(CodeBody, "X-Sdk-Content-Sha256 is not the SHA-256 of the body that was received")
}
