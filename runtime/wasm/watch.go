package wasm

import (
	"context"
	"slices"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// watchedModule is the name of a second copy of WASI, whose functions say that they were called. Initialisations of which a
// snapshot is to be made are linked with it.
const watchedModule = "deed:watched"

// harmless are the functions of WASI that may be called before a snapshot: what they give is the same for every attempt
// with the same arguments and environment, and they change nothing that the snapshot does not hold. (The clock and the
// random source are fixed during initialisation, and so are the function's files. The three devices and the directory that
// a guest is given have no flags that could be set.) All others tell of the attempt, or leave something behind outside of
// memory and globals: output, what was read of the event, a closed device, real time.
//
// A file that is open is something outside of memory. So a snapshot is made only where all that was opened is closed again.
var harmless = []string{
	"args_get", "args_sizes_get", "environ_get", "environ_sizes_get", "clock_res_get", "clock_time_get", "random_get",
	"fd_fdstat_get", "fd_fdstat_set_flags", "fd_filestat_get", "fd_prestat_dir_name", "fd_prestat_get", "sched_yield",
	"path_open", "path_filestat_get", "path_readlink",
}

// ofFiles are harmless where their first parameter is a descriptor that the guest opened itself, and not one of those that it
// is given: these stay as long as the instance, and what is changed of them stays, too.
var ofFiles = []string{"fd_advise", "fd_close", "fd_pread", "fd_read", "fd_readdir", "fd_seek", "fd_tell"}

// lastGiven is the descriptor of the directory that a guest is given.
const lastGiven = 3

// watcher marks the sandbox of a guest that calls what is not harmless.
type watcher struct{ ofFiles bool }

var (
	_ experimental.FunctionListenerFactory = watcher{}
	_ experimental.FunctionListener        = watcher{}
)

// NewFunctionListener implements experimental.FunctionListenerFactory.
func (watcher) NewFunctionListener(f api.FunctionDefinition) experimental.FunctionListener {
	name := f.Name()
	if exports := f.ExportNames(); len(exports) > 0 {
		name = exports[0]
	}
	if slices.Contains(harmless, name) {
		return nil
	}
	return watcher{slices.Contains(ofFiles, name)}
}

// Before implements experimental.FunctionListener.
func (w watcher) Before(ctx context.Context, _ api.Module, _ api.FunctionDefinition, params []uint64, _ experimental.StackIterator) {
	if w.ofFiles && int32(params[0]) > lastGiven { //nolint:gosec // how the engine passes an i32
		return
	}
	ctx.Value(sandboxKey{}).(*sandbox).reached = true
}

// After implements experimental.FunctionListener.
func (watcher) After(context.Context, api.Module, api.FunctionDefinition, []uint64) {}

// Abort implements experimental.FunctionListener.
func (watcher) Abort(context.Context, api.Module, api.FunctionDefinition, error) {}

// watched makes the copy in a runtime.
func watched(ctx context.Context, r wazero.Runtime, plain map[string]api.FunctionDefinition) (api.Module, error) {
	b := r.NewHostModuleBuilder(watchedModule)
	exportWASI(b, plain)
	compiled, err := b.Compile(experimental.WithFunctionListenerFactory(ctx, watcher{}))
	if err != nil {
		return nil, err
	}
	return r.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName(watchedModule))
}

// watch has the instances that are made with a context linked with the copy.
func watch(ctx context.Context, copied api.Module) context.Context {
	return experimental.WithImportResolver(ctx, func(name string) api.Module {
		if name == wasiModule {
			return copied
		}
		return nil
	})
}
