package wasm

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/tetratelabs/wazero"

	"deed/domain"
	"deed/runtime/files"
)

// Module is a compiled module. It can be run for as long as somebody has it and its host is open, and is safe for use from
// many goroutines.
type Module struct {
	host     *Host
	engine   *engine // which compiled it
	compiled wazero.CompiledModule
	facts    facts
	initial  *image // of memory, for what compiled has no data segments

	snapshots *snapshots
	remains   remains
	footprint int64  // estimated, in bytes
	used      uint64 // when it was asked for last; the host's mutex guards it
}

// Check compiles a module and makes one instance of it, without running it. The error is a *BadModuleError when
// the module cannot run within the limits, and another when the host could not find out. A module that passed is loaded.
// The files are the function's, nil if it has none: a start function may look at them. Those who check the same module against
// the same limits, with the same tree, at the same time share one check.
func (h *Host) Check(ctx context.Context, module []byte, tree *files.Tree, limits domain.Limits) error {
	digest := sha256.Sum256(module)
	for {
		flight := h.checks.DoChan(fmt.Sprintf("%x %v %p", digest, limits, tree), func() (left any, err error) {
			err = h.check(ctx, digest, module, tree, limits)
			return ctx.Err() != nil, err
		})
		select {
		case r := <-flight:
			if left, _ := r.Val.(bool); left && r.Err != nil && ctx.Err() == nil {
				continue // it was another's, who has gone and left nothing known
			}
			return r.Err
		case <-ctx.Done():
			return fmt.Errorf("check module: %w", context.Cause(ctx))
		}
	}
}

func (h *Host) check(ctx context.Context, digest [sha256.Size]byte, module []byte, tree *files.Tree, limits domain.Limits) error {
	m, loaded := h.Loaded(digest)
	if !loaded {
		var err error
		if m, err = h.compile(ctx, module); err != nil {
			if errors.Is(err, errCompileTime) {
				return &BadModuleError{fmt.Sprintf("takes more than %s to compile", h.patience)}
			}
			return err
		}
	}
	err := m.try(ctx, tree, limits)
	if !loaded {
		h.keep(digest, m, err == nil)
	}
	return err
}

// try makes an instance and throws it away.
func (m *Module) try(ctx context.Context, tree *files.Tree, limits domain.Limits) error {
	if need := m.facts.memory; need > uint64(limits.Memory) {
		return &BadModuleError{fmt.Sprintf("needs %s of memory to start, and its limit is %s", size(int64(need)), size(limits.Memory))}
	}
	limits.Timeout = instantiateTime
	limits.MaxOutput = domain.MaxPayload
	switch o := m.run(ctx, Attempt{Files: tree, Limits: limits, Start: time.Unix(0, 0)}, false); o.Kind {
	case domain.NoFailure:
		return nil
	case domain.FailedCanceled, domain.FailedPlatform:
		return fmt.Errorf("check module: %s", o.Error)
	default:
		return &BadModuleError{"cannot be instantiated: " + o.Error}
	}
}

// Load gives the module with that SHA-256 digest. Fetch is called when it is not in memory, once for all who ask at the
// same time; its context ends after fetchTime and not with the caller's. The error is a *BadModuleError when the module
// cannot run.
func (h *Host) Load(ctx context.Context, digest [sha256.Size]byte, fetch func(context.Context) ([]byte, error)) (*Module, error) {
	if m, ok := h.Loaded(digest); ok {
		return m, nil
	}
	flight := h.flights.DoChan(string(digest[:]), func() (any, error) { return h.load(context.WithoutCancel(ctx), digest, fetch) })
	select {
	case r := <-flight:
		if r.Err != nil {
			return nil, fmt.Errorf("load module %x: %w", digest[:8], r.Err)
		}
		return r.Val.(*Module), nil
	case <-ctx.Done():
		return nil, fmt.Errorf("load module %x: %w", digest[:8], ctx.Err())
	}
}

func (h *Host) load(ctx context.Context, digest [sha256.Size]byte, fetch func(context.Context) ([]byte, error)) (*Module, error) {
	if m, ok := h.Loaded(digest); ok {
		return m, nil
	}
	fetching, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	b, err := fetch(fetching)
	if err != nil {
		return nil, err
	}
	if got := sha256.Sum256(b); got != digest {
		return nil, fmt.Errorf("its bytes have the digest %x", got[:8])
	}
	m, err := h.compile(ctx, b)
	if err != nil {
		return nil, err
	}
	return h.keep(digest, m, true), nil
}

// Loaded gives the module with that digest if it is in memory.
func (h *Host) Loaded(digest [sha256.Size]byte) (*Module, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.resident.get(digest)
}

// keep puts a module in memory, or throws it away when it is not good or was there already; it gives the one to use.
func (h *Host) keep(digest [sha256.Size]byte, m *Module, good bool) *Module {
	h.mu.Lock()
	there, ok := h.resident.get(digest)
	if !ok && good {
		h.resident.add(digest, m)
	}
	h.mu.Unlock()
	if ok || !good {
		m.remains.free()
	}
	if ok {
		return there
	}
	return m
}
