package embedded

import (
	"encoding/binary"
	"fmt"
	"io"
)

// span is a segment and a length of it in bytes.
type span struct {
	dir  string // of the partition, its name under partitions/
	base int64  // offset of its first record, which is the name of its file
	size int64
}

// snapshot is the body of an ends record: how far each segment was synced in its own file when the record with the
// sequence since had been written. Records behind that one are to be added.
type snapshot struct {
	since   uint64
	exact   bool             // every response is held for the journal: what is behind its end was seen by nobody
	clean   bool             // the broker was closed, and this is all there was
	segs    []span           // by partition, in order
	trims   map[string]int64 // partition: segments that end at or below this offset may be missing
	dropped []string         // topics (escaped) that may be half deleted
}

func (s *snapshot) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, s.since)
	flags := byte(0)
	if s.exact {
		flags |= 1
	}
	if s.clean {
		flags |= 2
	}
	b = append(b, flags)
	b = binary.BigEndian.AppendUint32(b, uint32(len(s.segs))) //nolint:gosec // small
	for _, p := range s.segs {
		b = appendPlace(b, p.dir, p.base, p.size)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(s.trims))) //nolint:gosec // small
	for dir, bound := range s.trims {
		b = appendPlace(b, dir, bound, 0)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(s.dropped))) //nolint:gosec // small
	for _, topic := range s.dropped {
		b = appendPlace(b, topic, 0, 0)
	}
	return b
}

// appendPlace is a name of at most 65,535 bytes and two numbers.
func appendPlace(b []byte, name string, x, y int64) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(name))) //nolint:gosec // the name of a file
	b = append(b, name...)
	b = binary.BigEndian.AppendUint64(b, uint64(x))    //nolint:gosec // not negative
	return binary.BigEndian.AppendUint64(b, uint64(y)) //nolint:gosec // not negative
}

func readSnapshot(r record) (*snapshot, error) {
	b := &body{in: io.NewSectionReader(r.in, r.at, r.n), left: r.n}
	s := &snapshot{since: uint64(b.number(8)), trims: map[string]int64{}} //nolint:gosec // as it was written
	flags := b.number(1)
	s.exact, s.clean = flags&1 != 0, flags&2 != 0
	for n := b.number(4); n > 0 && b.err == nil; n-- {
		dir, base, size := b.place()
		s.segs = append(s.segs, span{dir, base, size})
	}
	for n := b.number(4); n > 0 && b.err == nil; n-- {
		dir, bound, _ := b.place()
		s.trims[dir] = bound
	}
	for n := b.number(4); n > 0 && b.err == nil; n-- {
		topic, _, _ := b.place()
		s.dropped = append(s.dropped, topic)
	}
	if b.err != nil {
		return nil, fmt.Errorf("%s: the record at byte %d: %w", r.in.Name(), r.at-recordHeader, b.err)
	}
	return s, nil
}

// body reads the body of a record; after an error it gives zeros.
type body struct {
	in   *io.SectionReader
	left int64
	err  error
}

func (b *body) take(n int64) []byte {
	if b.err == nil && n > b.left {
		b.err = io.ErrUnexpectedEOF
	}
	p := make([]byte, min(n, 1<<16))
	if b.err == nil {
		_, b.err = io.ReadFull(b.in, p)
		b.left -= n
	}
	if b.err != nil {
		clear(p)
	}
	return p
}

func (b *body) number(size int64) int64 {
	var wide [8]byte
	copy(wide[8-size:], b.take(size))
	return int64(binary.BigEndian.Uint64(wide[:])) //nolint:gosec // checked by those who use it
}

func (b *body) place() (string, int64, int64) {
	name := string(b.take(b.number(2)))
	return name, b.number(8), b.number(8)
}

func (b *body) skip(n int64) {
	if b.err == nil && (n < 0 || n > b.left) {
		b.err = io.ErrUnexpectedEOF
	}
	if b.err == nil {
		_, b.err = b.in.Seek(n, io.SeekCurrent)
		b.left -= n
	}
}
