package wasm

import (
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"deed/domain"
	"deed/runtime/wasm/wasmtest"
)

func TestLoadOnce(t *testing.T) {
	h := open(t)
	digest := sha256.Sum256(wasmtest.Echo())
	if _, ok := h.Loaded(digest); ok {
		t.Fatal("loaded before it was loaded")
	}
	var fetched atomic.Int32
	release := make(chan struct{})
	fetch := func(context.Context) ([]byte, error) { fetched.Add(1); <-release; return wasmtest.Echo(), nil }
	modules := make([]*Module, 20)
	var wg sync.WaitGroup
	for i := range modules {
		wg.Go(func() {
			m, err := h.Load(context.Background(), digest, fetch)
			if err != nil {
				t.Error(err)
			}
			modules[i] = m
		})
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := h.Load(gone, digest, fetch); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(release)
	wg.Wait()
	loaded, ok := h.Loaded(digest)
	if fetched.Load() != 1 || !ok {
		t.Fatalf("fetched %d times, loaded %t", fetched.Load(), ok)
	}
	for _, m := range modules {
		if m != loaded {
			t.Error("two modules of one digest")
		}
	}
}

func TestLoadErrors(t *testing.T) {
	h := open(t)
	errGone := errors.New("gone")
	for _, c := range []struct {
		module []byte
		err    error
		bad    bool
	}{{nil, errGone, false}, {wasmtest.Trap(), nil, false}, {[]byte("text"), nil, true}} {
		digest := sha256.Sum256(wasmtest.Echo())
		if c.bad {
			digest = sha256.Sum256(c.module)
		}
		_, err := h.Load(context.Background(), digest, func(context.Context) ([]byte, error) { return c.module, c.err })
		if bad := (*BadModuleError)(nil); err == nil || errors.As(err, &bad) != c.bad || c.err != nil && !errors.Is(err, c.err) {
			t.Errorf("%q: %v", c.module, err)
		}
	}
	if m := load(t, h, wasmtest.Echo()); m == nil {
		t.Error("a failed load stays failed")
	}
}

// What was compiled once is read from the cache by the next host, and a damaged or unusable cache keeps nothing from
// running.
func TestCacheDir(t *testing.T) {
	dir := t.TempDir()
	files := func() (found []string) {
		filepath.WalkDir(dir, func(path string, d os.DirEntry, _ error) error {
			if !d.IsDir() {
				found = append(found, path)
			}
			return nil
		})
		return found
	}
	run := func() {
		t.Helper()
		h, err := Open(context.Background(), Config{CacheDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close(context.Background())
		if o := load(t, h, wasmtest.Echo()).Run(context.Background(), attempt("x")); string(o.Result) != "x" {
			t.Errorf("%+v", o)
		}
	}
	run()
	before := files()
	if len(before) == 0 {
		t.Fatal("nothing in the cache")
	}
	run()
	for _, f := range before {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)/2] ^= 0xff
		if err := os.WriteFile(f, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run()
	if _, err := Open(context.Background(), Config{CacheDir: before[0]}); err == nil {
		t.Error("opened with a file for a directory")
	}
}

// A compile that takes too long is given up, and can be asked for again.
func TestPatience(t *testing.T) {
	h := open(t)
	h.patience = 0
	for range cap(h.compilers) {
		h.compilers <- struct{}{}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := h.Check(ctx, wasmtest.Echo(), nil, limits()); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting for a compiler: %v", err)
	}
	for range cap(h.compilers) {
		<-h.compilers
	}
	if err := h.Check(context.Background(), wasmtest.Command(1), nil, limits()); err != nil && !strings.Contains(err.Error(), "to compile") {
		t.Error(err)
	}
	h.patience = time.Hour
	if err := h.Check(context.Background(), wasmtest.Echo(), nil, limits()); err != nil {
		t.Error(err)
	}
}

func TestClose(t *testing.T) {
	h, err := Open(context.Background(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	m := load(t, h, wasmtest.Sleep(1<<50))
	ctx, cancel := context.WithCancelCause(context.Background())
	started := make(chan struct{})
	done := make(chan Outcome)
	go func() { close(started); done <- m.Run(ctx, attempt("")) }()
	<-started
	for h.idle() { // until the attempt is under way
		runtime.Gosched()
	}
	gone, stop := context.WithCancel(context.Background())
	stop()
	if err := h.Close(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("closed under a running attempt: %v", err)
	}
	if o := m.Run(context.Background(), attempt("")); o.Kind != domain.FailedPlatform {
		t.Errorf("ran on a host that is being closed: %+v", o)
	}
	cancel(ErrCanceled)
	if o := <-done; o.Kind != domain.FailedCanceled {
		t.Errorf("%+v", o)
	}
	for range 2 {
		if err := h.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
	if err := h.Check(context.Background(), wasmtest.Echo(), nil, limits()); err == nil {
		t.Error("checked on a closed host")
	}
}

func (h *Host) idle() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.busy == 0
}
