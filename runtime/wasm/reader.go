package wasm

import "fmt"

// reader takes a binary apart. The first error sticks: later reads give zero, and loops look at err.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = &BadModuleError{Reason: fmt.Sprintf(format, args...)}
		r.b = nil
	}
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail("is truncated")
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.fail("is truncated: %d bytes are claimed and %d are there", n, len(r.b))
		return nil
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) skip(n int) { r.take(n) }

// u32 reads an unsigned LEB128 number of at most 32 bits.
func (r *reader) u32() uint32 {
	var v uint64
	for i := range 5 {
		if i >= len(r.b) {
			r.fail("is truncated")
			return 0
		}
		c := r.b[i]
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			r.b = r.b[i+1:]
			if v > 1<<32-1 {
				break
			}
			return uint32(v)
		}
	}
	r.fail("holds a number that is longer than 32 bits")
	return 0
}

// signed skips a signed LEB128 number of at most 10 bytes and gives its first byte.
func (r *reader) signed() byte {
	for i := range 10 {
		if i >= len(r.b) {
			r.fail("is truncated")
			return 0
		}
		if r.b[i] < 0x80 {
			first := r.b[0]
			r.b = r.b[i+1:]
			return first
		}
	}
	r.fail("holds a number that is longer than 64 bits")
	return 0
}

// i33 reads a signed LEB128 number of at most 33 bits: a constant of 32, or the type of a block.
func (r *reader) i33() int64 {
	var v int64
	for i := range 5 {
		c := r.byte()
		v |= int64(c&0x7f) << (7 * i)
		if c < 0x80 {
			if c&0x40 != 0 {
				v |= -1 << (7 * (i + 1))
			}
			if v < -1<<32 || v >= 1<<32 {
				break
			}
			return v
		}
	}
	r.fail("holds a signed number that is longer than 33 bits")
	return 0
}

// count reads how many entries follow. Each takes at least size bytes, so a count that the remaining bytes cannot hold is
// refused, and so is one over the limit.
func (r *reader) count(what string, limit, size int) int {
	n := int(r.u32())
	switch {
	case r.err != nil:
		return 0
	case n > limit:
		r.fail("has %d %s: at most %d are allowed", n, what, limit)
		return 0
	case n*size > len(r.b):
		r.fail("claims %d %s, but only %d bytes remain", n, what, len(r.b))
		return 0
	}
	return n
}

// name reads a length and that many bytes.
func (r *reader) name() string { return string(r.take(r.count("bytes in a name", maxModule, 1))) }

// add sums what is counted over the whole module, and refuses a sum over the limit.
func (r *reader) add(sum *int, n int, what string, limit int) {
	if *sum += n; *sum > limit {
		r.fail("has %d %s, or more: at most %d are allowed", *sum, what, limit)
	}
}
