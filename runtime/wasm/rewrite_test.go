package wasm

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"

	"deed/runtime/wasm/wasmtest"
)

// A module prints the same memory with its data segments joined as without.
func TestJoinDataKeepsMemory(t *testing.T) {
	h := open(t)
	rng := rand.New(rand.NewPCG(3, 4))
	for range 30 {
		p := wasmtest.CommandParts(2, wasmtest.Write(1, 1<<12, 1<<14), wasmtest.Drop())
		want := make([]byte, 2<<16)
		for range rng.IntN(40) {
			at := 1<<12 + rng.IntN(1<<14)
			text := bytes.Repeat([]byte{byte(1 + rng.IntN(255))}, rng.IntN(40))
			copy(want[at:], text)
			p.Data = append(p.Data, wasmtest.Data(int32(at), string(text)))
		}
		o := load(t, h, p.Bytes()).Run(context.Background(), attempt(""))
		if !bytes.Equal(o.Result, want[1<<12:1<<12+1<<14]) {
			t.Fatalf("%q %q: memory differs", o.Kind, o.Error)
		}
	}
}

func TestJoinData(t *testing.T) {
	data := wasmtest.Data
	for _, c := range []struct {
		name     string
		segments [][]byte
		want     [][]byte // nil when nothing may be changed
	}{
		{"side by side", [][]byte{data(8, "ab"), data(10, "cd")}, [][]byte{data(8, "abcd")}},
		{"a gap", [][]byte{data(8, "a"), data(11, "b")}, [][]byte{data(8, "a\x00\x00b")}},
		{"backwards", [][]byte{data(11, "b"), data(8, "a")}, [][]byte{data(8, "a\x00\x00b")}},
		{"far apart", [][]byte{data(8, "a"), data(4096, "b")}, [][]byte{data(8, "a"), data(4096, "b")}},
		{"above 2 GiB", [][]byte{data(-8, "b"), data(8, "a")}, [][]byte{data(8, "a"), data(-8, "b")}},
		{"overlap", [][]byte{data(8, "abc"), data(10, "x")}, nil},
		{"passive", [][]byte{{1, 1, 'x'}}, nil},
		{"at a global", [][]byte{{0, 0x23, 0, 0x0b, 1, 'x'}}, nil},
	} {
		got, ok := joinData(wasmtest.Vector(c.segments...))
		if ok != (c.want != nil) || ok && !bytes.Equal(got, wasmtest.Vector(c.want...)) {
			t.Errorf("%s: % x, %t", c.name, got, ok)
		}
	}
}
