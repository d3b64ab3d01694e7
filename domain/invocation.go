package domain

// Invocation is the state of one invocation: a plain, comparable value. It holds no payload.
type Invocation struct {
	ID    InvocationID
	Known bool

	// Pinned by the request.
	Function FunctionID
	Version  string
	Code     Digest
	Files    Files
	Limits   Limits
	Policy   Policy
	Deadline Instant
	Parent   InvocationID
	Root     InvocationID // zero: the invocation itself
	Hops     int
	Redrives InvocationID // whose event it runs again; zero: its own
	Sync     bool         // the caller waits: not one of the function's asynchronous invocations
	Broken   bool         // the request could not be decoded: it ends without a run

	At     Instant // of the last event that an owner wrote
	Cancel bool
	Force  bool // the cancel stops a running attempt, too

	Started   int     // attempts started
	By        OwnerID // the claim under which the last one was started
	Done      int     // attempts with an outcome
	Success   bool    // the last outcome was a success
	CodeFails int     // attempts that the function failed
	Lost      int     // attempts that ended lost or platform
	Kind      FailureKind
	Error     string
	Retry     int // the attempt that is scheduled; 0 if none is
	Due       Instant
	Outcome   Outcome
	Cond      Condition
	Reason    string // error or reason of the terminal event
	EndedAt   Instant
	Notified  Notification
}

// Notification is the state of the one notification that an outcome can owe.
type Notification struct {
	Owed       bool
	Settled    bool
	Abandoned  bool
	Sink       Target
	ID         UUID
	ValidUntil Instant
	Tries      int
	Due        Instant // of the next try; zero: at once
}

// Open reports whether the invocation is known and has no outcome yet.
func (i Invocation) Open() bool { return i.Known && i.Outcome == Open }

// Running reports whether an attempt has begun and has no outcome yet.
func (i Invocation) Running() bool { return i.Started > i.Done }

// Owes is the target that must be told of the outcome; "" if none, or while the invocation is open.
func (i Invocation) Owes() Target {
	if !i.Known || i.Outcome == Open {
		return ""
	}
	return i.Policy.TargetFor(i.Outcome)
}

// Settled reports whether nothing is left to be done: the invocation is terminal, and whoever is to be told was told or
// has been given up.
func (i Invocation) Settled() bool {
	return i.Known && i.Outcome != Open && (i.Owes() == "" || i.Notified.Settled)
}

// Status is what people are shown.
func (i Invocation) Status() Status {
	switch {
	case i.Outcome != Open:
		return Status(i.Outcome)
	case i.Running():
		return Running
	}
	return Waiting
}

// LineageRoot is the invocation at the beginning of the chain.
func (i Invocation) LineageRoot() InvocationID {
	if i.Root.IsZero() {
		return i.ID
	}
	return i.Root
}

// exhausted reports whether no further attempt is allowed, whatever the time.
func (i Invocation) exhausted() bool {
	return i.CodeFails > i.Policy.Retries() || i.Lost > MaxLost
}
