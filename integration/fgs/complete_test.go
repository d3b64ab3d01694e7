package fgs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// operation is a line of the table in docs/functiongraph.md, or a definition of the SDK's.
type operation struct{ name, method, path string }

// documented is the table in docs/functiongraph.md, with what each line says of the operation.
func documented(t testing.TB) map[operation]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, "docs/functiongraph.md"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[operation]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| (\\w+) \\| ([A-Z]+) \\| `([^`]+)` \\| (.*) \\|$").FindAllStringSubmatch(string(b), -1) {
		o := operation{m[1], m[2], m[3]}
		if _, twice := out[o]; twice {
			t.Errorf("%v is there twice", o)
		}
		out[o] = m[4]
	}
	return out
}

// sdkOperations is what the SDK's own definitions of its requests say.
func sdkOperations(t testing.TB) map[operation]bool {
	t.Helper()
	dir, err := exec.Command("go", "list", "-f", "{{.Dir}}", "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/functiongraph/v2").Output()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "functionGraph_meta.go"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[operation]bool{}
	for _, m := range regexp.MustCompile(`func GenReqDefFor(\w+)\(\)[^{]*\{\s*reqDefBuilder := [^\n]*\n\s*WithMethod\(http\.Method(\w+)\)\.\s*WithPath\("([^"]+)"\)`).FindAllStringSubmatch(string(b), -1) {
		out[operation{m[1], strings.ToUpper(m[2]), m[3]}] = true
	}
	if n := strings.Count(string(b), "\nfunc GenReqDefFor"); n != len(out) || n == 0 {
		t.Fatalf("%d of the SDK's %d definitions were read", len(out), n)
	}
	return out
}

// unnamed leaves the names out of a path's braces, which the two need not share, and puts the only kind of resource that
// the service has in its place.
func unnamed(path string) string {
	path = strings.ReplaceAll(path, "{resource_type}", "functions")
	return regexp.MustCompile(`\{\w+\}`).ReplaceAllString(path, "{}")
}

// TestTableIsComplete: the documented table has every operation of the SDK, by its name, and nothing else.
func TestTableIsComplete(t *testing.T) {
	table := map[operation]string{}
	for o, here := range documented(t) {
		table[operation{o.name, o.method, unnamed(o.path)}] = here
		if here != "implemented" && !strings.HasPrefix(here, "refused: ") && !strings.HasPrefix(here, "outside: ") {
			t.Errorf("%s is %q", o.name, here)
		}
	}
	for o := range sdkOperations(t) {
		plain := operation{o.name, o.method, unnamed(o.path)}
		if _, ok := table[plain]; !ok {
			t.Errorf("%v of the SDK is not in the table", o)
		}
		delete(table, plain)
	}
	for o := range table {
		t.Errorf("%v is in the table, and the SDK has none", o)
	}
}

// fills puts words in the braces of a path.
func fills(path string, words map[string]string) string {
	return regexp.MustCompile(`\{(\w+)\}`).ReplaceAllStringFunc(path, func(v string) string {
		if w, ok := words[strings.Trim(v, "{}")]; ok {
			return w
		}
		return "1"
	})
}

// TestTableIsTrue: what the table calls implemented is, and the rest is answered with 501 and a reason.
func TestTableIsTrue(t *testing.T) {
	s := keyed(t)
	for o, here := range documented(t) {
		r, b := s.raw(t, s.p1, o.method, fills(o.path, map[string]string{"project_id": "p1", "function_urn": "nobody"}), "{}")
		if (r.StatusCode == 501) != (here != "implemented") || r.StatusCode >= 500 && r.StatusCode != 501 {
			t.Errorf("%s %s: %d %s, and the table says %s", o.method, o.path, r.StatusCode, b, here)
		}
		if r.StatusCode == 501 && (!strings.Contains(b, "FSS.0501") || !strings.Contains(b, o.name) || !strings.Contains(b, here)) {
			t.Errorf("%s: %s", o.name, b)
		}
	}
}
