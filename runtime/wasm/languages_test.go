package wasm

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// root is the root of the repository.
const root = "../.."

// language is what docs/functions.md says of one.
type language struct {
	name, heading string
	needs         []string // what its command runs, or reads
	log           string   // what the example logs
	script        string   // what to build instead, with JavaScript's command
}

var languages = []language{
	{name: "echo", heading: "# Functions"},
	{name: "reactor", heading: "### Go"},
	{name: "rust-echo", heading: "### Rust", needs: []string{"rustc", "wasm-ld"}},
	{name: "c-echo", heading: "### C", needs: []string{"clang", "wasm-ld"}},
	{name: "zig-echo", heading: "### Zig", needs: []string{"zig"}},
	{name: "as-echo", heading: "### AssemblyScript", needs: []string{"asc"}},
	{name: "js-echo", heading: "### JavaScript", needs: []string{"clang", "wasm-ld", "/usr/local/src/quickjs/quickjs.c"}, log: "attempt 1 of r1\n"},
}

// section is the documentation of a language.
func (l language) section(tb testing.TB) string {
	tb.Helper()
	doc, err := os.ReadFile(root + "/docs/functions.md")
	if err != nil {
		tb.Fatal(err)
	}
	_, after, ok := strings.Cut("\n"+string(doc), "\n"+l.heading+"\n")
	if !ok {
		tb.Fatalf("docs/functions.md has no %q", l.heading)
	}
	return regexp.MustCompile(`\n##+ `).Split(after, 2)[0]
}

// missing is the first of what a language needs that is not there; "" when all of it is.
func (l language) missing() string {
	for _, n := range l.needs {
		_, err := exec.LookPath(n)
		if filepath.IsAbs(n) {
			_, err = os.Stat(n)
		}
		if err != nil {
			return n
		}
	}
	return ""
}

// build runs the documented command, once for all tests, and gives the module it makes.
func (l language) build(tb testing.TB) []byte {
	tb.Helper()
	if n := l.missing(); n != "" {
		tb.Skipf("%s is not there; integration/toolchains/install.sh installs it", n)
	}
	documented := l.section(tb)
	if l.script != "" {
		documented = "\n$ examples/js-echo/build.sh " + l.script + " " + l.name + ".wasm\n"
	}
	command := regexp.MustCompile(`(?m)^\$ (.* \S*\b` + l.name + `\.wasm( .*)?)$`).FindStringSubmatch(documented)
	if command == nil {
		tb.Fatalf("no command under %q makes %s.wasm", l.heading, l.name)
	}
	if l.name == "rust-echo" {
		command[1] = rustHere(tb, command[1])
	}
	once, _ := built.LoadOrStore(l.name+".wasm", sync.OnceValues(func() ([]byte, error) {
		dir, err := os.MkdirTemp("", "deed-wasm-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		file := filepath.Join(dir, l.name+".wasm")
		cmd := exec.Command("sh", "-c", strings.ReplaceAll(command[1], l.name+".wasm", file))
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			tb.Errorf("%s: %v\n%s", command[1], err, out)
			return nil, err
		}
		return os.ReadFile(file)
	}))
	b, err := once.(func() ([]byte, error))()
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// rustHere changes the command for a compiler that is not the first in the path, or that has the target's older name.
func rustHere(tb testing.TB, command string) string {
	tb.Helper()
	for _, rustc := range []string{"rustc", "/usr/bin/rustc"} {
		for _, target := range []string{"wasm32-wasip1", "wasm32-wasi"} {
			dir, err := exec.Command(rustc, "--print", "target-libdir", "--target", target).Output()
			if err != nil {
				continue
			}
			if std, _ := filepath.Glob(strings.TrimSpace(string(dir)) + "/libstd-*.rlib"); len(std) > 0 {
				return strings.ReplaceAll(strings.Replace(command, "rustc", rustc, 1), "wasm32-wasip1", target)
			}
		}
	}
	tb.Skip("no rustc has the target wasm32-wasip1; integration/toolchains/install.sh installs one")
	return ""
}

// Each documented command builds, what it builds runs, and the documented source is the one that was built.
func TestLanguages(t *testing.T) {
	if testing.Short() {
		t.Skip("runs compilers")
	}
	h := open(t)
	for _, l := range languages {
		t.Run(l.name, func(t *testing.T) {
			if raceDetector && l.name != "c-echo" && l.name != "as-echo" && l.name != "reactor" {
				t.Skip("compiling takes ten times longer under the race detector")
			}
			section := l.section(t)
			for _, file := range regexp.MustCompile("(?s)`(examples/[^`]*\\.[a-z]+)`[^`\n]*:\n\n```[a-z]+\n(.*?)```").FindAllStringSubmatch(section, -1) {
				if b, err := os.ReadFile(filepath.Join(root, file[1])); err != nil || string(b) != file[2] {
					t.Errorf("docs/functions.md shows %s otherwise than it is (%v)", file[1], err)
				}
			}
			module := l.build(t)
			if err := h.Check(context.Background(), module, nil, limits()); err != nil {
				t.Fatal(err)
			}
			for _, event := range []string{`{"a":"ä"}`, "", strings.Repeat("long ", 5000)} {
				a := attempt(event)
				a.Env = [][2]string{{"DEED_REQUEST_ID", "r1"}, {"DEED_ATTEMPT", "1"}}
				if o := load(t, h, module).Run(context.Background(), a); o.Kind != "" || string(o.Result) != event || string(o.Log) != l.log {
					t.Errorf("%q %q, result of %d bytes for an event of %d, log %q", o.Kind, o.Error, len(o.Result), len(event), o.Log)
				}
			}
		})
	}
}
