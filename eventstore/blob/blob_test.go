package blob

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestStore(t *testing.T) {
	dir := t.TempDir()
	s, err := OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	d, err := s.Put(t.Context(), []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.Put(t.Context(), []byte("hello")); err != nil || again != d {
		t.Fatal(again, err)
	}
	if got, err := s.Get(t.Context(), d); err != nil || string(got) != "hello" {
		t.Fatal(got, err)
	}
	files := 0
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, _ error) error {
		if !e.IsDir() {
			files++
		}
		return nil
	})
	if files != 1 {
		t.Errorf("%d files, want one: no sidecar and no temporary file", files)
	}
	if err := os.WriteFile(s.bucket.Path(key(d)), []byte("hellO"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), d); !errors.Is(err, ErrCorrupt) {
		t.Fatal(err)
	}
	d[0]++
	if _, err := s.Get(t.Context(), d); !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
}

func TestBucket(t *testing.T) {
	b, err := OpenBucket(filepath.Join(t.TempDir(), "b"))
	if err != nil {
		t.Fatal(err)
	}
	const key = "ok/default/default/echo/2026/01/31/0199f2a4-1c3e-7003-8a5b-2f6d0c9e4b17-success.json"
	for i, want := range []bool{true, false} {
		if created, err := b.WriteIfAbsent(t.Context(), key, []byte{byte(i)}); err != nil || created != want {
			t.Fatal(created, err)
		}
	}
	if got, err := os.ReadFile(b.Path(key)); err != nil || got[0] != 0 {
		t.Fatal(got, err)
	}
	for _, bad := range []string{"", "/a", "a/", "a//b", "../a", "a/../b", "a/./b", "a\\b"} {
		if _, err := b.WriteIfAbsent(t.Context(), bad, nil); err == nil {
			t.Errorf("key %q was taken", bad)
		}
	}
}
