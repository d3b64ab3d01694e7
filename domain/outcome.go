package domain

import (
	"encoding/json"
	"unicode/utf8"
)

// Outcome is how an invocation ended; "" while it is open.
type Outcome string

// The outcomes. Each is a terminal event.
const (
	Open      Outcome = ""
	Succeeded Outcome = "succeeded"
	Failed    Outcome = "failed"
	Discarded Outcome = "discarded"
)

// Class is "success" or "failure": which target of the policy is told, and the ending of an object's key.
func (o Outcome) Class() string {
	if o == Succeeded {
		return "success"
	}
	return "failure"
}

// Condition is the closed set of a notification record's condition; "" on success.
type Condition string

// The conditions.
const (
	NoCondition              Condition = ""
	UnhandledInvocationError Condition = "UnhandledInvocationError"
	HandledInvocationError   Condition = "HandledInvocationError"
	InvocationTimeout        Condition = "InvocationTimeout"
	EventAgeExceeded         Condition = "EventAgeExceeded"
	Canceled                 Condition = "Canceled"
	Throttled                Condition = "Throttled"
	CyclicInvocation         Condition = "CyclicInvocation"
	SystemError              Condition = "SystemError"
)

// known reports whether it is one of the set.
func (c Condition) known() bool {
	switch c {
	case NoCondition, UnhandledInvocationError, HandledInvocationError, InvocationTimeout, EventAgeExceeded, Canceled, Throttled, CyclicInvocation, SystemError:
		return true
	}
	return false
}

// ConditionOf is the condition of an invocation whose last attempt failed in that way.
func ConditionOf(k FailureKind) Condition {
	switch k {
	case NoFailure:
		return NoCondition
	case FailedHandled:
		return HandledInvocationError
	case FailedTimeout:
		return InvocationTimeout
	case FailedCanceled:
		return Canceled
	case FailedLost, FailedPlatform:
		return SystemError
	case FailedExit, FailedTrap, FailedMemory, FailedOutputTooLarge, FailedBadModule:
		return UnhandledInvocationError
	}
	return SystemError
}

// Status is what people are shown: waiting, running, or the outcome.
type Status string

// The statuses of an open invocation; a closed one's is its outcome.
const (
	Waiting Status = "waiting"
	Running Status = "running"
)

// EncodedLen is how many bytes b takes in a record: as a JSON string if it is valid UTF-8, else as base64.
func EncodedLen(b []byte) int {
	if !utf8.Valid(b) {
		return 2 + (len(b)+2)/3*4
	}
	n := 2 + len(b)
	for _, c := range b {
		switch {
		case c == '"' || c == '\\' || c == '\n' || c == '\r' || c == '\t':
			n++
		case c < 0x20:
			n += 5
		}
	}
	return n
}

// CutText cuts s so that it encodes to at most limit bytes, with a mark that says so; invalid UTF-8 is replaced.
func CutText(s string, limit int) (string, bool) {
	s = string([]rune(s)) // replaces what is not UTF-8
	if EncodedLen([]byte(s)) <= limit {
		return s, false
	}
	const mark = "… [cut]"
	size, room := 2, limit-len(mark)
	for i, r := range s {
		if size += EncodedLen([]byte(string(r))) - 2; size > room {
			return s[:i] + mark, true
		}
	}
	return s, false
}

// HandledError reports whether stdout is one JSON object with a member error or errorMessage, and its text.
func HandledError(stdout []byte) (text string, ok bool) {
	var o map[string]json.RawMessage
	if json.Unmarshal(stdout, &o) != nil {
		return "", false
	}
	for _, name := range []string{"errorMessage", "error"} {
		if raw, found := o[name]; found {
			if json.Unmarshal(raw, &text) != nil {
				text = string(raw)
			}
			return text, true
		}
	}
	return "", false
}
