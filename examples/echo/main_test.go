package main

import (
	"strings"
	"testing"
)

func TestHandle(t *testing.T) {
	for _, c := range []struct {
		name, event, attempt string
		code                 int
		out, log             string // log is what must be in it
	}{
		{"nothing", "", "1", 0, "", ""},
		{"an event", `{"a":1}`, "1", 0, `{"a":1}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out, log strings.Builder
			env := func(name string) string {
				return map[string]string{"DEED_ATTEMPT": c.attempt, "DEED_REQUEST_ID": "r1"}[name]
			}
			if code := handle(strings.NewReader(c.event), &out, &log, env); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if out.String() != c.out {
				t.Errorf("printed %q, want %q", out.String(), c.out)
			}
			if !strings.Contains(log.String(), c.log) || c.log == "" && log.Len() > 0 {
				t.Errorf("logged %q, want %q in it", log.String(), c.log)
			}
		})
	}
}
