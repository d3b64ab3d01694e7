package meter

import (
	"errors"
	"fmt"
)

// reader takes a binary apart. The first error sticks: later reads give zero, and loops look at err.
type reader struct {
	b   []byte
	at  int
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
		r.at = len(r.b)
	}
}

// errTruncated is a value, for it is what malformed code fails with most, and making words costs time.
var errTruncated = errors.New("is truncated")

func (r *reader) truncated() {
	if r.err == nil {
		r.err = errTruncated
		r.at = len(r.b)
	}
}

// more reports whether there is something left to read.
func (r *reader) more() bool { return r.err == nil && r.at < len(r.b) }

func (r *reader) byte() byte {
	if r.at >= len(r.b) {
		r.truncated()
		return 0
	}
	c := r.b[r.at]
	r.at++
	return c
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b)-r.at {
		r.truncated()
		return nil
	}
	p := r.b[r.at : r.at+n]
	r.at += n
	return p
}

// u32 reads an unsigned LEB128 number of at most 32 bits.
func (r *reader) u32() uint32 {
	if r.at < len(r.b) && r.b[r.at] < 0x80 { // nearly all are small
		r.at++
		return uint32(r.b[r.at-1])
	}
	var v uint64
	for i := range 5 {
		c := r.byte()
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			if v > 1<<32-1 {
				break
			}
			return uint32(v)
		}
	}
	r.fail("holds a number that is longer than 32 bits")
	return 0
}

// signed reads a signed LEB128 number of at most that many bytes.
func (r *reader) signed(most int) int64 {
	var v int64
	for i := range most {
		c := r.byte()
		v |= int64(c&0x7f) << (7 * i)
		if c < 0x80 {
			if c&0x40 != 0 && i < 9 {
				v |= -1 << (7 * (i + 1))
			}
			return v
		}
	}
	r.fail("holds a signed number of more than %d bytes", most)
	return 0
}

// count reads how many entries follow. Each takes at least one byte, so a count that the rest cannot hold is refused.
func (r *reader) count() int {
	n := int(r.u32())
	if n > len(r.b)-r.at {
		r.truncated()
		return 0
	}
	return n
}

// bytes reads a length and that many bytes.
func (r *reader) bytes() []byte { return r.take(r.count()) }

// index reads an index into something of which there are n. What is out of range must be refused here: behind the last
// function, global, type and local of the module, the rewritten one has its own.
func (r *reader) index(what string, n int) uint32 {
	i := r.u32()
	if r.err == nil && int(i) >= n {
		r.fail("uses a %s %d that it does not have", what, i)
		return 0
	}
	return i
}
