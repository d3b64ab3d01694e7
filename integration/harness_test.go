package integration

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
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

var buildOnce = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "deed-integration-")
	if err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "deed"), "deed/cmd/deed").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	for _, name := range []string{"echo", "flaky", "broken", "spin", "words"} {
		cmd := exec.Command("go", "build", "-o", filepath.Join(dir, name+".wasm"), "deed/examples/"+name)
		cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("build %s: %w\n%s", name, err, out)
		}
	}
	return dir, nil
})

// built is the folder with the binary and the examples, built once a run.
func built(t testing.TB) string {
	t.Helper()
	dir, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	stopKafkas()
	if dir, err := buildOnce(); err == nil {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// process is a node that runs as a process of its own.
type process struct {
	t      testing.TB
	cmd    *exec.Cmd
	addr   string
	broker string
	done   chan error
	words  *words // what it says on stderr; nil if that goes to ours
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start runs deed serve and returns when it has said that it is ready.
func start(t testing.TB, data, addr, broker string, args ...string) *process {
	t.Helper()
	p := &process{t: t, addr: addr, broker: broker, done: make(chan error, 1)}
	p.cmd = exec.Command(filepath.Join(built(t), "deed"), append([]string{"serve", "--data", data, "--listen", addr, "--kafka-listen", broker}, args...)...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	if err != nil || !strings.Contains(line, "http://") {
		t.Fatalf("the node did not come up: %q %v (%v)", line, err, p.cmd.Wait())
	}
	go func() {
		_, _ = io.Copy(io.Discard, lines)
		p.done <- p.cmd.Wait()
	}()
	return p
}

// kill kills -9 and waits until the process is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	select {
	case err := <-p.done:
		p.done <- err
	case <-time.After(10 * time.Second):
		p.t.Error("the process does not die")
	}
}

// call sends a request and decodes the answer; it reports the status, 0 if there was no answer.
func call(ctx context.Context, method, url, body string, out any) int {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0
	}
	if out != nil && json.Unmarshal(b, out) != nil {
		return 0
	}
	return resp.StatusCode
}

func (p *process) deploy(name, wasm, query, policy string) {
	p.t.Helper()
	module, err := os.ReadFile(filepath.Join(built(p.t), wasm+".wasm"))
	if err != nil {
		p.t.Fatal(err)
	}
	var answer map[string]any
	if s := call(p.t.Context(), "PUT", "http://"+p.addr+"/v1/functions/"+name+"?"+query, string(module), &answer); s != 200 {
		p.t.Fatalf("deploy %s: %d %v", name, s, answer)
	}
	if policy != "" {
		if s := call(p.t.Context(), "PUT", "http://"+p.addr+"/v1/functions/"+name+"/policy", policy, &answer); s != 200 {
			p.t.Fatalf("policy %s: %d %v", name, s, answer)
		}
	}
}

type listed struct {
	Invocations []struct {
		RequestID    string `json:"request_id"`
		Status       string `json:"status"`
		Notification *struct {
			Status string `json:"status"`
		} `json:"notification"`
	} `json:"invocations"`
}

// open is how many invocations have no outcome, and unsettled how many have a notification owed besides.
func (p *process) open(ctx context.Context) (open, unsettled int, ok bool) {
	for _, status := range []string{"waiting", "running"} {
		var l listed
		if call(ctx, "GET", "http://"+p.addr+"/v1/invocations?limit=10000&status="+status, "", &l) != 200 {
			return 0, 0, false
		}
		open += len(l.Invocations)
	}
	var l listed
	if call(ctx, "GET", "http://"+p.addr+"/v1/invocations?limit=10000", "", &l) != 200 {
		return 0, 0, false
	}
	for _, i := range l.Invocations {
		if i.Notification != nil && i.Notification.Status == "owed" {
			unsettled++
		}
	}
	return open, unsettled, true
}
