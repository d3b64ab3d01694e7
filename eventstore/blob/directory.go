package blob

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/gcerrors"
)

// dirMode is the mode of directories the bucket makes: payloads may be private.
const dirMode = 0o700

// directory is a place on a file system: plain paths, no sidecar files, temporary files beside their target. One process
// writes to a directory at a time: between processes the check for absence and the write are two steps.
type directory struct {
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
	return &Bucket{&directory{dir: abs, bucket: b, seed: maphash.MakeSeed()}}, nil
}

func (b *directory) path(key string) string { return filepath.Join(b.dir, filepath.FromSlash(key)) }

// writeIfAbsent fsyncs file and directories in both cases, for the one who wrote it first may have died before it did.
func (b *directory) writeIfAbsent(ctx context.Context, key string, data []byte) (created bool, err error) {
	lock := &b.writes[maphash.String(b.seed, key)%uint64(len(b.writes))]
	lock.Lock()
	defer lock.Unlock()
	if info, err := os.Stat(b.path(key)); err == nil && info.IsDir() {
		// Said here because fileblob takes a directory for an object that is there.
		return false, errors.New("there are objects below that key")
	}
	err = b.write(ctx, key, data)
	switch {
	case err == nil:
		created = true
	case gcerrors.Code(err) != gcerrors.FailedPrecondition:
		return false, err
	}
	return created, b.settle(key)
}

// settle makes the file durable, and its name, and the names of the directories above it. A directory's own name is made so
// once in the life of the bucket, for nobody renames it.
func (b *directory) settle(key string) error {
	path := b.path(key)
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
func (b *directory) write(ctx context.Context, key string, data []byte) error {
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

func (b *directory) read(ctx context.Context, key string) ([]byte, error) {
	data, err := b.bucket.ReadAll(ctx, key)
	if absent(err) {
		return nil, ErrNotFound
	}
	return data, err
}

func (b *directory) size(ctx context.Context, key string) (int64, error) {
	a, err := b.bucket.Attributes(ctx, key)
	if absent(err) {
		return 0, ErrNotFound
	}
	if err != nil {
		return 0, err
	}
	return a.Size, nil
}

func (b *directory) close() error { return b.bucket.Close() }

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
