// Package blob holds bytes outside the log: modules and large payloads by their digest (Store), and the objects of the
// object-store sink by their key (Bucket). They are in a directory or in an S3 bucket, both through gocloud.dev/blob.
package blob

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// ErrNotFound says that there is nothing under that key or digest.
var ErrNotFound = errors.New("not found")

// Bucket is a place for objects, which are written once. Its methods may be called concurrently.
type Bucket struct{ place place }

// place is where a bucket's objects are: a directory, or S3 below a prefix. Keys have been checked; errors say neither
// operation nor key, and are ErrNotFound itself for what is not there.
type place interface {
	path(key string) string
	writeIfAbsent(ctx context.Context, key string, data []byte) (created bool, err error)
	read(ctx context.Context, key string) ([]byte, error)
	size(ctx context.Context, key string) (int64, error)
	list(ctx context.Context, prefix string, fn func(key string, size int64) error) error
	settle(key string) error // makes durable what is there
	close() error
}

// Path is where a person finds the object, whether or not it is there: an absolute path, or s3://bucket/key. It is for
// keys that WriteIfAbsent takes.
func (b *Bucket) Path(key string) string { return b.place.path(key) }

// WriteIfAbsent writes the object unless the key is taken, and reports whether it did; of concurrent writers of this
// Bucket one does, and in S3 of all. When it returns without an error the object is there and durable, whoever wrote it.
//
// A key is segments separated by "/"; one with an empty segment (so, a leading slash), ".", ".." or characters that would
// not come out as a plain path is refused before anything is written. With any error but that the object may or may not
// be there; created says then whether this call put it there, and writing it again is safe. In S3 created may be false for
// a write of our own whose first answer was lost: who must know compares.
func (b *Bucket) WriteIfAbsent(ctx context.Context, key string, data []byte) (created bool, err error) {
	if err := checkKey(key); err != nil {
		return false, err
	}
	created, err = b.place.writeIfAbsent(ctx, key, data)
	if err != nil {
		return created, fmt.Errorf("write %s: %w", key, err)
	}
	return created, nil
}

// Read returns the object; the error is ErrNotFound if there is none.
func (b *Bucket) Read(ctx context.Context, key string) ([]byte, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	data, err := b.place.read(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return data, nil
}

// Has reports whether there is an object under the key. It reads no content.
func (b *Bucket) Has(ctx context.Context, key string) (bool, error) {
	_, err := b.Size(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Size is how many bytes the object has; the error is ErrNotFound if there is none. It reads no content.
func (b *Bucket) Size(ctx context.Context, key string) (int64, error) {
	if err := checkKey(key); err != nil {
		return 0, err
	}
	n, err := b.place.size(ctx, key)
	if err != nil {
		return 0, fmt.Errorf("look for %s: %w", key, err)
	}
	return n, nil
}

// List calls fn for every object whose key begins with the prefix, in the order of keys, and stops at its first error, which
// it returns. What is written or removed meanwhile may be missed. An object that is being written is not there yet.
func (b *Bucket) List(ctx context.Context, prefix string, fn func(key string, size int64) error) error {
	if err := b.place.list(ctx, prefix, fn); err != nil {
		return fmt.Errorf("list %q: %w", prefix, err)
	}
	return nil
}

// Close releases the bucket. What was written is durable already.
func (b *Bucket) Close() error { return b.place.close() }

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
