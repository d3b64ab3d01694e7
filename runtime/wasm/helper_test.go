package wasm

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"deed/domain"
)

// open gives a host without a cache on disk that is closed with the test.
func open(tb testing.TB) *Host {
	tb.Helper()
	h, err := Open(context.Background(), Config{})
	if err != nil {
		tb.Fatal(err)
	}
	h.patience = time.Hour // the race detector makes compiling ten times slower
	tb.Cleanup(func() {
		if err := h.Close(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	return h
}

func load(tb testing.TB, h *Host, module []byte) *Module {
	tb.Helper()
	m, err := h.Load(context.Background(), sha256.Sum256(module), func(context.Context) ([]byte, error) { return module, nil })
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// limits are small enough for a test that runs into them, except for time: nothing here may fail on a slow machine.
func limits() domain.Limits {
	return domain.Limits{Timeout: time.Minute, Memory: 64 << 20, MaxOutput: 64 << 10}
}

func attempt(event string) Attempt {
	return Attempt{Args: []string{"f"}, Event: []byte(event), Limits: limits(), Start: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
}

var built sync.Map // path of a package -> func() ([]byte, error)

// example builds one of the examples for wasip1, once for all tests.
func example(tb testing.TB, name string) []byte { return build(tb, "deed/examples/"+name) }

// build compiles a package, or a file, for wasip1.
func build(tb testing.TB, target string, flags ...string) []byte {
	tb.Helper()
	once, _ := built.LoadOrStore(target, sync.OnceValues(func() ([]byte, error) {
		dir, err := os.MkdirTemp("", "deed-wasm-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		file := filepath.Join(dir, "f.wasm")
		cmd := exec.Command("go", slices.Concat([]string{"build", "-o", file}, flags, []string{target})...)
		cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("go build %s: %w\n%s", target, err, out)
		}
		return os.ReadFile(file)
	}))
	b, err := once.(func() ([]byte, error))()
	if err != nil {
		tb.Fatal(err)
	}
	return b
}
