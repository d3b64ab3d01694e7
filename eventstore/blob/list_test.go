package blob

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestList: what is below a prefix, in order, more than a page of it, and nothing that is being written.
func TestList(t *testing.T) {
	homes(t, func(t *testing.T, h home) {
		s := openStore(t, h.url)
		b, err := s.Objects("told")
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		keys := func(prefix string) (out []string) {
			t.Helper()
			if err := b.List(t.Context(), prefix, func(key string, size int64) error {
				if size != int64(len(key)) {
					t.Errorf("%s has %d bytes", key, size)
				}
				out = append(out, key)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			return out
		}
		if got := keys(""); len(got) != 0 {
			t.Errorf("nothing was written, and there is %q", got)
		}
		for _, key := range []string{"b/2.json", "a/1.json", "a/10.json", "ab/3.json", "a/x/y.json"} {
			if _, err := b.WriteIfAbsent(t.Context(), key, []byte(key)); err != nil {
				t.Fatal(err)
			}
		}
		if h.files != "" {
			being := filepath.Join(h.files, "objects", "told", "a", "1.json.18a3f2b4c5d6e7f8.tmp")
			if err := os.WriteFile(being, []byte("half"), 0o600); err != nil {
				t.Fatal(err)
			}
			defer os.Remove(being)
			if t.Name() != "TestList/directory" {
				if err := os.Remove(being); err != nil {
					t.Fatal(err)
				}
			}
		}
		for prefix, want := range map[string][]string{
			"": {"a/1.json", "a/10.json", "a/x/y.json", "ab/3.json", "b/2.json"}, "a/": {"a/1.json", "a/10.json", "a/x/y.json"}, "a/1": {"a/1.json", "a/10.json"}, "c": nil,
		} {
			if got := keys(prefix); !slices.Equal(got, want) {
				t.Errorf("%q: %q, not %q", prefix, got, want)
			}
		}
	})
}
