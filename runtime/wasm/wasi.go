package wasm

import (
	"context"
	"iter"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

const wasiModule = wasi_snapshot_preview1.ModuleName

// Errors of WASI.
const (
	wasiSuccess       = 0
	wasiBadDescriptor = 8
	wasiFault         = 21 // an address outside of memory
	wasiInvalid       = 28
	wasiTooManyOpen   = 33
	wasiNameTooLong   = 37
)

// exportWASI adds the functions of WASI to a module of the host's. Those of arguments and environment are our own: they
// look into the sandbox, so that an attempt does not have to make a configuration of the engine's for its words, which
// costs a small guest as much as everything else. plain are guard's.
func exportWASI(b wazero.HostModuleBuilder, plain map[string]api.FunctionDefinition) {
	wasi_snapshot_preview1.NewFunctionExporter().ExportFunctions(b)
	exportGuarded(b, plain)
	for _, words := range []struct {
		name string
		of   func(*sandbox) iter.Seq2[string, string]
	}{
		{"args", (*sandbox).argWords},
		{"environ", (*sandbox).envWords},
	} {
		add := func(name string, f func(mem api.Memory, words iter.Seq2[string, string], a, b uint32) bool) {
			b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, mod api.Module, stack []uint64) {
				ok := f(mod.Memory(), words.of(ctx.Value(sandboxKey{}).(*sandbox)), uint32(stack[0]), uint32(stack[1]))
				if stack[0] = wasiSuccess; !ok {
					stack[0] = wasiFault
				}
			}), []api.ValueType{api.ValueTypeI32, api.ValueTypeI32}, []api.ValueType{api.ValueTypeI32}).Export(name)
		}
		add(words.name+"_sizes_get", writeSizes)
		add(words.name+"_get", writeWords)
	}
}

// writeSizes writes how many words there are, and of how many bytes with a NUL after each.
func writeSizes(mem api.Memory, words iter.Seq2[string, string], count, bytes uint32) bool {
	n, size := 0, 0
	for a, b := range words {
		n++
		size += len(a) + len(b) + 1
	}
	return mem.WriteUint32Le(count, uint32(n)) && mem.WriteUint32Le(bytes, uint32(size))
}

// writeWords writes a table of addresses, and the words they are those of, each with a NUL after it.
func writeWords(mem api.Memory, words iter.Seq2[string, string], table, at uint32) bool {
	for a, b := range words {
		end := uint64(at) + uint64(len(a)) + uint64(len(b))
		if end >= uint64(mem.Size()) || !mem.WriteUint32Le(table, at) ||
			!mem.WriteString(at, a) || !mem.WriteString(at+uint32(len(a)), b) || !mem.WriteByte(uint32(end), 0) {
			return false
		}
		table += 4
		at = uint32(end) + 1
	}
	return true
}

// argWords gives the guest's arguments, each with an empty half.
func (s *sandbox) argWords() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, a := range s.args {
			if !yield(a, "") {
				return
			}
		}
	}
}

// envWords gives the guest's environment: of each variable the name with its equals sign, and the value.
func (s *sandbox) envWords() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, e := range s.env {
			if s.reactor && isContext(e[0]) {
				continue
			}
			if !yield(e[0]+"=", e[1]) {
				return
			}
		}
	}
}
