package files

import (
	"archive/tar"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"deed/domain"
)

// TestArchiveGolden: the digest of an archive names the files of functions that are in logs. It may never change.
func TestArchiveGolden(t *testing.T) {
	archive := tree(t, sample).Archive()
	if got, want := domain.DigestOf(archive).String(), "sha256:fc9f803f98d7e98eae30970f09aae51cfab734ffdcd13934e38864fa9c7e3419"; got != want {
		t.Errorf("the archive of the same files has another digest: %s, not %s", got, want)
	}
}

func TestArchive(t *testing.T) {
	first := tree(t, sample)
	archive := first.Archive()
	for range 5 { // whatever the order in which they were added
		if again := tree(t, sample); !bytes.Equal(again.Archive(), archive) || again.Digest() != first.Digest() {
			t.Fatal("the same files have another archive")
		}
	}
	back, err := Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	if back.Digest() != domain.DigestOf(archive) || !bytes.Equal(back.Archive(), archive) || len(back.nodes) != len(first.nodes) {
		t.Errorf("came back with %d nodes of %d", len(back.nodes), len(first.nodes))
	}
	for path, n := range first.nodes {
		b, ok := back.Node(path)
		if !ok || b.Dir != n.Dir || b.Number != n.Number || string(b.Content) != string(n.Content) || len(b.Entries) != len(n.Entries) {
			t.Errorf("%s came back as %+v", path, b)
		}
	}
	if n := back.nodes["words.txt"]; cap(n.Content) != len(n.Content) {
		t.Error("a file could be written beyond its end")
	}
}

// header is one of an archive that a test makes.
type header struct {
	tar.Header
	content string
}

func file(name, content string) header {
	return header{tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o600, ModTime: time.Unix(1_700_000_000, 5), Uid: 7, Uname: "me"}, content}
}

func other(name string, kind byte) header {
	return header{tar.Header{Name: name, Typeflag: kind, Linkname: "words.txt"}, ""}
}

func pack(tb testing.TB, headers ...header) []byte {
	tb.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range headers {
		h.Size = int64(len(h.content))
		if err := w.WriteHeader(&h.Header); err != nil {
			tb.Fatal(err)
		}
		if _, err := w.Write([]byte(h.content)); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

// sparse is an archive of a file of which most is a hole, as GNU tar writes it. The writer here leaves such records out, so
// they are given other names first.
func sparse(tb testing.TB) []byte {
	tb.Helper()
	records := map[string]string{"GNU_sparse.major": "1", "GNU_sparse.minor": "0", "GNU_sparse.name": "s", "GNU_sparse.realsize": "1000000"}
	content := "1\n0\n10\n" + strings.Repeat("\x00", 512-7) + "0123456789"
	return bytes.ReplaceAll(pack(tb, header{tar.Header{Name: "s", Typeflag: tar.TypeReg, PAXRecords: records}, content}), []byte("GNU_sparse"), []byte("GNU.sparse"))
}

// What tar itself makes of a directory is the same function's files.
func TestForeignArchives(t *testing.T) {
	want := tree(t, map[string]string{"words.txt": "one\n", "d/x": "y"}).Archive()
	for name, archive := range map[string][]byte{
		"tar -c .":        pack(t, other("./", tar.TypeDir), file("./words.txt", "one\n"), other("./d/", tar.TypeDir), file("./d/x", "y")),
		"another order":   pack(t, file("d/x", "y"), other("d", tar.TypeDir), file("words.txt", "one\n")),
		"git archive":     pack(t, header{tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "c0ffee"}}, ""}, file("words.txt", "one\n"), file("d/x", "y")),
		"GNU":             pack(t, header{tar.Header{Name: "words.txt", Typeflag: tar.TypeReg, Format: tar.FormatGNU}, "one\n"}, file("d/x", "y")),
		"extra bytes":     append(pack(t, file("words.txt", "one\n"), file("d/x", "y")), "behind the end"...),
		"no end":          pack(t, file("words.txt", "one\n"), file("d/x", "y"))[:4*512],
		"extended header": pack(t, header{tar.Header{Name: "words.txt", Typeflag: tar.TypeReg, PAXRecords: map[string]string{"SCHILY.xattr.user.x": "y"}}, "one\n"}, file("d/x", "y")),
	} {
		tr, err := Open(archive)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !bytes.Equal(tr.Archive(), want) {
			t.Errorf("%s: another tree", name)
		}
	}
}

