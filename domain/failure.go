package domain

// FailureKind names how an attempt ended without a success. The set is closed.
type FailureKind string

// The kinds of failure, and what each one means.
const (
	NoFailure            FailureKind = ""
	FailedHandled        FailureKind = "handled"          // non-zero exit, and stdout is one JSON object with a member error or errorMessage
	FailedExit           FailureKind = "exit"             // any other non-zero exit
	FailedTrap           FailureKind = "trap"             // the module trapped
	FailedTimeout        FailureKind = "timeout"          // the time limit passed, spinning or sleeping
	FailedMemory         FailureKind = "memory"           // trap or non-zero exit after a growth that the memory limit refused
	FailedOutputTooLarge FailureKind = "output-too-large" // stdout passed the output limit
	FailedBadModule      FailureKind = "bad-module"       // the module cannot be compiled or instantiated
	FailedCanceled       FailureKind = "canceled"         // a forced cancel stopped the guest
	FailedLost           FailureKind = "lost"             // the worker died while the attempt ran
	FailedPlatform       FailureKind = "platform"         // the platform failed, not the function
)

// FailureKinds lists every kind, in the order in which people are shown them.
func FailureKinds() []FailureKind {
	return []FailureKind{
		FailedHandled, FailedExit, FailedTrap, FailedTimeout, FailedMemory, FailedOutputTooLarge,
		FailedBadModule, FailedCanceled, FailedLost, FailedPlatform,
	}
}

// Platform reports whether the failure is the platform's and not the function's. Such failures share the budget
// MaxLost and do not use up the policy's retries.
func (k FailureKind) Platform() bool { return k == FailedLost || k == FailedPlatform }
