package wasm

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"deed/runtime/wasm/wasmtest"
)

func TestSlabsAreZero(t *testing.T) {
	var p slabs
	defer p.close()
	for range 3 {
		for _, n := range []uint64{1, 64 << 10, 1 << 20, 1<<20 + 1, keptBytes + 1<<16, 64 << 20, 1 << 32} {
			s, err := p.get(n, nil)
			if err != nil {
				t.Fatal(err)
			}
			touched := min(n, 64<<20)
			for i := uint64(0); i < touched; i += 100 {
				if s.b[i] != 0 {
					t.Fatalf("byte %d of %d is %d", i, n, s.b[i])
				}
				s.b[i] = 1
			}
			p.put(s, touched)
		}
	}
}

// A slab holds its image and nothing else, whichever image its guests had before and whatever they wrote.
func TestSlabsHoldTheirImage(t *testing.T) {
	for _, n := range []int{1 << 20, keptBytes + 1<<20} {
		rng := rand.New(rand.NewPCG(7, uint64(n)))
		images := make([]*image, keptSlabs+10) // more than there are slabs, so that they have to share
		for i := range images[1:] {
			b := make([]byte, n)
			for range 5 {
				at := rng.IntN(n - 9000)
				for i := range rng.IntN(9000) {
					b[at+i] = byte(rng.Uint32())
				}
			}
			images[i+1] = imageOf(b)
		}
		var p slabs
		for i := range 200 {
			held := images[rng.IntN(len(images))]
			s, err := p.get(uint64(n), held)
			if err != nil {
				t.Fatal(err)
			}
			want := make([]byte, len(s.b))
			held.writeTo(want)
			if !bytes.Equal(s.b, want) {
				t.Fatalf("slab %d does not hold its image", i)
			}
			touched := max(1+rng.IntN(n), int(held.end()))
			for range rng.IntN(20) {
				s.b[rng.IntN(touched)] = byte(rng.Uint32())
			}
			p.put(s, uint64(touched))
		}
		if n < keptBytes && p.kept != keptSlabs {
			t.Errorf("%d slabs are kept, want %d", p.kept, keptSlabs)
		}
		p.close()
	}
}

func TestSlabsAreBounded(t *testing.T) {
	var p slabs
	var taken []*slab
	for i := range 3 * keptSlabs {
		s, err := p.get(1<<(16+i%10), nil)
		if err != nil {
			t.Fatal(err)
		}
		taken = append(taken, s)
	}
	for _, s := range taken {
		p.put(s, 0)
	}
	held := 0
	for _, f := range p.free {
		held += len(f)
	}
	if held != keptSlabs || p.kept != held {
		t.Errorf("holds %d and counts %d, want %d", held, p.kept, keptSlabs)
	}
	p.close()
	s, err := p.get(1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if p.put(s, 0); p.kept != 0 {
		t.Error("keeps slabs after it was closed")
	}
}

// Memory comes back on every path: success, trap, exit, and an instance that could not be made.
func TestMemoryReturns(t *testing.T) {
	h := open(t)
	outside := wasmtest.CommandParts(1)
	outside.Data = [][]byte{wasmtest.Data(1<<16-1, "ab")}
	for name, module := range map[string][]byte{
		"success": wasmtest.Echo(), "trap": wasmtest.Trap(), "exit": wasmtest.Exit(1), "growth": wasmtest.Grow(),
		"flood": wasmtest.Flood(1, 1000), "no instance": outside.Bytes(),
	} {
		m := load(t, h, module)
		for range 5 {
			m.Run(context.Background(), attempt("x"))
		}
		if kept := h.boxes.slabs.kept; kept != 1 {
			t.Errorf("%s: the pool has %d slabs, want the one that all attempts shared", name, kept)
		}
	}
}

// TestHammer runs guests of every kind at the same time and looks at each outcome.
func TestHammer(t *testing.T) {
	h := open(t)
	loops := 100
	if testing.Short() {
		loops = 10
	}
	kinds := []struct {
		module []byte
		want   string
	}{
		{wasmtest.Echo(), ""},
		{wasmtest.Trap(), "trap"},
		{wasmtest.Exit(2), "exit"},
		{wasmtest.Grow(), "memory"},
		{wasmtest.Flood(1, 100), "output-too-large"},
		{wasmtest.Print(`{"error":"x"}`, 1), "handled"},
		{wasmtest.Flood(2, 10), ""},
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range loops {
				k := kinds[(g+i)%len(kinds)]
				event := fmt.Sprint(g, i)
				o := load(t, h, k.module).Run(context.Background(), attempt(event))
				if string(o.Kind) != k.want || k.want == "" && (g+i)%len(kinds) == 0 && string(o.Result) != event {
					t.Errorf("%q %q %q, want %q", o.Kind, o.Error, o.Result, k.want)
				}
			}
		})
	}
	wg.Wait()
}
