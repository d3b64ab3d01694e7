package node

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"deed/cmd/internal/door"
	"deed/domain"
	"deed/runtime/files"
	"deed/runtime/wasm"
	"deed/runtime/worker"
)

// engine introduces the worker and the WebAssembly host to one another.
type engine struct {
	host  *wasm.Host
	files *files.Shelf
	blobs door.Blobs
}

var _ worker.Engine = (*engine)(nil)

// shelfBytes bounds the files that a node keeps in memory. Those of the attempts that run are counted by the pool, too, and
// stay for as long.
const shelfBytes = 256 << 20

func (e *engine) Loaded(c worker.Code) bool {
	if !c.Files.None() {
		if _, ok := e.files.Loaded(c.Files.Digest); !ok {
			return false
		}
	}
	_, ok := e.host.Loaded(c.Module)
	return ok
}

func (e *engine) Load(ctx context.Context, c worker.Code) error {
	_, _, err := e.load(ctx, c)
	if unfit(err) {
		return nil // Run will say so
	}
	return err
}

// load gives the module, and the files if there are any.
func (e *engine) load(ctx context.Context, c worker.Code) (m *wasm.Module, tree *files.Tree, err error) {
	get := func(d domain.Digest) func(context.Context) ([]byte, error) {
		return func(ctx context.Context) ([]byte, error) { return e.blobs.Get(ctx, d) }
	}
	if !c.Files.None() {
		if tree, err = e.files.Load(ctx, c.Files.Digest, get(c.Files.Digest)); err != nil {
			return nil, nil, err
		}
	}
	m, err = e.host.Load(ctx, c.Module, get(c.Module))
	return m, tree, err
}

// unfit reports whether code was fetched and cannot run.
func unfit(err error) bool {
	return errors.As(err, new(*wasm.BadModuleError)) || errors.As(err, new(*domain.Rejection))
}

func (e *engine) Run(ctx context.Context, a worker.Attempt) domain.Event {
	m, tree, err := e.load(ctx, a.Code)
	if err != nil {
		kind := domain.FailedPlatform
		if unfit(err) {
			kind = domain.FailedBadModule
		}
		return domain.AttemptFailed{Kind: kind, Error: err.Error()}
	}
	if errors.Is(context.Cause(ctx), worker.ErrCanceled) {
		return domain.AttemptFailed{Kind: domain.FailedCanceled, Error: "cancelled before it ran"}
	}
	inner, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	// The host knows a forced cancel by its own error.
	defer context.AfterFunc(ctx, func() {
		if cause := context.Cause(ctx); errors.Is(cause, worker.ErrCanceled) {
			cancel(wasm.ErrCanceled)
		} else {
			cancel(cause)
		}
	})()
	env := make([][2]string, len(a.Env))
	for i, v := range a.Env {
		env[i] = [2]string{v.Name, v.Value}
	}
	out := m.Run(inner, wasm.Attempt{
		Args: []string{a.Name}, Env: env, Event: a.Event, Files: tree, Limits: a.Limits,
		Seed: sha256.Sum256(a.Seed[:]), Start: a.Start.Time(),
	})
	usage := domain.Usage{Duration: out.Duration.Truncate(time.Microsecond), PeakMemory: out.PeakMemory, Fuel: out.Fuel, Costs: wasm.Costs}
	if out.Kind != domain.FailedOutputTooLarge {
		usage.Output = sha256.Sum256(out.Result)
	}
	log := domain.AttemptLog{Text: string(out.Log), Cut: out.LogTruncated}
	if out.Kind == domain.NoFailure {
		return domain.AttemptSucceeded{Usage: usage, Log: log, Result: domain.Bytes(out.Result)}
	}
	return domain.AttemptFailed{Kind: out.Kind, Error: out.Error, ExitCode: out.ExitCode, Usage: usage, Log: log, Result: domain.Bytes(out.Result)}
}

// checker makes a module's refusal a rejection for the door.
type checker struct{ host *wasm.Host }

func (c checker) Check(ctx context.Context, module []byte, tree *files.Tree, limits domain.Limits) error {
	err := c.host.Check(ctx, module, tree, limits)
	if bad := (*wasm.BadModuleError)(nil); errors.As(err, &bad) {
		return domain.Reject(domain.CodeInvalid, "the module is refused: "+bad.Reason, "Deed runs WASI preview 1 modules; in Go: GOOS=wasip1 GOARCH=wasm go build")
	}
	return err
}
