package files

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"deed/domain"
)

// MaxArchive bounds an archive that comes in: MaxBytes, and what the headers of MaxEntries entries take.
const MaxArchive = MaxBytes + 32<<20

// The modes of all that is in an archive.
const (
	modeFile = 0o444
	modeDir  = 0o555
)

// Archive is the tree as a tar archive, which is the same for the same tree.
func (t *Tree) Archive() []byte {
	count, size := t.Files()
	var out bytes.Buffer
	out.Grow(int(size) + 1024*(count+2))
	w := tar.NewWriter(&out)
	for _, p := range t.paths() {
		n := t.nodes[p]
		// The format is said, so that what the writer would choose for a name does not matter; nothing but the name can need
		// more than a plain header.
		h := &tar.Header{Typeflag: tar.TypeReg, Name: p, Size: int64(len(n.Content)), Mode: modeFile, ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
		if n.Dir {
			h.Typeflag, h.Name, h.Mode = tar.TypeDir, p+"/", modeDir
		}
		err := w.WriteHeader(h)
		if err == nil {
			_, err = w.Write(n.Content)
		}
		if err != nil {
			panic(fmt.Sprintf("archive of %q: %v", p, err)) // unreachable: names were checked, and a buffer takes everything
		}
	}
	if err := w.Close(); err != nil {
		panic(fmt.Sprintf("end of an archive: %v", err)) // as above
	}
	return out.Bytes()
}

// Open reads a tar archive: one of Archive's, or any other of regular files and directories within the bounds. The tree's files
// are parts of it, so it must not be changed any more. The error is a *domain.Rejection.
func Open(archive []byte) (*Tree, error) {
	if len(archive) > MaxArchive {
		return nil, domain.Reject(domain.CodeTooLarge, fmt.Sprintf("the archive has %d bytes; the limit is %d (%d MiB)", len(archive), MaxArchive, MaxArchive>>20), "")
	}
	var b Builder
	r := bytes.NewReader(archive)
	entries := tar.NewReader(r)
	for n := 0; ; n++ {
		h, err := entries.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, domain.Reject(domain.CodeInvalid, "the files are not a tar archive that can be read: "+strings.TrimPrefix(err.Error(), "archive/tar: "), "deed deploy --dir makes one; so does tar -c -C DIRECTORY .")
		}
		if n > 2*MaxEntries { // what is passed over counts, too
			return nil, domain.Reject(domain.CodeTooLarge, fmt.Sprintf("the archive has more than %d entries", 2*MaxEntries), "")
		}
		// The reader reads a header and nothing of what follows: the content begins where it stands.
		if err := b.entry(h, archive[len(archive)-r.Len():]); err != nil {
			return nil, err
		}
	}
	t, err := b.Tree()
	if err != nil {
		return nil, err
	}
	t.digest = sync.OnceValue(func() domain.Digest { return domain.DigestOf(archive) })
	return t, nil
}

// entry adds one of an archive, whose content is at the beginning of what is left.
func (b *Builder) entry(h *tar.Header, left []byte) error {
	name := strings.TrimPrefix(h.Name, "./") // as tar writes it
	switch h.Typeflag {
	case tar.TypeXGlobalHeader:
		return nil // git archive's, of the whole
	case tar.TypeDir:
		if name = strings.TrimSuffix(name, "/"); name == "" || name == "." {
			return nil // the directory itself
		}
		return b.Dir(name)
	case tar.TypeReg:
	case tar.TypeSymlink:
		return refuse("%s is a symbolic link", quote(h.Name))
	case tar.TypeLink:
		return refuse("%s is a hard link", quote(h.Name))
	default:
		return refuse("%s is neither a regular file nor a directory", quote(h.Name))
	}
	for k := range h.PAXRecords {
		if strings.HasPrefix(k, "GNU.sparse.") { // its content is not what follows
			return refuse("%s is a sparse file", quote(h.Name))
		}
	}
	if err := b.Room(name, h.Size); err != nil {
		return err
	}
	if h.Size > int64(len(left)) {
		return refuse("%s is longer than what is left of the archive", quote(h.Name))
	}
	return b.File(name, left[:h.Size:h.Size])
}
