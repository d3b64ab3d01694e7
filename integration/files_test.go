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

// TestFilesSession runs the commands of docs/functions.md as they stand there.
func TestFilesSession(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../docs/functions.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(b), "\n## Files\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var script strings.Builder
	script.WriteString("set -eu\n")
	for line := range strings.Lines(section) {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			script.WriteString(command)
		}
	}
	for _, tool := range []string{"curl", "tar"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(tool + " is not installed")
		}
	}
	node := start(t, t.TempDir(), freePort(t), freePort(t))
	dir := built(t)
	// The module is put where nothing is left in the tree, and the node is the test's.
	text := strings.NewReplacer(" words.wasm", " "+t.TempDir()+"/words.wasm", "@words.wasm", "@"+dir+"/words.wasm", "127.0.0.1:3333", node.addr).Replace(script.String())
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", text)
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "DEED_SERVER=http://"+node.addr, "PATH="+dir+":"+os.Getenv("PATH"))
	said, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	// What was sent by curl is what was deployed from the directory.
	const digest = `"files":"sha256:766e1aff87d18cf172a0342f554345cd20bb2ec991e17d65fd173e2d980eb9c5"`
	for _, want := range []string{"files: 1, 30B (sha256:766e1aff", "1 apple\n4 pineapple\n", "FILES", `"version":"2"`, digest} {
		if !strings.Contains(string(said), want) {
			t.Errorf("the session does not show %q:\n%s", want, said)
		}
	}
}
