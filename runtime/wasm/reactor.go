package wasm

import (
	"context"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"
)

// What a host calls. A command exports startName. A reactor exports runName, of type () -> i32, and its memory; one that
// has something to set up before it exports initializeName.
const (
	startName      = "_start"
	runName        = "deed_run"
	initializeName = "_initialize"
)

// Types of values, as they are in a module; those of the other numbers lie between.
const (
	typeI32 = 0x7f
	typeF64 = 0x7c
)

// react initialises a reactor, or restores what its initialisation left, and runs it. What deed_run returns is the exit
// code, so anything but 0 becomes the error that leaving with that code is.
func (m *Module) react(ctx context.Context, mod api.Module, box *sandbox, a *Attempt, s *snapshot) error {
	switch {
	case s != nil:
		if box.memory.err = s.restore(mod, box, &m.facts); box.memory.err != nil {
			return box.memory.err
		}
	case m.facts.initializes:
		if _, err := mod.ExportedFunction(initializeName).Call(ctx); err != nil {
			return err
		}
	}
	box.initialised(a)
	results, err := mod.ExportedFunction(runName).Call(ctx)
	if err != nil {
		return err
	}
	if code := uint32(results[0]); code != 0 {
		return sys.NewExitError(code)
	}
	return nil
}
