package access

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// A sealed value, from its first byte:
//
//	1   version, 1
//	8   id of the sealing key
//	60  the value's own data key, encrypted by the sealing key: nonce (12), key (32), tag (16)
//	n   the value, encrypted by the data key: nonce (12), n-28 bytes, tag (16)
//
// Both are AES-256-GCM, with the first nine bytes and the context as additional data. The nonces are random, so a sealing
// key is good for 2^32 values (NIST SP 800-38D, 8.3); a data key has one.
const (
	sealVersion = 1
	idLength    = 8
	headLength  = 1 + idLength
	keyLength   = 32
	gcmOverhead = 12 + 16
	wrapLength  = keyLength + gcmOverhead

	// Overhead is how much longer a sealed value is than the plain one, in bytes.
	Overhead = headLength + wrapLength + gcmOverhead
)

var (
	// ErrWrongKey says that a value was sealed with another key. The error names both.
	ErrWrongKey = errors.New("sealed with another key")
	// ErrNotSealed says that the bytes are not what Seal made: they were changed, cut, or sealed for another context.
	ErrNotSealed = errors.New("not a sealed value, or damaged, or sealed for something else")
)

// Sealer encrypts small values with a sealing key. It is safe for concurrent use; the zero Sealer has no key and can only be
// printed.
type Sealer struct {
	keys func() *sealingKeys // behind a function, where fmt cannot look: it follows pointers
}

// sealingKeys are made of the sealing key, one for each thing it is for.
type sealingKeys struct {
	id     [idLength]byte
	wrap   cipher.AEAD
	derive []byte
}

func newSealer(key [keyLength]byte) (*Sealer, error) {
	k := &sealingKeys{}
	sum := sha256.Sum256(append([]byte("deed sealing key id\x00"), key[:]...))
	copy(k.id[:], sum[:])
	wrap, err := hkdf.Key(sha256.New, key[:], nil, "deed wrap data keys", keyLength)
	if err != nil {
		return nil, fmt.Errorf("make the wrapping key: %w", err)
	}
	if k.derive, err = hkdf.Key(sha256.New, key[:], nil, "deed derive secrets", keyLength); err != nil {
		return nil, fmt.Errorf("make the deriving key: %w", err)
	}
	k.wrap = gcm(wrap)
	return &Sealer{func() *sealingKeys { return k }}, nil
}

// gcm panics for a key that has not 32 bytes, which none has.
func gcm(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err == nil {
		var a cipher.AEAD
		if a, err = cipher.NewGCMWithRandomNonce(block); err == nil {
			return a
		}
	}
	panic(err)
}

// ID names the sealing key and tells nothing else about it: 16 hex digits.
func (s Sealer) ID() string { return hex.EncodeToString(s.keys().id[:]) }

// Seal encrypts plain, which is not kept. context says what the value is and where it belongs, for example "credential/" and
// the access key: Open has to say the same, so a value that is put in another's place is not taken.
func (s Sealer) Seal(plain []byte, context string) []byte {
	var key [keyLength]byte
	_, _ = rand.Read(key[:]) // it ends the program if there is no randomness
	sealed := make([]byte, 0, Overhead+len(plain))
	sealed = append(sealed, sealVersion)
	sealed = append(sealed, s.keys().id[:]...)
	wrapped, data := bound(sealed, context)
	sealed = s.keys().wrap.Seal(sealed, nil, key[:], wrapped)
	return gcm(key[:]).Seal(sealed, nil, plain, data)
}

// Open decrypts what Seal made for that context. The error is ErrWrongKey or ErrNotSealed, or says that a newer Deed sealed
// the value. It takes any bytes.
func (s Sealer) Open(sealed []byte, context string) ([]byte, error) {
	if len(sealed) < Overhead {
		return nil, ErrNotSealed
	}
	head, wrapped, data := sealed[:headLength], sealed[headLength:headLength+wrapLength], sealed[headLength+wrapLength:]
	if head[0] != sealVersion {
		return nil, fmt.Errorf("the value is sealed in version %d, and this is version %d: %w", head[0], sealVersion, ErrNotSealed)
	}
	if id := [idLength]byte(head[1:]); id != s.keys().id {
		return nil, fmt.Errorf("%w: the value with %x, this one is %s", ErrWrongKey, id, s.ID())
	}
	forKey, forData := bound(head, context)
	key, err := s.keys().wrap.Open(nil, nil, wrapped, forKey)
	if err != nil || len(key) != keyLength {
		return nil, ErrNotSealed
	}
	plain, err := gcm(key).Open(nil, nil, data, forData)
	if err != nil {
		return nil, ErrNotSealed
	}
	return plain, nil
}

// bound is the additional data of the wrapped key and of the value.
func bound(head []byte, context string) (key, data []byte) {
	return fmt.Appendf(nil, "deed data key\x00%s%s", head, context), fmt.Appendf(nil, "deed sealed value\x00%s%s", head, context)
}

// Derive is a secret that who has the sealing key need not store, the same one each time: that of a root credential. It has
// the form of those that NewCredentials makes.
func (s Sealer) Derive(label string) string {
	mac := hmac.New(sha256.New, s.keys().derive)
	mac.Write([]byte(label))
	return asSecret(mac.Sum(nil))
}

func (s Sealer) shown() string {
	if s.keys == nil {
		return "no sealing key"
	}
	return "sealing key " + s.ID()
}

// String implements fmt.Stringer, without the key.
func (s Sealer) String() string { return s.shown() }

// Format implements fmt.Formatter: whatever the verb, the key is not printed.
func (s Sealer) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.shown()) }

// LogValue implements slog.LogValuer, without the key.
func (s Sealer) LogValue() slog.Value { return slog.StringValue(s.shown()) }
