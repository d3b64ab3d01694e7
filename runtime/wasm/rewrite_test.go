package wasm

import (
	"bytes"
	"context"
	"math/rand/v2"
	"reflect"
	"testing"

	"deed/runtime/wasm/wasmtest"
)

// A module prints the same memory with its data segments taken out as with them.
func TestImageKeepsMemory(t *testing.T) {
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

func TestDataImage(t *testing.T) {
	data := wasmtest.Data
	for _, c := range []struct {
		name     string
		segments [][]byte
		want     []piece // nil when nothing may be changed
	}{
		{"side by side", [][]byte{data(8, "ab"), data(10, "cd")}, []piece{{8, []byte("abcd")}}},
		{"a gap", [][]byte{data(8, "a"), data(11, "b")}, []piece{{8, []byte("a\x00\x00b")}}},
		{"backwards", [][]byte{data(11, "b"), data(8, "a")}, []piece{{8, []byte("a\x00\x00b")}}},
		{"far apart", [][]byte{data(8, "a"), data(4096, "b")}, []piece{{8, []byte("a")}, {4096, []byte("b")}}},
		{"at the end", [][]byte{data(1<<16-1, "a")}, []piece{{1<<16 - 1, []byte("a")}}},
		{"over the end", [][]byte{data(1<<16-1, "ab")}, nil},
		{"above 2 GiB", [][]byte{data(-8, "b"), data(8, "a")}, nil},
		{"overlap", [][]byte{data(8, "abc"), data(10, "x")}, nil},
		{"passive", [][]byte{{1, 1, 'x'}}, nil},
		{"at a global", [][]byte{{0, 0x23, 0, 0x0b, 1, 'x'}}, nil},
	} {
		got := dataImage(wasmtest.Vector(c.segments...), 1<<16)
		if (got != nil) != (c.want != nil) || got != nil && !reflect.DeepEqual(got.pieces, c.want) {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// An image holds what memory held.
func TestImageOf(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 50 {
		want := make([]byte, rng.IntN(20*imageGrain))
		for range rng.IntN(10) {
			if len(want) > 0 {
				want[rng.IntN(len(want))] = 1
			}
		}
		m := imageOf(want)
		got := make([]byte, len(want))
		m.writeTo(got)
		if !bytes.Equal(got, want) || m.bytes() > len(want) || m.end() > uint64(len(want)) || m.size != uint64(len(want)) {
			t.Fatalf("%d bytes in %d pieces of %d bytes differ", len(want), len(m.pieces), m.bytes())
		}
	}
}
