package domain

import "time"

// Event is a fact of the system. The set is sealed: this page and event_registry.go list it.
//
//sumtype:decl
type Event interface {
	// Type is the event's name; on the wire it is deed.<Type>.v1.
	Type() string
	event() // seals the set
}

// Facts about an invocation and its partition, in deed.invocations.
type (
	// InvocationRequested pins everything that decisions depend on. A door's has no Parent; the function sink's, which
	// carries an owner's stamp, is at once the receipt of the parent's notification.
	InvocationRequested struct {
		ID       InvocationID
		Function FunctionID
		Version  string
		Code     Digest // of the module
		Files    Files
		Limits   Limits
		Policy   Policy
		Deadline Instant
		Env      []EnvVar
		Key      string // idempotency key; "" if none
		Sync     bool   // the caller waits for the result: no policy, and not one of the function's asynchronous invocations

		Redrives InvocationID // whose event this is again; zero if it is its own

		Parent       InvocationID // zero for a door's request
		Root         InvocationID // root of the lineage; zero if it is the invocation itself
		Hops         int          // links from the root: 0 to MaxHops
		Sink         Target       // of the parent's notification
		Notification UUID         // id of the parent's notification record

		Payload Payload
	}

	// CancelRequested asks that the invocation end. What became of it, the outcome says.
	CancelRequested struct {
		Force bool   // stop a running attempt, too
		By    string // who asked, for the audit
	}

	// AttemptStarted stands in the log before the function runs, always.
	AttemptStarted struct {
		Attempt int      // from 1
		Seed    [16]byte // of the attempt's clock and randomness
	}

	// AttemptSucceeded holds what the function printed.
	AttemptSucceeded struct {
		Attempt int
		Usage   Usage
		Log     AttemptLog
		Result  Payload
	}

	// AttemptFailed says how, and holds what the function printed.
	AttemptFailed struct {
		Attempt  int
		Kind     FailureKind
		Error    string // words, at most MaxError bytes encoded
		ExitCode uint32
		Usage    Usage
		Log      AttemptLog
		Result   Payload
	}

	// RetryScheduled says when the next attempt is due.
	RetryScheduled struct {
		Attempt int // the coming one
		Due     Instant
	}

	// InvocationSucceeded is terminal.
	InvocationSucceeded struct{ Attempts int }

	// InvocationFailed is terminal: the attempts are used up, or no further one is allowed.
	InvocationFailed struct {
		Attempts  int
		Condition Condition
		Kind      FailureKind
		Error     string
	}

	// InvocationDiscarded is terminal: expired, cancelled while waiting, throttled or cyclic.
	InvocationDiscarded struct {
		Attempts  int
		Condition Condition
		Reason    string
	}

	// NotificationOwed holds the whole notification record.
	NotificationOwed struct {
		Sink       Target
		ID         UUID
		ValidUntil Instant // delivery is retried until then
		Record     Payload
	}

	// NotificationDelivered is the receipt.
	NotificationDelivered struct {
		Sink     Target
		ID       UUID
		Location string // where it can be found, for people
	}

	// NotificationFailed is a delivery that did not succeed; the next one is due at Due.
	NotificationFailed struct {
		Sink  Target
		ID    UUID
		Try   int // from 1
		Due   Instant
		Error string
	}

	// NotificationAbandoned ends the delivery without success.
	NotificationAbandoned struct {
		Sink   Target
		ID     UUID
		Reason string // lineage, payload-too-large, conflict, expired
		Error  string
	}

	// InvocationCarried restates a long-open invocation whole, so that it can be rebuilt from here.
	InvocationCarried struct {
		State   Invocation
		Request Payload
		Env     []EnvVar
		Result  Payload
		Record  Payload // the owed notification's, if one is owed
	}

	// RequestRefused answers a request that was void when it landed, of an id that nobody knows.
	RequestRefused struct {
		Offset int64 // of the request
		Reason string
	}

	// PartitionOwned is a marker: a claim begins an owner's epoch, a renewal moves log time on.
	PartitionOwned struct {
		Renewal  bool
		LogTime  Instant
		Group    string
		Node     string
		Protocol int    // a node refuses the log of a newer one
		Upto     int64  // renewal: the owner's position
		Chain    Digest // renewal: digest of everything since the previous marker
	}
)

// Usage is what an attempt took.
type Usage struct {
	Duration   time.Duration // wall time in the guest, whole microseconds
	PeakMemory int64         // bytes of linear memory
	Fuel       int64         // what it computed, in units of the table of costs; 0 if it was not metered
	Costs      int           // version of that table; 0 if it was not metered
	Output     Digest        // of what it printed; zero if that is not known
}

// AttemptLog is what the function wrote to stderr: at most MaxLog bytes encoded, cut with a mark that says so.
type AttemptLog struct {
	Text string
	Cut  bool
}

// Type implements Event.
func (InvocationRequested) Type() string   { return "InvocationRequested" }
func (CancelRequested) Type() string       { return "CancelRequested" }       //nolint:revive // as above
func (AttemptStarted) Type() string        { return "AttemptStarted" }        //nolint:revive // as above
func (AttemptSucceeded) Type() string      { return "AttemptSucceeded" }      //nolint:revive // as above
func (AttemptFailed) Type() string         { return "AttemptFailed" }         //nolint:revive // as above
func (RetryScheduled) Type() string        { return "RetryScheduled" }        //nolint:revive // as above
func (InvocationSucceeded) Type() string   { return "InvocationSucceeded" }   //nolint:revive // as above
func (InvocationFailed) Type() string      { return "InvocationFailed" }      //nolint:revive // as above
func (InvocationDiscarded) Type() string   { return "InvocationDiscarded" }   //nolint:revive // as above
func (NotificationOwed) Type() string      { return "NotificationOwed" }      //nolint:revive // as above
func (NotificationDelivered) Type() string { return "NotificationDelivered" } //nolint:revive // as above
func (NotificationFailed) Type() string    { return "NotificationFailed" }    //nolint:revive // as above
func (NotificationAbandoned) Type() string { return "NotificationAbandoned" } //nolint:revive // as above
func (InvocationCarried) Type() string     { return "InvocationCarried" }     //nolint:revive // as above
func (RequestRefused) Type() string        { return "RequestRefused" }        //nolint:revive // as above
func (PartitionOwned) Type() string        { return "PartitionOwned" }        //nolint:revive // as above

func (InvocationRequested) event()   {}
func (CancelRequested) event()       {}
func (AttemptStarted) event()        {}
func (AttemptSucceeded) event()      {}
func (AttemptFailed) event()         {}
func (RetryScheduled) event()        {}
func (InvocationSucceeded) event()   {}
func (InvocationFailed) event()      {}
func (InvocationDiscarded) event()   {}
func (NotificationOwed) event()      {}
func (NotificationDelivered) event() {}
func (NotificationFailed) event()    {}
func (NotificationAbandoned) event() {}
func (InvocationCarried) event()     {}
func (RequestRefused) event()        {}
func (PartitionOwned) event()        {}
