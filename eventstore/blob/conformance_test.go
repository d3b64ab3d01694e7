package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"deed/domain"
	"deed/integration/s3test"
)

// home is where a store is, and where its files are as the tests see them.
type home struct {
	url   string
	files string
	other string // a URL of the same server that has nothing to do with the first
}

// homes are the stores that must keep the same contract.
func homes(t *testing.T, story func(t *testing.T, h home)) {
	t.Run("directory", func(t *testing.T) {
		at := func() (string, string) {
			dir := t.TempDir()
			return dir, (&url.URL{Scheme: "file", Path: filepath.ToSlash(dir)}).String()
		}
		dir, u := at()
		_, other := at()
		story(t, home{u, dir, other})
	})
	t.Run("s3", func(t *testing.T) {
		s := s3test.Start(t, "one", "two")
		story(t, home{s.URL("one"), filepath.Join(s.Dir, "one"), s.URL("two")})
	})
	t.Run("s3 with a prefix", func(t *testing.T) {
		s := s3test.Start(t, "one")
		story(t, home{s.URL("one", "prefix=a/deed"), filepath.Join(s.Dir, "one", "a", "deed"), s.URL("one", "prefix=a/deed2")})
	})
}

func openStore(t *testing.T, address string) *Store {
	t.Helper()
	s, err := Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestContract is what every store does.
func TestContract(t *testing.T) {
	homes(t, func(t *testing.T, h home) {
		s, again := openStore(t, h.url), openStore(t, h.url)
		ctx := t.Context()
		t.Run("bytes", func(t *testing.T) {
			chance := rand.NewChaCha8([32]byte{1})
			for _, n := range []int{0, 1, 511, 512, 513, 64 << 10, compareUpTo, compareUpTo + 1, 3 << 20, 17 << 20} {
				data := make([]byte, n)
				_, _ = chance.Read(data)
				if ok, err := s.Has(ctx, domain.DigestOf(data)); err != nil || ok {
					t.Fatal(n, ok, err)
				}
				for range 2 { // the second time it is there
					if d, err := s.Put(ctx, data); err != nil || d != domain.DigestOf(data) {
						t.Fatal(n, d, err)
					}
				}
				if ok, err := again.Has(ctx, domain.DigestOf(data)); err != nil || !ok {
					t.Error(n, ok, err)
				}
				if got, err := again.Get(ctx, domain.DigestOf(data)); err != nil || !bytes.Equal(got, data) {
					t.Errorf("%d bytes: got %d, %v", n, len(got), err)
				}
			}
		})
		t.Run("absent", func(t *testing.T) {
			absent := domain.DigestOf([]byte("absent"))
			if ok, err := s.Has(ctx, absent); err != nil || ok {
				t.Error(ok, err)
			}
			if _, err := s.Get(ctx, absent); !errors.Is(err, ErrNotFound) {
				t.Error(err)
			}
		})
		t.Run("what lies is found", func(t *testing.T) {
			small, large := []byte("small"), bytes.Repeat([]byte("large"), compareUpTo)
			for _, data := range [][]byte{small, large} {
				d, err := s.Put(ctx, data)
				if err != nil {
					t.Fatal(err)
				}
				file := filepath.Join(h.files, filepath.FromSlash(key(d)))
				damage := func(to []byte) {
					if err := os.WriteFile(file, to, 0o600); err != nil {
						t.Fatal(err)
					}
				}
				flipped := bytes.Clone(data)
				flipped[len(flipped)/2] ^= 1
				damage(flipped)
				if _, err := s.Get(ctx, d); !errors.Is(err, ErrCorrupt) {
					t.Error("get of a flipped bit:", err)
				}
				if _, err := s.Put(ctx, data); errors.Is(err, ErrCorrupt) != (len(data) <= compareUpTo) {
					t.Errorf("put of %d bytes over a flipped bit: %v", len(data), err)
				}
				damage(data[:len(data)-1])
				if _, err := s.Get(ctx, d); !errors.Is(err, ErrCorrupt) {
					t.Error("get of what was cut:", err)
				}
				if _, err := s.Put(ctx, data); !errors.Is(err, ErrCorrupt) {
					t.Errorf("put of %d bytes over what was cut: %v", len(data), err)
				}
			}
		})
		t.Run("one cluster", func(t *testing.T) {
			for _, x := range []*Store{s, again, s} {
				if err := x.Belong(ctx, "a"); err != nil {
					t.Error(err)
				}
			}
			if err := again.Belong(ctx, "b"); !errors.Is(err, ErrOtherCluster) || !strings.Contains(err.Error(), `"a"`) {
				t.Error(err)
			}
			if err := openStore(t, h.other).Belong(ctx, "b"); err != nil {
				t.Error(err)
			}
		})
		t.Run("objects", func(t *testing.T) { objects(t, s, again, h) })
	})
}

func objects(t *testing.T, s, again *Store, h home) {
	open := func(s *Store, name string) *Bucket {
		b, err := s.Objects(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.Close() })
		return b
	}
	ctx := t.Context()
	b, same, other := open(s, "results"), open(again, "results"), open(s, "others")
	const path = "ok/default/default/echo/2026/01/31/0199f2a4-1c3e-7003-8a5b-2f6d0c9e4b17-success.json"
	for i, x := range []*Bucket{b, same, b} {
		if created, err := x.WriteIfAbsent(ctx, path, []byte{byte(i)}); err != nil || created != (i == 0) {
			t.Fatal(i, created, err)
		}
	}
	if got, err := os.ReadFile(filepath.Join(h.files, "objects", "results", filepath.FromSlash(path))); err != nil || !bytes.Equal(got, []byte{0}) {
		t.Error(got, err)
	}
	if got, err := same.Read(ctx, path); err != nil || !bytes.Equal(got, []byte{0}) {
		t.Error(got, err)
	}
	if n, err := b.Size(ctx, path); err != nil || n != 1 {
		t.Error(n, err)
	}
	if ok, err := other.Has(ctx, path); err != nil || ok {
		t.Error("another bucket has it:", ok, err)
	}
	if where := b.Path(path); !strings.HasSuffix(where, "/objects/results/"+path) {
		t.Error(where)
	}
	for _, bad := range []string{"", "/", "/a", "a//b", "..", "a/../b", "a\\b", "a\nb", "\xff", "a.attrs", strings.Repeat("x", 235)} {
		if _, err := b.WriteIfAbsent(ctx, bad, nil); err == nil {
			t.Errorf("key %q was taken", bad)
		}
		if _, err := b.Read(ctx, bad); err == nil || errors.Is(err, ErrNotFound) {
			t.Errorf("key %q was looked for: %v", bad, err)
		}
	}
	for _, good := range []string{"a", "...e", ".f", "g h/ü/%2e%2e+&=;@$,", strings.Repeat("x", 234)} {
		if created, err := b.WriteIfAbsent(ctx, good, []byte(good)); err != nil || !created {
			t.Errorf("key %q: %v %v", good, created, err)
		}
		if got, err := same.Read(ctx, good); err != nil || string(got) != good {
			t.Errorf("key %q: %q %v", good, got, err)
		}
	}
	for _, bad := range []string{"", ".", "..", "a/b", "a\\b"} {
		if _, err := s.Objects(bad); err == nil {
			t.Errorf("bucket %q was opened", bad)
		}
	}

	// Of concurrent writers one is told that it created the object, and its bytes stand.
	for round := range 5 {
		key := fmt.Sprintf("d/%d", round)
		var wg sync.WaitGroup
		var created [8]bool
		for i := range created {
			wg.Go(func() {
				var err error
				if created[i], err = b.WriteIfAbsent(ctx, key, fmt.Append(nil, i)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		got, err := same.Read(ctx, key)
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range created {
			if c != (string(got) == fmt.Sprint(i)) {
				t.Errorf("%s holds %q, created %v", key, got, created)
			}
		}
	}

	gone, cancel := context.WithCancel(ctx)
	cancel()
	if created, err := b.WriteIfAbsent(gone, "given-up", []byte("x")); !errors.Is(err, context.Canceled) || created {
		t.Error(created, err)
	}
	if ok, err := b.Has(ctx, "given-up"); err != nil || ok {
		t.Error(ok, err)
	}
}
