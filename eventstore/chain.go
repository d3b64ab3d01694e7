package eventstore

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"deed/domain"
)

// ErrDiverged says that the log is not what it was: records that were folded are gone or have been rewritten.
var ErrDiverged = errors.New("the log has diverged")

// Leaf is the digest of a record as it stands in the log: SHA-256(0x00 ‖ offset ‖ record). The offset is 8 bytes, big endian;
// the record is key, number of headers, each header's name and value, and value, everything of variable length behind its
// length plus one as an unsigned varint (0: null). buf is room to work in, and is returned.
func Leaf(m *Message, buf []byte) (domain.Digest, []byte) {
	b := append(buf[:0], 0)
	b = binary.BigEndian.AppendUint64(b, uint64(m.Offset)) //nolint:gosec // not negative
	b = appendBytes(b, m.Key)
	b = binary.AppendUvarint(b, uint64(len(m.Headers)))
	for _, h := range m.Headers {
		b = binary.AppendUvarint(b, uint64(len(h.Key))+1)
		b = append(b, h.Key...)
		b = binary.AppendUvarint(b, uint64(len(h.Value))+1)
		b = append(b, h.Value...)
	}
	b = appendBytes(b, m.Value)
	return sha256.Sum256(b), b
}

func appendBytes(b, v []byte) []byte {
	if v == nil {
		return append(b, 0)
	}
	b = binary.AppendUvarint(b, uint64(len(v))+1)
	return append(b, v...)
}

// Chain is the running digest of a partition: c := SHA-256(c ‖ leaf), beginning with 32 zero bytes at every marker's upto
// (a claim's is its own offset). A renewal states it, so that whoever folded records that later vanish, or finds other ones
// in their place, learns of it at the next renewal. How records were judged is no part of it: a reader that began in the middle
// calls void what concerns an invocation that was settled since. The zero value is a chain that knows nothing before its first marker.
type Chain struct {
	base  int64 // the digest is over the leaves from here on; -1: not known
	begun bool
	links []link // the latest, in order
	buf   []byte
}

type link struct {
	offset int64
	leaf   domain.Digest
	run    domain.Digest // the digest up to and with this leaf
}

// maxLinks is how many records a renewal may lie behind its upto and still be checked: what an owner has in flight is less.
const maxLinks = 8192

// Add takes the next record. The error is ErrDiverged if it is a renewal which states another digest.
func (c *Chain) Add(j *Judged) error {
	if !c.begun {
		c.begun, c.base = true, -1
		if j.Message.Offset == 0 {
			c.base = 0
		}
	}
	leaf, buf := Leaf(&j.Message, c.buf)
	c.buf = buf
	marker, ok := j.Record.Event.(domain.PartitionOwned)
	ok = ok && j.Verdict.Effective()
	if ok && !marker.Renewal {
		c.links, c.base = c.links[:0], j.Message.Offset
	}
	if len(c.links) >= 2*maxLinks {
		c.links = append(c.links[:0], c.links[maxLinks:]...)
	}
	c.push(j.Message.Offset, leaf)
	if !ok || !marker.Renewal {
		return nil
	}
	return c.check(j.Message.Partition, j.Message.Offset, marker)
}

func (c *Chain) push(offset int64, leaf domain.Digest) {
	var pair [2 * sha256.Size]byte
	if n := len(c.links); n > 0 {
		copy(pair[:], c.links[n-1].run[:])
	}
	copy(pair[sha256.Size:], leaf[:])
	c.links = append(c.links, link{offset, leaf, sha256.Sum256(pair[:])})
}

// check compares what a renewal states, and begins anew at its upto.
func (c *Chain) check(p int, offset int64, m domain.PartitionOwned) error {
	at := len(c.links)
	for at > 0 && c.links[at-1].offset >= m.Upto {
		at--
	}
	known := at > 0 || m.Upto == c.base // the links reach back to it
	if c.base >= 0 && known {
		var have domain.Digest
		if at > 0 {
			have = c.links[at-1].run
		}
		if have != m.Chain {
			return fmt.Errorf("%w: partition %d, offset %d: its owner read other records from offset %d to %d than stand there now", ErrDiverged, p, offset, c.base, m.Upto-1)
		}
	}
	behind := c.links[at:]
	c.links = make([]link, 0, 2*len(behind)+16)
	c.base = m.Upto
	if !known && (len(behind) == 0 || behind[0].offset != m.Upto) {
		c.base = -1 // leaves between upto and here were never seen: the next renewal cannot be checked
	}
	for _, l := range behind {
		c.push(l.offset, l.leaf)
	}
	return nil
}

// At is the digest of what was added, for a renewal to state: it is good if the chain knows its beginning.
func (c *Chain) At() (digest domain.Digest, good bool) {
	if n := len(c.links); n > 0 {
		digest = c.links[n-1].run
	}
	return digest, c.begun && c.base >= 0
}
