//go:build !linux

package wasm

// keptBytes is the largest memory that is restored and used again; a larger one is left to the garbage collector.
const keptBytes = 4 << 20

func reserve(n int) ([]byte, error) { return make([]byte, n), nil }

func unreserve([]byte) {}

func restore(b []byte, held *image) bool {
	if len(b) > keptBytes {
		return false
	}
	held.repair(b, 0, uint64(len(b)))
	return true
}
