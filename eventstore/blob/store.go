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

// Store holds bytes by their SHA-256.
type Store struct{ bucket *Bucket }

// OpenDir opens a store in a directory and makes it if it is missing.
func OpenDir(dir string) (*Store, error) {
	b, err := OpenBucket(dir)
	if err != nil {
		return nil, err
	}
	return &Store{b}, nil
}

func key(d domain.Digest) string {
	h := hex.EncodeToString(d[:])
	return "sha256/" + h[:2] + "/" + h[2:]
}

// Put stores data, durably when it returns. What is there already is read and compared, so that a torn write of another
// process is not taken for the content.
func (s *Store) Put(ctx context.Context, data []byte) (domain.Digest, error) {
	d := domain.DigestOf(data)
	created, err := s.bucket.WriteIfAbsent(ctx, key(d), data)
	if err != nil || created {
		return d, err
	}
	_, err = s.Get(ctx, d)
	return d, err
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

// Close releases the store.
func (s *Store) Close() error { return s.bucket.Close() }
