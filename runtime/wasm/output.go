package wasm

import (
	"io"
	"sync"
)

// output collects what the guest prints. Passing the limit stops the guest. It is collected in pieces that are used again:
// in one that grows, a guest that prints megabytes and fails would leave several times as much to the garbage collector, at
// the cost of its neighbours.
type output struct {
	pieces []*outputPiece // all full but the last
	n      int            // bytes
	limit  int
	over   int // bytes that it would hold with the write that passed the limit; 0 before
}

// outputPiece is large enough for most outputs, and small enough to be idle.
type outputPiece [32 << 10]byte

var outputPieces = sync.Pool{New: func() any { return new(outputPiece) }}

var _ io.Writer = (*output)(nil)

func (o *output) begin(limit int) { o.end(); o.limit = limit }

func (o *output) Write(p []byte) (int, error) {
	if len(p) > o.limit-o.n {
		o.over = o.n + len(p)
		panic(errStopped)
	}
	for rest := p; len(rest) > 0; {
		at := o.n % len(outputPiece{})
		if at == 0 {
			o.pieces = append(o.pieces, outputPieces.Get().(*outputPiece)) //nolint:forcetypeassert // nothing else is in there
		}
		n := copy(o.pieces[len(o.pieces)-1][at:], rest)
		o.n += n
		rest = rest[n:]
	}
	return len(p), nil
}

// bytes gives a copy of all; nil for nothing.
func (o *output) bytes() []byte {
	if o.n == 0 {
		return nil
	}
	b := make([]byte, 0, o.n)
	for _, piece := range o.pieces {
		b = append(b, piece[:min(len(piece), o.n-len(b))]...)
	}
	return b
}

// end gives the pieces back.
func (o *output) end() {
	for _, piece := range o.pieces {
		outputPieces.Put(piece)
	}
	clear(o.pieces)
	*o = output{pieces: o.pieces[:0]}
}
