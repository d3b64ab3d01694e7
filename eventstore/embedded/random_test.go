package embedded

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestRandomDamage damages one file at a time, anywhere, after a clean stop and after a power loss. The directory is refused,
// or no byte that was synced is missing, and what the broker would read is whole.
func TestRandomDamage(t *testing.T) {
	seed := uint64(os.Getpid())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 2))
	dir, _ := written(t, Fsync, 2, 1500, "65536")
	cut, seen := interrupted(t, r)
	opened, rounds := 0, 160
	for i, from := range slices.Repeat([]string{dir, cut}, rounds/2) {
		want := durable(t, from)
		d := copyDir(t, from)
		// After a power loss the end of the journal is the only copy of some records, and if it is damaged as well that cannot
		// be told from a record that was on its way.
		what := damage(t, r, d, from == dir)
		before := state(t, d)
		rec, err := examine(d)
		if err != nil {
			_ = rec.memory.close()
			for path, now := range state(t, d) {
				if before[path] != now {
					t.Fatalf("%s: %s was changed", what, path)
				}
			}
			continue
		}
		opened++
		if err := rec.apply(disk{func(*os.File) error { return nil }, func(string) error { return nil }, 0}); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		_ = rec.memory.close()
		for name, bytes := range want {
			now, err := os.ReadFile(filepath.Join(d, name))
			if err != nil || !strings.HasPrefix(string(now), bytes) {
				t.Fatalf("%s: %s lacks what was synced (%v)", what, name, err)
			}
		}
		if i%20 == 1 {
			verify(t, d, 2, seen)
		}
	}
	if opened == 0 || opened == rounds {
		t.Errorf("%d of %d could be opened", opened, rounds)
	}
}

// durable is what is known to be synced in a directory, by segment.
func durable(t *testing.T, dir string) map[string]string {
	t.Helper()
	m, err := remember(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.close() }()
	want := map[string]string{}
	for dirName, segs := range m.segs {
		for base, known := range segs {
			name := filepath.Join("partitions", dirName, fmt.Sprint(base)+".dat")
			b, _ := os.ReadFile(filepath.Join(dir, name))
			b = b[:known.from:known.from]
			for _, p := range known.pieces {
				piece := make([]byte, p.n)
				if _, err := p.in.ReadAt(piece, p.at); err != nil {
					t.Fatal(err)
				}
				b = append(b, piece...)
			}
			want[name] = string(b)
		}
	}
	return want
}

// interrupted is a directory after a power loss, whose segments are partly in the journal only.
func interrupted(t *testing.T, r *rand.Rand) (string, map[spot]string) {
	t.Helper()
	root := t.TempDir()
	p := newPlatter(root)
	b, err := open(Config{Dir: root, Log: quiet}, p.disk(128<<10))
	if err != nil {
		t.Fatal(err)
	}
	w, done := wants(1500)
	stop := load(t, b, 2, w, "p")
	<-done
	stated := w.statement()
	dir := p.fail(t, r)
	stop()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, stated
}

// damage changes one file of the log, the index or the journal: bits, a page of zeros, a shorter file.
func damage(t *testing.T, r *rand.Rand, dir string, journals bool) string {
	t.Helper()
	var files []string
	for path, b := range state(t, dir) {
		if len(b) > 0 && !strings.HasSuffix(path, ".json") && (journals || !isJournal(filepath.Base(path))) {
			files = append(files, path)
		}
	}
	slices.Sort(files)
	path := files[r.IntN(len(files))]
	what := ""
	edit(t, path, func(b []byte) []byte {
		at := r.IntN(len(b))
		switch r.IntN(4) {
		case 0:
			b, what = b[:at], fmt.Sprintf("%s cut at %d", path, at)
		case 1:
			what = fmt.Sprintf("%s zeroed at %d", path, at)
			clear(b[at:min(len(b), at+journalPage)])
		default:
			if r.IntN(3) == 0 {
				at = max(0, len(b)-1-r.IntN(min(len(b), 200)))
			}
			what = fmt.Sprintf("%s flipped at %d", path, at)
			b[at] ^= 1 << r.IntN(8)
		}
		return b
	})
	return what
}
