package files

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"deed/domain"
)

// The bounds of a tree.
const (
	MaxEntries = 10_000   // files and directories
	MaxBytes   = 64 << 20 // of all files together
	MaxPath    = 512      // bytes of a name with its directories
	maxName    = 255      // bytes of one part of it
)

// Tree is a directory with all that is in it. It never changes, and is shared by attempts.
type Tree struct {
	nodes  map[string]*Node // by path; the root's is "."
	digest func() domain.Digest
}

// Node is a file or a directory.
type Node struct {
	Path    string  // from the root, without a slash before or behind; the root's is "."
	Number  uint64  // 1 for the root, then by the order of paths: the same wherever the tree is read
	Dir     bool    // else it is a file
	Content []byte  // of a file; not to be changed
	Entries []*Node // of a directory, by name
}

// Name is the last part of the path.
func (n *Node) Name() string { return path.Base(n.Path) }

// Root is the directory that holds all others.
func (t *Tree) Root() *Node { return t.nodes["."] }

// Node is what has that path.
func (t *Tree) Node(path string) (*Node, bool) {
	n, ok := t.nodes[path]
	return n, ok
}

// Digest is the SHA-256 of the archive.
func (t *Tree) Digest() domain.Digest { return t.digest() }

// Files is how many files there are, and how many bytes are in them.
func (t *Tree) Files() (count int, size int64) {
	for _, n := range t.nodes {
		if !n.Dir {
			count++
			size += int64(len(n.Content))
		}
	}
	return count, size
}

// paths are those of all nodes but the root, in their order: a directory comes before what is in it.
func (t *Tree) paths() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(t.nodes)), func(p string) bool { return p == "." })
}

// Builder collects a tree. Its errors are rejections that name the entry.
type Builder struct {
	nodes map[string]*Node
	given map[string]bool // what was added itself, and not as the directory of something
	size  int64
}

// Dir adds a directory, and those that it is in.
func (b *Builder) Dir(name string) error {
	return b.add(name, &Node{Path: name, Dir: true})
}

// File adds a file, and the directories that it is in. The content is kept, not copied.
func (b *Builder) File(name string, content []byte) error {
	if err := b.Room(name, int64(len(content))); err != nil {
		return err
	}
	if err := b.add(name, &Node{Path: name, Content: content}); err != nil {
		return err
	}
	b.size += int64(len(content))
	return nil
}

// Room refuses a file of so many bytes for which there is no room left: it is asked before the file is read.
func (b *Builder) Room(name string, size int64) error {
	if size < 0 || size > MaxBytes-b.size {
		return domain.Reject(domain.CodeTooLarge, fmt.Sprintf("the files have more than %d MiB together; %s is the first that is too much", MaxBytes>>20, quote(name)), "put large data into an object store, or into the event")
	}
	return nil
}

func (b *Builder) add(name string, n *Node) error {
	if err := checkName(name); err != nil {
		return err
	}
	if b.nodes == nil {
		b.nodes, b.given = map[string]*Node{".": {Path: ".", Dir: true}}, map[string]bool{}
	}
	there := b.nodes[name]
	switch {
	case b.given[name]:
		return refuse("%s is there twice", quote(name))
	case there != nil && !n.Dir:
		return refuse("%s is both a file and a directory", quote(name))
	case there == nil:
		b.nodes[name] = n
	}
	b.given[name] = true
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if parent := b.nodes[dir]; parent == nil {
			b.nodes[dir] = &Node{Path: dir, Dir: true}
		} else if !parent.Dir {
			return refuse("%s is both a file and a directory", quote(dir))
		}
	}
	if len(b.nodes)-1 > MaxEntries {
		return domain.Reject(domain.CodeTooLarge, fmt.Sprintf("there are more than %d files and directories", MaxEntries), "pack many small files into one that the function reads")
	}
	return nil
}

// Tree is what was added; nothing may be added any more. One without a file is refused: it is a mistake, for to have no files
// is to be deployed without a directory.
func (b *Builder) Tree() (*Tree, error) {
	t := &Tree{nodes: b.nodes}
	if count, _ := t.Files(); count == 0 {
		return nil, domain.Reject(domain.CodeInvalid, "the directory holds no file", "deploy without it: then the function has no files")
	}
	t.Root().Number = 1
	for i, p := range t.paths() {
		n, dir := t.nodes[p], t.nodes[path.Dir(p)]
		n.Number = uint64(i) + 2 //nolint:gosec // at most MaxEntries
		dir.Entries = append(dir.Entries, n)
	}
	t.digest = sync.OnceValue(func() domain.Digest { return domain.DigestOf(t.Archive()) })
	return t, nil
}

// checkName refuses what is not a path below a root, or would mean different things to different programs.
func checkName(name string) error {
	switch {
	case strings.HasPrefix(name, "/"):
		return refuse("%s has an absolute name", quote(name))
	case slices.Contains(strings.Split(name, "/"), ".."):
		return refuse("%s has a name that leads out of the directory", quote(name))
	case len(name) > MaxPath:
		return refuse("%s has a name of %d bytes; the limit is %d, directories included", quote(name), len(name), MaxPath)
	case name == "." || !fs.ValidPath(name):
		return refuse("%s is not a name: it is not UTF-8, or a part of it is empty or a point", quote(name))
	case strings.Contains(name, `\`) || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return refuse("%s has a backslash or a control character in its name", quote(name))
	}
	for part := range strings.SplitSeq(name, "/") {
		if len(part) > maxName {
			return refuse("%s has a name of %d bytes; the limit is %d between two slashes", quote(part), len(part), maxName)
		}
	}
	return nil
}

// refuse is a rejection of what was given.
func refuse(format string, args ...any) error {
	return domain.Reject(domain.CodeInvalid, fmt.Sprintf(format, args...), "a function's files are regular files and directories")
}

// quote is a name for a person, cut where it is long.
func quote(name string) string {
	if len(name) > 80 {
		return fmt.Sprintf("%q…", name[:80])
	}
	return fmt.Sprintf("%q", name)
}
