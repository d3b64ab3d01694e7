package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// stateFile is a file that the broker appends to and now and then replaces by a shorter one: the offsets of groups, the ids
// of producers. It does not sync the new one before it renames it, so after a power loss the name may lead to a file
// without its content. Hence the last one that was synced is kept under a second name.
type stateFile struct {
	path string
	file *os.File
	ino  uint64
	size int64
	kept uint64 // the file that has the second name
}

func (f *stateFile) second() string { return f.path + ".kept" }

func (f *stateFile) sync(d disk) (replaced bool, err error) {
	var st syscall.Stat_t
	if err := syscall.Stat(f.path, &st); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return false, fmt.Errorf("stat %s: %w", f.path, err)
	}
	if f.file == nil || st.Ino != f.ino {
		f.close()
		if f.file, err = os.Open(f.path); err != nil {
			return false, err
		}
		now, err := f.file.Stat() // the path may lead to yet another one by now
		if err != nil {
			return false, err
		}
		st = *now.Sys().(*syscall.Stat_t) //nolint:forcetypeassert // what Unix has
		f.ino, f.size, replaced = st.Ino, -1, true
	}
	if st.Size == f.size {
		return false, nil
	}
	f.size = st.Size
	return replaced, d.sync(f.file)
}

// keep gives the second name to the file that was synced. If that fails the one before is kept, which is as good.
func (f *stateFile) keep() {
	if f.file == nil || f.kept == f.ino {
		return
	}
	tmp := f.second() + ".tmp"
	var st syscall.Stat_t
	if _ = os.Remove(tmp); os.Link(f.path, tmp) == nil && syscall.Stat(tmp, &st) == nil && st.Ino == f.ino && os.Rename(tmp, f.second()) == nil {
		f.kept = f.ino
	}
}

func (f *stateFile) close() {
	if f.file != nil {
		_ = f.file.Close() // was read only
		f.file = nil
	}
}
