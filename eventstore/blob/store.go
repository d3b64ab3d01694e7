package blob

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"deed/domain"
)

// ErrCorrupt says that what is stored under a digest has another one.
var ErrCorrupt = errors.New("content does not have its digest")

// Store holds bytes by their SHA-256. Its methods may be called concurrently, and by several processes: whoever writes
// under a digest writes the same.
type Store struct{ bucket *Bucket }

// OpenDir opens a store in a directory and makes it if it is missing.
func OpenDir(dir string) (*Store, error) {
	b, err := OpenBucket(dir)
	if err != nil {
		return nil, err
	}
	return &Store{b}, nil
}

// key has 256 directories, so that none grows large: sha256/ab/ and the other 62 digits.
func key(d domain.Digest) string {
	h := hex.EncodeToString(d[:])
	return "sha256/" + h[:2] + "/" + h[2:]
}

// Put stores data, durably when it returns, and names it. What is there already is read and compared: the error is
// ErrCorrupt if it is not the data, and it is left as it is, for it is evidence of a failing disk. With any other error
// the data may or may not be stored; putting it again is safe.
func (s *Store) Put(ctx context.Context, data []byte) (domain.Digest, error) {
	d := domain.DigestOf(data)
	created, err := s.bucket.WriteIfAbsent(ctx, key(d), data)
	if err != nil {
		return domain.Digest{}, fmt.Errorf("blob %s: %w", d, err)
	}
	if created {
		return d, nil
	}
	if _, err := s.Get(ctx, d); err != nil {
		return domain.Digest{}, err
	}
	return d, nil
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
