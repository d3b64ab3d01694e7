package wasm

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
)

// rewrite changes a module between the walk and the compiler, and gives what its memory must hold before it is
// instantiated. It takes the data segments out: Go's linker leaves a gap at every run of zeros, some 36,000 segments in a
// small program, and the engine pays allocations for each of them in every attempt. And it exports the mutable globals of
// a module whose initialisation may be snapshot. What cannot be changed without changing what it does is left as it is.
func rewrite(module []byte, f facts) ([]byte, *image) {
	r := reader{b: module[8:]}
	out := append(make([]byte, 0, len(module)+len(module)/8), module[:8]...)
	var initial *image
	section := func(id byte, content []byte) {
		out = append(out, id)
		out = binary.AppendUvarint(out, uint64(len(content)))
		out = append(out, content...)
	}
	for len(r.b) > 0 && r.err == nil {
		id := r.byte()
		content := r.take(int(r.u32()))
		switch {
		case id == 7 && f.snapshots():
			section(id, exportGlobals(content, f))
		case id == 11 && !f.picksData:
			if initial = dataImage(content, f.memory); initial == nil {
				return module, nil
			}
		case id == 12 && !f.picksData: // the number of data segments, which only a module that picks them needs
		default:
			section(id, content)
		}
	}
	if r.err != nil {
		return module, nil
	}
	return out, initial
}

// dataGap is how many zeros between two segments become part of one piece, in bytes: copying them costs less than a piece
// does.
const dataGap = 256

// dataImage makes an image of a data section for a memory of that size. It answers only for segments at constant
// addresses that lie in memory and do not overlap: their order means nothing then, and memory between them is zero.
func dataImage(section []byte, memory uint64) *image {
	r := reader{b: section}
	var all []piece
	for range r.count("data segments", maxData, 2) {
		if r.u32() != 0 || r.byte() != 0x41 {
			return nil
		}
		at := uint64(uint32(r.i33()))
		if r.byte() != 0x0b {
			return nil
		}
		all = append(all, piece{at, r.take(int(r.u32()))})
	}
	if r.err != nil || len(r.b) > 0 {
		return nil
	}
	slices.SortStableFunc(all, func(a, b piece) int { return cmp.Compare(a.at, b.at) })
	m := &image{size: memory}
	for _, s := range all {
		end := m.end()
		if s.at < end || s.at+uint64(len(s.bytes)) > memory {
			return nil
		}
		if last := len(m.pieces) - 1; last >= 0 && s.at-end <= dataGap {
			t := &m.pieces[last]
			t.bytes = append(append(t.bytes, make([]byte, s.at-end)...), s.bytes...)
		} else {
			m.pieces = append(m.pieces, piece{s.at, slices.Clone(s.bytes)})
		}
	}
	return m
}

// exportGlobals adds the mutable globals to a section of exports.
func exportGlobals(section []byte, f facts) []byte {
	r := reader{b: section}
	n := r.u32()
	out := binary.AppendUvarint(nil, uint64(n)+uint64(len(f.mutable)))
	out = append(out, r.b...)
	for _, g := range f.mutable {
		name := globalName(g)
		out = binary.AppendUvarint(out, uint64(len(name)))
		out = append(out, name...)
		out = append(out, 3)
		out = binary.AppendUvarint(out, uint64(g))
	}
	return out
}

// globalPrefix begins the names under which globals are exported.
const globalPrefix = "deed.global."

func globalName(index uint32) string { return fmt.Sprint(globalPrefix, index) }
