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

// typeI32 is a type of values, as it is in a module.
const typeI32 = 0x7f

// react initialises a reactor and runs it. What deed_run returns is the exit code, so anything but 0 becomes the error
// that leaving with that code is.
func (m *Module) react(ctx context.Context, mod api.Module) error {
	if m.facts.initializes {
		if _, err := mod.ExportedFunction(initializeName).Call(ctx); err != nil {
			return err
		}
	}
	results, err := mod.ExportedFunction(runName).Call(ctx)
	if err != nil {
		return err
	}
	if code := uint32(results[0]); code != 0 {
		return sys.NewExitError(code)
	}
	return nil
}
