package eventstore

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"deed/domain"
)

// object writes one JSON object, append-style: no reflection and no intermediate copy of a payload.
type object struct {
	b     []byte
	first bool
}

func newObject(b []byte) *object { return &object{append(b, '{'), true} }

func (o *object) key(k string) {
	if !o.first {
		o.b = append(o.b, ',')
	}
	o.first = false
	o.b = append(o.b, '"')
	o.b = append(o.b, k...)
	o.b = append(o.b, '"', ':')
}

func (o *object) str(k, v string) {
	o.key(k)
	o.b = appendString(o.b, v)
}

// opt writes a string that is left out when empty.
func (o *object) opt(k, v string) {
	if v != "" {
		o.str(k, v)
	}
}

func (o *object) num(k string, v int64) {
	o.key(k)
	o.b = strconv.AppendInt(o.b, v, 10)
}

func (o *object) flag(k string, v bool) {
	if v {
		o.key(k)
		o.b = append(o.b, "true"...)
	}
}

func (o *object) time(k string, v domain.Instant) {
	o.key(k)
	o.b = append(o.b, '"')
	o.b = v.Append(o.b)
	o.b = append(o.b, '"')
}

func (o *object) raw(k string, v []byte) {
	o.key(k)
	o.b = append(o.b, v...)
}

// payload writes the bytes as a string when they are UTF-8, else as base64, or where they are in the blob store. An
// empty payload is written, too: nothing is not the same as absent.
func (o *object) payload(k string, p domain.Payload) {
	switch {
	case p.Stored:
		o.str(k+"_digest", p.Digest.String())
		o.num(k+"_size", p.Size)
	case utf8.Valid(p.Inline):
		o.key(k)
		o.b = appendString(o.b, p.Inline)
	default:
		o.key(k + "_base64")
		o.b = append(o.b, '"')
		o.b = base64.StdEncoding.AppendEncode(o.b, p.Inline)
		o.b = append(o.b, '"')
	}
}

func (o *object) end() []byte { return append(o.b, '}') }

const hexDigits = "0123456789abcdef"

// appendString escapes what JSON demands and nothing else, so that EncodedLen can be known beforehand. What is not
// UTF-8 becomes U+FFFD: only payloads may hold such bytes, and they are written otherwise.
func appendString[T string | []byte](b []byte, s T) []byte {
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(string(s[i:min(i+4, len(s))]))
			if r == utf8.RuneError && n == 1 {
				b = append(append(b, s[from:i]...), "\ufffd"...)
				from = i + 1
			}
			i += n
			continue
		}
		if c >= 0x20 && c != '"' && c != '\\' {
			i++
			continue
		}
		b = append(b, s[from:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		from = i
	}
	return append(append(b, s[from:]...), '"')
}

var errJSON = errors.New("not a JSON object of ours")

// eachMember calls fn with every member of the object in b: the raw name between its quotes and the raw value. It
// slices and copies nothing. Names of ours hold no escapes; one that does is passed on as it is and matches nothing.
func eachMember(b []byte, fn func(name, value []byte) error) error {
	i := space(b, 0)
	if i >= len(b) || b[i] != '{' {
		return errJSON
	}
	i = space(b, i+1)
	if i < len(b) && b[i] == '}' {
		return trailing(b, i+1)
	}
	for {
		end, ok := skipString(b, i)
		if !ok {
			return errJSON
		}
		name := b[i+1 : end-1]
		i = space(b, end)
		if i >= len(b) || b[i] != ':' {
			return errJSON
		}
		i = space(b, i+1)
		end, ok = skipValue(b, i, 0)
		if !ok {
			return errJSON
		}
		if err := fn(name, b[i:end]); err != nil {
			return fmt.Errorf("member %q: %w", name, err)
		}
		i = space(b, end)
		if i >= len(b) {
			return errJSON
		}
		if b[i] == '}' {
			return trailing(b, i+1)
		}
		if b[i] != ',' {
			return errJSON
		}
		i = space(b, i+1)
	}
}

