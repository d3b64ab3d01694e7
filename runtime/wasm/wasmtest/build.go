// Package wasmtest assembles small WebAssembly modules by hand, for tests and benchmarks that should not wait for a
// compiler. Modules are commands of WASI preview 1, and reactors.
package wasmtest

// Types of values, as they are in a module.
const (
	I32 = 0x7f
	I64 = 0x7e
)

// Parts are the sections of a module, each a list of encoded entries. A section without entries is left out.
type Parts struct {
	Types, Imports, Functions, Tables, Memories, Globals, Exports [][]byte

	Start []byte // the index of the start function, encoded

	Elements, Code, Data [][]byte
}

// Bytes is the module.
func (p Parts) Bytes() []byte {
	b := Header()
	for _, s := range []struct {
		id      byte
		entries [][]byte
	}{
		{1, p.Types}, {2, p.Imports}, {3, p.Functions}, {4, p.Tables}, {5, p.Memories}, {6, p.Globals}, {7, p.Exports},
	} {
		if len(s.entries) > 0 {
			b = append(b, Section(s.id, Vector(s.entries...))...)
		}
	}
	if p.Start != nil {
		b = append(b, Section(8, p.Start)...)
	}
	for _, s := range []struct {
		id      byte
		entries [][]byte
	}{{9, p.Elements}, {10, p.Code}, {11, p.Data}} {
		if len(s.entries) > 0 {
			b = append(b, Section(s.id, Vector(s.entries...))...)
		}
	}
	return b
}

// Header is the magic number and the version.
func Header() []byte { return []byte{0, 'a', 's', 'm', 1, 0, 0, 0} }

// Section is a section with that content.
func Section(id byte, content []byte) []byte {
	return Join([]byte{id}, U(uint64(len(content))), content)
}

// Vector is a count and its entries.
func Vector(entries ...[]byte) []byte {
	return Join(append([][]byte{U(uint64(len(entries)))}, entries...)...)
}

// Join puts byte strings one after the other.
func Join(parts ...[]byte) []byte {
	var b []byte
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// U is an unsigned LEB128 number.
func U(n uint64) []byte {
	var b []byte
	for n >= 0x80 {
		b = append(b, byte(n)|0x80)
		n >>= 7
	}
	return append(b, byte(n))
}

// S is a signed LEB128 number.
func S(n int64) []byte {
	var b []byte
	for {
		c := byte(n & 0x7f)
		n >>= 7
		if n == 0 && c&0x40 == 0 || n == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

// Name is a length and its bytes.
func Name(s string) []byte { return Join(U(uint64(len(s))), []byte(s)) }

// Signature is a function type.
func Signature(params, results []byte) []byte {
	return Join([]byte{0x60}, U(uint64(len(params))), params, U(uint64(len(results))), results)
}

// Import is an imported function of that type.
func Import(module, name string, typ uint64) []byte {
	return Join(Name(module), Name(name), []byte{0}, U(typ))
}

// WASI is an imported WASI function of that type.
func WASI(name string, typ uint64) []byte { return Import("wasi_snapshot_preview1", name, typ) }

// Export is an exported function.
func Export(name string, index uint64) []byte { return Join(Name(name), []byte{0}, U(index)) }

// Body is a function without locals; the final end is added.
func Body(code ...[]byte) []byte {
	b := Join([]byte{0}, Join(code...), []byte{0x0b})
	return Join(U(uint64(len(b))), b)
}

// Const pushes a 32-bit number.
func Const(n int32) []byte { return Join([]byte{0x41}, S(int64(n))) }

// Call calls a function.
func Call(index uint64) []byte { return Join([]byte{0x10}, U(index)) }

// Load pushes the 32-bit number at a constant address.
func Load(at int32) []byte { return Join(Const(at), []byte{0x28, 2, 0}) }

// Store stores what value pushes at a constant address.
func Store(at int32, value []byte) []byte { return Join(Const(at), value, []byte{0x36, 2, 0}) }

// Loop runs its code again and again: Op(0x0c, 0) at the end of the code repeats, Op(0x0c, 1) leaves.
func Loop(code ...[]byte) []byte {
	return Join([]byte{0x02, 0x40, 0x03, 0x40}, Join(code...), []byte{0x0b, 0x0b})
}

// Op is an instruction and the bytes after it.
func Op(b ...byte) []byte { return b }

// Data is a segment at a constant address.
func Data(at int32, s string) []byte { return Join([]byte{0}, Const(at), []byte{0x0b}, Name(s)) }
