package meter

import "encoding/binary"

// appendU writes an unsigned LEB128 number.
func appendU[T int | uint32](b []byte, n T) []byte { return binary.AppendUvarint(b, uint64(n)) }

// appendS writes a signed LEB128 number.
func appendS(b []byte, n int64) []byte {
	for {
		c := byte(n & 0x7f)
		n >>= 7
		if n == 0 && c&0x40 == 0 || n == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

// appendBytes writes a length and the bytes.
func appendBytes(b, p []byte) []byte { return append(appendU(b, len(p)), p...) }

// appendName is appendBytes for a text.
func appendName(b []byte, s string) []byte { return append(appendU(b, len(s)), s...) }

// appendSection writes a section; one without content is left out.
func appendSection(b []byte, id byte, content []byte) []byte {
	if len(content) == 0 {
		return b
	}
	return appendBytes(append(b, id), content)
}
