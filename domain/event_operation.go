package domain

import "fmt"

// Facts about operations on many invocations, in deed.operations: one partition, every record kept. Only the fold says which
// of them took effect; who acts, acts on what it has folded back.
type (
	// OperationRequested asks for one.
	OperationRequested struct {
		ID      UUID
		Kind    OperationKind
		Project string
		By      string // who asked, for the audit
		Select  OperationSelection
		Rate    int  // how many a second at most: 1 to MaxRate
		Pinned  bool // run the version that each had, and not what its function is now
	}

	// OperationPlanned says how many it will act on, once that was looked up.
	OperationPlanned struct {
		ID      UUID
		Total   int
		Already int  // were redriven before, and are passed over
		Open    int  // have no outcome yet, and are passed over
		Older   bool // the read model has dropped some that might have been selected
	}

	// OperationAdvanced names the next ones, before anything is done with them: the steps of an operation are numbered without
	// a gap. New are the ids of the invocations that come of them: of a renotify only where the target is a function.
	OperationAdvanced struct {
		ID   UUID
		Step int // from 1
		Old  []InvocationID
		New  []InvocationID // one for each
	}

	// OperationSettled says what became of a step: an entry for each, in the same order.
	OperationSettled struct {
		ID       UUID
		Step     int
		Problems []string // "" where it was done; none at all where all were
		Places   []string // of notifications that were delivered again: where they are
	}

	// OperationPaused stops it after the step under way, until it is resumed.
	OperationPaused struct {
		ID UUID
		By string
	}

	// OperationResumed lets it go on.
	OperationResumed struct {
		ID UUID
		By string
	}

	// NotificationsFed says how far deed.notifications is where nothing was owed for long: all that was owed in the partition
	// before Upto was copied, and a fold that begins at Marker knows what is not settled there.
	NotificationsFed struct {
		Partition int
		Upto      int64
		Marker    int64
	}

	// OperationEnded is the last of it.
	OperationEnded struct {
		ID     UUID
		By     string // who stopped it; "" if it came to its end
		Reason string // why it came to its end early; "" if it did not
	}
)

// OperationKind is what is done again.
type OperationKind string

// The kinds.
const (
	// Redrive makes a new invocation of each, with the same event.
	Redrive OperationKind = "redrive"
	// Renotify delivers the notifications again that were abandoned.
	Renotify OperationKind = "renotify"
)

// Bounds of an operation.
const (
	MaxRate     = 10_000 // a second
	DefaultRate = 100
	MaxListed   = 5_000 // ids in one request; a filter selects more
	MaxStep     = 500   // invocations in a step
)

// OperationSelection says which invocations are wanted: those that are listed, or all that the rest selects.
type OperationSelection struct {
	IDs          []InvocationID
	Function     string // its name, or PACKAGE:NAME; "": all of the project
	Status       Status // "": any that is an end
	Condition    Condition
	AnyCondition bool    // Condition does not count
	Since, Until Instant // of acceptance, both inclusive; 0: open
}

// Check returns a *Rejection of what cannot be selected.
func (s OperationSelection) Check() error {
	switch {
	case len(s.IDs) > MaxListed:
		return reject(CodeInvalid, fmt.Sprintf("%d ids are listed; the limit is %d", len(s.IDs), MaxListed), "select by function, status and time")
	case len(s.IDs) > 0 && (s.Function != "" || s.Status != "" || !s.AnyCondition || s.Since != 0 || s.Until != 0):
		return reject(CodeInvalid, "ids and a filter do not go together", "list ids, or select by function, status, condition and time")
	case s.Status != "" && s.Status != Status(Succeeded) && s.Status != Status(Failed) && s.Status != Status(Discarded):
		return reject(CodeInvalid, fmt.Sprintf("%q is not how an invocation ends", clip(string(s.Status), 40)), "a status is succeeded, failed or discarded")
	case !s.AnyCondition && !s.Condition.known():
		return reject(CodeInvalid, fmt.Sprintf("%q is not a condition", clip(string(s.Condition), 40)), "docs/events.md lists them")
	case s.Until != 0 && s.Since > s.Until:
		return reject(CodeInvalid, "the time ends before it begins", "")
	}
	return nil
}

// Type implements Event.
func (OperationRequested) Type() string { return "OperationRequested" }
func (OperationPlanned) Type() string   { return "OperationPlanned" }  //nolint:revive // as above
func (OperationAdvanced) Type() string  { return "OperationAdvanced" } //nolint:revive // as above
func (OperationSettled) Type() string   { return "OperationSettled" }  //nolint:revive // as above
func (OperationPaused) Type() string    { return "OperationPaused" }   //nolint:revive // as above
func (OperationResumed) Type() string   { return "OperationResumed" }  //nolint:revive // as above
func (OperationEnded) Type() string     { return "OperationEnded" }    //nolint:revive // as above
func (NotificationsFed) Type() string   { return "NotificationsFed" }  //nolint:revive // as above

func (OperationRequested) event() {}
func (OperationPlanned) event()   {}
func (OperationAdvanced) event()  {}
func (OperationSettled) event()   {}
func (OperationPaused) event()    {}
func (OperationResumed) event()   {}
func (OperationEnded) event()     {}
func (NotificationsFed) event()   {}
