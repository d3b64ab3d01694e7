package fgsapi

import (
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the table in docs/functiongraph.md")

const (
	doc   = "../../../docs/functiongraph.md"
	begin = "<!-- made by go test ./cmd/internal/fgsapi -run TestOperationsAreDocumented -update -->\n"
	end   = "<!-- end -->\n"
)

// TestOperationsAreDocumented: the table in the documentation is what the router is made of.
func TestOperationsAreDocumented(t *testing.T) {
	var b strings.Builder
	b.WriteString("\n| operation | method | path | here |\n|---|---|---|---|\n")
	implemented := 0
	for _, op := range Operations() {
		here := op.Why
		if op.Implemented() {
			here = "implemented"
			implemented++
		}
		fmt.Fprintf(&b, "| %s | %s | `%s` | %s |\n", op.Name, op.Method, op.Path, here)
	}
	fmt.Fprintf(&b, "\n%d of %d operations. The others answer with status 501 and `FSS.0501`.\n\n", implemented, len(Operations()))
	text, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), begin)
	_, tail, _ := strings.Cut(rest, end)
	if !ok {
		t.Fatalf("%s has no place for the table", doc)
	}
	want := head + begin + b.String() + end + tail
	if *update {
		if err := os.WriteFile(doc, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	} else if string(text) != want {
		t.Errorf("the table in %s is not what the router is made of; -update rewrites it", doc)
	}
}

// TestEveryOperationIsFound: the router finds each operation by its own path, whatever stands in the braces.
func TestEveryOperationIsFound(t *testing.T) {
	rt := newRouter(Operations())
	seen := map[string]bool{}
	for _, op := range Operations() {
		if seen[op.Name] {
			t.Errorf("%s is there twice", op.Name)
		}
		seen[op.Name] = true
		path := op.Path
		for _, name := range []string{"{project_id}", "{function_urn}", "{alias_name}"} {
			path = strings.ReplaceAll(path, name, map[string]string{"{project_id}": "p1", "{function_urn}": "urn:fss:r:p1:function:default:f:%21blue", "{alias_name}": "blue"}[name])
		}
		for strings.Contains(path, "{") {
			before, rest, _ := strings.Cut(path, "{")
			_, after, _ := strings.Cut(rest, "}")
			path = before + "x" + after
		}
		got, values, err := rt.find(httptest.NewRequest(op.Method, path, nil))
		if err != nil || got.Name != op.Name {
			t.Errorf("%s %s leads to %q, %v", op.Method, path, got.Name, err)
		}
		if values["project_id"] != "p1" || strings.Contains(op.Path, "{function_urn}") && values["function_urn"] != "urn:fss:r:p1:function:default:f:!blue" {
			t.Errorf("%s: %v", path, values)
		}
	}
}

func TestStrangePaths(t *testing.T) {
	rt := newRouter(Operations())
	for path, code := range map[string]string{
		"/v2/p1/fgs/functions/":                        "FSS.1309",
		"/v2/p1/fgs/functions//config":                 "FSS.1309",
		"/v2//fgs/functions":                           "FSS.1309",
		"/v2/p1/fgs/functions/../config":               "FSS.1309",
		"/v2/p1/fgs/functions/%2e%2e/config":           "FSS.1309",
		"/v2/p1/fgs/functions/a%2Fb/config":            "FSS.1309",
		"/v2/p1/fgs/functions/a/b/config":              "FSS.0404",
		"/v2/p1/fgs/nothing":                           "FSS.0404",
		"/v2/p1/fgs/functions/f/config-max-instance/x": "FSS.0404",
	} {
		_, _, err := rt.find(httptest.NewRequest("GET", path, nil))
		wantFault(t, err, code)
	}
	_, _, err := rt.find(httptest.NewRequest("PATCH", "/v2/p1/fgs/functions", nil))
	wantFault(t, err, "FSS.0404")
}
