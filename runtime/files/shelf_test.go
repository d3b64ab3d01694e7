package files

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"deed/domain"
)

// stored is a store of archives that counts how often it is asked.
type stored struct {
	mu       sync.Mutex
	archives map[domain.Digest][]byte
	asked    int
}

func (s *stored) put(archive []byte) domain.Digest {
	d := domain.DigestOf(archive)
	s.archives[d] = archive
	return d
}

func (s *stored) load(shelf *Shelf, d domain.Digest) (*Tree, error) {
	return shelf.Load(context.Background(), d, func(context.Context) ([]byte, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked++
		a, ok := s.archives[d]
		if !ok {
			return nil, errors.New("no such archive")
		}
		return a, nil
	})
}

func TestShelf(t *testing.T) {
	s := &stored{archives: map[domain.Digest][]byte{}}
	var all []domain.Digest
	var size int64
	for i := range 4 {
		a := tree(t, map[string]string{"f": strings.Repeat(fmt.Sprint(i), 10_000)}).Archive()
		size = int64(len(a))
		all = append(all, s.put(a))
	}
	shelf := NewShelf(3*size + size/2)
	get := func(i int) {
		t.Helper()
		tr, err := s.load(shelf, all[i])
		if err != nil || tr.Digest() != all[i] || string(tr.Root().Entries[0].Content[:1]) != fmt.Sprint(i) {
			t.Fatal(i, err)
		}
	}
	for _, i := range []int{0, 1, 2, 0, 1, 2, 0} {
		get(i)
	}
	if s.asked != 3 || shelf.Size() != 3*size {
		t.Errorf("asked %d times, %d bytes kept; want 3 and %d", s.asked, shelf.Size(), 3*size)
	}
	get(3) // 1 goes: 0 and 2 were used since
	for i, want := range []bool{true, false, true, true} {
		if _, ok := shelf.Loaded(all[i]); ok != want {
			t.Errorf("%d is kept: %t", i, ok)
		}
	}
	if shelf.Size() != 3*size {
		t.Errorf("%d bytes kept, want %d", shelf.Size(), 3*size)
	}
	small := NewShelf(1)
	for i := range all {
		if _, err := s.load(small, all[i]); err != nil {
			t.Fatal(err)
		}
	}
	if small.Size() != size {
		t.Errorf("%d bytes kept of what is larger than the shelf, want one: %d", small.Size(), size)
	}
}

func TestShelfRefuses(t *testing.T) {
	s := &stored{archives: map[domain.Digest][]byte{}}
	shelf := NewShelf(1 << 20)
	for range 2 { // nothing is remembered of a failure
		if _, err := s.load(shelf, domain.DigestOf(nil)); err == nil || !strings.Contains(err.Error(), "no such archive") {
			t.Error(err)
		}
	}
	if s.asked != 2 {
		t.Errorf("asked %d times", s.asked)
	}
	bad := s.put([]byte(strings.Repeat("not tar", 200)))
	if _, err := s.load(shelf, bad); !errors.As(err, new(*domain.Rejection)) {
		t.Error(err)
	}
	s.archives[domain.DigestOf([]byte("x"))] = tree(t, sample).Archive()
	if _, err := s.load(shelf, domain.DigestOf([]byte("x"))); err == nil || !strings.Contains(err.Error(), "have the digest") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := shelf.Load(ctx, domain.DigestOf([]byte("y")), func(ctx context.Context) ([]byte, error) {
		return nil, ctx.Err() // it does not end with the caller's
	}); !errors.Is(err, context.Canceled) && !strings.Contains(fmt.Sprint(err), "have the digest") {
		t.Error(err)
	}
}

// Who asks at the same time waits for one fetch.
func TestShelfOnce(t *testing.T) {
	s := &stored{archives: map[domain.Digest][]byte{}}
	d := s.put(tree(t, sample).Archive())
	shelf := NewShelf(1 << 20)
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			if _, err := s.load(shelf, d); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if s.asked != 1 {
		t.Errorf("fetched %d times", s.asked)
	}
}
