package wasm

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"

	"deed/runtime/wasm/meter"
)

var errCompileTime = errors.New("compiling takes too long")

// compile walks, rewrites and compiles a module. Few compiles run at once; each is given up after its time, though what
// was given up holds its place until it ends, which walk's limits see to.
func (h *Host) compile(ctx context.Context, module []byte) (*Module, error) {
	f, err := walk(module, func(module, name string) bool { return h.offered[[2]string{module, name}] })
	if err != nil {
		return nil, err
	}
	module, initial := rewrite(module, f)
	if module, _, err = meter.Rewrite(module, meter.Options{Stack: maxStack, NaN: true}); err != nil {
		return nil, &BadModuleError{cut(err.Error(), maxError)}
	}
	select {
	case h.compilers <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if !h.enter() {
		<-h.compilers
		return nil, errClosed
	}
	type result struct {
		m   *Module
		err error
	}
	done := make(chan result, 1)
	h.compiles.Add(1)
	go func() {
		defer func() { <-h.compilers; h.leave() }()
		m, err := h.compileNow(module)
		done <- result{m, err}
	}()
	giveUp := time.NewTimer(h.patience)
	defer giveUp.Stop()
	select {
	case r := <-done:
		if r.m != nil {
			r.m.facts, r.m.initial = f, initial
		}
		return r.m, r.err
	case <-giveUp.C:
		err = errCompileTime
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	go func() { // ends when the compile does
		if r := <-done; r.m != nil {
			r.m.remains.free()
		}
	}()
	return nil, err
}

// compileNow compiles. A cache on disk that is full or damaged must not keep a good module from running, so what fails
// with it is tried without it.
func (h *Host) compileNow(module []byte) (*Module, error) {
	compiled, err := compileWith(h.engine, module)
	if err == nil {
		return h.made(h.engine, compiled, footprint(module)), nil
	}
	if h.bare != nil {
		if compiled, bareErr := compileWith(h.bare, module); bareErr == nil {
			return h.made(h.bare, compiled, footprint(module)), nil
		}
	}
	return nil, err
}

// compileWith turns what the engine says, and its panics over malformed modules, into a *BadModuleError.
func compileWith(r wazero.Runtime, module []byte) (c wazero.CompiledModule, err error) {
	defer func() {
		if p := recover(); p != nil {
			c, err = nil, &BadModuleError{cut(fmt.Sprintf("is malformed: the compiler failed over it: %v", p), maxError)}
		}
	}()
	if c, err = r.CompileModule(context.Background(), module); err != nil {
		return nil, &BadModuleError{cut("is malformed: "+strings.ToValidUTF8(err.Error(), "?"), maxError)}
	}
	return c, nil
}
