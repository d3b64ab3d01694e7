package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

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
