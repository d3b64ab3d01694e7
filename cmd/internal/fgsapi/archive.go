package fgsapi

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"path"
	"slices"
	"strings"

	"deed/cmd/internal/door"
	"deed/domain"
	"deed/runtime/files"
)

// What an archive may hold.
const (
	maxEntries   = 10_000
	maxUnpacked  = 256 << 20 // bytes, of all entries together
	maxDirectory = 4 << 20   // bytes that are read to find the entries; 10,000 names of 300 characters fit
)

// entryPoints are the modules that are preferred at an archive's root if there are several, the first first.
var entryPoints = []string{"bootstrap.wasm", "index.wasm", "main.wasm"}

// unpack is the module in a zip archive, and what it holds besides: the function's files. Nothing is written anywhere; names
// that lead out of a directory are refused all the same. An archive is refused as a whole: if any of its entries is damaged,
// it is not the archive that was packed.
//
// What it costs is known before any entry is read. The headers promise sizes; the promises must add up to no more than the
// archive is long and than maxUnpacked, and an entry that breaks its own is not read further. So there is no need for a limit
// on how well something may be compressed, which a module with much zeroed data would meet in good faith.
func unpack(archive []byte, filename string) (door.Code, error) {
	where := "the archive"
	if filename != "" {
		where = fmt.Sprintf("the archive %q", short(filename, 60))
	}
	meter := &meter{bytes.NewReader(archive), maxDirectory}
	r, err := zip.NewReader(meter, int64(len(archive)))
	switch {
	case errors.Is(err, errDirectory):
		return door.Code{}, fault("FSS.1011", where+" cannot be read: "+err.Error())
	case err != nil && !errors.Is(err, zip.ErrInsecurePath): // such a path is found below, too
		return door.Code{}, fault("FSS.1011", where+" is not a zip archive that can be read: "+strings.TrimPrefix(err.Error(), "zip: "))
	}
	meter.left = math.MaxInt64 // from here on the promised sizes bound what is read
	if err := checkEntries(r.File, uint64(len(archive)), where); err != nil {
		return door.Code{}, err
	}
	chosen, err := chooseEntry(r.File, where)
	if err != nil {
		return door.Code{}, err
	}
	if n := chosen.UncompressedSize64; n > maxModule {
		return door.Code{}, fault("FSS.1071", fmt.Sprintf("%q in %s is a module of %d bytes; the limit is %d (32 MiB)", short(chosen.Name, 60), where, n, maxModule))
	}
	u := unpacked{chosen: chosen, buf: make([]byte, 32<<10)}
	for _, f := range r.File {
		if err := u.take(f); err != nil {
			if r := asRejection(err); r != nil { // of the files
				return door.Code{}, fault(codeOfFiles[r.Code], where+": "+r.Words)
			}
			return door.Code{}, fault("FSS.1011", fmt.Sprintf("%s is damaged: %q: %s", where, short(f.Name, 60), strings.TrimPrefix(err.Error(), "zip: ")))
		}
	}
	c := door.Code{Module: u.module}
	if err := checkModule(c.Module, fmt.Sprintf("%q in %s", short(chosen.Name, 60), where)); err != nil {
		return door.Code{}, err
	}
	if u.count > 0 {
		if c.Files, err = u.files.Tree(); err != nil {
			return door.Code{}, because("FSS.1011", err)
		}
	}
	return c, nil
}

// codeOfFiles are the faults of files that are refused.
var codeOfFiles = map[domain.Code]string{domain.CodeInvalid: "FSS.1011", domain.CodeTooLarge: "FSS.1071"}

// unpacked is what was read of an archive.
type unpacked struct {
	chosen *zip.File
	module []byte
	files  files.Builder
	count  int // of files; directories alone are none
	buf    []byte
}

// take reads an entry: as the module, as one of the files or, of what macOS adds, to see that it is not damaged.
func (u *unpacked) take(f *zip.File) error {
	name := path.Clean(f.Name)
	apart := f == u.chosen || strings.HasPrefix(f.Name, macOS)
	switch {
	case strings.HasSuffix(f.Name, "/"):
		if apart || name == "." {
			return nil
		}
		return u.files.Dir(name)
	case f != u.chosen && apart:
		return readEntry(f, io.Discard, u.buf)
	case !apart:
		if err := u.files.Room(name, int64(f.UncompressedSize64)); err != nil { //nolint:gosec // at most maxUnpacked
			return err
		}
	}
	content := bytes.NewBuffer(make([]byte, 0, f.UncompressedSize64))
	if err := readEntry(f, content, u.buf); err != nil {
		return err
	}
	if f == u.chosen {
		u.module = content.Bytes()
		return nil
	}
	u.count++
	return u.files.File(name, content.Bytes())
}

// macOS begins the names of what it adds to archives: they bear the names of the files that they describe.
const macOS = "__MACOSX/"

