package wasm

import (
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/tetratelabs/wazero"
	experimental "github.com/tetratelabs/wazero/experimental/sys"
	"github.com/tetratelabs/wazero/experimental/sysfs"
	"github.com/tetratelabs/wazero/sys"

	"deed/runtime/files"
)

// mount shows a guest the files of its function as the directory /, read-only. Everything comes from a tree in memory: there
// is no path to the host's disk that could be left open. What a guest is told of a file is the same in every attempt and on
// every node: its number, its size, one time for all, and directories by name.
type mount struct {
	experimental.UnimplementedFS
	box    *sandbox
	tree   *files.Tree // nil: the function has none, and the guest no directory
	open   int         // files and directories that the guest has open
	rooted bool        // the engine has opened the root, for the descriptor that it gives every guest
}

// The bounds of what a guest can make the host hold.
const (
	maxOpen = 256
	maxPath = 4 << 10 // bytes of a path
)

// fileTime is the time of all files: that of the clock when a reactor is initialised, so none is younger than its reader.
var fileTime = initialTime.UnixNano()

// with gives a configuration with the mount in it.
func (m *mount) with(config wazero.ModuleConfig) wazero.ModuleConfig {
	return config.WithFSConfig(wazero.NewFSConfig().(sysfs.FSConfig).WithSysFSMount(m, "/")) //nolint:forcetypeassert // by its documentation
}

// find gives what a path names. The engine has made sure that it does not lead above /, and asks with a slash in front of
// what is named from an open directory.
func (m *mount) find(name string) (*files.Node, experimental.Errno) {
	m.box.goOn()
	if len(name) > maxPath {
		return nil, experimental.ENAMETOOLONG
	}
	clean := strings.TrimPrefix(path.Clean("/"+name), "/")
	if clean == "" {
		return m.tree.Root(), 0
	}
	if n, ok := m.tree.Node(clean); ok {
		if !n.Dir && strings.HasSuffix(name, "/") {
			return nil, experimental.ENOTDIR
		}
		return n, 0
	}
	for dir := path.Dir(clean); dir != "."; dir = path.Dir(dir) {
		if n, ok := m.tree.Node(dir); ok && !n.Dir {
			return nil, experimental.ENOTDIR
		}
	}
	return nil, experimental.ENOENT
}

// OpenFile implements experimental.FS.
func (m *mount) OpenFile(name string, flag experimental.Oflag, _ fs.FileMode) (experimental.File, experimental.Errno) {
	n, errno := m.find(name)
	writes := flag&(experimental.O_WRONLY|experimental.O_RDWR|experimental.O_TRUNC) != 0
	switch {
	case errno == experimental.ENOENT && flag&experimental.O_CREAT != 0:
		return nil, experimental.EROFS
	case errno != 0:
		return nil, errno
	case flag&experimental.O_CREAT != 0 && flag&experimental.O_EXCL != 0:
		return nil, experimental.EEXIST
	case !n.Dir && flag&experimental.O_DIRECTORY != 0:
		return nil, experimental.ENOTDIR
	case n.Dir && writes && flag&experimental.O_DIRECTORY == 0: // what asks for a directory with all rights means to read it
		return nil, experimental.EISDIR
	case !n.Dir && writes:
		return nil, experimental.EROFS
	}
	o := &opened{mount: m, node: n, counted: m.rooted, position: position[int64]{end: int64(len(n.Content))}}
	if m.rooted {
		m.open++
	}
	m.rooted = true // the first is the engine's: it opens the root before it asks for anything else
	return o, 0
}

// Stat implements experimental.FS.
func (m *mount) Stat(name string) (sys.Stat_t, experimental.Errno) {
	n, errno := m.find(name)
	if errno != 0 {
		return sys.Stat_t{}, errno
	}
	return status(n), 0
}

// Lstat implements experimental.FS.
func (m *mount) Lstat(name string) (sys.Stat_t, experimental.Errno) { return m.Stat(name) }

// Readlink implements experimental.FS: nothing is a link.
func (m *mount) Readlink(name string) (string, experimental.Errno) {
	if _, errno := m.find(name); errno != 0 {
		return "", errno
	}
	return "", experimental.EINVAL
}

// What would change something is refused, whatever it is about.

