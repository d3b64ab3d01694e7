package embedded

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestSyncFails: after a sync that failed no response leaves, and the broker says so. What was acknowledged before is there.
func TestSyncFails(t *testing.T) {
	for name, of := range map[string]string{"journal": "journal.", "segment": ".dat", "groups": "pids.log"} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			broken := false
			disk := disk{journal: 64 << 10, syncDir: syncDir, sync: func(f *os.File) error {
				mu.Lock()
				defer mu.Unlock()
				if broken && strings.Contains(filepath.Base(f.Name()), of) {
					return fmt.Errorf("sync %s: %w", f.Name(), syscall.EIO)
				}
				return datasync(f)
			}}
			dir := t.TempDir()
			b, err := open(Config{Dir: dir, Log: quiet}, disk)
			if err != nil {
				t.Fatal(err)
			}
			w, done := wants(300)
			stop := load(t, b, 2, w, "a")
			<-done
			mu.Lock()
			broken = true
			mu.Unlock()
			if of == "pids.log" {
				if n, err := initProducer(t, b.Addr()).Read(make([]byte, 1)); err == nil {
					t.Errorf("%d bytes of a response came", n)
				}
			}
			err = <-b.Failed()
			stop()
			if !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), dir) {
				t.Errorf("failed with %v", err)
			}
			if c, err := net.Dial("tcp", b.Addr()); err == nil {
				if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("a client is served: %v", err)
				}
				_ = c.Close()
			}
			if err := b.Close(); !errors.Is(err, syscall.EIO) {
				t.Errorf("closed with %v", err)
			}
			verify(t, dir, 2, w.statement())
		})
	}
}

// initProducer asks for a producer id and leaves the answer to be read.
func initProducer(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	req := kmsg.NewPtrInitProducerIDRequest()
	if _, err := c.Write(kmsg.NewRequestFormatter().AppendRequest(nil, req, 1)); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestDiskFull: when the disk is full appends fail and the broker says why; nothing that was acknowledged is lost, and with
// room again it goes on.
func TestDiskFull(t *testing.T) {
	for _, how := range []Durability{Fsync, Process} {
		t.Run(fmt.Sprint(how), func(t *testing.T) {
			mount := t.TempDir()
			if err := syscall.Mount("none", mount, "tmpfs", 0, "size=12m"); err != nil {
				t.Skipf("a file system of limited size cannot be mounted: %v", err)
			}
			defer func() {
				if err := syscall.Unmount(mount, 0); err != nil {
					t.Error(err)
				}
			}()
			ballast := filepath.Join(mount, "ballast")
			if err := os.WriteFile(ballast, make([]byte, 6<<20), 0o600); err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(mount, "log")
			b, err := Open(Config{Dir: dir, Durability: how, Log: quiet})
			if err != nil {
				t.Fatal(err)
			}
			w := &witness{all: map[spot]string{}}
			stop := load(t, b, 2, w, "full")
			err = <-b.Failed()
			stop()
			if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "no space left on the device of "+dir) {
				t.Errorf("failed with %v", err)
			}
			_ = b.Close() // says why it failed
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			if len(w.statement()) == 0 {
				t.Error("nothing was acknowledged")
			}
			verify(t, dir, 2, w.statement())
			if b, err = Open(Config{Dir: dir, Durability: how, Log: quiet}); err != nil {
				t.Fatal(err)
			}
			more, done := wants(200)
			stop = load(t, b, 2, more, "more")
			<-done
			stop()
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestJunk: what is not of the protocol costs a connection and nothing else.
func TestJunk(t *testing.T) {
	b, err := Open(Config{Dir: t.TempDir(), Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	unknown := binary.BigEndian.AppendUint32(nil, 20)
	unknown = append(unknown, 0x7f, 0x7f)
	for name, junk := range map[string][]byte{
		"another protocol":  []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
		"an unknown key":    append(unknown, make([]byte, 18)...),
		"nothing in it":     make([]byte, 64),
		"far too much":      append([]byte{0x7f, 0xff, 0xff, 0xff}, make([]byte, 64)...),
		"a body of garbage": append([]byte{0, 0, 0, 60, 0, 3, 0, 9}, bytes.Repeat([]byte{0xff}, 56)...),
	} {
		c, err := net.Dial("tcp", b.Addr())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write(junk)
		if n, err := c.Read(make([]byte, 1)); err == nil {
			t.Errorf("%s: %d bytes came back", name, n)
		}
		_ = c.Close()
	}
	w, done := wants(10)
	stop := load(t, b, 1, w, "x")
	<-done
	stop()
}
