package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestLinterSeesOffences plants one offence per import rule, and a clock in the domain, in a copy of the tree, and sees each
// reported. It runs where GOLANGCI names the linter's package, as make check does.
func TestLinterSeesOffences(t *testing.T) {
	linter := os.Getenv("GOLANGCI")
	if linter == "" {
		t.Skip("GOLANGCI does not name the linter: run make check")
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files, err := exec.CommandContext(t.Context(), "git", "-C", root, "ls-files", "*.go", "*.xml", "*go.mod", "*go.sum", ".golangci.yml").Output()
	if err != nil {
		t.Fatal(err)
	}
	for f := range strings.Lines(string(files)) {
		f = strings.TrimSpace(f)
		b, err := os.ReadFile(filepath.Join(root, f))
		if err != nil {
			continue // deleted and not yet committed
		}
		write(t, filepath.Join(dir, f), string(b))
	}
	offences := []struct{ in, pkg, says string }{
		{"domain", "github.com/google/uuid", "domain imports nothing but the standard library"},
		{"domain", "deed/runtime/wasm/wasmtest", "domain imports nothing but the standard library"},
		{"domain/partition", "os", "the domain does not look at the world"},
		{"domain/partition", "context", "a decision cannot be cancelled"},
		{"domain/partition", "sync", "the domain shares nothing"},
		{"eventstore/blob", "deed/runtime/wasm/wasmtest", "the event store remembers; it does not act"},
		{"eventstore/memory", "deed/projections", "the event store remembers; it does not derive"},
		{"projections/retry", "deed/runtime/wasm/wasmtest", "projections derive; they do not act"},
		{"runtime/worker", "deed/projections/retry", "runtime declares the small interface it needs"},
		{"runtime/sink/object", "github.com/tetratelabs/wazero", "only runtime/wasm speaks to wazero"},
		{"cmd/internal/door", "github.com/IBM/sarama", "only eventstore/kafka speaks to sarama"},
		{"cmd/internal/door", "github.com/ThreeDotsLabs/watermill", "only eventstore/kafka speaks to watermill"},
		{"cmd/internal/httpapi", "github.com/twmb/franz-go/pkg/kfake", "only eventstore/embedded runs the broker"},
		{"cmd/internal/node", "deed/eventstore/storetest", "test helpers stay out of the binary"},
	}
	for i, o := range offences {
		name := "zz_offence_" + string(rune('a'+i)) + ".go"
		write(t, filepath.Join(dir, o.in, name), "package "+filepath.Base(o.in)+"\n\nimport _ \""+o.pkg+"\"\n")
	}
	write(t, filepath.Join(dir, "domain", "zz_clock.go"), "package domain\n\nimport \"time\"\n\nvar _ = time.Now()\n")
	cmd := exec.CommandContext(t.Context(), "go", "run", linter, "run", "--enable-only", "depguard,forbidigo", "./...")
	cmd.Dir = dir
	out, _ := cmd.CombinedOutput() // it fails: it has found something
	for i, o := range offences {
		name := "zz_offence_" + string(rune('a'+i)) + ".go"
		found := false
		for line := range strings.Lines(string(out)) {
			found = found || strings.Contains(line, name) && strings.Contains(line, o.says)
		}
		if !found {
			t.Errorf("%s importing %s was not reported as %q", o.in, o.pkg, o.says)
		}
	}
	if !strings.Contains(string(out), "the clock is an input of the domain") {
		t.Error("a clock in the domain was not reported")
	}
	if t.Failed() {
		t.Logf("%s", out)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
