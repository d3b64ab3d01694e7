package domain

import (
	"fmt"
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
