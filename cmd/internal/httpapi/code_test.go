package httpapi

import (
	"bytes"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"deed/runtime/files"
)

// form is a body of these parts, names and contents in turn, and its content type.
func form(parts ...string) (contentType, body string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i < len(parts); i += 2 {
		p, _ := w.CreateFormField(parts[i])
		_, _ = p.Write([]byte(parts[i+1]))
	}
	_ = w.Close()
	return w.FormDataContentType(), b.String()
}

func TestCode(t *testing.T) {
	var b files.Builder
	if err := b.File("words.txt", []byte("one\n")); err != nil {
		t.Fatal(err)
	}
	tree, err := b.Tree()
	if err != nil {
		t.Fatal(err)
	}
	archive := string(tree.Archive())
	read := func(contentType, body string) (module, digest string, err error) {
		r := httptest.NewRequest(http.MethodPut, "/", strings.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		c, err := code(httptest.NewRecorder(), r)
		if c.Files != nil {
			digest = c.Files.Digest().String()
		}
		return string(c.Module), digest, err
	}
	own, packed := Multipart([]byte("m"), []byte(archive))
	both := func(contentType, body string) [2]string { return [2]string{contentType, body} }
	for name, c := range map[string]struct {
		request [2]string
		files   bool
	}{
		"alone":        {both("application/wasm", "m"), false},
		"no type":      {both("", "m"), false},
		"curl's":       {both("application/x-www-form-urlencoded", "m"), false},
		"both":         {both(form("module", "m", "files", archive)), true},
		"turned":       {both(form("files", archive, "module", "m")), true},
		"without":      {both(form("module", "m")), false},
		"our client's": {both(own, string(packed)), true},
	} {
		module, digest, err := read(c.request[0], c.request[1])
		if err != nil || module != "m" || (digest == tree.Digest().String()) != c.files {
			t.Errorf("%s: %q %s %v", name, module, digest, err)
		}
	}
	whole, body := form("module", "m")
	for name, c := range map[string]struct {
		request [2]string
		words   string
	}{
		"module too large": {both("application/wasm", strings.Repeat("x", maxModule+1)), "32 MiB"},
		"module part":      {both(form("module", strings.Repeat("x", maxModule+1))), "the part module is too large; the limit is 33554432"},
		"files part":       {both(form("module", "m", "files", strings.Repeat("x", files.MaxArchive+1))), "the part files is too large"},
		"too much":         {both(form("module", strings.Repeat("x", maxModule), "files", strings.Repeat("x", files.MaxArchive), "module2", strings.Repeat("x", 1<<20))), "module2"},
		"no module":        {both(form("files", archive)), "no part module"},
		"nothing":          {both(form()), "no part module"},
		"twice":            {both(form("module", "m", "module", "n")), `two parts "module"`},
		"another":          {both(form("module", "m", "assets", archive)), `a part "assets"`},
		"not an archive":   {both(form("module", "m", "files", strings.Repeat("x", 1000))), "not a tar archive"},
		"no boundary":      {both("multipart/form-data", "x"), "could not be read"},
		"cut off":          {both(whole, body[:len(body)-20]), "could not be read"},
	} {
		if module, digest, err := read(c.request[0], c.request[1]); err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %d bytes, files %q, %v; want %q", name, len(module), digest, err, c.words)
		}
	}
}
