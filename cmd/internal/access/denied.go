package access

// Code classifies a Denied. A door answers all of them with 401.
type Code string

// The codes of a Denied.
const (
	CodeMissing   Code = "missing"   // nothing says who is calling
	CodeMalformed Code = "malformed" // what says it cannot be read, or the request cannot have a signature
	CodeAlgorithm Code = "algorithm" // it is said in a way that is not spoken here
	CodeClock     Code = "clock"     // signed too long ago, or in the future
	CodeSignature Code = "signature" // the access key is not known, or it was another secret: which of them is not said
	CodeBody      Code = "body"      // the body is not signed, or is not the one that its digest names
)

// Denied says that it is not known who is calling. Words are for the caller: they hold nothing that it did not send, but
// for this node's clock and what a signature has to look like.
type Denied struct {
	Code  Code
	Words string
}

func (d *Denied) Error() string { return d.Words }

func denied(code Code, words string) error { return &Denied{code, words} }

// notKnown is one for all that a wrong secret and an unknown access key may be told.
func notKnown() error {
	return denied(CodeSignature, "the access key is not known, or the request was not signed with its secret, or was changed after that")
}