// checkEntries refuses an archive for what its directory says.
func checkEntries(files []*zip.File, size uint64, where string) error {
	if len(files) > maxEntries {
		return fault("FSS.1011", fmt.Sprintf("%s has %d entries; the limit is %d", where, len(files), maxEntries))
	}
	var packed, unpacked uint64
	seen := map[string]bool{}
	for _, f := range files {
		if reason := strange(f); reason != "" {
			return fault("FSS.1011", fmt.Sprintf("%s: entry %q %s", where, short(f.Name, 60), reason))
		}
		name := path.Clean(f.Name)
		if seen[name] {
			return fault("FSS.1011", fmt.Sprintf("%s: entry %q is there twice", where, short(f.Name, 60)))
		}
		seen[name] = true
		// One entry alone is compared first, so that the sums cannot overflow.
		if f.CompressedSize64 > size || packed+f.CompressedSize64 > size {
			return fault("FSS.1011", where+" is shorter than its entries, or they overlap")
		}
		packed += f.CompressedSize64
		if f.UncompressedSize64 > maxUnpacked || unpacked+f.UncompressedSize64 > maxUnpacked {
			return fault("FSS.1071", where+" holds more than 256 MiB unpacked")
		}
		unpacked += f.UncompressedSize64
	}
	return nil
}

// strange says what is wrong with an entry, "" if nothing is.
func strange(f *zip.File) string {
	dir := strings.HasSuffix(f.Name, "/")
	switch {
	case f.Name == "" || strings.ContainsAny(f.Name, "\\\x00"):
		return "has no name that is a path: a backslash or NUL is in it, or nothing"
	case strings.HasPrefix(f.Name, "/") || len(f.Name) > 1 && f.Name[1] == ':':
		return "has an absolute path"
	case slices.Contains(strings.Split(f.Name, "/"), ".."):
		return "has a path that leads out of the archive"
	case f.Mode().Type() != 0 && !dir:
		return "is a symbolic link, or something else that is no file"
	case f.Flags&(flagEncrypted|flagStrong|flagMasked) != 0:
		return "is encrypted"
	case dir && f.UncompressedSize64 != 0:
		return "is a directory with content"
	case !dir && f.Method != zip.Store && f.Method != zip.Deflate:
		return fmt.Sprintf("is compressed by method %d; only stored and deflated entries can be read", f.Method)
	}
	return ""
}

// The flags of an entry that is encrypted in one way or another (APPNOTE 4.4.4).
const (
	flagEncrypted = 1 << 0
	flagStrong    = 1 << 6
	flagMasked    = 1 << 13
)

// chooseEntry finds the entry that is the function: the only module, or the first of entryPoints at the root, or the only module at
// the root.
func chooseEntry(files []*zip.File, where string) (*zip.File, error) {
	var modules, root []*zip.File
	for _, f := range files {
		if !strings.HasSuffix(f.Name, ".wasm") || strings.HasPrefix(f.Name, macOS) {
			continue
		}
		modules = append(modules, f)
		if path.Dir(path.Clean(f.Name)) == "." {
			root = append(root, f)
		}
	}
	for _, name := range entryPoints {
		for _, f := range root {
			if path.Clean(f.Name) == name {
				return f, nil
			}
		}
	}
	switch {
	case len(modules) == 1:
		return modules[0], nil
	case len(root) == 1:
		return root[0], nil
	case len(modules) == 0:
		return nil, fault("FSS.1011", fmt.Sprintf("%s holds no WebAssembly module (a file whose name ends in .wasm); it holds %s", where, entryNames(files)))
	}
	return nil, fault("FSS.1011", fmt.Sprintf("%s holds several WebAssembly modules: %s. Leave one, or name the one to run %s and put it at the root",
		where, entryNames(modules), strings.Join(entryPoints, ", ")))
}

// entryNames names entries to a person.
func entryNames(files []*zip.File) string {
	if len(files) == 0 {
		return "nothing"
	}
	const most = 8
	var names []string
	for _, f := range files[:min(len(files), most)] {
		names = append(names, fmt.Sprintf("%q", short(f.Name, 60)))
	}
	if more := len(files) - most; more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

// readEntry writes an entry to sink, at most as many bytes as its header promises, and compares what it read with the header.
func readEntry(f *zip.File, sink io.Writer, buf []byte) error {
	if strings.HasSuffix(f.Name, "/") {
		return nil
	}
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // nothing that is open but memory
	sum := crc32.NewIEEE()
	size := int64(f.UncompressedSize64) //nolint:gosec // at most maxUnpacked
	n, err := io.CopyBuffer(io.MultiWriter(sum, sink), io.LimitReader(r, size), buf)
	if err != nil {
		return err
	}
	// One byte more must be the end; there the reader compares checksums, but a zero for none. Here zero is a checksum.
	if more, err := io.ReadFull(r, buf[:1]); more > 0 || n < size {
		return errors.New("it is not as long as its header says")
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	if sum.Sum32() != f.CRC32 {
		return zip.ErrChecksum
	}
	return nil
}

// errDirectory says that an archive's directory is too large.
var errDirectory = fmt.Errorf("its directory is larger than %d MiB", maxDirectory>>20)

// meter bounds how much is read. A directory is read entry by entry until it ends, whatever number of entries the archive
// claims, and an entry takes several times its bytes in memory.
type meter struct {
	r    io.ReaderAt
	left int64
}

func (m *meter) ReadAt(p []byte, off int64) (int, error) {
	if m.left -= int64(len(p)); m.left < 0 {
		return 0, errDirectory
	}
	return m.r.ReadAt(p, off)
}
