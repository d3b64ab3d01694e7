package meter_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero/api"

	"deed/runtime/wasm/meter"
	. "deed/runtime/wasm/wasmtest"
)

// bulkModule exports copy and fill, of 4 MiB of memory.
func bulkModule() []byte {
	three := Signature([]byte{I32, I32, I32}, nil)
	operands := Op(0x20, 0, 0x20, 1, 0x20, 2)
	return Parts{
		Types: [][]byte{three}, Functions: [][]byte{U(0), U(0)}, Memories: [][]byte{Join([]byte{0}, U(64))},
		Exports: [][]byte{Export("copy", 0), Export("fill", 1), Join(Name("memory"), []byte{2, 0})},
		Code:    [][]byte{Body(operands, Op(0xfc, 10, 0, 0)), Body(operands, Op(0xfc, 11, 0))},
	}.Bytes()
}

// What is copied and filled in parts is what is copied and filled at once, traps as that does and before anything is written,
// and costs as much; and the host gets in between the parts.
func TestParts(t *testing.T) {
	const mib, size = 1 << 20, 4 << 20
	rng := rand.New(rand.NewPCG(8, 9))
	random := make([]byte, size)
	for i := range random {
		random[i] = byte(rng.Uint32())
	}
	near := func(n int) uint32 { return uint32(max(0, n+rng.IntN(17)-8)) }
	for _, interpreted := range []bool{false, true} {
		e := newEngine(t, interpreted)
		e.budget = 1 << 40
		plain, err := e.instantiate(bulkModule(), "plain")
		if err != nil {
			t.Fatal(err)
		}
		metered, err := e.instantiate(rewrite(t, bulkModule(), meter.Options{Stack: meter.DefaultStack}), "metered")
		if err != nil {
			t.Fatal(err)
		}
		traps := 0
		for i := range 120 {
			n := near(rng.IntN(4) * mib)
			to, from := near(rng.IntN(4)*mib/2), near(rng.IntN(4)*mib/2)
			switch rng.IntN(8) {
			case 0: // at the very end, or outside
				to = uint32(size - int(n) + rng.IntN(2))
			case 1:
				from = uint32(size - int(n) + rng.IntN(2))
			case 2:
				n = -near(mib)
			case 3:
				to = -near(10)
			case 4:
				from = to + rng.Uint32N(9) - 4 // they overlap nearly
			}
			name := []string{"copy", "fill"}[i%2]
			var ends [2]string
			for k, m := range []api.Module{plain, metered} {
				m.Memory().Write(0, random)
				before, looks := int64(0), e.looks
				if k == 1 {
					before = e.used(m)
				}
				_, err := m.ExportedFunction(name).Call(context.Background(), uint64(to), uint64(from), uint64(n))
				ends[k] = trap(err)
				if k == 0 {
					continue
				}
				if got, want := e.used(m)-before, int64(n/8)+16+3; got != want {
					t.Fatalf("%s(%d, %d, %d) used %d, want %d", name, to, from, n, got, want)
				}
				if got, want := e.looks-looks, int64(max(n, 1)-1)/mib; err == nil && got != want {
					t.Fatalf("%s of %d bytes: the host got in %d times, want %d", name, n, got, want)
				}
				if strings.Contains(ends[k], "out of bounds") {
					traps++
				}
			}
			one, _ := plain.Memory().Read(0, size)
			other, _ := metered.Memory().Read(0, size)
			if ends[0] != ends[1] || !bytes.Equal(one, other) {
				t.Fatalf("%s(%d, %d, %d): %q, plain %q; the same memory: %t", name, to, from, n, ends[1], ends[0], bytes.Equal(one, other))
			}
		}
		if traps < 10 || traps > 110 {
			t.Errorf("%d of 120 trap", traps)
		}
	}
}

// Making NaNs the same costs no fuel, and changes no depth at which recursion ends: figures with it and without it are of one
// version.
func TestNaNIsFree(t *testing.T) {
	recursive := CommandParts(1, Op(0x44), make([]byte, 8), Call(Start+1), Drop())
	recursive.Types = append(recursive.Types, Signature([]byte{0x7c}, []byte{0x7c}))
	recursive.Functions = append(recursive.Functions, U(uint64(len(recursive.Types)-1)))
	recursive.Code = append(recursive.Code, Body(Op(0x20, 0, 0x20, 0, 0xa3, 0x9f), Call(Start+1), Op(0x20, 0, 0xa0)))
	for name, module := range map[string][]byte{"matmul": matmul(), "recursive": recursive.Bytes()} {
		var ends []string
		for _, nan := range []bool{false, true} {
			e := wasi(t, false)
			e.slice, e.budget = 1e6, 1e12
			m, err := e.instantiate(rewrite(t, module, meter.Options{Stack: 1 << 20, NaN: nan}), "")
			if err != nil {
				t.Fatal(err)
			}
			_, err = m.ExportedFunction("_start").Call(context.Background())
			ends = append(ends, fmt.Sprintf("%s after %d", e.verdict(m, err), e.used(m)))
		}
		if ends[0] != ends[1] {
			t.Errorf("%s: %s without, %s with", name, ends[0], ends[1])
		}
	}
}
