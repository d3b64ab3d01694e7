package wasm

import "bytes"

// image is what a linear memory holds when an instance begins with it: pieces that do not overlap, by address, and zeros
// between them. It is shared by attempts and not changed.
type image struct {
	size   uint64 // bytes of memory
	pieces []piece
}

// piece is a part of an image.
type piece struct {
	at    uint64
	bytes []byte
}

// imageGrain is how memory is taken apart into pieces, in bytes: the page of a processor.
const imageGrain = 4 << 10

// imageOf takes a copy of memory.
func imageOf(memory []byte) *image {
	m := &image{size: uint64(len(memory))}
	for at := 0; at < len(memory); {
		end := at
		for end < len(memory) && !bytes.Equal(memory[end:min(end+imageGrain, len(memory))], zeros[:min(imageGrain, len(memory)-end)]) {
			end = min(end+imageGrain, len(memory))
		}
		if end > at {
			m.pieces = append(m.pieces, piece{uint64(at), bytes.Clone(memory[at:end])})
		}
		at = max(end, at+imageGrain)
	}
	return m
}

// bytes is how much the pieces take.
func (m *image) bytes() (n int) {
	for _, p := range m.pieces {
		n += len(p.bytes)
	}
	return n
}

// end is the address after the last piece.
func (m *image) end() uint64 {
	if m == nil || len(m.pieces) == 0 {
		return 0
	}
	last := m.pieces[len(m.pieces)-1]
	return last.at + uint64(len(last.bytes))
}

// writeTo writes the pieces into memory that is all zero.
func (m *image) writeTo(memory []byte) {
	if m == nil {
		return
	}
	for _, p := range m.pieces {
		copy(memory[p.at:], p.bytes)
	}
}

// clear makes memory that holds the image, and zeros elsewhere, all zero.
func (m *image) clear(memory []byte) {
	if m == nil {
		return
	}
	for _, p := range m.pieces {
		clear(memory[p.at:][:len(p.bytes)])
	}
}

// repair makes memory hold the image from one address to another, whatever was there. It writes only where something
// differs: most of what a guest has it never writes to, and reading is cheaper, most of all of pages that the kernel never
// had to make.
func (m *image) repair(memory []byte, from, to uint64) {
	var pieces []piece
	if m != nil {
		pieces = m.pieces
	}
	for _, p := range pieces {
		begin, end := max(p.at, from), min(p.at+uint64(len(p.bytes)), to)
		if begin >= end {
			continue
		}
		repairZeros(memory[from:begin])
		repairBytes(memory[begin:end], p.bytes[begin-p.at:])
		from = end
	}
	if from < to {
		repairZeros(memory[from:to])
	}
}

var zeros [imageGrain]byte

func repairZeros(memory []byte) {
	for len(memory) > 0 {
		n := min(imageGrain, len(memory))
		if !bytes.Equal(memory[:n], zeros[:n]) {
			clear(memory[:n])
		}
		memory = memory[n:]
	}
}

// repairBytes makes memory equal to the beginning of want.
func repairBytes(memory, want []byte) {
	for len(memory) > 0 {
		n := min(imageGrain, len(memory))
		if !bytes.Equal(memory[:n], want[:n]) {
			copy(memory, want[:n])
		}
		memory, want = memory[n:], want[n:]
	}
}
