package domain

// Code classifies a Rejection. Doors map it to their own status.
type Code string

// The codes of a Rejection.
const (
	CodeInvalid     Code = "invalid"     // the input is wrong in itself
	CodeNotFound    Code = "not-found"   // what is named does not exist
	CodeConflict    Code = "conflict"    // the state does not allow it, or somebody else was faster
	CodeTooLarge    Code = "too-large"   // over a size limit
	CodeUnavailable Code = "unavailable" // cannot be done now; the same call may succeed later
)

// Rejection is an answer of no: nothing was changed. Words are for a person, Hint says what to do instead.
type Rejection struct {
	Code  Code
	Words string
	Hint  string
}

func (r *Rejection) Error() string { return r.Words }

// Reject makes a Rejection.
func Reject(code Code, words, hint string) *Rejection { return &Rejection{code, words, hint} }

func reject(code Code, words, hint string) error { return &Rejection{code, words, hint} }
