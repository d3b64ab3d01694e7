package domain

import (
	"fmt"
	"strings"
	"time"
)

// Policy is a function's asynchronous policy, in FunctionGraph's terms and ranges. The zero value means "no policy".
type Policy struct {
	Set        bool          // a policy exists
	MaxRetries int           // max_async_retry_attempts: 0 to 3
	MaxAge     time.Duration // max_async_event_age_in_seconds: 1 s to 86,400 s, whole seconds
	OnSuccess  Target        // told of a success; "" is nobody
	OnFailure  Target        // told of a failure or a discard; "" is nobody
}

// Ranges and defaults of Policy; MaxLost and MaxHops are constants of the protocol.
const (
	MaxRetriesLimit   = 3
	DefaultMaxRetries = 1
	MinAge            = time.Second
	MaxAgeLimit       = 86_400 * time.Second
	DefaultMaxAge     = 3_600 * time.Second

	// MaxLost is how many attempts of an invocation may end lost or platform before it fails (the protocol's L).
	MaxLost = 3
	// MaxHops is the hop count at which a child is discarded as cyclic without a run.
	MaxHops = 16
)

// Retries is how many failures of the code are retried: none without a policy.
func (p Policy) Retries() int {
	if !p.Set {
		return 0
	}
	return p.MaxRetries
}

// Age is how long a request stays valid.
func (p Policy) Age() time.Duration {
	if !p.Set {
		return DefaultMaxAge
	}
	return p.MaxAge
}

// TargetFor is who is told of the outcome; "" is nobody.
func (p Policy) TargetFor(o Outcome) Target {
	if o == Succeeded {
		return p.OnSuccess
	}
	return p.OnFailure
}

// Check returns a *Rejection that names what is out of range, and the range.
func (p Policy) Check() error {
	if p.MaxRetries < 0 || p.MaxRetries > MaxRetriesLimit {
		return reject(CodeInvalid, fmt.Sprintf("max-retries %d is out of range: allowed are 0 to %d", p.MaxRetries, MaxRetriesLimit), "")
	}
	if p.MaxAge < MinAge || p.MaxAge > MaxAgeLimit || p.MaxAge%time.Second != 0 {
		return reject(CodeInvalid, fmt.Sprintf("max-age %s is out of range: allowed are whole seconds from 1s to 86400s", p.MaxAge), "")
	}
	if err := p.OnSuccess.Check(); err != nil {
		return err
	}
	return p.OnFailure.Check()
}

// Target is where a notification goes: "function:NAME" or "obs://bucket/prefix"; "" is nowhere.
type Target string

// Function is the name of the target function.
func (t Target) Function() (name string, ok bool) { return strings.CutPrefix(string(t), "function:") }

// Object is the bucket and the key prefix of an object-store target.
func (t Target) Object() (bucket, prefix string, ok bool) {
	rest, ok := strings.CutPrefix(string(t), "obs://")
	if !ok {
		return "", "", false
	}
	bucket, prefix, _ = strings.Cut(rest, "/")
	return bucket, strings.Trim(prefix, "/"), true
}

// Check returns a *Rejection if the target is not one that can be delivered to.
func (t Target) Check() error {
	if t == "" {
		return nil
	}
	if name, ok := t.Function(); ok {
		return CheckFunctionName(name)
	}
	bucket, prefix, ok := t.Object()
	if !ok {
		return reject(CodeInvalid, fmt.Sprintf("%q is not a target", clip(string(t), 80)), "a target is function:NAME or obs://bucket/prefix")
	}
	if !bucketName(bucket) {
		return reject(CodeInvalid, fmt.Sprintf("%q is not a bucket's name", clip(bucket, 70)), "a bucket's name has 3 to 63 lower-case letters, digits, - and ., and begins and ends with a letter or a digit")
	}
	if len(prefix) > 512 {
		return reject(CodeInvalid, fmt.Sprintf("the prefix has %d bytes; the limit is 512", len(prefix)), "")
	}
	if prefix == "" {
		return nil
	}
	for part := range strings.SplitSeq(prefix, "/") {
		if part == "" || part == "." || part == ".." || strings.Trim(part, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.=") != "" {
			return reject(CodeInvalid, fmt.Sprintf("%q is not an object prefix", clip(prefix, 80)), "a prefix has parts of letters, digits, - _ . and = between single slashes, none of them . or ..")
		}
	}
	return nil
}

func bucketName(s string) bool {
	if len(s) < 3 || len(s) > 63 || strings.Contains(s, "..") {
		return false
	}
	for i, c := range []byte(s) {
		alnum := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !alnum && (c != '-' && c != '.' || i == 0 || i == len(s)-1) {
			return false
		}
	}
	return true
}
