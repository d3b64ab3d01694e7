package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"deed/domain"
)

// files lists what is below dir, directories with a trailing slash.
func files(t *testing.T, dir string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if e.IsDir() {
			rel += "/"
		}
		out = append(out, filepath.ToSlash(rel))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	s, err := OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	absent := domain.DigestOf([]byte("absent"))
	if ok, err := s.Has(t.Context(), absent); err != nil || ok {
		t.Error("has:", ok, err)
	}
	if _, err := s.Get(t.Context(), absent); !errors.Is(err, ErrNotFound) {
		t.Error("get:", err)
	}
	d, err := s.Put(t.Context(), []byte("hello"))
	if err != nil || d != domain.DigestOf([]byte("hello")) {
		t.Fatal(d, err)
	}
	if again, err := s.Put(t.Context(), []byte("hello")); err != nil || again != d {
		t.Fatal(again, err)
	}
	if got, err := s.Get(t.Context(), d); err != nil || string(got) != "hello" {
		t.Fatal(got, err)
	}
	if ok, err := s.Has(t.Context(), d); err != nil || !ok {
		t.Error("has:", ok, err)
	}
	h := d.String()[len("sha256:"):]
	want := []string{"sha256/", "sha256/" + h[:2] + "/", "sha256/" + h[:2] + "/" + h[2:]}
	if got := files(t, dir); !slices.Equal(got, want) {
		t.Errorf("files %q, want %q: no sidecar and no temporary file", got, want)
	}
	if err := os.WriteFile(s.bucket.Path(key(d)), []byte("hellO"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), d); !errors.Is(err, ErrCorrupt) {
		t.Error("get:", err)
	}
	if _, err := s.Put(t.Context(), []byte("hello")); !errors.Is(err, ErrCorrupt) {
		t.Error("put:", err)
	}
}

// TestSizes: bytes come back exactly, the empty ones and those about what the writer sniffs included, also by another
// Store on the directory.
func TestSizes(t *testing.T) {
	dir := t.TempDir()
	s, err := OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	other, err := OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for _, n := range []int{0, 1, 511, 512, 513, 3 << 20} {
		data := bytes.Repeat([]byte{0xff, 0, 0xc3}, n/3+1)[:n]
		d, err := s.Put(t.Context(), data)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := other.Get(t.Context(), d); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: got %d, %v", n, len(got), err)
		}
	}
}

func TestBucket(t *testing.T) {
	b, err := OpenBucket(filepath.Join(t.TempDir(), "b"))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	const key = "ok/default/default/echo/2026/01/31/0199f2a4-1c3e-7003-8a5b-2f6d0c9e4b17-success.json"
	for i, want := range []bool{true, false} {
		if created, err := b.WriteIfAbsent(t.Context(), key, []byte{byte(i)}); err != nil || created != want {
			t.Fatal(created, err)
		}
	}
	if got, err := os.ReadFile(b.Path(key)); err != nil || !bytes.Equal(got, []byte{0}) {
		t.Fatal(got, err)
	}
	if got, err := b.Read(t.Context(), key); err != nil || !bytes.Equal(got, []byte{0}) {
		t.Fatal(got, err)
	}
	for _, absent := range []string{"no", "ok", "ok/no", key + "/below"} {
		if _, err := b.Read(t.Context(), absent); !errors.Is(err, ErrNotFound) {
			t.Errorf("read %s: %v", absent, err)
		}
		if ok, err := b.Has(t.Context(), absent); err != nil || ok {
			t.Errorf("has %s: %v %v", absent, ok, err)
		}
	}
	for _, taken := range []string{"ok", key + "/below"} {
		if created, err := b.WriteIfAbsent(t.Context(), taken, nil); err == nil || created {
			t.Errorf("write %s: %v %v", taken, created, err)
		}
	}
}

func TestKeys(t *testing.T) {
	outer := t.TempDir()
	b, err := OpenBucket(filepath.Join(outer, "b"))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, bad := range []string{
		"", "/", "/a", "a/", "a//b", "..", "../a", "a/../b", "a/..", ".", "a/./b", "a../b", "a\\b", "a\nb", "a\x00b", "a\x7fb",
		"\xff", "__0x2f__", "a.attrs", "a.attrs/b", "C:a", strings.Repeat("x", 235),
	} {
		if created, err := b.WriteIfAbsent(t.Context(), bad, nil); err == nil || created {
			t.Errorf("key %q was taken", bad)
		}
		if _, err := b.Read(t.Context(), bad); err == nil || errors.Is(err, ErrNotFound) {
			t.Errorf("key %q was looked for: %v", bad, err)
		}
		if _, err := b.Has(t.Context(), bad); err == nil {
			t.Errorf("key %q was looked for", bad)
		}
	}
	if got := files(t, outer); !slices.Equal(got, []string{"b/"}) {
		t.Errorf("refused keys left %q", got)
	}
	for _, good := range []string{"a", "b..c/d", "...e", ".f", "g h/ü/%2e%2e/__x__", strings.Repeat("x", 234)} {
		if created, err := b.WriteIfAbsent(t.Context(), good, []byte(good)); err != nil || !created {
			t.Errorf("key %q: %v %v", good, created, err)
		}
		if got, err := os.ReadFile(filepath.Join(outer, "b", filepath.FromSlash(good))); err != nil || string(got) != good {
			t.Errorf("key %q: the plain path has %q, %v", good, got, err)
		}
	}
}

// TestOneCreates: of concurrent writers of a key exactly one is told that it created the object, and its bytes stand.
func TestOneCreates(t *testing.T) {
	b, err := OpenBucket(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for round := range 20 {
		key := fmt.Sprintf("d/%d", round)
		var wg sync.WaitGroup
		var created [4]bool
		for i := range created {
			wg.Go(func() {
				var err error
				if created[i], err = b.WriteIfAbsent(t.Context(), key, fmt.Append(nil, i)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		got, err := b.Read(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range created {
			if c != (string(got) == fmt.Sprint(i)) {
				t.Errorf("%s holds %q, created %v", key, got, created)
			}
		}
	}
}

// TestCancelled: a write that is given up leaves no file.
func TestCancelled(t *testing.T) {
	dir := t.TempDir()
	b, err := OpenBucket(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if created, err := b.WriteIfAbsent(ctx, "a", []byte("x")); !errors.Is(err, context.Canceled) || created {
		t.Error(created, err)
	}
	if got := files(t, dir); len(got) != 0 {
		t.Errorf("left %q", got)
	}
}
