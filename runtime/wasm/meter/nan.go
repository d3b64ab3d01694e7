package meter

// WebAssembly leaves open which NaN an operation gives, and processors differ: on amd64 it is usually negative, on arm64
// positive, and both may pass on the bits of an operand. A guest sees the difference when it looks at the bits. With
// Options.NaN every NaN that arithmetic gives becomes the same, positive and without a payload; what is only moved, or
// has its sign changed, keeps its bits, as the specification says.

// floats are the kinds of values that NaNs come in.
type floats uint8

const (
	noFloats floats = iota
	f32s
	f64s
	f32x4s
	f64x2s
)

// arithmetic tells which NaNs an instruction may give.
func arithmetic(op uint16) floats {
	switch {
	case op >= 0x8d && op <= 0x97, op == 0xb6: // ceil, floor, trunc, nearest, sqrt, add, sub, mul, div, min, max; demote
		return f32s
	case op >= 0x9b && op <= 0xa5, op == 0xbb: // the same; promote
		return f64s
	case op >= 0xfd67 && op <= 0xfd6a, op >= 0xfde3 && op <= 0xfde9, op == 0xfd5e: // the same, but pmin and pmax select
		return f32x4s
	case op == 0xfd74, op == 0xfd75, op == 0xfd7a, op == 0xfd94, op >= 0xfdef && op <= 0xfdf5, op == 0xfd5f:
		return f64x2s
	}
	return noFloats
}

// indifferent tells whose NaNs all are the same to an instruction that takes what was pushed last: if it gives one, it is
// made the same itself.
func indifferent(op uint16) floats {
	switch {
	case op >= 0x5b && op <= 0x60: // comparisons
		return f32s
	case op >= 0x61 && op <= 0x66:
		return f64s
	case op == 0xa8, op == 0xa9, op == 0xae, op == 0xaf, op == 0xfc00, op == 0xfc01, op == 0xfc04, op == 0xfc05: // to integers
		return f32s
	case op == 0xaa, op == 0xab, op == 0xb0, op == 0xb1, op == 0xfc02, op == 0xfc03, op == 0xfc06, op == 0xfc07:
		return f64s
	case op == 0xb6: // demote
		return f64s
	case op == 0xbb: // promote
		return f32s
	case op == 0xfd5e:
		return f64x2s
	case op == 0xfd5f:
		return f32x4s
	}
	return arithmetic(op)
}

// scratch is the local that a NaN is looked at in; it comes behind those of the function.
type scratch struct {
	first   uint32 // of them
	indices [f64x2s + 1]uint32
	types   []byte
}

func (s *scratch) of(kind floats) uint32 {
	if s.indices[kind] == 0 {
		s.types = append(s.types, [...]byte{f32s: f32, f64s: f64, f32x4s: v128, f64x2s: v128}[kind])
		s.indices[kind] = s.first + uint32(len(s.types))
	}
	return s.indices[kind] - 1
}

// appendLocals writes the locals of a function with these behind them.
func (s *scratch) appendLocals(b, locals []byte) []byte {
	r := reader{b: locals}
	groups := r.u32()
	b = append(appendU(b, groups+uint32(len(s.types))), locals[r.at:]...)
	for _, t := range s.types {
		b = append(b, 1, t)
	}
	return b
}

// appendCanonical replaces what was pushed last if it is a NaN: it is one if it is not equal to itself.
func appendCanonical(b []byte, kind floats, local uint32) []byte {
	b = appendU(append(b, opLocalTee), local)
	switch kind {
	case f32s:
		b = append(b, opF32Const, 0, 0, 0xc0, 0x7f)
	case f64s:
		b = append(b, opF64Const, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f)
	case f32x4s:
		b = append(b, 0xfd, 12, 0, 0, 0xc0, 0x7f, 0, 0, 0xc0, 0x7f, 0, 0, 0xc0, 0x7f, 0, 0, 0xc0, 0x7f)
	case f64x2s, noFloats:
		b = append(b, 0xfd, 12, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f)
	}
	b = appendU(append(b, opLocalGet), local)
	b = appendU(append(b, opLocalGet), local)
	switch kind {
	case f32s:
		return append(b, 0x5b, opSelect) // f32.eq
	case f64s:
		return append(b, 0x61, opSelect) // f64.eq
	case f32x4s:
		return append(b, 0xfd, 0x41, 0xfd, 0x52) // f32x4.eq, v128.bitselect
	case f64x2s, noFloats:
	}
	return append(b, 0xfd, 0x47, 0xfd, 0x52) // f64x2.eq
}
