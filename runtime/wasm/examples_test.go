package wasm

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"deed/domain"
	"deed/runtime/files"
)

func TestExamples(t *testing.T) {
	if testing.Short() {
		t.Skip("builds Go programs")
	}
	h := open(t)
	for _, c := range []struct {
		name, event, attempt string
		kind                 domain.FailureKind
		result, words, log   string // words and log are what is in Error and Log
	}{
		{"echo", `{"a":1}`, "1", "", `{"a":1}`, "", ""},
		{"shout", `hello`, "1", "", `HELLO`, "", ""},
		{"quiet", `hello`, "1", "", ``, "", ""},
		{"flaky", `x`, "1", domain.FailedExit, ``, "code 1", "first attempt"},
		{"flaky", `x`, "2", "", `x`, "", "attempt 2"},
		{"broken", `x`, "3", domain.FailedExit, ``, "code 1", "attempt 3"},
		{"handled", `abc`, "1", domain.FailedHandled, `{"errorMessage":"an event of 3 bytes is not wanted","errorType":"Unwanted"}` + "\n", "an event of 3 bytes is not wanted", ""},
		{"sleepy", `{"ms":1}`, "1", "", "{\"ms\":1}\n", "", "good night"},
		{"sleepy", `{"ms":3600000}`, "1", domain.FailedTimeout, "", "time limit", "good night"},
		{"spin", ``, "1", domain.FailedTimeout, "", "time limit", "round"},
		{"words", `apple`, "1", "", "1 apple\n4 pineapple\n", "", ""},
		{"greedy", ``, "1", domain.FailedMemory, "", "64 MiB", "greedy: more"},
	} {
		t.Run(c.name+"/"+c.attempt, func(t *testing.T) {
			if raceDetector && c.name != "echo" && c.name != "sleepy" && c.name != "greedy" {
				t.Skip("compiling takes ten times longer under the race detector")
			}
			module := example(t, c.name)
			a := attempt(c.event)
			a.Env = [][2]string{{"DEED_ATTEMPT", c.attempt}}
			if c.name == "words" {
				var err error
				if a.Files, err = files.Collect(os.DirFS(root + "/examples/words/files")); err != nil {
					t.Fatal(err)
				}
			}
			if c.kind == domain.FailedTimeout {
				a.Limits.Timeout = 2 * time.Second // long enough to get to its log line on a slow machine
			}
			if err := h.Check(context.Background(), module, nil, a.Limits); err != nil {
				t.Fatal(err)
			}
			o := load(t, h, module).Run(context.Background(), a)
			if o.Kind != c.kind || string(o.Result) != c.result || !strings.Contains(o.Error, c.words) || !strings.Contains(string(o.Log), c.log) {
				t.Errorf("%q %q, result %q, log %q", o.Kind, o.Error, o.Result, o.Log)
			}
		})
	}
}

// The same seed and start give the same bytes, and others give others.
func TestSameSeed(t *testing.T) {
	if testing.Short() {
		t.Skip("builds Go programs")
	}
	m := load(t, open(t), build(t, "./testdata/dice"))
	run := func(seed byte, start time.Time) string {
		a := attempt("")
		a.Seed[0], a.Start, a.Env = seed, start, [][2]string{{"B", "2"}, {"A", "1"}}
		o := m.Run(context.Background(), a)
		if o.Kind != "" {
			t.Fatalf("%+v", o)
		}
		return string(o.Result)
	}
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	first := run(1, start)
	for range 3 {
		if again := run(1, start); again != first {
			t.Fatalf("%s, then %s", first, again)
		}
	}
	if !strings.HasPrefix(first, "2026-01-02T03:04:05Z ") || !strings.Contains(first, "[f] [B=2 A=1]\ntrue true\n") {
		t.Error(first)
	}
	if run(2, start) == first || run(1, start.Add(time.Hour)) == first {
		t.Error("another seed or start gave the same")
	}
}
