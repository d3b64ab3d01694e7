// Package s3test runs an S3 server on loopback for tests: versitygw on a temporary directory, built from the module beside
// this package, which is not the product's. It owns no production code.
package s3test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Credentials of the server's one account.
const (
	AccessKey = "deed-test"
	SecretKey = "deed-test-secret"
)

const program = "github.com/versity/versitygw/cmd/versitygw"

// buildWithin bounds the first build, which compiles some hundred packages; afterwards the build cache has them.
const buildWithin = 6 * time.Minute

// build makes the program, once for a user and a version of its module, and returns where it is.
var build = sync.OnceValues(func() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), buildWithin)
	defer cancel()
	here, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", "deed/integration/s3test").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "deed-tests")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", err
	}
	// One build at a time: tests of several packages ask at once, and each would compile everything.
	lock, err := os.OpenFile(filepath.Join(dir, "versitygw.lock"), os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // our own cache
	if err != nil {
		return "", err
	}
	defer func() { _ = lock.Close() }()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil { //nolint:gosec // a file descriptor
		return "", err
	}
	out := filepath.Join(dir, "versitygw")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", out, program) //nolint:gosec // our own words
	cmd.Dir = filepath.Join(strings.TrimSpace(string(here)), "versitygw")
	if b, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w: %s", program, err, b)
	}
	return out, nil
})

// Server is a running server. Its buckets are the directories in Dir.
type Server struct {
	Dir  string
	addr string

	t       testing.TB
	mu      sync.Mutex
	process *os.Process
	ended   chan struct{}
}

// Start starts a server with those buckets for as long as the test runs, and gives the test's process its credentials. It
// skips the test, with the reason, if the server cannot be built here.
func Start(tb testing.TB, buckets ...string) *Server {
	tb.Helper()
	path, err := build()
	if err != nil {
		tb.Skip("no S3 server: ", err)
	}
	for k, v := range Environment() {
		tb.Setenv(k, v)
	}
	s := &Server{Dir: filepath.Join(tb.TempDir(), "buckets"), addr: freeAddr(tb), t: tb}
	for _, b := range buckets {
		if err := os.MkdirAll(filepath.Join(s.Dir, b), 0o750); err != nil {
			tb.Fatal(err)
		}
	}
	tb.Cleanup(s.Stop)
	s.start(path)
	return s
}

// Environment is what a client's process needs.
func Environment() map[string]string {
	return map[string]string{
		"AWS_ACCESS_KEY_ID": AccessKey, "AWS_SECRET_ACCESS_KEY": SecretKey, "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_PROFILE": "", "AWS_REGION": "",
	}
}

// URL of a bucket as Deed takes it; more are further options.
func (s *Server) URL(bucket string, more ...string) string {
	return "s3://" + bucket + "?" + strings.Join(append([]string{"endpoint=http://" + s.addr, "use_path_style=true"}, more...), "&")
}

// Stop kills the server; what it has is kept.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		_ = s.process.Kill()
		<-s.ended
		s.process = nil
	}
}

// Restart starts it again at the same address.
func (s *Server) Restart() {
	s.t.Helper()
	path, err := build()
	if err != nil {
		s.t.Fatal(err)
	}
	s.Stop()
	s.start(path)
}

// start returns when the server answers.
func (s *Server) start(path string) {
	s.t.Helper()
	meta := filepath.Join(filepath.Dir(s.Dir), "meta") // not every file system has extended attributes
	if err := os.MkdirAll(meta, 0o750); err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(path, "--port", s.addr, "--keep-alive", "posix", "--sidecar", meta, s.Dir) //nolint:gosec,noctx // lives until Stop
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+AccessKey, "ROOT_SECRET_KEY="+SecretKey)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	started, ended := make(chan error, 1), make(chan struct{})
	said := make(chan string, 1)
	go func() {
		runtime.LockOSThread() // the death signal comes when the thread ends that started the process
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		var words strings.Builder
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if words.Len() < 64<<10 {
				words.WriteString(lines.Text() + "\n")
			}
		}
		_ = cmd.Wait()
		said <- words.String()
		close(ended)
	}()
	if err := <-started; err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	s.process, s.ended = cmd.Process, ended
	s.mu.Unlock()
	over := time.After(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if c, err := net.Dial("tcp", s.addr); err == nil { //nolint:noctx // loopback
			_ = c.Close()
			return
		}
		select {
		case <-tick.C:
		case <-ended:
			s.t.Fatalf("the S3 server ended: %s", <-said)
		case <-over:
			s.t.Fatal("the S3 server does not answer")
		}
	}
}

func freeAddr(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // binds at once
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