// Mkdir implements experimental.FS.
func (*mount) Mkdir(string, fs.FileMode) experimental.Errno    { return experimental.EROFS }
func (*mount) Chmod(string, fs.FileMode) experimental.Errno    { return experimental.EROFS } //nolint:revive // as above
func (*mount) Rename(string, string) experimental.Errno        { return experimental.EROFS } //nolint:revive // as above
func (*mount) Rmdir(string) experimental.Errno                 { return experimental.EROFS } //nolint:revive // as above
func (*mount) Unlink(string) experimental.Errno                { return experimental.EROFS } //nolint:revive // as above
func (*mount) Link(string, string) experimental.Errno          { return experimental.EROFS } //nolint:revive // as above
func (*mount) Symlink(string, string) experimental.Errno       { return experimental.EROFS } //nolint:revive // as above
func (*mount) Utimens(string, int64, int64) experimental.Errno { return experimental.EROFS } //nolint:revive // as above

// status is what a guest is told of a file.
func status(n *files.Node) sys.Stat_t {
	s := sys.Stat_t{Ino: n.Number, Mode: 0o444, Nlink: 1, Size: int64(len(n.Content)), Atim: fileTime, Mtim: fileTime, Ctim: fileTime}
	if n.Dir {
		s.Mode = fs.ModeDir | 0o555
	}
	return s
}

// position is how far a file was read. It is generic for one reason: go vet takes a method Seek of an int64 for one of
// io.Seeker's with a wrong result, and the engine's has an error number there.
type position[N ~int64] struct {
	experimental.UnimplementedFile
	at  N // bytes of a file, or entries of a directory, that are behind
	end N // bytes of a file
}

// Seek implements experimental.File.
func (p *position[N]) Seek(offset N, whence int) (N, experimental.Errno) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += p.at
	case io.SeekEnd:
		offset += p.end
	default:
		return 0, experimental.EINVAL
	}
	if offset < 0 { // a sum that is too large is, too
		return 0, experimental.EINVAL
	}
	p.at = offset
	return offset, 0
}

// opened is a file or a directory that a guest has open.
type opened struct {
	position[int64]
	mount   *mount
	node    *files.Node
	counted bool // among those that the guest has open
}

// Ino implements experimental.File.
func (o *opened) Ino() (sys.Inode, experimental.Errno) { return o.node.Number, 0 }

// IsDir implements experimental.File.
func (o *opened) IsDir() (bool, experimental.Errno) { return o.node.Dir, 0 }

// Stat implements experimental.File.
func (o *opened) Stat() (sys.Stat_t, experimental.Errno) { return status(o.node), 0 }

// Read implements experimental.File.
func (o *opened) Read(buf []byte) (int, experimental.Errno) {
	n, errno := o.Pread(buf, o.at)
	o.at += int64(n)
	return n, errno
}

// Pread implements experimental.File.
func (o *opened) Pread(buf []byte, off int64) (int, experimental.Errno) {
	o.mount.box.goOn()
	switch {
	case o.node.Dir:
		return 0, experimental.EISDIR
	case off < 0:
		return 0, experimental.EINVAL
	case off >= int64(len(o.node.Content)):
		return 0, 0
	}
	return copy(buf, o.node.Content[off:]), 0
}

// Readdir implements experimental.File.
func (o *opened) Readdir(n int) ([]experimental.Dirent, experimental.Errno) {
	o.mount.box.goOn()
	if !o.node.Dir {
		return nil, experimental.ENOTDIR
	}
	left := o.node.Entries[min(o.at, int64(len(o.node.Entries))):] // the engine seeks to the beginning only
	if n > 0 && n < len(left) {
		left = left[:n]
	}
	o.at += int64(len(left))
	out := make([]experimental.Dirent, len(left))
	for i, e := range left {
		out[i] = experimental.Dirent{Ino: e.Number, Name: e.Name(), Type: status(e).Mode.Type()}
	}
	return out, 0
}

// Write implements experimental.File: nothing is open for writing.
func (*opened) Write([]byte) (int, experimental.Errno)         { return 0, experimental.EBADF }
func (*opened) Pwrite([]byte, int64) (int, experimental.Errno) { return 0, experimental.EBADF } //nolint:revive // as above
func (*opened) Truncate(int64) experimental.Errno              { return experimental.EROFS }    //nolint:revive // as above
func (*opened) Utimens(int64, int64) experimental.Errno        { return experimental.EROFS }    //nolint:revive // as above

// SetAppend implements experimental.File. It means nothing where nothing can be written.
func (*opened) SetAppend(bool) experimental.Errno { return 0 }

// Close implements experimental.File.
func (o *opened) Close() experimental.Errno {
	if o.counted {
		o.counted = false
		o.mount.open--
	}
	return 0
}
