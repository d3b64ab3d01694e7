package wasm

import (
	"context"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// lengths are the parameters of the functions of WASI that are lengths of paths. The engine copies a path and takes it apart
// before it asks a file system for it, however long it is: up to 4 GiB of the host's memory.
var lengths = map[string][]int{
	"path_create_directory": {2}, "path_filestat_get": {3}, "path_filestat_set_times": {3}, "path_link": {3, 6}, "path_open": {3},
	"path_readlink": {2}, "path_remove_directory": {2}, "path_rename": {2, 5}, "path_symlink": {1, 4}, "path_unlink_file": {2},
}

// counts are the parameters that say how many vectors, or subscriptions, there are. The engine goes through all of them, and
// costs the guest no more fuel for millions than for one: it could not be stopped meanwhile. Programs keep to what systems
// allow, which is maxVectors on most.
var counts = map[string]int{"fd_read": 2, "fd_pread": 2, "fd_write": 2, "fd_pwrite": 2, "poll_oneoff": 2}

const maxVectors = 1024

// guard gives functions of WASI as the engine has them, held within bounds: those of lengths and of counts, and fd_renumber, by
// which a guest could have the engine make a table of two thousand million descriptors.
func guard(ctx context.Context, r wazero.Runtime) (map[string]api.FunctionDefinition, error) {
	b := r.NewHostModuleBuilder("deed:wasi")
	wasi_snapshot_preview1.NewFunctionExporter().ExportFunctions(b)
	compiled, err := b.Compile(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = compiled.Close(ctx) }() // its functions are Go's
	return compiled.ExportedFunctions(), nil
}

// exportGuarded replaces functions of a builder by the guarded ones.
func exportGuarded(b wazero.HostModuleBuilder, plain map[string]api.FunctionDefinition) {
	replace := func(name string, refused func(s *sandbox, stack []uint64) uint64) {
		f := plain[name]
		inner := f.GoFunction().(api.GoModuleFunction) //nolint:forcetypeassert // of the engine's own
		b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, mod api.Module, stack []uint64) {
			if errno := refused(ctx.Value(sandboxKey{}).(*sandbox), stack); errno != wasiSuccess { //nolint:forcetypeassert // call puts it there
				stack[0] = errno
				return
			}
			inner.Call(ctx, mod, stack)
		}), f.ParamTypes(), f.ResultTypes()).Export(name)
	}
	for name, at := range lengths {
		replace(name, func(s *sandbox, stack []uint64) uint64 {
			for _, i := range at {
				if uint32(stack[i]) > maxPath { //nolint:gosec // how the engine passes an i32
					return wasiNameTooLong
				}
			}
			if name == "path_open" && s.mount.open >= maxOpen {
				return wasiTooManyOpen
			}
			return wasiSuccess
		})
	}
	for name, at := range counts {
		replace(name, func(s *sandbox, stack []uint64) uint64 {
			s.goOn()
			if uint32(stack[at]) > maxVectors { //nolint:gosec // how the engine passes an i32
				return wasiInvalid
			}
			return wasiSuccess
		})
	}
	replace("fd_renumber", func(_ *sandbox, stack []uint64) uint64 {
		if to := uint32(stack[1]); to > 2*maxOpen { //nolint:gosec // how the engine passes an i32
			return wasiBadDescriptor
		}
		return wasiSuccess
	})
}
