package domain

import (
	"crypto/sha1" //nolint:gosec // UUIDv5 is defined over SHA-1 (RFC 9562, 5.5); nothing here rests on its strength
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
)

// UUID is an identifier in the sense of RFC 9562.
type UUID [16]byte

// String returns the canonical form, 36 characters in lower case.
func (u UUID) String() string { return string(u.Append(make([]byte, 0, 36))) }

// Append appends the canonical form to b.
func (u UUID) Append(b []byte) []byte {
	b = hex.AppendEncode(b, u[0:4])
	for _, part := range [][]byte{u[4:6], u[6:8], u[8:10], u[10:16]} {
		b = append(b, '-')
		b = hex.AppendEncode(b, part)
	}
	return b
}

// IsZero reports whether u is the nil UUID, which stands for "none".
func (u UUID) IsZero() bool { return u == UUID{} }

var errNotUUID = errors.New("not a UUID (36 characters like 0199f2a4-1c3e-7003-8a5b-2f6d0c9e4b17)")

// ParseUUID reads the canonical form; upper case is accepted.
func ParseUUID(s string) (UUID, error) {
	var u UUID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return UUID{}, errNotUUID
	}
	var packed [32]byte
	copy(packed[:], s[:8])
	copy(packed[8:], s[9:13])
	copy(packed[12:], s[14:18])
	copy(packed[16:], s[19:23])
	copy(packed[20:], s[24:])
	if _, err := hex.Decode(u[:], packed[:]); err != nil {
		return UUID{}, errNotUUID
	}
	return u, nil
}

// NewUUIDv5 derives an identifier from a namespace and a name.
func NewUUIDv5(space UUID, name []byte) UUID {
	var buf [80]byte // names here are short: keep them off the heap
	in := append(append(buf[:0], space[:]...), name...)
	sum := sha1.Sum(in) //nolint:gosec // see the import
	u := UUID(sum[:16])
	u[6] = u[6]&0x0f | 0x50
	u[8] = u[8]&0x3f | 0x80
	return u
}

// InvocationID is a UUIDv7 that names its partition: 48 bits of acceptance time in milliseconds, 12 bits of slot (the
// partition's number, where UUIDv7 has rand_a), 62 random or derived bits.
type InvocationID UUID

// MaxSlots is the number of slots an id can name: 12 bits.
const MaxSlots = 1 << 12

// NewInvocationID makes the id of a request accepted at t0 in partition slot. Of tail 62 bits are used.
func NewInvocationID(t0 Instant, slot int, tail [8]byte) InvocationID {
	var id InvocationID
	binary.BigEndian.PutUint64(id[:8], uint64(t0)<<16|0x7000|uint64(slot)&0xfff) //nolint:gosec // 48 bits of a time after 1970
	copy(id[8:], tail[:])
	id[8] = id[8]&0x3f | 0x80
	return id
}

// ChildID is the id of the invocation that a function sink opens: the parent's slot, the time of the parent's terminal
// fact, and 62 bits of the notification record's id. Whoever delivers the notification makes the same child.
func ChildID(parent InvocationID, endedAt Instant, notification UUID) InvocationID {
	sum := sha256.Sum256(notification[:])
	return NewInvocationID(endedAt, parent.Slot(), [8]byte(sum[:8]))
}

// ParseInvocationID reads the canonical form and refuses what is not a version 7 UUID.
func ParseInvocationID(s string) (InvocationID, error) {
	u, err := ParseUUID(s)
	if err == nil && (u[6]>>4 != 7 || u[8]>>6 != 2) {
		err = errors.New("not a request id (a UUID of version 7)")
	}
	if err != nil {
		return InvocationID{}, &Rejection{CodeInvalid, fmt.Sprintf("%q is %s", clip(s, 60), err), "request ids are what deed invoke prints"}
	}
	return InvocationID(u), nil
}

func (id InvocationID) String() string { return UUID(id).String() }

// IsZero reports whether the id is absent.
func (id InvocationID) IsZero() bool { return id == InvocationID{} }

// T0 is the acceptance time. It belongs to the id: the same id has the same time for ever.
func (id InvocationID) T0() Instant { return Instant(binary.BigEndian.Uint64(id[:8]) >> 16) } //nolint:gosec // 48 bits

// Slot is the number of the partition that holds everything about the invocation.
func (id InvocationID) Slot() int { return int(binary.BigEndian.Uint16(id[6:8]) & 0xfff) }

// Namespace is the name space of the ids of request records; docs/events.md states it.
var Namespace = UUID{0x6f, 0x2d, 0x1b, 0x54, 0x0c, 0x8e, 0x4b, 0x1f, 0x9a, 0x37, 0xd3, 0xe5, 0x71, 0x42, 0xc6, 0x88}

// RequestRecordID is the ce_id of a door's InvocationRequested: equal for a request that was appended twice.
func RequestRecordID(id InvocationID) UUID {
	var buf [36]byte
	return NewUUIDv5(Namespace, UUID(id).Append(buf[:0]))
}

// OwnerRecordID is the ce_id of an owner's record: unique by construction, equal for a record appended twice.
func OwnerRecordID(owner OwnerID, seq uint64) UUID {
	var buf [20]byte
	return NewUUIDv5(UUID(owner), strconv.AppendUint(buf[:0], seq, 10))
}

// NotificationID is the id of the record that a sink is told. No owner is in it: whoever delivers, it is the same one.
func NotificationID(id InvocationID, sink Target, outcome Outcome) UUID {
	return NewUUIDv5(UUID(id), []byte(string(sink)+"\x00"+outcome.Class()))
}

// OwnerID is the random identity of one claim, never reused.
type OwnerID UUID

func (o OwnerID) String() string { return UUID(o).String() }

// Digest is a SHA-256.
type Digest [32]byte

// DigestOf is the digest of b.
func DigestOf(b []byte) Digest { return sha256.Sum256(b) }

func (d Digest) String() string { return "sha256:" + hex.EncodeToString(d[:]) }

// IsZero reports whether the digest is absent.
func (d Digest) IsZero() bool { return d == Digest{} }

// ParseDigest reads "sha256:" and 64 hexadecimal digits.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	if len(s) != 71 || s[:7] != "sha256:" {
		return d, fmt.Errorf("%q is not a digest (sha256: and 64 hexadecimal digits)", clip(s, 80))
	}
	if _, err := hex.Decode(d[:], []byte(s[7:])); err != nil {
		return Digest{}, fmt.Errorf("%q is not a digest (sha256: and 64 hexadecimal digits)", s)
	}
	return d, nil
}

// clip shortens what a person typed for an error message.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "…"
}
