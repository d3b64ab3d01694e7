//go:build !linux

package wasm

// keptBytes is the largest memory that is zeroed and used again; a larger one is left to the garbage collector.
const keptBytes = 4 << 20

func reserve(n int) ([]byte, error) { return make([]byte, n), nil }

func unreserve([]byte) {}

func wipe(b []byte) bool {
	if len(b) > keptBytes {
		return false
	}
	clear(b)
	return true
}
