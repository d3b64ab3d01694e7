package domain

import (
	"fmt"
	"time"
)

// Limits bound one attempt of a function. They are pinned in the request.
type Limits struct {
	Timeout   time.Duration // wall time of the guest; MinTimeout to MaxTimeout
	Memory    int64         // bytes of linear memory; MinMemory to MaxMemory
	MaxOutput int64         // bytes of stdout; 1 to MaxPayload
	Fuel      int64         // units that the guest may compute (a thousand million are 0.3 to 1 s); 0: as many as the time allows
}

// Bounds and defaults of Limits.
const (
	MinTimeout     = 100 * time.Millisecond
	MaxTimeout     = 15 * time.Minute
	DefaultTimeout = 30 * time.Second

	MinMemory     = 64 << 10 // one WebAssembly page
	MaxMemory     = 4 << 30  // what 32-bit linear memory can address
	DefaultMemory = 128 << 20

	// MaxPayload is the largest event and the largest result: 6 MiB, FunctionGraph's limit of a synchronous body.
	MaxPayload = 6 << 20
)

// DefaultLimits are the limits of a function deployed without any.
func DefaultLimits() Limits {
	return Limits{Timeout: DefaultTimeout, Memory: DefaultMemory, MaxOutput: MaxPayload}
}

// Check returns a *Rejection that names the first limit that is out of range, and the range.
func (l Limits) Check() error {
	switch {
	case l.Timeout < MinTimeout || l.Timeout > MaxTimeout:
		return reject(CodeInvalid, fmt.Sprintf("timeout %s is out of range: allowed are %s to %s", l.Timeout, MinTimeout, MaxTimeout), "")
	case l.Memory < MinMemory || l.Memory > MaxMemory:
		return reject(CodeInvalid, fmt.Sprintf("memory %d bytes is out of range: allowed are 64KiB to 4GiB", l.Memory), "")
	case l.Fuel < 0:
		return reject(CodeInvalid, fmt.Sprintf("fuel %d is out of range: allowed are 0, no limit, and more", l.Fuel), "")
	case l.MaxOutput < 1 || l.MaxOutput > MaxPayload:
		return reject(CodeInvalid, fmt.Sprintf("max-output %d bytes is out of range: allowed are 1 byte to 6MiB", l.MaxOutput), "")
	}
	return nil
}
