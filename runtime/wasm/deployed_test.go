package wasm

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	. "deed/runtime/wasm/wasmtest"
)

// deployed are n functions of different digests. Every other one differs from those before it in code; the rest in what is
// not compiled, data and a custom section, so that they share its machine code.
func deployed(n int) (all [][]byte) {
	for i := range n {
		p := CommandParts(2, Write(1, 1024, 8), Drop(), Const(int32(i/2)), Drop())
		p.Data = [][]byte{Data(1024, fmt.Sprintf("%08d", i))}
		all = append(all, Join(p.Bytes(), Section(0, Join(Name("made"), U(uint64(i))))))
	}
	return all
}

// cached opens a host with a cache on disk; the caller closes it.
func cached(tb testing.TB, dir string) *Host {
	tb.Helper()
	h, err := Open(context.Background(), Config{CacheDir: dir})
	if err != nil {
		tb.Fatal(err)
	}
	h.patience = time.Hour
	return h
}

// written says of every file below a directory when it was written and how large it is.
func written(tb testing.TB, dir string) map[string]string {
	tb.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			all[path] = fmt.Sprint(info.ModTime(), info.Size())
		}
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return all
}

// A host that starts on the cache of another compiles nothing: the engine writes what it compiled, and it writes nothing.
func TestDeployedAreCached(t *testing.T) {
	const n = 200
	dir, all := t.TempDir(), deployed(n)
	var before map[string]string
	for round := range 2 {
		h := cached(t, dir)
		for i, module := range all {
			if round == 0 {
				if err := h.Check(t.Context(), module, nil, limits()); err != nil {
					t.Fatal(err)
				}
			}
			if o := load(t, h, module).Run(t.Context(), attempt("")); string(o.Result) != fmt.Sprintf("%08d", i) {
				t.Fatalf("function %d: %+v", i, o)
			}
		}
		if err := h.Close(t.Context()); err != nil {
			t.Error(err)
		}
		after := written(t, dir)
		if round == 0 {
			before = after
			if len(before) != n/2 {
				t.Errorf("%d files of machine code, want %d", len(before), n/2)
			}
			continue
		}
		for path, when := range after {
			if before[path] != when {
				t.Errorf("%s was written again: %s, before %q", filepath.Base(path), when, before[path])
			}
		}
	}
}

// A digest that is deployed again is not compiled again, also when all deploy at once.
func TestDeployedTwice(t *testing.T) {
	for name, at := range map[string]func(n int, deploy func()){
		"one after the other": func(n int, deploy func()) {
			for range n {
				deploy()
			}
		},
		"at once": func(n int, deploy func()) {
			var all sync.WaitGroup
			for range n {
				all.Go(deploy)
			}
			all.Wait()
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := open(t)
			for i, module := range deployed(20) {
				at(10, func() {
					if err := h.Check(t.Context(), module, nil, limits()); err != nil {
						t.Error(err)
					}
				})
				if n := h.compiles.Load(); n != int64(i+1) {
					t.Fatalf("%d compiles of %d modules", n, i+1)
				}
				if _, ok := h.Loaded(sha256.Sum256(module)); !ok {
					t.Error("a module that was deployed is not loaded")
				}
			}
		})
	}
}

// Who goes away while another waits for the same check takes nothing from the other.
func TestDeployerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t)
		for range cap(h.compilers) {
			h.compilers <- struct{}{} // nothing compiles yet
		}
		leaving, leave := context.WithCancel(t.Context())
		left, stayed := make(chan error), make(chan error)
		go func() { left <- h.Check(leaving, Echo(), nil, limits()) }()
		synctest.Wait() // so the check is that of who leaves
		go func() { stayed <- h.Check(t.Context(), Echo(), nil, limits()) }()
		synctest.Wait()
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("who left got %v", err)
		}
		for range cap(h.compilers) {
			<-h.compilers
		}
		if err := <-stayed; err != nil {
			t.Errorf("who stayed got %v", err)
		}
	})
}

// BenchmarkWarmStart loads 200 functions on a host that was just opened on their cache. The metrics are µs for one function:
// with its machine code read from the cache, and compiled, in the same run.
func BenchmarkWarmStart(b *testing.B) {
	dir, all := b.TempDir(), deployed(200)
	loadAll := func(dir string) float64 {
		h := cached(b, dir)
		defer h.Close(context.Background())
		began := time.Now()
		for _, module := range all {
			load(b, h, module)
		}
		return float64(time.Since(began).Microseconds()) / float64(len(all))
	}
	loadAll(dir)
	var warm, cold []float64
	for b.Loop() {
		cold = append(cold, loadAll(b.TempDir()))
		warm = append(warm, loadAll(dir))
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(warm), "warm-µs")
	b.ReportMetric(median(cold), "cold-µs")
	b.ReportMetric(median(warm)/median(cold), "of-cold")
}
