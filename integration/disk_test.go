package integration

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDiskFull: when the disk under the data directory is full the node stops with the reason, and nothing that was accepted is
// lost; when there is room again, it goes on where it was.
func TestDiskFull(t *testing.T) {
	s := newStage(t, nil)
	s.dir = filepath.Join(s.dir, "small")
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", s.dir, "tmpfs", 0, "size=40m"); err != nil {
		t.Skip("a small disk cannot be mounted:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(s.dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	p := s.node(0)
	s.deploy()
	s.fire(ctx, 50, 4, "echo", "flaky")
	ballast := filepath.Join(s.dir, "ballast")
	fill(t, ballast)
	var said error
	for said == nil && ctx.Err() == nil { // until the node has had enough
		var a struct {
			RequestID string `json:"request_id"`
		}
		one, stop := context.WithTimeout(ctx, 2*time.Second)
		if call(one, "POST", "http://"+p.addr+"/v1/functions/echo/invocations", fmt.Sprintf("%q", strings.Repeat("x", 30_000)), &a) == 202 {
			s.accepted[a.RequestID] = "echo"
		}
		stop()
		select {
		case said = <-p.done:
			p.done <- said
		default:
		}
	}
	if words := p.words.last(10_000); !strings.Contains(words, "no space left") || !strings.Contains(words, filepath.Join(s.dir, "node0")) {
		t.Errorf("it ended with %v and said:\n%s", said, words)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	s.node(0)
	s.fire(ctx, 50, 4, "echo", "flaky")
	s.settle(ctx, 0)
	s.judged()
}

// fill writes a file until the disk is nearly full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 64<<10); ; {
		if _, err := f.Write(block); err != nil {
			break
		}
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(info.Size() - 256<<10); err != nil {
		t.Fatal(err)
	}
}

// segments are the files that hold the records of the topic of invocations.
func (s *stage) segments() (out []string) {
	s.t.Helper()
	err := filepath.WalkDir(filepath.Join(s.dir, "node0", "log"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".dat") && strings.Contains(path, "invocations") {
			if info, err := d.Info(); err == nil && info.Size() > 2000 {
				out = append(out, path)
			}
		}
		return err
	})
	if err != nil || len(out) == 0 {
		s.t.Fatal("no segments:", err)
	}
	return out
}

// TestDamagedLog: a batch that a crash left half written at the end of the log is cut, and said; a flipped bit in the middle is
// refused, with file and offset, and nothing is changed.
func TestDamagedLog(t *testing.T) {
	s := newStage(t, nil)
	s.args = append(s.args, "--durability", "process")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s.node(0)
	s.deploy()
	s.fire(ctx, 100, 4, "echo", "flaky")
	s.settle(ctx, 0)
	s.kill(0)
	segment := s.segments()[0]
	whole, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(segment, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(whole[:100]); err != nil { // the beginning of a batch, which a crash cut short
		t.Fatal(err)
	}
	_ = f.Close()
	p := s.node(0)
	if words := p.words.last(10_000); !strings.Contains(words, filepath.Base(segment)) {
		t.Errorf("the repair is not told of:\n%s", words)
	}
	s.fire(ctx, 20, 4, "echo")
	s.settle(ctx, 0)
	s.judged()

	s.kill(0)
	if whole, err = os.ReadFile(segment); err != nil {
		t.Fatal(err)
	}
	broken := append([]byte(nil), whole...)
	broken[len(broken)/2] ^= 4
	if err := os.WriteFile(segment, broken, 0o600); err != nil {
		t.Fatal(err)
	}
	out := s.refuses()
	if !strings.Contains(out, filepath.Base(segment)) || !strings.Contains(out, "offset") {
		t.Errorf("the node says: %s", out)
	}
	t.Log(strings.TrimSpace(out))
	if after, err := os.ReadFile(segment); err != nil || string(after) != string(broken) {
		t.Error("the damaged file was changed", err)
	}
}
