package files

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// tree is one of these files; a name that ends in a slash is a directory.
func tree(tb testing.TB, files map[string]string) *Tree {
	tb.Helper()
	var b Builder
	for name, content := range files {
		var err error
		if dir, ok := strings.CutSuffix(name, "/"); ok {
			err = b.Dir(dir)
		} else {
			err = b.File(name, []byte(content))
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	t, err := b.Tree()
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

var sample = map[string]string{
	"words.txt": "one\ntwo\n", "empty": "", "a/b/c": "deep", "a-b": "beside a", "-first": "before a point", ".hidden": "x", "nothing/": "", "é/ü": "letters",
	strings.Repeat("long/", 30) + "name": "does not fit into a plain header", strings.Repeat("x", 200): "nor does this",
}

func TestTree(t *testing.T) {
	tr := tree(t, sample)
	root := tr.Root()
	if !root.Dir || root.Number != 1 || root.Path != "." {
		t.Errorf("root %+v", root)
	}
	var names []string
	for _, n := range root.Entries {
		names = append(names, n.Name())
	}
	if want := []string{"-first", ".hidden", "a", "a-b", "empty", "long", "nothing", "words.txt", strings.Repeat("x", 200), "é"}; !slices.Equal(names, want) {
		t.Errorf("entries %q, want %q", names, want)
	}
	numbers := map[uint64]bool{}
	for _, n := range tr.nodes {
		if numbers[n.Number] || n.Number == 0 || n.Number > uint64(len(tr.nodes)) {
			t.Errorf("%s has the number %d", n.Path, n.Number)
		}
		numbers[n.Number] = true
	}
	if count, size := tr.Files(); count != 9 || size == 0 {
		t.Errorf("%d files of %d bytes", count, size)
	}
	if n, ok := tr.Node("a/b"); !ok || !n.Dir || len(n.Entries) != 1 || string(n.Entries[0].Content) != "deep" {
		t.Errorf("a/b: %+v", n)
	}
	if _, ok := tr.Node("a/x"); ok {
		t.Error("there is a/x")
	}
}

func TestNames(t *testing.T) {
	for name, words := range map[string]string{
		"/abs": "absolute", "../up": "leads out", "a/../../up": "leads out", "a/..": "leads out", "..": "leads out", ".": "not a name", "": "not a name",
		"a//b": "not a name", "./a": "not a name", "a/": "not a name", "a/./b": "not a name", "\xff": "not a name", `a\b`: "backslash", "a\x00b": "control", "a\nb": "control",
		strings.Repeat("a/", 256) + "b": "513 bytes", strings.Repeat("x", 256): "256 bytes",
	} {
		for _, add := range []func(*Builder) error{
			func(b *Builder) error { return b.File(name, nil) },
			func(b *Builder) error { return b.Dir(name) },
		} {
			if err := add(&Builder{}); err == nil || !strings.Contains(err.Error(), words) {
				t.Errorf("%.20q: %v, want %q", name, err, words)
			}
		}
	}
	for _, name := range []string{"a", "...", "a..b", "~", "C:", "a b", "\u202e", strings.Repeat("x", 255), strings.Repeat("a/", 255) + "bb"} {
		if err := (&Builder{}).File(name, nil); err != nil {
			t.Errorf("%.20q: %v", name, err)
		}
	}
}

// What cannot be is refused, whichever comes first.
func TestClashes(t *testing.T) {
	for _, names := range [][]string{
		{"a", "a"}, {"d/", "d/"}, {"a", "a/b"}, {"a/b", "a"}, {"a", "a/"}, {"a/", "a"}, {"a/b/c", "a/b"}, {"a/b", "a/b/c/d"},
	} {
		var b Builder
		var err error
		for i, name := range names {
			if err != nil {
				t.Errorf("%q: %v before the last", names, err)
			}
			if dir, ok := strings.CutSuffix(name, "/"); ok {
				err = b.Dir(dir)
			} else {
				err = b.File(name, []byte{byte(i)})
			}
		}
		if err == nil || !strings.Contains(err.Error(), `"`) {
			t.Errorf("%q: %v", names, err)
		}
	}
	var b Builder
	for _, err := range []error{b.File("a/b", nil), b.Dir("a"), b.Dir("c"), b.File("c/d", nil)} {
		if err != nil {
			t.Error(err)
		}
	}
}

func TestBounds(t *testing.T) {
	half := make([]byte, MaxBytes/2)
	var b Builder
	for i, name := range []string{"a", "b"} {
		if err := b.File(name, half); err != nil {
			t.Fatal(i, err)
		}
	}
	if err := b.File("c", []byte{1}); err == nil || !strings.Contains(err.Error(), "64 MiB") {
		t.Error(err)
	}
	if err := b.File("d", nil); err != nil {
		t.Error("an empty file is too much:", err)
	}
	b = Builder{}
	for i := range MaxEntries - 2 {
		if err := b.File(fmt.Sprint("d/", i), nil); err != nil {
			t.Fatal(i, err)
		}
	}
	if err := b.File("e/f", nil); err == nil || !strings.Contains(err.Error(), "10000 files and directories") {
		t.Errorf("two more than there may be, one of them implied: %v", err)
	}
	for name, b := range map[string]*Builder{"nothing": {}, "a directory": {}} {
		if name != "nothing" {
			_ = b.Dir("d")
		}
		if _, err := b.Tree(); err == nil || !strings.Contains(err.Error(), "no file") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