// eachElement calls fn with every element of the list in b, raw.
func eachElement(b []byte, fn func(value []byte) error) error {
	i := space(b, 0)
	if i >= len(b) || b[i] != '[' {
		return errJSON
	}
	i = space(b, i+1)
	if i < len(b) && b[i] == ']' {
		return trailing(b, i+1)
	}
	for {
		end, ok := skipValue(b, i, 0)
		if !ok {
			return errJSON
		}
		if err := fn(b[i:end]); err != nil {
			return err
		}
		i = space(b, end)
		if i >= len(b) {
			return errJSON
		}
		if b[i] == ']' {
			return trailing(b, i+1)
		}
		if b[i] != ',' {
			return errJSON
		}
		i = space(b, i+1)
	}
}

func trailing(b []byte, i int) error {
	if space(b, i) != len(b) {
		return errJSON
	}
	return nil
}

func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// skipString is the index after the string that begins at i.
func skipString(b []byte, i int) (int, bool) {
	if i >= len(b) || b[i] != '"' {
		return 0, false
	}
	for i++; i < len(b); i++ {
		switch b[i] {
		case '"':
			return i + 1, true
		case '\\':
			i++
		}
	}
	return 0, false
}

// maxDepth bounds nesting: our events have two levels.
const maxDepth = 16

func skipValue(b []byte, i, depth int) (int, bool) {
	if i >= len(b) || depth > maxDepth {
		return 0, false
	}
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{', '[':
		closing := b[i] + 2 // } and ] in ASCII
		i = space(b, i+1)
		if i < len(b) && b[i] == closing {
			return i + 1, true
		}
		for {
			var ok bool
			if closing == '}' {
				if i, ok = skipString(b, i); !ok {
					return 0, false
				}
				if i = space(b, i); i >= len(b) || b[i] != ':' {
					return 0, false
				}
				i = space(b, i+1)
			}
			if i, ok = skipValue(b, i, depth+1); !ok {
				return 0, false
			}
			if i = space(b, i); i >= len(b) {
				return 0, false
			}
			if b[i] == closing {
				return i + 1, true
			}
			if b[i] != ',' {
				return 0, false
			}
			i = space(b, i+1)
		}
	}
	from := i
	for i < len(b) && (b[i] >= '0' && b[i] <= '9' || b[i] >= 'a' && b[i] <= 'z' || b[i] == '-' || b[i] == '+' || b[i] == '.' || b[i] == 'E') {
		i++
	}
	return i, i > from
}

// unquote decodes a JSON string; it allocates once.
func unquote(v []byte) ([]byte, error) {
	if len(v) < 2 || v[0] != '"' || v[len(v)-1] != '"' {
		return nil, errors.New("not a string")
	}
	v = v[1 : len(v)-1]
	if !utf8.Valid(v) {
		return nil, errors.New("not UTF-8")
	}
	out := make([]byte, 0, len(v))
	for i := 0; i < len(v); i++ {
		c := v[i]
		if c < 0x20 {
			return nil, errors.New("a control character in a string")
		}
		if c != '\\' {
			out = append(out, c)
			continue
		}
		if i++; i >= len(v) {
			return nil, errors.New("a broken escape")
		}
		switch v[i] {
		case '"', '\\', '/':
			out = append(out, v[i])
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'u':
			r, ok := hex4(v, i+1)
			if !ok {
				return nil, errors.New("a broken \\u escape")
			}
			i += 4
			if utf16.IsSurrogate(r) {
				low, ok := rune(0), false
				if i+2 < len(v) && v[i+1] == '\\' && v[i+2] == 'u' {
					low, ok = hex4(v, i+3)
				}
				if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
					return nil, errors.New("half a surrogate pair")
				}
				i += 6
			}
			out = utf8.AppendRune(out, r)
		default:
			return nil, errors.New("an unknown escape")
		}
	}
	return out, nil
}

func hex4(v []byte, i int) (rune, bool) {
	if i+4 > len(v) {
		return 0, false
	}
	n, err := strconv.ParseUint(string(v[i:i+4]), 16, 32)
	return rune(n), err == nil //nolint:gosec // four digits
}