func TestRefusedArchives(t *testing.T) {
	huge := pack(t, file("x", ""))
	copy(huge[124:], "77777777777") // its size
	sum := 0
	copy(huge[148:156], "        ")
	for _, c := range huge[:512] {
		sum += int(c)
	}
	copy(huge[148:], []byte{'0' + byte(sum>>12&7), '0' + byte(sum>>9&7), '0' + byte(sum>>6&7), '0' + byte(sum>>3&7), '0' + byte(sum&7), 0, ' '})
	many := make([]header, 2*MaxEntries+2)
	for i := range many {
		many[i] = other("./", tar.TypeDir)
	}
	for name, c := range map[string]struct {
		archive []byte
		code    domain.Code
		words   string
	}{
		"symlink":     {pack(t, file("words.txt", "x"), other("l", tar.TypeSymlink)), domain.CodeInvalid, `"l" is a symbolic link`},
		"hard link":   {pack(t, file("words.txt", "x"), other("l", tar.TypeLink)), domain.CodeInvalid, "hard link"},
		"pipe":        {pack(t, other("p", tar.TypeFifo)), domain.CodeInvalid, "neither"},
		"device":      {pack(t, other("d", tar.TypeBlock)), domain.CodeInvalid, "neither"},
		"outside":     {pack(t, file("a/../../x", "")), domain.CodeInvalid, "leads out"},
		"absolute":    {pack(t, file("/etc/passwd", "")), domain.CodeInvalid, "absolute"},
		"only a dot":  {pack(t, file(".", "")), domain.CodeInvalid, "not a name"},
		"twice":       {pack(t, file("a", "1"), file("./a", "2")), domain.CodeInvalid, "twice"},
		"clash":       {pack(t, file("a", "1"), file("a/b", "2")), domain.CodeInvalid, "both"},
		"claims 8 GB": {huge, domain.CodeTooLarge, "64 MiB"},
		"cut":         {pack(t, file("a", strings.Repeat("x", 2000)))[:1500], domain.CodeInvalid, "longer than what is left"},
		"sparse":      {sparse(t), domain.CodeInvalid, "sparse"},
		"entries":     {pack(t, many...), domain.CodeTooLarge, "entries"},
		"no file":     {pack(t, other("d/", tar.TypeDir)), domain.CodeInvalid, "no file"},
		"nothing":     {pack(t), domain.CodeInvalid, "no file"},
		"no bytes":    {nil, domain.CodeInvalid, "no file"},
		"zip":         {append([]byte("PK\x03\x04"), make([]byte, 600)...), domain.CodeInvalid, "not a tar archive"},
		"too large":   {make([]byte, MaxArchive+1), domain.CodeTooLarge, "96 MiB"},
	} {
		_, err := Open(c.archive)
		r := (*domain.Rejection)(nil)
		if !errors.As(err, &r) || r.Code != c.code || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v, want %s %q", name, err, c.code, c.words)
		}
	}
}

