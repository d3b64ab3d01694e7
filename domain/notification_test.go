package domain_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"deed/domain"
)

var update = flag.Bool("update", false, "rewrite the golden files; only commit a change that you understand and want")

// TestNotificationRecord holds what sinks are told, case by case, against testdata/notification. Each case is a whole
// history: the record follows from nothing else.
func TestNotificationRecord(t *testing.T) {
	const second = domain.Instant(1000)
	t0, _ := domain.ParseInstant("2026-01-01T00:00:00.123Z")
	id, ann := domain.NewInvocationID(t0, 3, [8]byte{1, 2, 3, 4, 5, 6, 7, 8}), domain.OwnerID{0xaa}
	root := domain.NewInvocationID(t0-60*second, 3, [8]byte{9})
	request := domain.InvocationRequested{
		ID: id, Function: domain.NativeFunction("echo"), Version: "7", Limits: domain.DefaultLimits(), Deadline: t0 + 60*second,
		Policy: domain.Policy{Set: true, MaxRetries: 1, MaxAge: time.Minute, OnSuccess: "obs://told/yes", OnFailure: "obs://told/no"},
	}
	event, result := []byte(`{"order":17,"note":"<ünï> & \"more\""}`), []byte("shipped\n")

	type story struct {
		request   domain.InvocationRequested
		events    []domain.Event // each a second after the one before
		in, out   []byte
		wantAfter int // seconds from t0 to the end
	}
	hop := func(n int) domain.InvocationRequested {
		r := request
		r.Hops, r.Root, r.Parent = n, root, root
		return r
	}
	failed := func(kind domain.FailureKind, text string) []domain.Event {
		return []domain.Event{
			domain.AttemptStarted{Attempt: 1},
			domain.AttemptFailed{Attempt: 1, Kind: kind, Error: text},
			domain.AttemptStarted{Attempt: 2},
			domain.AttemptFailed{Attempt: 2, Kind: kind, Error: text},
			nil,
		}
	}
	success := []domain.Event{domain.AttemptStarted{Attempt: 1}, domain.AttemptSucceeded{Attempt: 1}, nil}
	var lost []domain.Event
	for n := 1; n <= domain.MaxLost+1; n++ {
		lost = append(lost, domain.AttemptStarted{Attempt: n}, domain.AttemptFailed{Attempt: n, Kind: domain.FailedLost, Error: "its worker died"})
	}
	tests := map[string]story{
		"success":      {request, success, event, result, 3},
		"retried":      {request, append(failed(domain.FailedTrap, "unreachable")[:3:3], domain.AttemptSucceeded{Attempt: 2}, nil), event, result, 5},
		"code-error":   {request, failed(domain.FailedTrap, "wasm error: unreachable"), event, nil, 5},
		"handled":      {request, failed(domain.FailedHandled, "no such order"), event, []byte(`{"error":"no such order"}`), 5},
		"timeout":      {request, failed(domain.FailedTimeout, "still running after 30s"), event, []byte("half a"), 5},
		"expired":      {request, []domain.Event{nil}, event, nil, 61},
		"cancelled":    {request, []domain.Event{domain.CancelRequested{}, nil}, event, nil, 2},
		"forced":       {request, []domain.Event{domain.AttemptStarted{Attempt: 1}, domain.CancelRequested{Force: true}, domain.AttemptFailed{Attempt: 1, Kind: domain.FailedCanceled, Error: "cancelled while it ran"}, nil}, event, nil, 4},
		"cyclic":       {hop(domain.MaxHops), []domain.Event{nil}, event, nil, 1},
		"throttled":    {request, []domain.Event{domain.InvocationDiscarded{Condition: domain.Throttled, Reason: "more than 10000 wait"}}, event, nil, 1},
		"system-error": {request, append(lost, nil), event, nil, 9},
		"binary":       {request, success, []byte{0xff, 0x00, 0x01}, []byte{0x89, 'P', 'N', 'G'}, 3},
		"empty":        {request, success, nil, nil, 3},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			i := domain.Invocation{}.Evolve(tt.request, t0, domain.OwnerID{})
			at := t0
			for _, e := range tt.events {
				at += second
				if e == nil { // whatever follows
					at = t0 + domain.Instant(tt.wantAfter)*second
					events, err := i.Decide(domain.Advance{At: at})
					if err != nil || len(events) != 1 {
						t.Fatalf("%v, %v follow from %+v", events, err, i)
					}
					e = events[0]
				}
				if m := i.Fit(e, at); m != domain.Fits {
					t.Fatalf("%s does not fit: %s", e.Type(), m)
				}
				i = i.Evolve(e, at, ann)
			}
			golden(t, name, i, tt.in, tt.out)
		})
	}
	t.Run("undecodable", func(t *testing.T) {
		i := domain.BrokenRequest(id)
		events, err := i.Decide(domain.Advance{At: t0 + second})
		if err != nil || len(events) != 1 {
			t.Fatalf("%v, %v", events, err)
		}
		golden(t, "undecodable", i.Evolve(events[0], t0+second, ann), nil, nil)
	})
}

// golden compares the record, set out in lines, with its file.
func golden(t *testing.T, name string, i domain.Invocation, in, out []byte) {
	t.Helper()
	record := domain.NotificationRecord(i, in, out)
	if again := domain.NotificationRecord(i, in, out); !bytes.Equal(record, again) {
		t.Fatal("two deliverers write different bytes")
	}
	var body domain.NotificationBody
	if err := json.Unmarshal(record, &body); err != nil {
		t.Fatal(err)
	}
	if body.RequestContext.ApproximateInvokeCount != i.Done || body.Timestamp != i.EndedAt.String() {
		t.Fatalf("%+v", body)
	}
	var got bytes.Buffer
	if err := json.Indent(&got, record, "", "  "); err != nil {
		t.Fatal(err)
	}
	got.WriteByte('\n')
	path := filepath.Join("testdata", "notification", name+".json")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("got:\n%s\nwant:\n%s", got.Bytes(), want)
	}
}

// TestReferred: what fits is told as it is; what does not names the whole by digest and size, and says the rest.
func TestReferred(t *testing.T) {
	i := domain.Invocation{ID: domain.NewInvocationID(0, 3, [8]byte{7}), Function: domain.NativeFunction("echo"), Outcome: domain.Succeeded, Done: 1, EndedAt: 1000}
	record := domain.NotificationRecord(i, []byte("<in>"), bytes.Repeat([]byte("out"), 1000))
	if same, err := domain.Referred(record, len(record)); err != nil || !bytes.Equal(same, record) {
		t.Errorf("a record that fits: %v\n%s", err, same)
	}
	got, err := domain.Referred(record, len(record)-1)
	if err != nil {
		t.Fatal(err)
	}
	var whole, told map[string]any
	if err := errors.Join(json.Unmarshal(record, &whole), json.Unmarshal(got, &told)); err != nil {
		t.Fatal(err)
	}
	whole["request_payload"], whole["response_payload"] = nil, nil
	whole["record"] = map[string]any{"digest": domain.DigestOf(record).String(), "size": float64(len(record))}
	if !reflect.DeepEqual(whole, told) {
		t.Errorf("a reference:\n%s", got)
	}
	if _, err := domain.Referred([]byte("no record"), 1); err == nil {
		t.Error("something else is referred to")
	}
}
