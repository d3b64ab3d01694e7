package integration

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestFiles tells the story of a function with files: deployed from a directory at one node, run by both, and still by one that
// was killed and begins again; what cannot be a file is refused before anything is sent.
func TestFiles(t *testing.T) {
	t.Parallel()
	each(t, 1, false, func(t *testing.T, s *stage) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		s.node(0)
		s.node(1)
		deed := func(n int, args ...string) (string, error) {
			binary, err := faultyBinary()
			if err != nil {
				t.Fatal(err)
			}
			out, err := exec.CommandContext(ctx, binary, append([]string{"--server", "http://" + s.place(n).addr}, args...)...).CombinedOutput()
			return string(out), err
		}
		for shared := false; !shared; {
			r, _ := s.report(ctx, 0)
			owners := map[string]bool{}
			for _, p := range r.Partitions {
				owners[p.Owner] = true
			}
			if shared = len(owners) == 2 && !owners[""]; !shared && !await(ctx, 50*time.Millisecond) {
				t.Fatalf("the partitions are not shared: %+v", r)
			}
		}
		dir := filepath.Join(t.TempDir(), "assets")
		if err := os.CopyFS(dir, os.DirFS("../examples/words/files")); err != nil {
			t.Fatal(err)
		}
		module := filepath.Join(built(t), "words.wasm")
		out, err := deed(0, "deploy", "words", module, "--dir", dir)
		if err != nil || !strings.Contains(out, "version 1 ") || !strings.Contains(out, "; files: 1, 30B (sha256:") {
			t.Fatal(out, err)
		}
		invoke := func(at int, want string) {
			t.Helper()
			if out, err := deed(at, "invoke", "words", "--data", "apple", "--wait"); err != nil || !strings.Contains(out, want) {
				t.Errorf("at node %d: %s %v", at, out, err)
			}
		}
		invoke(0, "1 apple\n4 pineapple\n") // a door chooses a partition of its own node
		invoke(1, "1 apple\n4 pineapple\n")
		if out, err := deed(1, "functions"); err != nil || !strings.Contains(out, "FILES") || !strings.Contains(out, "2KiB") {
			t.Errorf("functions: %s %v", out, err)
		}
		s.kill(1)
		s.node(1)
		invoke(1, "1 apple\n4 pineapple\n")

		if err := os.Symlink("/etc/passwd", filepath.Join(dir, "secret")); err != nil {
			t.Fatal(err)
		}
		for _, c := range [][2]string{{dir, `"secret" is a symbolic link`}, {t.TempDir(), "holds no file"}, {module, "not a directory"}, {dir + "x", "no such file"}} {
			if out, err := deed(0, "deploy", "words", module, "--dir", c[0]); err == nil || !strings.Contains(out, c[1]) || !strings.Contains(out, "--dir "+c[0]) {
				t.Errorf("--dir %s: %s %v", c[0], out, err)
			}
		}
		if out, err := deed(0, "deploy", "words", module); err != nil || !strings.Contains(out, "version 2 ") || strings.Contains(out, "files:") {
			t.Fatal(out, err)
		}
		if out, err := deed(1, "invoke", "words", "--data", "apple", "--wait"); err == nil || !strings.Contains(out, "code 1") {
			t.Errorf("without files: %s %v", out, err)
		}
		s.settle(ctx, 0)
	})
}
