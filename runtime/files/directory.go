package files

import (
	"fmt"
	"io"
	"io/fs"

	"deed/domain"
)

// Collect reads a directory with all that is in it. What is not a regular file or a directory is refused, symbolic links as
// well: what they lead to is not the same on every machine. Everything is counted before it is read.
func Collect(dir fs.FS) (*Tree, error) {
	var b Builder
	err := fs.WalkDir(dir, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == ".":
			if !d.IsDir() {
				return domain.Reject(domain.CodeInvalid, "it is not a directory", "name the directory that is to be the function's root")
			}
			return nil
		case d.IsDir():
			return b.Dir(name)
		case d.Type()&fs.ModeSymlink != 0:
			return refuse("%s is a symbolic link", quote(name))
		case !d.Type().IsRegular():
			return refuse("%s is neither a regular file nor a directory", quote(name))
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if err := b.Room(name, info.Size()); err != nil {
			return err
		}
		content, err := read(dir, name, info.Size())
		if err != nil {
			return err
		}
		return b.File(name, content)
	})
	if err != nil {
		return nil, err
	}
	return b.Tree()
}

// read reads a file that is to have so many bytes. One that grows is not read without end.
func read(dir fs.FS, name string, size int64) ([]byte, error) {
	f, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	content, err := io.ReadAll(io.LimitReader(f, size+1))
	if err == nil && int64(len(content)) != size {
		err = fmt.Errorf("read %s: it changed while it was read", quote(name))
	}
	return content, err
}
