package domain_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"deed/domain"

	"pgregory.net/rapid"
)

// escaped is a JSON string in which only what must be escaped is: the longest spelling of control characters, but for the
// three that everybody shortens.
func escaped(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x20:
			b.WriteString(`\u00`)
			b.WriteByte("0123456789abcdef"[r>>4])
			b.WriteByte("0123456789abcdef"[r&15])
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func texts() *rapid.Generator[string] {
	return rapid.OneOf(rapid.String(), rapid.StringOf(rapid.RuneFrom([]rune("a\"\\\n\r\t\x00\x01\x1f\u2028é€😀"))),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
}

func TestEncodedLen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := texts().Draw(t, "s")
		got := domain.EncodedLen([]byte(s))
		if !utf8.ValidString(s) {
			if want := 2 + base64.StdEncoding.EncodedLen(len(s)); got != want {
				t.Fatalf("%q as base64: %d, not %d", s, got, want)
			}
			return
		}
		js := escaped(s)
		var back string
		if err := json.Unmarshal([]byte(js), &back); err != nil || back != s {
			t.Fatalf("the test is wrong: %s means %q, %v", js, back, err)
		}
		if got != len(js) {
			t.Fatalf("%q: %d, not %d as in %s", s, got, len(js), js)
		}
	})
}

// TestCutText: what fits is left alone; what does not is cut to fit, marked, at the boundary of a character, as late as can be.
func TestCutText(t *testing.T) {
	const mark = "… [cut]"
	rapid.Check(t, func(t *rapid.T) {
		s, limit := texts().Draw(t, "s"), rapid.IntRange(2+len(mark), 80).Draw(t, "limit")
		got, cut := domain.CutText(s, limit)
		clean := strings.ToValidUTF8(string([]rune(s)), "�")
		if !utf8.ValidString(got) || domain.EncodedLen([]byte(got)) > limit {
			t.Fatalf("%q encodes to %d bytes; the limit is %d", got, domain.EncodedLen([]byte(got)), limit)
		}
		if fits := domain.EncodedLen([]byte(clean)) <= limit; cut == fits {
			t.Fatalf("%q: fits %t, cut %t", clean, fits, cut)
		}
		if !cut {
			if got != clean {
				t.Fatalf("%q became %q", clean, got)
			}
			return
		}
		kept, ok := strings.CutSuffix(got, mark)
		if !ok || !strings.HasPrefix(clean, kept) {
			t.Fatalf("%q is not the beginning of %q with a mark", got, clean)
		}
		_, size := utf8.DecodeRuneInString(clean[len(kept):])
		if more := clean[:len(kept)+size] + mark; domain.EncodedLen([]byte(more)) <= limit {
			t.Fatalf("%q was cut too early: %q fits", got, more)
		}
	})
}

func TestHandledError(t *testing.T) {
	tests := []struct {
		stdout, text string
		ok           bool
	}{
		{`{"error":"no such order"}`, "no such order", true},
		{"{\"error\":\"no such order\"}\n", "no such order", true},
		{`{"errorMessage":"no such order","errorType":"NotFound"}`, "no such order", true},
		{`{"error":"E17","errorMessage":"no such order"}`, "no such order", true},
		{`{"error":{"code":17}}`, `{"code":17}`, true},
		{`{"error":17}`, "17", true},
		{`{"error":null}`, "", true},
		{`{"error":""}`, "", true},
		{`{"Error":"no"}`, "", false},
		{`{"status":"ok"}`, "", false},
		{`{"error":"one"} {"error":"two"}`, "", false},
		{`[{"error":"in a list"}]`, "", false},
		{`"error"`, "", false},
		{`null`, "", false},
		{`{"error":`, "", false},
		{`error: no such order`, "", false},
		{"", "", false},
		{"\xff\x00", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.stdout, func(t *testing.T) {
			if text, ok := domain.HandledError([]byte(tt.stdout)); text != tt.text || ok != tt.ok {
				t.Errorf("%q, %t; expected %q, %t", text, ok, tt.text, tt.ok)
			}
		})
	}
	rapid.Check(t, func(t *rapid.T) { // total, and no text without a yes
		if text, ok := domain.HandledError([]byte(texts().Draw(t, "stdout"))); !ok && text != "" {
			t.Fatalf("%q, but not handled", text)
		}
	})
}
