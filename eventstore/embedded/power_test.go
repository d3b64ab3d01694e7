package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"deed/eventstore"
	"deed/eventstore/kafka"

	"github.com/twmb/franz-go/pkg/kmsg"
)

var quiet = slog.New(slog.DiscardHandler)

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

type spot struct {
	partition int
	offset    int64
}

// witness is what clients were told or have read.
type witness struct {
	mu     sync.Mutex
	all    map[spot]string
	enough int           // so many
	done   chan struct{} // closed when there are enough
}

func (w *witness) saw(partition int, offset int64, value string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all[spot{partition, offset}] = value
	if w.done != nil && len(w.all) >= w.enough {
		close(w.done)
		w.done = nil
	}
}

func (w *witness) statement() map[spot]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.all)
}

// verify opens a directory and finds in it all that was stated.
func verify(t *testing.T, dir string, partitions int, stated map[spot]string) []Repair {
	t.Helper()
	b, err := Open(Config{Dir: dir, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	c, err := kafka.Open(t.Context(), kafka.Config{Brokers: []string{b.Addr()}, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	l, err := c.Log("t")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	found := 0
	for p := range partitions {
		for m := range content(t, l, p) {
			if want, ok := stated[spot{p, m.Offset}]; ok {
				found++
				if string(m.Value) != want {
					t.Errorf("%d/%d is %q, and was %q", p, m.Offset, m.Value, want)
				}
			}
		}
	}
	if found != len(stated) {
		t.Errorf("%d of %d records are there; repairs: %+v", found, len(stated), b.Repairs())
	}
	return b.Repairs()
}

// content gives all records of a partition.
func content(t *testing.T, l *kafka.Log, partition int) func(func(eventstore.Message) bool) {
	t.Helper()
	return func(yield func(eventstore.Message) bool) {
		start, end, err := l.Bounds(t.Context(), partition)
		if err != nil {
			t.Fatal(err)
		}
		if start == end {
			return
		}
		enough := errors.New("enough")
		err = l.Follow(t.Context(), partition, start, func(batch []eventstore.Message) error {
			for _, m := range batch {
				if !yield(m) || m.Offset+1 >= end {
					return enough
				}
			}
			return nil
		})
		if !errors.Is(err, enough) {
			t.Error(err)
		}
	}
}

// load appends to and follows all partitions until it is stopped, or the broker fails. Each append has a value of its own.
func load(t *testing.T, b *Broker, partitions int, w *witness, name string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c, err := kafka.Open(ctx, kafka.Config{Brokers: []string{b.Addr()}, Producers: 2, AppendTimeout: time.Second, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.EnsureTopic(ctx, "t", partitions); err != nil {
		t.Fatal(err)
	}
	l, err := c.Log("t")
	if err != nil {
		t.Fatal(err)
	}
	var left sync.WaitGroup
	for p := range partitions {
		left.Go(func() {
			_, end, err := l.Bounds(ctx, p)
			if err != nil {
				return // the broker is gone
			}
			_ = l.Follow(ctx, p, end, func(batch []eventstore.Message) error {
				for _, m := range batch {
					w.saw(p, m.Offset, string(m.Value))
				}
				return nil
			})
		})
	}
	left.Go(func() {
		window := make(chan struct{}, 64)
		for i := 0; ctx.Err() == nil; i++ {
			select {
			case window <- struct{}{}:
			case <-ctx.Done():
				continue
			}
			p, value := i%partitions, fmt.Sprintf("%s-%d-%s", name, i, strings.Repeat("x", i*7919%900))
			l.Append(p, []eventstore.Message{{Key: []byte("k"), Value: []byte(value)}}, func(offset int64, err error) {
				<-window
				if err == nil {
					w.saw(p, offset, value)
				}
			})
		}
	})
	return func() {
		cancel()
		left.Wait()
		_ = l.Close()
		_ = c.Close()
	}
}

// TestPowerLoss cuts the power while records are appended and read, again and again, and finds all that anybody was told or
// has read. The journals are small, so that they take turns all the time, and so are
// the segments.
func TestPowerLoss(t *testing.T) {
	const partitions, cuts = 3, 6
	seed := uint64(os.Getpid())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	root := t.TempDir()
	p := newPlatter(root)
	w := &witness{all: map[spot]string{}}
	b, err := open(Config{Dir: root, Log: quiet}, p.disk(256<<10))
	if err != nil {
		t.Fatal(err)
	}
	p.watch(t, b)
	create := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "t", partitions, 1
	size := "20000"
	topic.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: "segment.bytes", Value: &size}}
	create.Topics = append(create.Topics, topic)
	if code := request(t, b.Addr(), create).(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode; code != 0 {
		t.Fatal(code)
	}
	stop := load(t, b, partitions, w, "a")
	var repairs int
	for cut := range cuts {
		if !p.reach(r.IntN(150)) {
			t.Fatal(b.why())
		}
		stated := w.statement()
		dir := p.fail(t, r)
		repairs += len(verify(t, dir, partitions, stated))
		verify(t, dir, partitions, stated) // it holds also for the start after the repair
		if t.Failed() {
			t.Fatalf("after cut %d", cut)
		}
	}
	if len(w.statement()) == 0 || repairs == 0 {
		t.Errorf("%d records were seen, %d repairs made: nothing was tested", len(w.statement()), repairs)
	}
	stop()
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if repairs := verify(t, root, partitions, w.statement()); len(repairs) > 0 {
		t.Errorf("after a clean stop: %+v", repairs)
	}
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
