package embedded

import (
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// platter is what a disk would have kept if the power failed now: of each file what was there when it was last synced, and
// the names that a directory had when it was last synced.
type platter struct {
	mu      sync.Mutex
	root    string
	content map[uint64][]byte            // by inode
	names   map[string]map[string]uint64 // by directory
	syncs   int
	more    *sync.Cond
	over    bool
}

func newPlatter(root string) *platter {
	p := &platter{root: root, content: map[uint64][]byte{}, names: map[string]map[string]uint64{}}
	p.more = sync.NewCond(&p.mu)
	return p
}

func (p *platter) disk(journal int64) disk { return disk{p.sync, p.syncDir, journal} }

func inode(i os.FileInfo) uint64 { return i.Sys().(*syscall.Stat_t).Ino }

func (p *platter) sync(f *os.File) error {
	before, err := f.Stat()
	if err != nil {
		return err
	}
	if err := datasync(f); err != nil {
		return err
	}
	b := make([]byte, before.Size()) // what came meanwhile is not counted
	if _, err := f.ReadAt(b, 0); err != nil && before.Size() > 0 {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.content[inode(before)] = b
	p.syncs++
	p.more.Broadcast()
	return nil
}

func (p *platter) syncDir(path string) error {
	names, written := map[string]uint64{}, map[uint64][]byte{}
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || info.IsDir() {
			continue // it is gone
		}
		names[e.Name()] = inode(info)
		if strings.HasSuffix(e.Name(), ".json") { // the broker syncs these before it gives them their names
			if f, err := os.Open(filepath.Join(path, e.Name())); err == nil {
				now, _ := f.Stat()
				b := make([]byte, now.Size())
				_, _ = f.ReadAt(b, 0)
				_ = f.Close()
				names[e.Name()] = inode(now)
				written[inode(now)] = b
			}
		}
	}
	if err := syncDir(path); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.names[path] = names
	maps.Copy(p.content, written)
	return nil
}

// fail makes a directory as the power loss leaves it. Of what was written and not synced, any page may have reached the
// disk and any may not, and so may names.
func (p *platter) fail(t *testing.T, r *rand.Rand) string {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	to := t.TempDir()
	luck := r.Float64()
	write := func(dir, name string, ino uint64, now []byte) {
		b := p.content[ino]
		if len(now) > 0 && luck > 0.2 {
			b = mix(r, b, now)
		}
		rel, _ := filepath.Rel(p.root, dir)
		if err := os.MkdirAll(filepath.Join(to, rel), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, rel, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for dir, names := range p.names {
		for name, ino := range names {
			var now []byte
			if info, err := os.Stat(filepath.Join(dir, name)); err == nil && inode(info) == ino && !strings.HasSuffix(name, ".json") {
				now, _ = os.ReadFile(filepath.Join(dir, name))
			}
			write(dir, name, ino, now)
		}
	}
	// Segments whose names were not synced.
	_ = filepath.WalkDir(p.root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(path, ".dat") || r.IntN(2) == 0 {
			return nil //nolint:nilerr // it is gone
		}
		dir, name := filepath.Split(path)
		dir = filepath.Clean(dir)
		if _, ok := p.names[dir][name]; ok {
			return nil
		}
		now, _ := os.ReadFile(path)
		if info, err := os.Stat(path); err == nil {
			write(dir, name, inode(info), now)
		}
		return nil
	})
	return to
}

// mix takes each page as it was synced or as it is now.
func mix(r *rand.Rand, synced, now []byte) []byte {
	size := len(synced)
	if len(now) > size {
		size += r.IntN(len(now) - size + 1)
	}
	b := make([]byte, size)
	copy(b, synced)
	for at := 0; at < min(size, len(now)); at += journalPage {
		if r.IntN(2) == 0 {
			copy(b[at:min(size, at+journalPage)], now[at:])
		}
	}
	return b
}

// reach returns when so many more syncs were made; false if the broker failed.
func (p *platter) reach(more int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for want := p.syncs + more; p.syncs < want && !p.over; {
		p.more.Wait()
	}
	return !p.over
}

// watch takes note of a failure of the broker.
func (p *platter) watch(t *testing.T, b *Broker) {
	t.Helper()
	go func() {
		select {
		case <-b.Failed():
			p.mu.Lock()
			p.over = true
			p.more.Broadcast()
			p.mu.Unlock()
		case <-t.Context().Done():
		}
	}()
}
