package blob

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"deed/domain"
)

// ErrCorrupt says that what is stored under a digest has another one.
var ErrCorrupt = errors.New("content does not have its digest")

// Store holds bytes by their SHA-256. Its methods may be called concurrently, and by several processes: whoever writes
// under a digest writes the same.
type Store struct {
	bucket  *Bucket
	objects func(name string) (*Bucket, error)
}

// OpenDir opens a store in a directory and makes it if it is missing.
func OpenDir(dir string) (*Store, error) {
	b, err := OpenBucket(dir)
	if err != nil {
		return nil, err
	}
	return &Store{b, func(name string) (*Bucket, error) { return OpenBucket(filepath.Join(dir, "objects", name)) }}, nil
}

// Objects is the bucket of obs://name in the store: what is under objects/name/. Close it; the store is another's to close.
func (s *Store) Objects(name string) (*Bucket, error) {
	if err := checkKey(name); err != nil || strings.Contains(name, "/") {
		return nil, fmt.Errorf("%q is not the name of a bucket of objects", name)
	}
	return s.objects(name)
}

// key has 256 directories, so that none grows large: sha256/ab/ and the other 62 digits.
func key(d domain.Digest) string {
	h := hex.EncodeToString(d[:])
	return "sha256/" + h[:2] + "/" + h[2:]
}

// compareUpTo is how many bytes are read to compare them with what is to be put: to ask for so few costs as much.
const compareUpTo = 256 << 10

// Put stores data, durably when it returns, and names it. What is there already under its digest is left as it is. Up to
// compareUpTo it is read and compared, of what is larger the size is compared: a module that is deployed again costs no
// transfer, and bytes that are not those of their digest are found by Get, which looks at all of them. The error is then
// ErrCorrupt, for what is there is evidence of a failing disk. With any other error the data may or may not be stored;
// putting it again is safe.
func (s *Store) Put(ctx context.Context, data []byte) (domain.Digest, error) {
	d := domain.DigestOf(data)
	if err := s.put(ctx, d, data); err != nil {
		return domain.Digest{}, fmt.Errorf("blob %s: %w", d, err)
	}
	return d, nil
}

func (s *Store) put(ctx context.Context, d domain.Digest, data []byte) error {
	if len(data) > compareUpTo {
		// Looked for first: to be told that it is there, a write would send it all.
		if there, err := s.sameSize(ctx, d, data); there || err != nil {
			return err
		}
	}
	created, err := s.bucket.WriteIfAbsent(ctx, key(d), data)
	if err != nil || created {
		return err
	}
	if len(data) <= compareUpTo {
		return s.check(ctx, d)
	}
	if there, err := s.sameSize(ctx, d, data); there || err != nil {
		return err
	}
	return errors.New("it was there and is gone: somebody deletes from the store")
}

// sameSize reports whether there is something under the digest, made durable then; the error is ErrCorrupt if it has not
// as many bytes as the data.
func (s *Store) sameSize(ctx context.Context, d domain.Digest, data []byte) (bool, error) {
	n, err := s.bucket.Size(ctx, key(d))
	switch {
	case errors.Is(err, ErrNotFound):
		return false, nil
	case err != nil:
		return false, err
	case n != int64(len(data)):
		return true, fmt.Errorf("%w: it has %d bytes, not %d", ErrCorrupt, n, len(data))
	}
	return true, s.bucket.place.settle(key(d))
}

func (s *Store) check(ctx context.Context, d domain.Digest) error {
	data, err := s.bucket.Read(ctx, key(d))
	if err == nil && domain.DigestOf(data) != d {
		err = ErrCorrupt
	}
	return err
}

// Get returns the bytes; the error is ErrNotFound or ErrCorrupt, or the store cannot be reached.
func (s *Store) Get(ctx context.Context, d domain.Digest) ([]byte, error) {
	data, err := s.bucket.Read(ctx, key(d))
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", d, err)
	}
	if domain.DigestOf(data) != d {
		return nil, fmt.Errorf("blob %s: %w", d, ErrCorrupt)
	}
	return data, nil
}

// Has reports whether there is something under the digest. It does not read it: only Get tells whether it is corrupt.
func (s *Store) Has(ctx context.Context, d domain.Digest) (bool, error) {
	ok, err := s.bucket.Has(ctx, key(d))
	if err != nil {
		return false, fmt.Errorf("blob %s: %w", d, err)
	}
	return ok, nil
}

// Close releases the store.
func (s *Store) Close() error { return s.bucket.Close() }
