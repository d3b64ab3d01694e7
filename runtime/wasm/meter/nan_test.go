package meter_test

import (
	"context"
	"fmt"
	"testing"

	"deed/runtime/wasm/meter"
	. "deed/runtime/wasm/wasmtest"
)

// Every operation that may give a NaN gives the usual one, with the compiler and the interpreter, of the unusual NaNs that
// it is given; and what only moves a NaN leaves it as it is.
func TestNaN(t *testing.T) {
	const unusual32, unusual64 = 0xffa12345, 0xfff4567800000001
	const usual32, usual64 = 0x7fc00000, 0x7ff8000000000000
	type c struct {
		name string
		code []byte // pushes the bits as an i64
		want uint64
	}
	le := func(n int, v uint64) (b []byte) {
		for range n {
			b, v = append(b, byte(v)), v>>8
		}
		return b
	}
	nan32, nan64 := Join(Op(0x43), le(4, unusual32)), Join(Op(0x44), le(8, unusual64))
	vector32 := Join(Op(0xfd, 12), le(4, unusual32), le(4, unusual32), le(4, unusual32), le(4, unusual32))
	vector64 := Join(Op(0xfd, 12), le(8, unusual64), le(8, unusual64))
	bits32, bits64, low := Op(0xbc, 0xad), Op(0xbd), Op(0xfd, 0x1d, 0) // of f32, f64, the first half of a v128
	var cases []c
	for op := byte(0x8d); op <= 0x91; op++ {
		cases = append(cases, c{fmt.Sprintf("unary %x", op), Join(nan32, Op(op), bits32), usual32},
			c{fmt.Sprintf("unary %x", op+14), Join(nan64, Op(op+14), bits64), usual64})
	}
	for op := byte(0x92); op <= 0x97; op++ {
		cases = append(cases, c{fmt.Sprintf("binary %x", op), Join(nan32, nan32, Op(op), bits32), usual32},
			c{fmt.Sprintf("binary %x", op+14), Join(nan64, nan64, Op(op+14), bits64), usual64})
	}
	for _, op := range []byte{0x67, 0x68, 0x69, 0x6a, 0xe3} {
		cases = append(cases, c{fmt.Sprintf("f32x4 %x", op), Join(vector32, Op(0xfd), U(uint64(op)), low), usual32<<32 | usual32})
	}
	for _, op := range []byte{0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9} {
		cases = append(cases, c{fmt.Sprintf("f32x4 %x", op), Join(vector32, vector32, Op(0xfd), U(uint64(op)), low), usual32<<32 | usual32})
	}
	for _, op := range []byte{0x74, 0x75, 0x7a, 0x94, 0xef} {
		cases = append(cases, c{fmt.Sprintf("f64x2 %x", op), Join(vector64, Op(0xfd), U(uint64(op)), low), usual64})
	}
	for _, op := range []byte{0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5} {
		cases = append(cases, c{fmt.Sprintf("f64x2 %x", op), Join(vector64, vector64, Op(0xfd), U(uint64(op)), low), usual64})
	}
	cases = append(cases,
		c{"demote", Join(nan64, Op(0xb6), bits32), usual32},
		c{"promote", Join(nan32, Op(0xbb), bits64), usual64},
		c{"demote vector", Join(vector64, Op(0xfd, 0x5e), low), usual32<<32 | usual32},
		c{"promote vector", Join(vector32, Op(0xfd, 0x5f), low), usual64},
		c{"as the others", Join(vector32, vector32, Op(0xfd, 0xe4, 1), Op(0xfd, 0x94, 1), low), usual32<<32 | usual32}, // as f64x2, that is a number
		c{"chain", Join(nan64, nan64, Op(0xa0), Op(0x9f), Op(0xb6), Op(0xbb), bits64), usual64},
		c{"moved", Join(nan64, bits64), unusual64},
		c{"negated", Join(nan64, Op(0x9a), bits64), unusual64 &^ (1 << 63)},
	)
	for _, e := range []*engine{newEngine(t, false), newEngine(t, true)} {
		for _, c := range cases {
			p := Parts{
				Types: [][]byte{Signature(nil, []byte{I64})}, Functions: [][]byte{U(0)}, Exports: [][]byte{Export("f", 0)},
				Code: [][]byte{Body(c.code)},
			}
			m, err := e.instantiate(rewrite(t, p.Bytes(), meter.Options{NaN: true}), "")
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			if got, err := m.ExportedFunction("f").Call(context.Background()); err != nil || got[0] != c.want {
				t.Errorf("%s: %x, %v, want %x", c.name, got, err, c.want)
			}
			m.Close(context.Background())
		}
	}
}
