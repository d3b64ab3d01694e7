package wasm

import (
	"fmt"
	"syscall"
)

// keptBytes is how much of a slab is restored in place when it goes back; what lies behind it is given to the kernel, which
// hands out zero pages again when they are touched. In place is faster for what the next guest touches as well: a page that
// the kernel has to make costs some µs.
const keptBytes = 4 << 20

// reserve maps n bytes of zeros that take real memory only as they are touched.
func reserve(n int) ([]byte, error) {
	b, err := syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON|syscall.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("reserve %s of memory: %w", size(int64(n)), err)
	}
	return b, nil
}

func unreserve(b []byte) { _ = syscall.Munmap(b) }

// restore makes b, the beginning of a mapping, hold an image that ends before keptBytes, and reports whether it did.
func restore(b []byte, held *image) bool {
	n := uint64(min(len(b), keptBytes))
	held.repair(b, 0, n)
	return n == uint64(len(b)) || syscall.Madvise(b[n:], syscall.MADV_DONTNEED) == nil
}
