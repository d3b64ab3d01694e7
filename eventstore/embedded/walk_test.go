package embedded

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// batchOf is a batch of so many bytes, with records nobody reads.
func batchOf(offset int64, size int, r *rand.Rand) []byte {
	b := make([]byte, size)
	for i := range b[batchHeader:] {
		b[batchHeader+i] = byte(r.Uint32())
	}
	return sealBatch(b, offset)
}

// BenchmarkWalk reads a segment of 64 MiB in batches of 4 KiB as the broker's start does, from the page cache.
func BenchmarkWalk(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	var file []byte
	batch := batchOf(0, 4096, r)
	for offset := int64(0); len(file) < 64<<20; offset++ {
		file = append(file, sealBatch(batch, offset)...)
	}
	path := filepath.Join(b.TempDir(), "0.dat")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		b.Fatal(err)
	}
	s := segment{span: span{size: int64(len(file))}, path: path}
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		if at, _, flaw, err := s.walk(0, 0, func(header) error { return nil }); at != s.size || flaw != nil || err != nil {
			b.Fatal(at, flaw, err)
		}
	}
}

// FuzzWalk: whatever the bytes are, the walk ends, and only whole batches are passed over.
func FuzzWalk(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	good := slices.Concat(batchOf(0, 200, r), batchOf(1, 61, r), batchOf(2, 3000, r))
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(good[3:])
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "0.dat")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s := segment{span: span{size: int64(len(b))}, path: path}
		seen := int64(0)
		at, next, flaw, err := s.walk(0, 0, func(h header) error {
			seen += h.size()
			return nil
		})
		if err != nil || at != seen || (flaw == nil) != (at == s.size) || next < 0 {
			t.Fatal(at, seen, next, flaw, err)
		}
	})
}
