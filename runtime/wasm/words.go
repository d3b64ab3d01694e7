package wasm

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// size says a number of bytes in the largest unit that says it exactly: a figure must not look like the limit that it passed.
func size(n int64) string {
	switch {
	case n == 0:
	case n%(1<<30) == 0:
		return fmt.Sprintf("%d GiB", n>>30)
	case n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}

// printable gives a name out of a module in a form that is safe to show: no control characters, at most 80 bytes.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	return cut(s, 80)
}

// cut shortens s to at most n bytes, on a boundary of UTF-8, with an ellipsis for what is gone.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	const mark = "…"
	n -= len(mark)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + mark
}
