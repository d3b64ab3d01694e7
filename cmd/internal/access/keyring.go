package access

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Key is an access key as it is stored.
type Key struct {
	Access   string
	Sealed   []byte   // its secret (Sealer.Seal under the access key)
	Projects []string // what it may touch
	Operator bool     // it may touch every project, and the cluster itself
}

// Keyring knows who may come in. Without any key everybody may: a server without keys serves its own machine only.
type Keyring struct {
	Find   func(access string) (Key, bool) // a key that is good now
	Any    func() bool                     // whether there is a key, good or not
	Sealer *Sealer                         // nil: no key can be checked, so nobody comes in once there is one
	Now    func() time.Time
}

// Root is the access key of whoever has the sealing key: an operator, also when every other key is lost.
const Root = "root"

// RootCredentials are the credentials of Root.
func RootCredentials(s *Sealer) Credentials {
	return Credentials{Access: Root, Secret: s.Derive("root access key")}
}

// Caller is who is calling.
type Caller struct {
	Access   string // "" if there are no keys
	Operator bool
	projects []string
}

// May reports whether the caller may touch the project.
func (c Caller) May(project string) bool { return c.Operator || slices.Contains(c.projects, project) }

// ErrProject says that a caller must name, or may not touch, a project.
var ErrProject = errors.New("no such project for this key")

// Project is the project that a call is about: the one it names, or the only one that its key may touch, or otherwise for a
// caller who may touch all. An error wraps ErrProject.
func (c Caller) Project(named, otherwise string) (string, error) {
	switch {
	case named == "" && c.Operator:
		return otherwise, nil
	case named == "" && len(c.projects) == 1:
		return c.projects[0], nil
	case named == "":
		return "", fmt.Errorf("the key is for %d projects, and the call names none of them: %w", len(c.projects), ErrProject)
	case !c.May(named):
		return "", fmt.Errorf("the key is not for project %q: %w", named, ErrProject)
	}
	return named, nil
}

// Expect refuses a request that cannot be anybody's before its body is read: one without credentials, or with an access key
// that is not known.
func (k *Keyring) Expect(r *http.Request) error {
	if !k.Any() {
		return nil
	}
	if c, ok := BearerToken(r); ok {
		if _, known := k.secret(c.Access); !known {
			return notKnown()
		}
		return nil
	}
	a, err := authorizationOf(r.Header)
	if err != nil {
		return err
	}
	if _, known := k.secret(a.access); !known {
		return notKnown()
	}
	return nil
}

// Caller is who is calling, by a token or a signature. body are the bytes of the request as they came. An error is a *Denied.
func (k *Keyring) Caller(r *http.Request, body []byte) (Caller, error) {
	if !k.Any() {
		return Caller{Operator: true}, nil
	}
	var name string
	var err error
	if c, ok := BearerToken(r); ok {
		name, err = Check(c, k.secret)
	} else {
		name, err = Verify(r, body, k.secret, k.Now())
	}
	if err != nil {
		return Caller{}, err
	}
	if name == Root {
		return Caller{Access: Root, Operator: true}, nil
	}
	key, ok := k.Find(name)
	if !ok { // revoked meanwhile
		return Caller{}, notKnown()
	}
	return Caller{Access: name, Operator: key.Operator, projects: key.Projects}, nil
}

func (k *Keyring) secret(name string) (string, bool) {
	if k.Sealer == nil {
		return "", false
	}
	if name == Root {
		return RootCredentials(k.Sealer).Secret, true
	}
	key, ok := k.Find(name)
	if !ok {
		return "", false
	}
	secret, err := k.Sealer.Open(key.Sealed, name)
	return string(secret), err == nil
}

// Covers reports whether the credentials of a request vouch for a header that it has: a signature only for those that it
// names. Anybody on the way could have added another.
func Covers(r *http.Request, header string) bool {
	if r.Header.Get(header) == "" {
		return true
	}
	if _, token := BearerToken(r); token {
		return true
	}
	a, err := authorizationOf(r.Header)
	return err != nil || slices.Contains(a.signed, strings.ToLower(header)) // without a signature nobody vouches for anything
}

// Good reports whether somebody who came in before may still be here.
func (k *Keyring) Good(c Caller) bool {
	if c.Access == "" {
		return !k.Any()
	}
	if c.Access == Root {
		return true
	}
	_, ok := k.Find(c.Access)
	return ok
}
