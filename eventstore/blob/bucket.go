// Package blob holds bytes outside the log: modules and large payloads by their digest (Store), and the objects of the
// object-store sink by their key (Bucket). Both go through gocloud.dev/blob, so that a directory today is an S3 bucket
// tomorrow.
package blob

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"unicode/utf8"

	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/gcerrors"
)

// ErrNotFound says that there is nothing under that key or digest.
var ErrNotFound = errors.New("not found")

// dirMode is the mode of directories the bucket makes: payloads may be private.
const dirMode = 0o700

// Bucket is a place for objects in a directory: plain paths, no sidecar files, temporary files beside their target. Its
// methods may be called concurrently. One process writes to a directory at a time: between processes the check for
// absence and the write are two steps.
type Bucket struct {
	dir     string // absolute
	bucket  *blob.Bucket
	seed    maphash.Seed
	durable sync.Map       // directories whose names are durable
	writes  [64]sync.Mutex // by key: fileblob looks for the file and renames in two steps, its lock is the writer's own
}

// OpenBucket opens the directory. It makes it, and those above it, if they are missing, durably: their names are fsynced
// before it returns.
func OpenBucket(dir string) (*Bucket, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", dir, err)
	}
	missing := abs // becomes the deepest directory that is there already
	for missing != filepath.Dir(missing) {
		if _, err := os.Stat(missing); err == nil || !os.IsNotExist(err) {
			break
		}
		missing = filepath.Dir(missing)
	}
	b, err := fileblob.OpenBucket(abs, &fileblob.Options{
		CreateDir: true, DirFileMode: dirMode, NoTempDir: true, Metadata: fileblob.MetadataDontWrite,
	})
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", dir, err)
	}
	if missing != abs {
		if err := syncUp(abs, missing); err != nil {
			return nil, errors.Join(fmt.Errorf("open bucket %s: %w", dir, err), b.Close())
		}
	}
	return &Bucket{dir: abs, bucket: b, seed: maphash.MakeSeed()}, nil
}

// Path is where a person finds the object: an absolute path, whether or not the object is there. It is for keys that
// WriteIfAbsent takes.
func (b *Bucket) Path(key string) string { return filepath.Join(b.dir, filepath.FromSlash(key)) }

// WriteIfAbsent writes the object unless the key is taken, and reports whether it did; of concurrent writers of this
// Bucket one does. When it returns without an error the object is there and durable, whoever wrote it: file and
// directories are fsynced in both cases, for the one who wrote it first may have died before it did.
//
// A key is segments separated by "/"; one with an empty segment (so, a leading slash), ".", ".." or characters that would
// not come out as a plain path is refused before anything is written. With any error but that the object may or may not
// be there; created says then whether this call put it there, and writing it again is safe.
func (b *Bucket) WriteIfAbsent(ctx context.Context, key string, data []byte) (created bool, err error) {
	if err := checkKey(key); err != nil {
		return false, err
	}
	lock := &b.writes[maphash.String(b.seed, key)%uint64(len(b.writes))]
	lock.Lock()
	defer lock.Unlock()
	if info, err := os.Stat(b.Path(key)); err == nil && info.IsDir() {
		// Said here because fileblob takes a directory for an object that is there.
		return false, fmt.Errorf("write %s: there are objects below that key", key)
	}
	err = b.write(ctx, key, data)
	switch {
	case err == nil:
		created = true
	case gcerrors.Code(err) != gcerrors.FailedPrecondition:
		return false, fmt.Errorf("write %s: %w", key, err)
	}
	if err := b.settle(b.Path(key)); err != nil {
		return created, fmt.Errorf("write %s: %w", key, err)
	}
	return created, nil
}

// settle makes the file durable, and its name, and the names of the directories above it. A directory's own name is made so
// once in the life of the bucket, for nobody renames it.
func (b *Bucket) settle(path string) error {
	if err := syncPath(path); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if err := syncPath(dir); err != nil {
			return fmt.Errorf("sync: %w", err)
		}
		if _, known := b.durable.Load(dir); known || dir == b.dir || dir == filepath.Dir(dir) {
			break
		}
	}
	for dir := filepath.Dir(path); dir != b.dir && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, known := b.durable.LoadOrStore(dir, struct{}{}); known {
			break
		}
	}
	return nil
}

