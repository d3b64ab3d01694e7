package fgsapi

import (
	"strings"
	"testing"

	"deed/domain"
)

func TestParseTime(t *testing.T) {
	const at = "2024-05-06T07:08:09.000Z"
	for in, want := range map[string]string{
		"2024-05-06T07:08:09Z": at, "2024-05-06T07:08:09": at, "2024-05-06 07:08:09": at, "2024-05-06 07:08:09Z": at,
		"2024-05-06T15:08:09+08:00": at, "2024-05-06 05:08:09-02:00": at, "2024-05-06T07:08:09.5": "2024-05-06T07:08:09.500Z",
		"2024-05-06T07:08:09.123456789Z": "2024-05-06T07:08:09.123Z", "0001-01-01T00:00:00Z": "0001-01-01T00:00:00.000Z",
		"9999-12-31T23:59:59Z": "9999-12-31T23:59:59.000Z", "1970-01-01T00:00:00Z": "1970-01-01T00:00:00.001Z",
	} {
		if got, err := ParseTime("query_begin_time", in); err != nil || got.String() != want {
			t.Errorf("%s: %s %v", in, got, err)
		}
	}
	for _, in := range []string{
		"", "now", "1714979289000", "2024-05-06", "2024-05-06T7:08:09", "2024-05-06T07:08", "2024-05-06t07:08:09z", "2024-05-06T07:08:09,5", "2024-05-06T07:08:09.",
		"2024-02-30T00:00:00", "2024-05-06T24:00:00", "2024-05-06T07:08:60", "2024-05-06T15:08:09 08:00", "2024-05-06T15:08:09+0800", "2024-05-06T15:08:09+25:00",
		"2024-05-06T07:08:09ZZ", " 2024-05-06T07:08:09", "2024-05-06T07:08:09\n", "0000-01-01T00:00:00", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00",
		"２024-05-06T07:08:09",
	} {
		_, err := ParseTime("query_begin_time", in)
		wantFault(t, err, "FSS.1001")
		if err != nil && !strings.HasPrefix(err.Error(), "query_begin_time: ") {
			t.Error(err)
		}
	}
}

func TestFormatTime(t *testing.T) {
	at, err := domain.ParseInstant("2024-05-06T07:08:09.999Z")
	if err != nil {
		t.Fatal(err)
	}
	for got, want := range map[string]string{
		recordTime(at): "2024-05-06T07:08:09", zuluTime(at): "2024-05-06T07:08:09Z", recordTime(0) + zuluTime(0): "",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"2024-05-06T07:08:09Z", "2024-05-06 07:08:09.5+08:00", "0001-01-01T00:00:00", "1970-01-01T00:00:00", "1969-12-31T23:59:59.999", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, err := ParseTime("t", s)
		if err != nil {
			return
		}
		for _, text := range []string{recordTime(at), zuluTime(at)} {
			back, err := ParseTime("t", text)
			if err != nil || at.Sub(back).Abs() >= 1e9 {
				t.Fatalf("%q: %s, written %q, read %s %v", s, at, text, back, err)
			}
		}
	})
}
