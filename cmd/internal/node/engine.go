package node

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"deed/cmd/internal/door"
	"deed/domain"
	"deed/runtime/wasm"
	"deed/runtime/worker"
)

// engine introduces the worker and the WebAssembly host to one another.
type engine struct {
	host  *wasm.Host
	blobs door.Blobs
}

var _ worker.Engine = (*engine)(nil)

func (e *engine) Loaded(code domain.Digest) bool {
	_, ok := e.host.Loaded(code)
	return ok
}

func (e *engine) Load(ctx context.Context, code domain.Digest) error {
	_, err := e.host.Load(ctx, code, func(ctx context.Context) ([]byte, error) { return e.blobs.Get(ctx, code) })
	if bad := (*wasm.BadModuleError)(nil); errors.As(err, &bad) {
		return nil // Run will say so
	}
	return err
}

func (e *engine) Run(ctx context.Context, a worker.Attempt) domain.Event {
	m, err := e.host.Load(ctx, a.Code, func(ctx context.Context) ([]byte, error) { return e.blobs.Get(ctx, a.Code) })
	if err != nil {
		kind := domain.FailedPlatform
		if bad := (*wasm.BadModuleError)(nil); errors.As(err, &bad) {
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
		Args: []string{a.Name}, Env: env, Event: a.Event, Limits: a.Limits,
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

func (c checker) Check(ctx context.Context, module []byte, limits domain.Limits) error {
	err := c.host.Check(ctx, module, limits)
	if bad := (*wasm.BadModuleError)(nil); errors.As(err, &bad) {
		return domain.Reject(domain.CodeInvalid, "the module is refused: "+bad.Reason, "Deed runs WASI preview 1 modules; in Go: GOOS=wasip1 GOARCH=wasm go build")
	}
	return err
}
