package embedded

import (
	"errors"
	"os"
	"syscall"
)

// stateFile is a file of the broker's state. It appends to some (the offsets of groups, the ids of producers) and now and
// then replaces them by a shorter one; others (the topics) it always replaces. That is seen by the links of the file that is
// held open.
//
// The broker does not sync what replaces a log before it renames it, so after a power loss the name may lead to a file
// without its content. Hence the last one that was synced is kept under a second name.
type stateFile struct {
	path string
	log  bool // it is appended to, and not synced by the broker
	file *os.File
	size int64
	kept bool // this file has the second name
}

func openState(path string, log bool) (*stateFile, error) {
	f := &stateFile{path: path, log: log}
	if !log {
		return f, f.open()
	}
	made, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o600) //nolint:gosec // the operator's directory
	if err != nil {
		return nil, err
	}
	return f, errors.Join(made.Close(), f.open())
}

func (f *stateFile) open() (err error) {
	f.close()
	f.size, f.kept = -1, false
	f.file, err = os.Open(f.path)
	return err
}

// sync makes durable what was appended to the file; replaced says that its name may not be durable.
func (f *stateFile) sync(d disk) (replaced bool, err error) {
	var st syscall.Stat_t
	for {
		if err := stat(f.file, &st); err != nil {
			return false, err
		}
		if links := st.Nlink; links > 1 || (links == 1 && !f.kept) {
			break
		}
		if err := f.open(); err != nil {
			return false, err
		}
		replaced = true
	}
	if !f.log || st.Size == f.size {
		return replaced, nil
	}
	f.size = st.Size
	return replaced, d.sync(f.file)
}

// keep gives the second name to the file that was synced. If that fails the one before keeps it, which is as good.
func (f *stateFile) keep() {
	if !f.log || f.kept {
		return
	}
	tmp := f.path + ".kept.tmp"
	if _ = os.Remove(tmp); os.Link(f.path, tmp) != nil {
		return
	}
	linked, err := os.Stat(tmp)
	mine, err2 := f.file.Stat()
	if err == nil && err2 == nil && os.SameFile(linked, mine) { // else it was replaced meanwhile
		f.kept = os.Rename(tmp, f.path+".kept") == nil
	}
}

func (f *stateFile) close() {
	if f.file != nil {
		_ = f.file.Close() // was read only
		f.file = nil
	}
}
