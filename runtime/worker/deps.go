// Package worker owns partitions: it claims them, decides on the folded state only, appends every decision before acting on
// it, runs attempts and delivers notifications, and appends what happened. A decision never acts; an action never decides.
//
// Everything of one partition happens on one goroutine, the one that owns its fold. Guests and deliveries run on
// goroutines of their own, bounded by pools, and come back by Line.Do.
package worker

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"deed/domain"
	"deed/domain/partition"
	"deed/eventstore"
)

// Retrier derives what attempts lead to (projections/retry).
type Retrier interface {
	Derive(i domain.Invocation, at domain.Instant) []domain.Event
}

// Notifier derives what an outcome owes (projections/notify).
type Notifier interface {
	Owes(i domain.Invocation) bool
	Record(i domain.Invocation, request, response []byte) []byte
	Derive(i domain.Invocation, record domain.Payload) []domain.Event
}

// Engine runs functions (runtime/wasm).
type Engine interface {
	// Loaded reports whether the code can be run without waiting.
	Loaded(c Code) bool
	// Load makes it so. An error means that it can be tried again; code that cannot run is no error: Run says so.
	Load(ctx context.Context, c Code) error
	// Run runs one attempt. The outcome is an AttemptSucceeded or an AttemptFailed without number, its result inline.
	Run(ctx context.Context, a Attempt) domain.Event
}

// ErrCanceled is the cause of the context of an attempt that a forced cancel stops.
var ErrCanceled = errors.New("the invocation was cancelled")

// Code is what a request has pinned of its function.
type Code struct {
	Module domain.Digest
	Files  domain.Files
}

// codeOf is an invocation's.
func codeOf(i *domain.Invocation) Code { return Code{i.Code, i.Files} }

// Attempt is what an engine is given.
type Attempt struct {
	Code   Code
	Name   string
	Env    []domain.EnvVar
	Event  []byte
	Limits domain.Limits
	Seed   [16]byte
	Start  domain.Instant
}

// Blobs holds payloads over domain.MaxInline.
type Blobs interface {
	Put(ctx context.Context, data []byte) (domain.Digest, error)
	Get(ctx context.Context, d domain.Digest) ([]byte, error)
}

// Notification is what a sink is told: the bytes of the record, the same whoever delivers it.
type Notification struct {
	ID         domain.UUID
	Target     domain.Target
	Invocation domain.Invocation
	Record     []byte
}

// Sink tells one kind of outside party. Deliver is idempotent by the notification's id, and returns where the record can be
// found. An error is retried until the notification's validity ends, unless it is a *GiveUp.
type Sink interface {
	Deliver(ctx context.Context, n Notification) (location string, err error)
}

// GiveUp is a delivery that will never succeed.
type GiveUp struct {
	Reason string // one word for the event: conflict, payload-too-large, …
	Err    error
}

func (g *GiveUp) Error() string { return g.Reason + ": " + g.Err.Error() }
func (g *GiveUp) Unwrap() error { return g.Err }

// Functions is what owners ask of the registry.
type Functions interface {
	// Pin resolves the target of a function sink to what a request pins; draw, from 0 to 99, chooses where an alias has two
	// versions. A *domain.Rejection is retried like any error: the function may be deployed later.
	Pin(target domain.FunctionID, qualifier string, draw int) (domain.InvocationRequested, error)
	// MaxInstances is how many attempts of the function may run at once on this node: domain.NoMaxInstances if that is not
	// limited; 0 if it may not run at all, and what waits is discarded as throttled.
	MaxInstances(f domain.FunctionID) int
}

// Line is the partition that an owner stands on.
type Line interface {
	// Do runs fn on the goroutine that owns the fold.
	Do(fn func(*partition.Fold)) bool
	// Chain is the digest of the log up to the fold's position (eventstore.Chain), and whether it is known. It is asked on that
	// goroutine.
	Chain() (domain.Digest, bool)
}

// Place is this node's place in the group of owners (eventstore.Membership).
type Place interface {
	Committed(ctx context.Context, partition int) (eventstore.Position, error)
	Commit(ctx context.Context, partition int, p eventstore.Position) error
	Holds(ctx context.Context, partition int) (bool, error)
}

// Deps is what owners share on a node.
type Deps struct {
	Log     eventstore.Log // with producers of the owners' own
	Retry   Retrier
	Notify  Notifier
	Engine  Engine
	Blobs   Blobs
	Sinks   Sink // of every kind of target but functions
	Funcs   Functions
	Place   Place
	Runs    *Pool // bounds attempts, by function
	Tells   *Pool // bounds deliveries, by target
	Cluster string
	Group   string
	Node    string
	Now     func() time.Time
	Random  func([]byte) // fills with random bytes; never fails
	Logger  *slog.Logger
	Upkeep  Upkeep

	// Alarm is told what a person must look at, in words; it must not block. May be nil.
	Alarm func(partition int, what string)
	// Skewed is told how far this node's clock is ahead of the broker's, if that is more than MaxSkew. May be nil.
	Skewed func(ahead time.Duration)
	// Seen is told of every record that an acting owner reads, for metrics. May be nil.
	Seen func(j *eventstore.Judged)
	// Acts is told when an owner of this node begins to act, or ceases to; it must not block. May be nil.
	Acts func()
	// Point is called at the labelled points of an invocation's life, for tests that kill the process there. May be nil.
	Point func(label string)
}

// Upkeep is what owners do by the clock. A zero field is the protocol's value.
type Upkeep struct {
	Tick         time.Duration // how often an owner looks; 1 s
	Renew        time.Duration // how often a marker is renewed while records come in; 30 s
	CarryAfter   time.Duration // how old the record may be that an open invocation is rebuilt from; 5 min
	CarryRate    int           // most restatements a tick and partition; 500
	AppendWithin time.Duration // an own append without an answer for so long ends the epoch; 30 s
}

func (u Upkeep) filled() Upkeep {
	or := func(d *time.Duration, otherwise time.Duration) {
		if *d <= 0 {
			*d = otherwise
		}
	}
	or(&u.Tick, time.Second)
	or(&u.Renew, 30*time.Second)
	or(&u.CarryAfter, 5*time.Minute)
	or(&u.AppendWithin, 30*time.Second)
	if u.CarryRate <= 0 {
		u.CarryRate = 500
	}
	return u
}

// MaxSkew is how far a node's clock may be from the broker's. Beyond it the node gives up its partitions and accepts
// nothing: one owner with a clock ahead would move log time, and requests of healthy doors would be refused.
const MaxSkew = 30 * time.Second

// Bounds of an owner.
const (
	// retryClaim is how long an owner waits before it claims again after it was superseded or an append failed.
	retryClaim = 250 * time.Millisecond
	// retryPrepare is how long it waits after a module or a payload could not be fetched.
	// It doubles with every failure.
	retryPrepare = time.Second
	// maxRetryPrepare is the longest such wait.
	maxRetryPrepare = 30 * time.Second
	// askTimeout bounds a question to the group's coordinator, and a commit.
	askTimeout = 10 * time.Second
	// deliverTimeout bounds one delivery to a sink.
	deliverTimeout = 30 * time.Second
	// heldBytes is how many bytes of request records an owner keeps from the fold to the run; beyond it they are read again.
	heldBytes = 32 << 20
)
