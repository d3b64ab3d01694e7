package fgsapi

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"deed/domain"
	"deed/runtime/files"
)

// contents are the files of a tree; a directory's name ends in a slash.
func contents(t *files.Tree) map[string]string {
	out := map[string]string{}
	var each func(*files.Node)
	each = func(dir *files.Node) {
		for _, n := range dir.Entries {
			if n.Dir {
				out[n.Path+"/"] = ""
				each(n)
			} else {
				out[n.Path] = string(n.Content)
			}
		}
	}
	if t != nil {
		each(t.Root())
	}
	return out
}

// What an archive holds besides the module are files, whatever its order and its writer.
func TestFilesOfArchives(t *testing.T) {
	for name, c := range map[string]struct {
		entries []entry
		want    map[string]string
	}{
		"none":            {[]entry{{name: "a.wasm", content: good}}, map[string]string{}},
		"only a folder":   {[]entry{{name: "d/"}, {name: "d/a.wasm", content: good}}, map[string]string{}},
		"files":           {[]entry{{name: "./README", content: "x"}, {name: "d/"}, {name: "d/b", content: "y"}, {name: "index.wasm", content: good}}, map[string]string{"README": "x", "d/": "", "d/b": "y"}},
		"implied folder":  {[]entry{{name: "index.wasm", content: good}, {name: "d/e/f", content: ""}}, map[string]string{"d/": "", "d/e/": "", "d/e/f": ""}},
		"a second module": {[]entry{{name: "bootstrap.wasm", content: good}, {name: "main.wasm", content: "z"}}, map[string]string{"main.wasm": "z"}},
		"macOS's own":     {[]entry{{name: "a.wasm", content: good}, {name: "__MACOSX/"}, {name: "__MACOSX/._a.wasm", content: "x"}}, map[string]string{}},
	} {
		got, err := unpack(pack(t, c.entries...), "")
		if err != nil || string(got.Module) != good || !maps.Equal(contents(got.Files), c.want) || (got.Files == nil) != (len(c.want) == 0) {
			t.Errorf("%s: %v %v", name, contents(got.Files), err)
		}
	}
	zeros := strings.Repeat("\x00", 1<<20)
	for name, c := range map[string]struct {
		entries     []entry
		code, words string
	}{
		"too much":          {[]entry{{name: "a.wasm", content: good}, {name: "b", content: zeros, size: 65 << 20}}, "FSS.1071", "64 MiB"},
		"together too much": {[]entry{{name: "a.wasm", content: good}, {name: "b", content: strings.Repeat(zeros, 40)}, {name: "c", content: zeros, size: 40 << 20}}, "FSS.1071", "64 MiB"},
		"newline":           {[]entry{{name: "a.wasm", content: good}, {name: "b\nc"}}, "FSS.1011", "control character"},
		"not UTF-8":         {[]entry{{name: "a.wasm", content: good}, {name: "\xff"}}, "FSS.1011", "not UTF-8"},
		"file and folder":   {[]entry{{name: "a.wasm", content: good}, {name: "b"}, {name: "b/c"}}, "FSS.1011", "both"},
		"a long name":       {[]entry{{name: "a.wasm", content: good}, {name: strings.Repeat("x", 256)}}, "FSS.1011", "256 bytes"},
	} {
		got, err := unpack(pack(t, c.entries...), "")
		wantFault(t, err, c.code)
		if got.Files != nil || err != nil && !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRepack(t *testing.T) {
	first, err := unpack(pack(t, entry{name: "x.wasm", content: good}, entry{name: "d/b", content: "y"}, entry{name: "empty/"}, entry{name: "é", content: strings.Repeat("z", 10_000)}), "")
	if err != nil {
		t.Fatal(err)
	}
	archive, err := repack(first.Module, first.Files)
	if err != nil {
		t.Fatal(err)
	}
	back, err := unpack(archive, "")
	if err != nil || string(back.Module) != good || back.Files.Digest() != first.Files.Digest() {
		t.Errorf("%v %v", contents(back.Files), err)
	}
	var b files.Builder
	if err := b.File("bootstrap.wasm", nil); err != nil {
		t.Fatal(err)
	}
	taken, err := b.Tree()
	if err != nil {
		t.Fatal(err)
	}
	_, err = repack([]byte(good), taken)
	wantFault(t, err, "FSS.0500")
}

// Files belong to the code: they change with it, stay with the configuration, and a published version keeps its own.
func TestFilesOfVersions(t *testing.T) {
	w := newWorld(t)
	w.create(t, "f")
	filesOf := func(version string) domain.Files {
		f, err := w.s.Registry.Get(domain.FunctionID{Region: "r1", Project: "p1", Package: "default", Name: "f"})
		if err != nil {
			t.Fatal(err)
		}
		v, ok := f.Version(version)
		if !ok {
			t.Fatal("no version", version)
		}
		return v.Files
	}
	must := func(method, path, body string) map[string]any {
		t.Helper()
		status, out := w.call(t, method, root+path, body)
		if status != 200 {
			t.Fatalf("%s %s: %d %v", method, path, status, out)
		}
		return out
	}
	file := func(b []byte) string {
		return fmt.Sprintf(`{"code_type":"zip","code_filename":"x.zip","func_code":{"file":%q}}`, base64.StdEncoding.EncodeToString(b))
	}
	bare := must("GET", "/f/config", "")
	if !filesOf("latest").None() {
		t.Error("a module alone has files")
	}
	archive := pack(t, entry{name: "index.wasm", content: good}, entry{name: "words.txt", content: "one"})
	one := must("PUT", "/f/code", file(archive))
	kept := filesOf("latest")
	if kept.None() || one["digest"] == bare["digest"] || one["code_size"] != float64(len(good))+float64(kept.Size) {
		t.Errorf("files %+v, answer %v", kept, one)
	}
	must("PUT", "/f/config", `{"timeout":5}`)
	must("POST", "/f/versions", `{"version":"v1"}`)
	if filesOf("latest") != kept || filesOf("v1") != kept {
		t.Error("files did not stay")
	}
	two := must("PUT", "/f/code", file(pack(t, entry{name: "index.wasm", content: good}, entry{name: "words.txt", content: "two"})))
	if filesOf("latest") == kept || filesOf("v1") != kept || two["digest"] == one["digest"] {
		t.Errorf("other files, %v", two)
	}
	shown := must("GET", "/urn:fss:r1:p1:function:default:f:v1/code", "")
	code, err := base64.StdEncoding.DecodeString(shown["func_code"].(map[string]any)["file"].(string))
	if err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(code), int64(len(code)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range z.File {
		names = append(names, f.Name)
	}
	if !slices.Equal(names, []string{"bootstrap.wasm", "words.txt"}) {
		t.Errorf("the code is shown with %q", names)
	}
	must("PUT", "/f/code", file(code)) // what is shown can be given back
	if filesOf("latest") != kept {
		t.Error("given back it is other files")
	}
	if again := must("PUT", "/f/code", file([]byte(good))); !filesOf("latest").None() || json.Number(fmt.Sprint(again["code_size"])) != json.Number(fmt.Sprint(len(good))) {
		t.Error("files stayed without being given")
	}
}
