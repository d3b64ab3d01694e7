package wasm

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// rewrite changes a module between the walk and the compiler. It joins data segments: Go's linker leaves a gap at every
// run of zeros, some 36,000 segments in a small program, and the engine pays allocations for each of them in every
// attempt. A module that cannot be changed without changing what it does is left as it is.
func rewrite(module []byte, f facts) []byte {
	if f.picksData {
		return module
	}
	r := reader{b: module[8:]}
	out := append(make([]byte, 0, len(module)+len(module)/8), module[:8]...)
	joined := false
	for len(r.b) > 0 && r.err == nil {
		before := r.b
		id := r.byte()
		content := r.take(int(r.u32()))
		whole := before[:len(before)-len(r.b)]
		switch id {
		case 11:
			data, ok := joinData(content)
			if !ok {
				return module
			}
			joined = true
			out = append(out, id)
			out = binary.AppendUvarint(out, uint64(len(data)))
			out = append(out, data...)
		case 12: // the number of data segments, which only a module that picks them needs
		default:
			out = append(out, whole...)
		}
	}
	if r.err != nil || !joined {
		return module
	}
	return out
}

// joinGap is how many zeros between two segments are written out to join them, in bytes: copying them costs less than a
// segment does.
const joinGap = 256

// segment is a piece of initial memory.
type segment struct {
	at    uint64
	bytes []byte
}

// joinData joins the segments of a data section. It answers only for segments at constant addresses that do not overlap:
// their order means nothing then, and memory between them is zero.
func joinData(section []byte) (joined []byte, ok bool) {
	r := reader{b: section}
	var all []segment
	for range r.count("data segments", maxData, 2) {
		if r.u32() != 0 || r.byte() != 0x41 {
			return nil, false
		}
		at := uint64(uint32(r.i33()))
		if r.byte() != 0x0b {
			return nil, false
		}
		all = append(all, segment{at, r.take(int(r.u32()))})
	}
	if r.err != nil || len(r.b) > 0 {
		return nil, false
	}
	slices.SortStableFunc(all, func(a, b segment) int { return cmp.Compare(a.at, b.at) })
	var segments []segment
	var end uint64
	for _, s := range all {
		if s.at < end {
			return nil, false
		}
		if last := len(segments) - 1; last >= 0 && s.at-end <= joinGap {
			t := &segments[last]
			t.bytes = append(append(t.bytes, make([]byte, s.at-end)...), s.bytes...)
		} else {
			segments = append(segments, segment{s.at, slices.Clone(s.bytes)})
		}
		end = s.at + uint64(len(s.bytes))
	}
	joined = binary.AppendUvarint(nil, uint64(len(segments)))
	for _, s := range segments {
		joined = append(joined, 0, 0x41)
		joined = appendSigned(joined, int32(uint32(s.at)))
		joined = append(joined, 0x0b)
		joined = binary.AppendUvarint(joined, uint64(len(s.bytes)))
		joined = append(joined, s.bytes...)
	}
	return joined, true
}

// appendSigned writes a signed LEB128 number.
func appendSigned(b []byte, n int32) []byte {
	for {
		c := byte(n & 0x7f)
		n >>= 7
		if n == 0 && c&0x40 == 0 || n == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}