// A directory is the same digest whatever its times and modes are.
func TestCollect(t *testing.T) {
	make1 := func(perm fs.FileMode, at time.Time) *Tree {
		dir := t.TempDir()
		for name, content := range map[string]string{"words.txt": "one\n", "d/x": "y"} {
			p := filepath.Join(dir, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o700), os.WriteFile(p, []byte(content), perm), os.Chtimes(p, at, at)); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Mkdir(filepath.Join(dir, "nothing"), 0o700); err != nil {
			t.Fatal(err)
		}
		tr, err := Collect(os.DirFS(dir))
		if err != nil {
			t.Fatal(err)
		}
		return tr
	}
	one, two := make1(0o600, time.Unix(1, 0)), make1(0o755, time.Unix(2_000_000_000, 7))
	if one.Digest() != two.Digest() {
		t.Error("the same directory has two digests")
	}
	if want := tree(t, map[string]string{"words.txt": "one\n", "d/x": "y", "nothing/": ""}); one.Digest() != want.Digest() {
		t.Error("what was read is not what is there")
	}
}

func TestCollectRefuses(t *testing.T) {
	linked := t.TempDir()
	if err := errors.Join(os.WriteFile(filepath.Join(linked, "a"), nil, 0o600), os.Symlink("a", filepath.Join(linked, "l"))); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		dir   fs.FS
		words string
	}{
		"symlink":  {os.DirFS(linked), `"l" is a symbolic link`},
		"a file":   {os.DirFS(filepath.Join(linked, "a")), "not a directory"},
		"missing":  {os.DirFS(filepath.Join(linked, "b")), "no such file"},
		"pipe":     {fstest.MapFS{"p": {Mode: fs.ModeNamedPipe}}, "neither"},
		"empty":    {fstest.MapFS{"d": {Mode: fs.ModeDir}}, "no file"},
		"name":     {fstest.MapFS{`a\b`: {}}, "backslash"},
		"too much": {vast{fstest.MapFS{"a": {Data: []byte("x")}}}, "64 MiB"},
		"growing":  {growing{fstest.MapFS{"a": {Data: []byte("xyz")}}}, "changed while"},
	} {
		if _, err := Collect(c.dir); err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v, want %q", name, err, c.words)
		}
	}
}

// vast says that its files are larger than anything; to open one fails the test by its error.
type vast struct{ fstest.MapFS }

func (v vast) Open(string) (fs.File, error) { return nil, errors.New("opened") }

func (v vast) ReadDir(name string) ([]fs.DirEntry, error) { return told(v.MapFS, name, 1<<40) }

func (v vast) Stat(name string) (fs.FileInfo, error) { return v.MapFS.Stat(name) }

// growing says that its files are smaller than they are.
type growing struct{ fstest.MapFS }

func (g growing) ReadDir(name string) ([]fs.DirEntry, error) { return told(g.MapFS, name, 1) }

func told(m fstest.MapFS, name string, size int64) ([]fs.DirEntry, error) {
	entries, err := m.ReadDir(name)
	for i, e := range entries {
		entries[i] = liar{e, size}
	}
	return entries, err
}

type liar struct {
	fs.DirEntry
	size int64
}

func (l liar) Info() (fs.FileInfo, error) {
	i, err := l.DirEntry.Info()
	return sized{i, l.size}, err
}

type sized struct {
	fs.FileInfo
	size int64
}

func (s sized) Size() int64 { return s.size }

// Whatever the bytes are: a tree within the bounds whose own archive is read back as the same, or a rejection.
func FuzzOpen(f *testing.F) {
	f.Add(tree(f, sample).Archive())
	f.Add(pack(f, other("./", tar.TypeDir), file("./words.txt", "one\n"), other("l", tar.TypeSymlink)))
	f.Add(sparse(f))
	f.Fuzz(func(t *testing.T, archive []byte) {
		tr, err := Open(archive)
		if err != nil {
			if r := (*domain.Rejection)(nil); !errors.As(err, &r) {
				t.Fatal(err)
			}
			return
		}
		count, size := tr.Files()
		if count > MaxEntries || size > int64(len(archive)) {
			t.Fatalf("%d files of %d bytes out of %d", count, size, len(archive))
		}
		own := tr.Archive()
		back, err := Open(own)
		if err != nil || !bytes.Equal(back.Archive(), own) {
			t.Fatal("its own archive is not read back: ", err)
		}
	})
}
