package fgsapi

import (
	"strings"
	"testing"
	"time"
)

func TestRuntimes(t *testing.T) {
	for _, name := range []string{"wasm", "Go1.x", "Python3.12", "Node.js20.15", "Java21", "C#(.NET Core 6.0)", "Custom Image", "http"} {
		if err := CheckRuntime(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", "go1.x", "Rust", "wasm "} {
		wantFault(t, CheckRuntime(name), "FSS.1005")
	}
}

func TestHandlers(t *testing.T) {
	for _, c := range []struct {
		handler, runtime string
		ok               bool
	}{
		{"index.handler", "Python3.9", true},
		{"a.b", "Go1.x", true},
		{strings.Repeat("é", 127) + ".", "Go1.x", true},
		{"-", "Custom Image", true},
		{"-", "wasm", true},
		{"-", "Go1.x", false},
		{"", "wasm", false},
		{"a.", "Go1.x", false},
		{"handler", "Go1.x", false},
		{"a.b\n", "Go1.x", false},
		{"a.\xff", "Go1.x", false},
		{strings.Repeat("a", 128) + ".", "Go1.x", false},
	} {
		if err := CheckHandler(c.handler, c.runtime); c.ok && err != nil {
			t.Error(err)
		} else if !c.ok {
			wantFault(t, err, "FSS.1003")
		}
	}
}

func TestMemoryAndTimeout(t *testing.T) {
	for mb, want := range map[int64]int64{128: 128 << 20, 4096: 4 << 30} {
		if got, err := Memory(mb); err != nil || got != want {
			t.Error(got, err)
		}
	}
	for _, mb := range []int64{0, -128, 127, 129, 8192, 1 << 62} {
		_, err := Memory(mb)
		wantFault(t, err, "FSS.1007")
	}
	for s, want := range map[int64]time.Duration{3: 3 * time.Second, 900: 15 * time.Minute} {
		if got, err := Timeout(s); err != nil || got != want {
			t.Error(got, err)
		}
	}
	for s, words := range map[int64]string{2: "3 to 900", -1: "3 to 900", 259201: "3 to 900", 1 << 62: "3 to 900", 901: "259200", 259200: "900 seconds at most"} {
		_, err := Timeout(s)
		wantFault(t, err, "FSS.1008")
		if err != nil && !strings.Contains(err.Error(), words) {
			t.Error(err)
		}
	}
}
