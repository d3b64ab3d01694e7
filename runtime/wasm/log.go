package wasm

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// MaxLog bounds the log of an attempt, in bytes of the JSON string it becomes, quotes included.
const MaxLog = 16 << 10

// logBuffer keeps the beginning of what the guest logs and counts the rest. The guest is not stopped.
type logBuffer struct {
	b     []byte // at most MaxLog bytes
	total int64
}

func (l *logBuffer) reset() { l.b, l.total = l.b[:0], 0 }

func (l *logBuffer) Write(p []byte) (int, error) {
	l.total += int64(len(p))
	l.b = append(l.b, p[:min(len(p), MaxLog-len(l.b))]...)
	return len(p), nil
}

// text is the log, and whether it was cut. A cut one ends in a line that says how much is missing.
func (l *logBuffer) text() ([]byte, bool) {
	if len(l.b) == 0 {
		return nil, false
	}
	if l.total == int64(len(l.b)) && fitting(l.b, MaxLog-2) == len(l.b) {
		return bytes.Clone(l.b), false
	}
	const longest = len("\n[log cut at 16 KiB: 9223372036854775807 bytes more]") + 1 // the line feed is two bytes of JSON
	n := fitting(l.b, MaxLog-2-longest)
	return fmt.Appendf(bytes.Clone(l.b[:n]), "\n[log cut at 16 KiB: %d bytes more]", l.total-int64(n)), true
}

// fitting is the length of the longest beginning of b that is whole characters and at most limit bytes in a JSON string,
// written by whichever encoder escapes most.
func fitting(b []byte, limit int) int {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		switch {
		case r == '"' || r == '\\' || r == '\n' || r == '\r' || r == '\t':
			limit -= 2
		case r < 0x20 || r == 0x7f || r == '<' || r == '>' || r == '&' || r == 0x2028 || r == 0x2029 || r == utf8.RuneError:
			limit -= 6 // \u and four digits
		default:
			limit -= n
		}
		if limit < 0 {
			return i
		}
		i += n
	}
	return len(b)
}
