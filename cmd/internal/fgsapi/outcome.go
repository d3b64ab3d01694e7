package fgsapi

import (
	"encoding/json"

	"deed/domain"
)

// status is an invocation's status in FunctionGraph's words. What waits for a retry waits.
func status(i domain.Invocation) string {
	switch i.Status() {
	case domain.Running:
		return "RUNNING"
	case domain.Status(domain.Succeeded):
		return "SUCCESS"
	case domain.Status(domain.Failed):
		return "FAIL"
	case domain.Status(domain.Discarded):
		return "DISCARD"
	default:
		return "WAIT"
	}
}

// statuses is the reverse.
var statuses = map[string]domain.Status{
	"WAIT": domain.Waiting, "RUNNING": domain.Running, "SUCCESS": domain.Status(domain.Succeeded),
	"FAIL": domain.Status(domain.Failed), "DISCARD": domain.Status(domain.Discarded),
}

// The numbers of FunctionGraph's engine and runtimes for how an execution ended. Those marked ours are not published: they say
// what no published one does.
const (
	numberException    = 4002   // function invocation exception
	numberTooLarge     = 4004   // return value too large
	numberTimeout      = 4010   // invoke timeout
	numberPlatform     = 4014   // the worker did not answer
	numberInit         = 4201   // initialization failed: the module cannot be instantiated
	numberCanceled     = 4208   // function invocation canceled
	numberExpired      = 150408 // ours: the validity ended
	numberThrottled    = 150434 // function disabled
	numberCyclic       = 150508 // ours: the lineage is too long
	prefixOfExceptions = "function invocation exception, error: "
)

// errorCode is the number of how an invocation ended; 0 while it is open, and of a success.
func errorCode(i domain.Invocation) int {
	switch i.Outcome {
	case domain.Failed:
		return numberOf(i.Kind)
	case domain.Discarded:
		switch i.Cond {
		case domain.Canceled:
			return numberCanceled
		case domain.EventAgeExceeded:
			return numberExpired
		case domain.Throttled:
			return numberThrottled
		case domain.CyclicInvocation:
			return numberCyclic
		default:
			return numberPlatform
		}
	default:
		return 0
	}
}

func numberOf(k domain.FailureKind) int {
	switch k {
	case domain.NoFailure:
		return 0
	case domain.FailedHandled, domain.FailedExit, domain.FailedTrap, domain.FailedMemory:
		return numberException
	case domain.FailedTimeout:
		return numberTimeout
	case domain.FailedOutputTooLarge:
		return numberTooLarge
	case domain.FailedBadModule:
		return numberInit
	case domain.FailedCanceled:
		return numberCanceled
	case domain.FailedLost, domain.FailedPlatform:
		return numberPlatform
	}
	return numberPlatform
}

// errorMessage is how an invocation ended, in words; "" while it is open, and of a success.
func errorMessage(i domain.Invocation) string {
	switch {
	case i.Outcome == domain.Discarded:
		return i.Reason
	case i.Outcome != domain.Failed:
		return ""
	case errorCode(i) == numberException:
		return prefixOfExceptions + i.Reason
	}
	return i.FunctionError()
}

// errorPayload is what a runtime of FunctionGraph's gives for the result of a failed function that gave none itself.
func errorPayload(i domain.Invocation) []byte {
	b, _ := json.Marshal(struct {
		Message string   `json:"errorMessage"`
		Type    string   `json:"errorType"`
		Trace   []string `json:"stackTrace"`
	}{errorMessage(i), string(i.Kind), []string{}})
	return b
}
