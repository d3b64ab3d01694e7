package files

import (
	"container/list"
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"deed/domain"
)

// Shelf keeps trees in memory by their digests, once for all who use them. Beyond its bound it lets go of those that were
// asked for least recently; whoever was given one keeps it.
type Shelf struct {
	most    int64 // bytes of archives
	flights singleflight.Group

	mu    sync.Mutex // guards what follows
	size  int64
	trees map[domain.Digest]*list.Element // of *kept
	used  *list.List                      // the latest first
}

type kept struct {
	tree *Tree
	size int64
}

// fetchTime bounds how long an archive may take to come.
const fetchTime = time.Minute

// NewShelf keeps archives of at most so many bytes together.
func NewShelf(most int64) *Shelf {
	return &Shelf{most: most, trees: map[domain.Digest]*list.Element{}, used: list.New()}
}

// Size is how many bytes are kept.
func (s *Shelf) Size() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.size
}

// Loaded gives the tree with that digest if it is in memory.
func (s *Shelf) Loaded(d domain.Digest) (*Tree, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.trees[d]
	if !ok {
		return nil, false
	}
	s.used.MoveToFront(e)
	return e.Value.(*kept).tree, true //nolint:forcetypeassert // put there by keep
}

// Load gives the tree with that digest. Fetch is called for its archive when it is not in memory, once for all who ask at the
// same time; its context ends after fetchTime and not with the caller's. The error is a *domain.Rejection if the archive
// is none that can be read.
func (s *Shelf) Load(ctx context.Context, d domain.Digest, fetch func(context.Context) ([]byte, error)) (*Tree, error) {
	if t, ok := s.Loaded(d); ok {
		return t, nil
	}
	flight := s.flights.DoChan(string(d[:]), func() (any, error) {
		if t, ok := s.Loaded(d); ok {
			return t, nil
		}
		fetching, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTime)
		defer cancel()
		archive, err := fetch(fetching)
		if err != nil {
			return nil, err
		}
		if got := domain.DigestOf(archive); got != d {
			return nil, fmt.Errorf("its bytes have the digest %s", got)
		}
		t, err := Open(archive)
		if err != nil {
			return nil, err
		}
		s.keep(d, &kept{t, int64(len(archive))})
		return t, nil
	})
	select {
	case r := <-flight:
		if r.Err != nil {
			return nil, fmt.Errorf("load files %s: %w", d, r.Err)
		}
		return r.Val.(*Tree), nil
	case <-ctx.Done():
		return nil, fmt.Errorf("load files %s: %w", d, ctx.Err())
	}
}

// keep puts a tree on the shelf, and lets go of others until there is room. One that is larger than the whole shelf is kept
// alone, until the next.
func (s *Shelf) keep(d domain.Digest, k *kept) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.size+k.size > s.most && s.used.Len() > 0 {
		last := s.used.Remove(s.used.Back()).(*kept) //nolint:forcetypeassert // put there below
		s.size -= last.size
		delete(s.trees, last.tree.Digest())
	}
	s.size += k.size
	s.trees[d] = s.used.PushFront(k)
}
