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
// random source are fixed during initialisation, and the only files are three devices, which have no flags that could be
// set.) All others tell of the attempt, or leave something behind outside of memory and globals: output, what was read of
// the event, a closed file, real time.
var harmless = []string{
	"args_get", "args_sizes_get", "environ_get", "environ_sizes_get", "clock_res_get", "clock_time_get", "random_get",
	"fd_fdstat_get", "fd_fdstat_set_flags", "fd_filestat_get", "fd_prestat_dir_name", "fd_prestat_get", "sched_yield",
}

// watcher marks the sandbox of a guest that calls what is not harmless.
type watcher struct{}

var (
	_ experimental.FunctionListenerFactory = watcher{}
	_ experimental.FunctionListener        = watcher{}
)

// NewFunctionListener implements experimental.FunctionListenerFactory.
func (w watcher) NewFunctionListener(f api.FunctionDefinition) experimental.FunctionListener {
	if slices.Contains(harmless, f.Name()) || len(f.ExportNames()) > 0 && slices.Contains(harmless, f.ExportNames()[0]) {
		return nil
	}
	return w
}

// Before implements experimental.FunctionListener.
func (watcher) Before(ctx context.Context, _ api.Module, _ api.FunctionDefinition, _ []uint64, _ experimental.StackIterator) {
	ctx.Value(sandboxKey{}).(*sandbox).reached = true
}

// After implements experimental.FunctionListener.
func (watcher) After(context.Context, api.Module, api.FunctionDefinition, []uint64) {}

// Abort implements experimental.FunctionListener.
func (watcher) Abort(context.Context, api.Module, api.FunctionDefinition, error) {}

// watched makes the copy in a runtime.
func watched(ctx context.Context, r wazero.Runtime) (api.Module, error) {
	b := r.NewHostModuleBuilder(watchedModule)
	exportWASI(b)
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
