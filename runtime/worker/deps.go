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
	// Loaded reports whether the module can be run without waiting.
	Loaded(code domain.Digest) bool
	// Load makes it so. An error means that it can be tried again; a module that cannot run is no error: Run says so.
	Load(ctx context.Context, code domain.Digest) error
	// Run runs one attempt. The outcome is an AttemptSucceeded or an AttemptFailed without number, its result inline.
	Run(ctx context.Context, a Attempt) domain.Event
}

// ErrCanceled is the cause of the context of an attempt that a forced cancel stops.
var ErrCanceled = errors.New("the invocation was cancelled")

// Attempt is what an engine is given.
type Attempt struct {
	Code   domain.Digest
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

// Functions resolves the target of a function sink to what a request pins. A *domain.Rejection is retried like any error:
// the function may be deployed later.
type Functions interface {
	Pin(target domain.FunctionID) (domain.InvocationRequested, error)
}

// Line is the partition that an owner stands on.
type Line interface {
	// Do runs fn on the goroutine that owns the fold.
	Do(fn func(*partition.Fold)) bool
}

// Deps is what owners share on a node.
type Deps struct {
	Log     eventstore.Log // with producers of the owners' own
	Retry   Retrier
	Notify  Notifier
	Engine  Engine
	Blobs   Blobs
	Objects Sink // obs:// targets
	Funcs   Functions
	Runs    *Pool // bounds attempts, by function
	Tells   *Pool // bounds deliveries, by target
	Cluster string
	Group   string
	Node    string
	Now     func() time.Time
	Random  func([]byte) // fills with random bytes; never fails
	Logger  *slog.Logger
}

// Bounds of an owner.
const (
	// retryClaim is how long an owner waits before it claims again after it was superseded or an append failed.
	retryClaim = 250 * time.Millisecond
	// retryPrepare is how long it waits after a module or a payload could not be fetched.
	retryPrepare = time.Second
	// deliverTimeout bounds one delivery to a sink.
	deliverTimeout = 30 * time.Second
	// heldBytes is how many bytes of request records an owner keeps from the fold to the run; beyond it they are read again.
	heldBytes = 32 << 20
)