// write fsyncs the temporary file before it gets its name: a crash leaves the whole object or none, never a torn one that
// IfNotExist would then protect.
func (b *Bucket) write(ctx context.Context, key string, data []byte) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var file *os.File
	w, err := b.bucket.NewWriter(ctx, key, &blob.WriterOptions{
		IfNotExist:  true,
		ContentType: "application/octet-stream", // with it the file is opened now and written to directly
		BeforeWrite: func(as func(any) bool) error {
			if !as(&file) {
				return errors.New("not written to a file")
			}
			return nil
		},
	})
	if err != nil {
		return err
	}
	if _, err = w.Write(data); err == nil {
		err = file.Sync()
	}
	if err != nil {
		cancel() // makes Close give the write up
		return errors.Join(err, ignore(w.Close(), context.Canceled))
	}
	return w.Close()
}

func ignore(err, expected error) error {
	if errors.Is(err, expected) || gcerrors.Code(err) == gcerrors.Canceled {
		return nil
	}
	return err
}

// Read returns the object; the error is ErrNotFound if there is none.
func (b *Bucket) Read(ctx context.Context, key string) ([]byte, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	data, err := b.bucket.ReadAll(ctx, key)
	if absent(err) {
		return nil, fmt.Errorf("read %s: %w", key, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return data, nil
}

// Has reports whether there is an object under the key. It reads no content.
func (b *Bucket) Has(ctx context.Context, key string) (bool, error) {
	if err := checkKey(key); err != nil {
		return false, err
	}
	ok, err := b.bucket.Exists(ctx, key)
	if err != nil && !absent(err) {
		return false, fmt.Errorf("look for %s: %w", key, err)
	}
	return ok, nil
}

// Close releases the bucket. What was written is durable already.
func (b *Bucket) Close() error { return b.bucket.Close() }

// absent reports whether err says that there is no such object, also because an object stands where its directory would.
func absent(err error) bool {
	return err != nil && (gcerrors.Code(err) == gcerrors.NotFound || errors.Is(err, syscall.ENOTDIR))
}

// syncUp makes the content of path durable and its name, and the names of the directories down to it from top on. Path
// is top or below it; both are absolute and clean.
func syncUp(path, top string) error {
	for {
		if err := syncPath(path); err != nil {
			return fmt.Errorf("sync: %w", err)
		}
		if path == top || path == filepath.Dir(path) {
			return nil
		}
		path = filepath.Dir(path)
	}
}

func syncPath(path string) error {
	f, err := os.Open(path) //nolint:gosec // below the bucket's directory
	if err != nil {
		return err
	}
	err = f.Sync()
	if errors.Is(err, syscall.EINVAL) {
		if info, serr := f.Stat(); serr == nil && info.IsDir() {
			err = nil // a file system that cannot sync directories
		}
	}
	return errors.Join(err, f.Close())
}

// maxSegment is the longest segment of a key in bytes: 255, what file systems take, less what fileblob appends to the
// name of a temporary file (a point, 16 hexadecimal digits, ".tmp").
const maxSegment = 255 - 21

// checkKey refuses what would leave the directory or not come out as a plain path. That is more than what fileblob
// refuses: it escapes control characters, the slash after a segment that ends in ".." and what looks like its escapes
// ("__0x2f__"), and takes "x.attrs" for the sidecar of "x" even if it writes none.
func checkKey(key string) error {
	if !utf8.ValidString(key) {
		return fmt.Errorf("%q is not an object's key: not UTF-8", key)
	}
	for part := range strings.SplitSeq(key, "/") {
		switch {
		case part == "":
			return fmt.Errorf("%q is not an object's key: an empty segment", key)
		case part == "." || strings.HasSuffix(part, ".."):
			return fmt.Errorf("%q is not an object's key: segment %q", key, part)
		case strings.Contains(part, "__0x"):
			return fmt.Errorf("%q is not an object's key: __0x is reserved", key)
		case strings.HasSuffix(part, ".attrs"):
			return fmt.Errorf("%q is not an object's key: .attrs is reserved", key)
		case len(part) > maxSegment:
			return fmt.Errorf("%.40q… is not an object's key: a segment of %d bytes, at most %d", key, len(part), maxSegment)
		case strings.ContainsAny(part, "\\<>:\"|?*\x7f") || strings.ContainsFunc(part, func(r rune) bool { return r < ' ' }):
			return fmt.Errorf("%q is not an object's key: a character that is not plain in a path", key)
		}
	}
	return nil
}
