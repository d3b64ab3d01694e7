package fgs

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// root is the directory of deed's own module.
const root = "../.."

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// built is what this run builds, once: the program, and the examples as WebAssembly modules.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "deed-fgs-")
	if err != nil {
		return "", err
	}
	if err := run(nil, "go", "build", "-C", root, "-o", filepath.Join(dir, "deed"), "./cmd/deed"); err != nil {
		return dir, err
	}
	args := []string{"build", "-C", root, "-o", dir}
	for _, e := range examples {
		args = append(args, "./examples/"+e)
	}
	return dir, run([]string{"GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0"}, "go", args...)
})

// examples are the functions of examples/ that the tests deploy.
var examples = []string{"broken", "echo", "flaky", "handled", "shout", "sleepy", "words"}

func run(env []string, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.node != nil {
		shared.node.stop()
		_ = os.RemoveAll(shared.node.data)
	}
	if dir, _ := built(); dir != "" {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// program is the path of deed.
func program(t testing.TB) string {
	t.Helper()
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "deed")
}

// module is an example as a WebAssembly module.
func module(t testing.TB, example string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(filepath.Dir(program(t)), example))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// tiny is a module of a hundred bytes that does nothing and prints nothing. Different notes make different modules.
func tiny(note string) []byte {
	section := func(id byte, content string) string { return string([]byte{id, byte(len(content))}) + content }
	return []byte("\x00asm\x01\x00\x00\x00" +
		section(1, "\x01\x60\x00\x00") + // a type: func()
		section(3, "\x01\x00") + // one function of it
		section(5, "\x01\x00\x01") + // a memory of one page
		section(7, "\x02\x06memory\x02\x00\x06_start\x00\x00") +
		section(10, "\x01\x02\x00\x0b") + // its body: end
		section(0, "\x04note"+note))
}

func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// zipped is an archive with the module in it, as the console and Terraform upload one.
func zipped(t testing.TB, name string, module []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.Create(name)
	if err == nil {
		_, err = f.Write(module)
	}
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// key is an access key, as deed keys create prints it.
type key struct {
	Access string `json:"access_key"`
	Secret string `json:"secret_key"`
}

func (k key) token() string { return k.Access + "." + k.Secret }

// node is a running deed serve.
type node struct {
	addr, data string
	cmd        *exec.Cmd
	words      *words
	done       chan struct{}
}

// words keeps what a process says.
type words struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *words) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(b)
}

func (w *words) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

// environment is this process's without anything of deed's or of the SDK's.
func environment(more ...string) []string {
	var out []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "DEED_") && !strings.HasPrefix(v, "HUAWEICLOUD_") {
			out = append(out, v)
		}
	}
	return append(out, more...)
}

// launch starts a node in that data directory, on a free port, and returns when it serves.
func launch(data string, args ...string) (*node, error) {
	dir, err := built()
	if err != nil {
		return nil, err
	}
	n := &node{data: data, words: &words{}, done: make(chan struct{})}
	n.cmd = exec.Command(filepath.Join(dir, "deed"), append([]string{"serve", "--data", data, "--listen", "127.0.0.1:0"}, args...)...)
	n.cmd.Env = environment()
	n.cmd.Stderr = n.words
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := n.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	go func() {
		_, _ = io.Copy(io.Discard, lines)
		_ = n.cmd.Wait()
		close(n.done)
	}()
	var found bool
	if _, n.addr, found = strings.Cut(strings.TrimSpace(line), "http://"); !found {
		n.stop()
		return nil, fmt.Errorf("the node did not come up: %q %v\n%s", line, err, n.words)
	}
	return n, nil
}

// start is launch for one test, in a new directory.
func start(t testing.TB, args ...string) *node {
	t.Helper()
	n, err := launch(t.TempDir(), args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		n.stop()
		if t.Failed() {
			t.Logf("the node said:\n%s", n.words)
		}
	})
	return n
}

func (n *node) stop() {
	_ = n.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-n.done:
	case <-time.After(20 * time.Second):
		_ = n.cmd.Process.Kill()
		<-n.done
	}
}

func (n *node) url() string { return "http://" + n.addr }

// deed runs a command against the node and returns what it prints.
func (n *node) deed(as key, args ...string) (string, error) {
	dir, err := built()
	if err != nil {
		return "", err
	}
	cmd := exec.Command(filepath.Join(dir, "deed"), args...)
	cmd.Env = environment("DEED_SERVER="+n.url(), "DEED_ACCESS_KEY="+as.Access, "DEED_SECRET_KEY="+as.Secret)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("deed %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out), err
}

// makeKey makes an access key by the command line.
func (n *node) makeKey(as key, args ...string) (k key, err error) {
	out, err := n.deed(as, append([]string{"keys", "create", "--json"}, args...)...)
	if err != nil {
		return k, err
	}
	if err := json.Unmarshal([]byte(out), &k); err != nil || k.Access == "" || k.Secret == "" {
		return k, fmt.Errorf("deed keys create printed %q: %w", out, err)
	}
	return k, nil
}

// stage is a node with keys.
type stage struct {
	*node
	operator, p1, p2 key
}

func newStage(n *node) (s stage, err error) {
	s.node = n
	if s.operator, err = n.makeKey(key{}, "--operator"); err != nil {
		return s, err
	}
	if s.p1, err = n.makeKey(s.operator, "--project", "p1"); err != nil {
		return s, err
	}
	s.p2, err = n.makeKey(s.operator, "--project", "p2")
	return s, err
}

// shared is the node that most tests share.
var shared struct {
	once sync.Once
	stage
	err error
}

func keyed(t testing.TB) stage {
	t.Helper()
	shared.once.Do(func() {
		var data string
		if data, shared.err = os.MkdirTemp("", "deed-fgs-data-"); shared.err != nil {
			return
		}
		var n *node
		if n, shared.err = launch(data); shared.err == nil {
			shared.stage, shared.err = newStage(n)
			shared.node = n
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	t.Cleanup(func() {
		if t.Failed() && shared.words.String() != "" {
			t.Logf("the node said:\n%s", shared.words)
		}
	})
	return shared.stage
}

// native calls the native API with a key's token and returns the status and the answer.
func (n *node) native(t testing.TB, as key, method, path, body string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, n.url()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if as.Access != "" {
		req.Header.Set("Authorization", "Bearer "+as.token())
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// await polls until what it waits for is there, and returns it.
func await[T any](t testing.TB, what string, look func() (T, bool)) T {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		got, ok := look()
		if ok {
			return got
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come within %s: %+v", what, patience, got)
		}
		<-tick.C
	}
}
