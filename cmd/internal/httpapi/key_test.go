package httpapi

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"deed/cmd/internal/door"
	"deed/domain"
	"deed/eventstore"
)

func TestIdempotencyKey(t *testing.T) {
	for _, c := range []struct {
		values []string
		key    string // "": refused
	}{
		{[]string{"k"}, "k"},
		{[]string{`"k"`}, "k"},
		{[]string{"8e03978e-40d5-43dd-bc93-6894a57f9324"}, "8e03978e-40d5-43dd-bc93-6894a57f9324"},
		{[]string{`"a \"b\" \\ c "`}, `a "b" \ c `},
		{[]string{`it's "so"`}, `it's "so"`},
		{[]string{strings.Repeat("k", 255)}, strings.Repeat("k", 255)},
		{[]string{strings.Repeat("k", 256)}, ""},
		{[]string{""}, ""},
		{[]string{`""`}, ""},
		{[]string{`"`}, ""},
		{[]string{`"k`}, ""},
		{[]string{`"k"x`}, ""},
		{[]string{`"k";a=1`}, ""},
		{[]string{`"\k"`}, ""},
		{[]string{`"k\`}, ""},
		{[]string{"ü"}, ""},
		{[]string{"a\tb"}, ""},
		{[]string{"a", "a"}, ""},
	} {
		key, given, err := idempotencyKey(http.Header{headerKey: c.values})
		if !given || (err == nil) != (c.key != "") || err == nil && key != c.key {
			t.Errorf("%q: %q %v %v", c.values, key, given, err)
		}
		if err == nil {
			if back, _, err := idempotencyKey(http.Header{headerKey: {quote(key)}}); err != nil || back != key {
				t.Errorf("%q quoted is %s, which is read as %q: %v", key, quote(key), back, err)
			}
		}
	}
	if _, given, err := idempotencyKey(http.Header{}); given || err != nil {
		t.Error("none:", given, err)
	}
}

// TestWordsOfKeyedProblems: who has a key is told to make the same call again, and when, and no id that may be replaced.
func TestWordsOfKeyedProblems(t *testing.T) {
	id := domain.NewInvocationID(1, 0, [8]byte{1})
	for _, c := range []struct {
		err         error
		kind, after string
		id          bool
	}{
		{&door.Unacknowledged{ID: id, Err: eventstore.ErrUnknownOutcome}, "deed:unacknowledged", "1", true},
		{&door.Unacknowledged{ID: id, Key: "k", Err: eventstore.ErrUnknownOutcome}, "deed:unacknowledged", "1", false},
		{&door.Undecided{Key: "k", After: 10 * time.Second, Err: context.DeadlineExceeded}, "deed:undecided", "10", false},
		{&door.Undecided{Key: "k", After: 10 * time.Second, Err: &door.Unacknowledged{Err: eventstore.ErrUnknownOutcome}}, "deed:undecided", "10", false},
	} {
		rec := httptest.NewRecorder()
		testServer().fail(rec, httptest.NewRequest(http.MethodPost, "/", nil), c.err)
		body := rec.Body.String()
		if rec.Code != 503 || rec.Header().Get("Retry-After") != c.after || !strings.Contains(body, `"type":"`+c.kind+`"`) || !strings.Contains(body, `"hint":`) {
			t.Errorf("%v: %d after %s: %s", c.err, rec.Code, rec.Header().Get("Retry-After"), body)
		}
		if strings.Contains(body, id.String()) != c.id {
			t.Errorf("%v: %s", c.err, body)
		}
	}
}
