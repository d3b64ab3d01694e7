// Package blob holds bytes outside the log: modules and large payloads by their digest (Store), and the objects of the
// object-store sink by their key (Bucket). Both go through gocloud.dev/blob, so that a directory today is an S3 bucket
// tomorrow.
package blob

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/gcerrors"
)

// ErrNotFound says that there is nothing under that key or digest.
var ErrNotFound = errors.New("not found")

// Bucket is a place for objects in a directory: plain paths, no sidecar files, temporary files beside their target.
type Bucket struct {
	dir    string
	bucket *blob.Bucket
}

// OpenBucket opens the directory and makes it if it is missing.
func OpenBucket(dir string) (*Bucket, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", dir, err)
	}
	b, err := fileblob.OpenBucket(dir, &fileblob.Options{
		CreateDir: true, DirFileMode: 0o700, NoTempDir: true, Metadata: fileblob.MetadataDontWrite,
	})
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", dir, err)
	}
	return &Bucket{dir, b}, nil
}

// Path is where a person finds the object.
func (b *Bucket) Path(key string) string { return filepath.Join(b.dir, filepath.FromSlash(key)) }

// WriteIfAbsent writes the object unless the key is taken, and reports whether it did. When it returns without an error the
// object is there and durable, whoever wrote it: file and directories are fsynced in both cases, for the one who wrote it
// first may have died before it did.
func (b *Bucket) WriteIfAbsent(ctx context.Context, key string, data []byte) (created bool, err error) {
	if err := checkKey(key); err != nil {
		return false, err
	}
	err = b.bucket.WriteAll(ctx, key, data, &blob.WriterOptions{IfNotExist: true, ContentType: "application/octet-stream"})
	switch {
	case err == nil:
		created = true
	case gcerrors.Code(err) != gcerrors.FailedPrecondition && gcerrors.Code(err) != gcerrors.AlreadyExists:
		return false, fmt.Errorf("write %s: %w", key, err)
	}
	return created, b.sync(key)
}

// Read returns the object.
func (b *Bucket) Read(ctx context.Context, key string) ([]byte, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	data, err := b.bucket.ReadAll(ctx, key)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, fmt.Errorf("read %s: %w", key, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return data, nil
}

// Has reports whether there is an object under the key.
func (b *Bucket) Has(ctx context.Context, key string) (bool, error) {
	ok, err := b.bucket.Exists(ctx, key)
	if err != nil {
		return false, fmt.Errorf("look for %s: %w", key, err)
	}
	return ok, nil
}

// Close releases the bucket.
func (b *Bucket) Close() error { return b.bucket.Close() }

// sync makes the file's content and its name durable, and the names of the directories down to it.
func (b *Bucket) sync(key string) error {
	path := b.Path(key)
	for {
		if err := syncPath(path); err != nil {
			return fmt.Errorf("sync %s: %w", key, err)
		}
		if path == b.dir || len(path) <= len(b.dir) {
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
		err = nil // a file system that cannot sync directories
	}
	return errors.Join(err, f.Close())
}

// checkKey refuses what would leave the directory or not come out as a plain path.
func checkKey(key string) error {
	for part := range strings.SplitSeq(key, "/") {
		if part == "" || part == "." || part == ".." || strings.ContainsAny(part, "\\<>:\"|?*\x00") {
			return fmt.Errorf("%q is not an object's key", key)
		}
	}
	return nil
}
