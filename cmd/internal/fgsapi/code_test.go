package fgsapi

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"strings"
	"testing"

	"deed/cmd/internal/door"
)

const good = wasmMagic + "the rest"

// entry is one of an archive that a test makes. What is left zero is as it should be.
type entry struct {
	name, content string
	mode          fs.FileMode
	flags         uint16
	method        uint16
	size, packed  uint64 // promised
	crc           uint32 // promised
}

// pack makes an archive whose headers say what the entries do, true or not.
func pack(tb testing.TB, entries ...entry) []byte {
	tb.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	var data bytes.Buffer
	d, _ := flate.NewWriter(&data, flate.BestSpeed) // one for all: it is large
	for _, e := range entries {
		data.Reset()
		d.Reset(&data)
		_, _ = d.Write([]byte(e.content))
		_ = d.Close()
		h := &zip.FileHeader{
			Name: e.name, Method: zip.Deflate, Flags: e.flags, CRC32: crc32.ChecksumIEEE([]byte(e.content)),
			UncompressedSize64: uint64(len(e.content)), CompressedSize64: uint64(data.Len()),
		}
		if strings.HasSuffix(e.name, "/") {
			h.Method = zip.Store
		}
		if e.mode != 0 {
			h.SetMode(e.mode)
		}
		h.Method = max(h.Method, e.method)
		if e.size != 0 {
			h.UncompressedSize64 = e.size
		}
		if e.packed != 0 {
			h.CompressedSize64 = e.packed
		}
		if e.crc != 0 {
			h.CRC32 = e.crc
		}
		f, err := w.CreateRaw(h)
		if err == nil && !strings.HasSuffix(e.name, "/") {
			_, err = f.Write(data.Bytes())
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

func many(n int) []entry {
	out := []entry{{name: "main.wasm", content: good}}
	for i := range n - 1 {
		out = append(out, entry{name: fmt.Sprint("f", i)})
	}
	return out
}

func TestCode(t *testing.T) {
	b64 := base64.StdEncoding.EncodeToString
	zeros := strings.Repeat("\x00", 1<<20)
	stored := func() []byte { // by the ordinary writer, with a data descriptor
		var out bytes.Buffer
		w := zip.NewWriter(&out)
		f, _ := w.CreateHeader(&zip.FileHeader{Name: "a.wasm", Method: zip.Store})
		_, _ = f.Write([]byte(good))
		_ = w.Close()
		return out.Bytes()
	}
	for name, c := range map[string]struct{ codeType, file string }{
		"inline":             {"inline", b64([]byte(good))},
		"inline at limit":    {"inline", b64([]byte(wasmMagic + strings.Repeat("x", 10<<10-8)))},
		"zip, itself":        {"zip", b64([]byte(good))},
		"no padding":         {"zip", strings.TrimRight(b64([]byte(good+"x")), "=")},
		"lines":              {"zip", b64([]byte(good))[:10] + "\r\n" + b64([]byte(good))[10:] + "\n"},
		"archive":            {"zip", b64(pack(t, entry{name: "any.wasm", content: good}))},
		"stored":             {"zip", b64(stored())},
		"nested":             {"zip", b64(pack(t, entry{name: "d/"}, entry{name: "d/any.wasm", content: good}, entry{name: "README", content: "x"}))},
		"dot":                {"zip", b64(pack(t, entry{name: "./index.wasm", content: good}, entry{name: "z.wasm", content: "no"}))},
		"bootstrap first":    {"zip", b64(pack(t, entry{name: "main.wasm"}, entry{name: "index.wasm"}, entry{name: "bootstrap.wasm", content: good}))},
		"index before main":  {"zip", b64(pack(t, entry{name: "main.wasm"}, entry{name: "index.wasm", content: good}))},
		"only one at root":   {"zip", b64(pack(t, entry{name: "d/main.wasm"}, entry{name: "a.wasm", content: good}))},
		"macOS's own":        {"zip", b64(pack(t, entry{name: "a.wasm", content: good}, entry{name: "__MACOSX/._a.wasm", content: "x"}))},
		"10,000":             {"zip", b64(pack(t, many(10_000)...))},
		"well compressed":    {"zip", b64(pack(t, entry{name: "a.wasm", content: wasmMagic + zeros}))},
		"executable, 0 crcs": {"zip", b64(pack(t, entry{name: "a.wasm", content: good, mode: 0o755}, entry{name: "empty"}))},
	} {
		if m, err := Code(c.codeType, "x.zip", c.file); err != nil || !strings.HasPrefix(string(m.Module), wasmMagic) {
			t.Errorf("%s: %q %v", name, short(string(m.Module), 20), err)
		}
	}

	whole := pack(t, entry{name: "a.wasm", content: good})
	for name, c := range map[string]struct{ codeType, file, code, words string }{
		"no type":            {"", b64([]byte(good)), "FSS.1006", "zip"},
		"jar":                {"jar", b64([]byte(good)), "FSS.1006", `"jar"`},
		"obs":                {"obs", "", "FSS.1006", "func_code.file"},
		"image":              {"Custom-Image-Swr", "", "FSS.1006", "zip"},
		"no file":            {"zip", "", "FSS.1012", "missing"},
		"blank":              {"inline", "\n==\r", "FSS.1012", "missing"},
		"no base64":          {"zip", "&&&&", "FSS.1011", "not base64"},
		"URL alphabet":       {"zip", "__-_", "FSS.1011", "not base64"},
		"space":              {"zip", "QUJD QUJD", "FSS.1011", "not base64"},
		"wrong padding":      {"zip", "QUJDQQ=", "FSS.1011", "not base64"},
		"more padding":       {"zip", "QUJD====", "FSS.1011", "not base64"},
		"inline too large":   {"inline", b64([]byte(wasmMagic + strings.Repeat("x", 10<<10-7))), "FSS.1072", "code_type zip"},
		"file too large":     {"zip", strings.Repeat("A", (50<<20+3)/3*4), "FSS.1071", "52428800"},
		"module too large":   {"zip", b64([]byte(wasmMagic + strings.Repeat(zeros, 32))), "FSS.1071", "32 MiB"},
		"Python":             {"inline", b64([]byte("def handler(event, context):\n    return 'ä'\n")), "FSS.1011", "is text; expected is a WebAssembly module"},
		"ELF":                {"zip", b64([]byte("\x7fELF\x02\x01")), "FSS.1011", "an ELF binary"},
		"component":          {"zip", b64([]byte("\x00asm\x0d\x00\x01\x00")), "FSS.1011", "component"},
		"other version":      {"zip", b64([]byte("\x00asm\x02\x00\x00\x00")), "FSS.1011", "version"},
		"wat":                {"zip", b64([]byte(" (module)")), "FSS.1011", "wat2wasm"},
		"tar":                {"zip", b64([]byte(strings.Repeat("\x00", 257) + "ustar\x00\x00")), "FSS.1011", "tar"},
		"gzip":               {"zip", b64([]byte("\x1f\x8b\x08")), "FSS.1011", "gzip"},
		"bytes":              {"zip", b64([]byte("\xff\x00\xff")), "FSS.1011", "none of"},
		"archive inline":     {"inline", b64(whole), "FSS.1011", "is a zip archive"},
		"empty archive":      {"zip", b64(pack(t)), "FSS.1011", "it holds nothing"},
		"no module":          {"zip", b64(pack(t, entry{name: "index.py", content: "x"})), "FSS.1011", `"index.py"`},
		"not a module":       {"zip", b64(pack(t, entry{name: "a.wasm", content: "\x7fELF"})), "FSS.1011", `"a.wasm" in the archive "x.zip" is an ELF binary`},
		"several":            {"zip", b64(pack(t, entry{name: "a.wasm"}, entry{name: "b.wasm"})), "FSS.1011", `"a.wasm", "b.wasm"`},
		"several, nested":    {"zip", b64(pack(t, entry{name: "d/main.wasm"}, entry{name: "e/main.wasm"})), "FSS.1011", "bootstrap.wasm"},
		"cut off":            {"zip", b64(whole[:len(whole)-5]), "FSS.1011", "can be read"},
		"PK":                 {"zip", b64([]byte("PK")), "FSS.1011", "can be read"},
		"10,001":             {"zip", b64(pack(t, many(10_001)...)), "FSS.1011", "10001 entries"},
		"a large directory":  {"zip", b64(pack(t, entry{name: strings.Repeat("a", 60000)}, entry{name: strings.Repeat("b", 60000)})), "FSS.1011", "no WebAssembly module"},
		"wrong crc":          {"zip", b64(pack(t, entry{name: "a.wasm", content: good, crc: 1})), "FSS.1011", "checksum"},
		"wrong crc besides":  {"zip", b64(pack(t, entry{name: "a.wasm", content: good}, entry{name: "b", content: "x", crc: 1})), "FSS.1011", `"b": checksum`},
		"larger than said":   {"zip", b64(pack(t, entry{name: "a.wasm", content: wasmMagic + zeros, size: 100})), "FSS.1011", "damaged"},
		"smaller than said":  {"zip", b64(pack(t, entry{name: "a.wasm", content: good, size: 100})), "FSS.1011", "damaged"},
		"bomb, honest":       {"zip", b64(pack(t, entry{name: "a.wasm", content: good}, entry{name: "b", content: zeros, size: 256 << 20})), "FSS.1071", "256 MiB"},
		"bomb, 2^64":         {"zip", b64(pack(t, entry{name: "a.wasm", content: good, size: 1<<64 - 1}, entry{name: "b", size: 2})), "FSS.1071", "256 MiB"},
		"bomb, module":       {"zip", b64(pack(t, entry{name: "a.wasm", content: zeros, size: 32<<20 + 1})), "FSS.1071", "32 MiB"},
		"bomb, lying":        {"zip", b64(pack(t, entry{name: "a.wasm", content: good}, entry{name: "b", content: zeros, size: 1})), "FSS.1011", "damaged"},
		"overlap":            {"zip", b64(pack(t, entry{name: "a.wasm", content: good, packed: 150}, entry{name: "b", packed: 150})), "FSS.1011", "overlap"},
		"packed 2^64":        {"zip", b64(pack(t, entry{name: "a.wasm", content: good, packed: 1<<64 - 1})), "FSS.1011", "overlap"},
		"up":                 {"zip", b64(pack(t, entry{name: "../a.wasm", content: good})), "FSS.1011", "leads out"},
		"up, later":          {"zip", b64(pack(t, entry{name: "d/../../a.wasm", content: good})), "FSS.1011", "leads out"},
		"absolute":           {"zip", b64(pack(t, entry{name: "/a.wasm", content: good})), "FSS.1011", "absolute"},
		"drive":              {"zip", b64(pack(t, entry{name: "C:a.wasm", content: good})), "FSS.1011", "absolute"},
		"backslash":          {"zip", b64(pack(t, entry{name: `..\a.wasm`, content: good})), "FSS.1011", "backslash"},
		"NUL":                {"zip", b64(pack(t, entry{name: "a.wasm\x00", content: good})), "FSS.1011", "NUL"},
		"no name":            {"zip", b64(pack(t, entry{name: "", content: good})), "FSS.1011", "no name"},
		"symlink":            {"zip", b64(pack(t, entry{name: "a.wasm", content: good, mode: fs.ModeSymlink | 0o777})), "FSS.1011", "symbolic link"},
		"symlink besides":    {"zip", b64(pack(t, entry{name: "a.wasm", content: good}, entry{name: "l", content: "/etc", mode: fs.ModeSymlink | 0o777})), "FSS.1011", "symbolic link"},
		"encrypted":          {"zip", b64(pack(t, entry{name: "a.wasm", content: good, flags: 1})), "FSS.1011", "encrypted"},
		"masked":             {"zip", b64(pack(t, entry{name: "a.wasm", content: good, flags: 1 << 13})), "FSS.1011", "encrypted"},
		"bzip2":              {"zip", b64(pack(t, entry{name: "a.wasm", content: good, method: 12})), "FSS.1011", "method 12"},
		"twice":              {"zip", b64(pack(t, entry{name: "a.wasm", content: good}, entry{name: "a.wasm", content: good})), "FSS.1011", "twice"},
		"twice, otherwise":   {"zip", b64(pack(t, entry{name: "a.wasm", content: good}, entry{name: ".//a.wasm", content: good})), "FSS.1011", "twice"},
		"directory, content": {"zip", b64(pack(t, entry{name: "a.wasm", content: good}, entry{name: "d/", size: 9})), "FSS.1011", "directory"},
	} {
		m, err := Code(c.codeType, "x.zip", c.file)
		wantFault(t, err, c.code)
		if m.Module != nil || m.Files != nil || err != nil && !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDirectoryIsBounded: the end of an archive claims few entries, and there are more than should be held in memory.
func TestDirectoryIsBounded(t *testing.T) {
	one := make([]byte, 46)
	copy(one, "PK\x01\x02")
	entries := bytes.Repeat(one, maxDirectory/46+1)
	end := make([]byte, 22)
	copy(end, "PK\x05\x06")
	binary.LittleEndian.PutUint16(end[10:], 1)
	binary.LittleEndian.PutUint32(end[12:], uint32(len(entries)))
	_, err := unpack(append(entries, end...), "")
	wantFault(t, err, "FSS.1011")
	if err == nil || !strings.Contains(err.Error(), "directory is larger than") {
		t.Error(err)
	}
}

// TestZeroIsAChecksum: an entry whose header has zero for its checksum is compared all the same.
func TestZeroIsAChecksum(t *testing.T) {
	b := pack(t, entry{name: "a.wasm", content: good})
	sum := binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(good)))
	b = bytes.ReplaceAll(b, sum, make([]byte, 4))
	_, err := unpack(b, "")
	wantFault(t, err, "FSS.1011")
}

func FuzzArchive(f *testing.F) {
	zeros := strings.Repeat("\x00", 1<<16)
	for _, e := range [][]entry{
		{},
		{{name: "a.wasm", content: good}},
		{{name: "d/"}, {name: "d/a.wasm", content: good}, {name: "b", content: zeros}},
		{{name: "a.wasm", content: good, crc: 1}},
		{{name: "../a.wasm", content: good}},
		{{name: "a.wasm", content: good, size: 1<<64 - 1}},
		{{name: "a.wasm", content: zeros, size: 8}},
		many(50),
		{{name: "a.wasm", content: good, packed: 1 << 40}},
	} {
		f.Add(pack(f, e...))
	}
	f.Add([]byte("PK\x05\x06"))
	f.Add(pack(f, many(10_001)...))
	f.Fuzz(func(t *testing.T, archive []byte) {
		m, err := unpack(archive, "x.zip")
		checkAnswer(t, m, err)
	})
}

func FuzzCode(f *testing.F) {
	f.Add("zip", base64.StdEncoding.EncodeToString([]byte(good)))
	f.Add("inline", "QUJD\n")
	f.Add("inline", "AGFzbQEAAAA")
	f.Add("jar", "=")
	f.Fuzz(func(t *testing.T, codeType, file string) {
		m, err := Code(codeType, "", file)
		checkAnswer(t, m, err)
	})
}

// checkAnswer fails unless there is a module, or a fault that can be sent.
func checkAnswer(t *testing.T, c door.Code, err error) {
	t.Helper()
	var f *Fault
	switch {
	case err == nil && strings.HasPrefix(string(c.Module), wasmMagic) && len(c.Module) <= maxModule:
	case errors.As(err, &f) && c.Module == nil && c.Files == nil && f.Words != "" && len(f.Words) < 4096 && published[f.Code].status == f.Status:
	default:
		t.Fatalf("%d bytes, %v", len(c.Module), err)
	}
}
