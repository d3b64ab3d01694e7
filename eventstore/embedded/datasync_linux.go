package embedded

import (
	"os"
	"syscall"
)

// datasync makes what was written to a file durable, and as much about the file as is needed to read it. Unlike fsync it
// does not wait for the time of the write to be stored, which is what makes overwriting a journal cheap.
func datasync(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) {
		for {
			if failed = syscall.Fdatasync(int(fd)); failed != syscall.EINTR { //nolint:errorlint,gosec // an errno, a descriptor
				return
			}
		}
	}); err != nil {
		return err
	}
	if failed != nil {
		return &os.PathError{Op: "fdatasync", Path: f.Name(), Err: failed}
	}
	return nil
}
