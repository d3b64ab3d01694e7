package embedded

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// copyDir gives a copy to damage.
func copyDir(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// state is all files of a directory.
func state(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			var b []byte
			b, err = os.ReadFile(path)
			files[path] = string(b)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// edit changes a file.
func edit(t *testing.T, path string, f func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, f(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

func lastSegment(t *testing.T, dir, partition string) (first, last string) {
	t.Helper()
	segs, err := segments(dir)
	if err != nil {
		t.Fatal(err)
	}
	segs = slices.DeleteFunc(segs, func(s span) bool { return s.dir != partition })
	if len(segs) < 2 {
		t.Fatalf("%d segments in %s", len(segs), partition)
	}
	name := func(s span) string { return filepath.Join(dir, "partitions", s.dir, fmt.Sprint(s.base)+".dat") }
	return name(segs[0]), name(segs[len(segs)-1])
}

// ofBatch is where the last batch of a segment begins.
func lastBatch(b []byte) int {
	at := 0
	for {
		h := parse(b[at:])
		if at+int(h.size()) >= len(b) {
			return at
		}
		at += int(h.size())
	}
}

func flip(at int) func([]byte) []byte {
	return func(b []byte) []byte {
		b[(at+len(b))%len(b)] ^= 0x10
		return b
	}
}

// TestDamage: what was synced and is damaged is refused, with its place, and nothing is changed; what a crash leaves is not.
func TestDamage(t *testing.T) {
	dir, stated := written(t, Fsync, 2, 2000, "65536")
	first, last := lastSegment(t, dir, "t-1")
	name := func(path string) string { return strings.TrimPrefix(path, dir) }
	size := func(path string) int64 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	for _, c := range []struct {
		name   string
		damage func(dir string)
		want   []string // in the error; none if it opens
		repair string
	}{
		{name: "nothing", damage: func(string) {}},
		{
			name: "a bit in the middle", damage: func(d string) { edit(t, d+name(first), flip(30_000)) },
			want: []string{"partition t-1", name(first), "at byte", "record offset", "checksum"},
		},
		{
			name: "a bit in the last batch", damage: func(d string) { edit(t, d+name(last), flip(-1)) },
			want: []string{"partition t-1", name(last), fmt.Sprintf("synced to byte %d", size(last))},
		},
		{
			name: "an epoch, which has no checksum", damage: func(d string) {
				edit(t, d+name(last), func(b []byte) []byte { return flip(lastBatch(b) + 15)(b) })
			},
			want: []string{"partition t-1", "epoch"},
		},
		{
			name: "a shorter segment", damage: func(d string) { edit(t, d+name(last), func(b []byte) []byte { return b[:len(b)-1] }) },
			want: []string{"partition t-1", fmt.Sprintf("ends at byte %d, and was synced to byte %d", size(last)-1, size(last))},
		},
		{
			name: "a batch less", damage: func(d string) { edit(t, d+name(last), func(b []byte) []byte { return b[:lastBatch(b)] }) },
			want: []string{"partition t-1", fmt.Sprintf("and was synced to byte %d", size(last))},
		},
		{
			name: "no first segment", damage: func(d string) { _ = os.Remove(d + name(first)) },
			want: []string{"partition t-1", name(first), "missing, from byte 0, record offset 0"},
		},
		{
			name: "no last segment", damage: func(d string) { _ = os.Remove(d + name(last)) },
			want: []string{"partition t-1", name(last), "missing"},
		},
		{name: "no topics", damage: func(d string) { _ = os.Remove(d + "/topics.json") }, want: []string{"topics.json"}},
		{name: "no journal, no first segment", damage: func(d string) {
			_ = os.Remove(d + "/journal.0")
			_ = os.Remove(d + "/journal.1")
			edit(t, d+name(first), flip(30_000))
		}, want: []string{"partition t-1", name(first), "at byte"}},
		{
			name: "a torn end", repair: "torn end", damage: func(d string) {
				edit(t, d+name(last), func(b []byte) []byte {
					torn := b[lastBatch(b):]
					torn = append([]byte{}, torn[:len(torn)-3]...)
					h := parse(b[lastBatch(b):])
					binary.BigEndian.PutUint64(torn, uint64(h.next()))
					return append(b, torn...)
				})
			},
		},
		{name: "garbage behind", repair: "torn end", damage: func(d string) {
			edit(t, d+name(last), func(b []byte) []byte { return append(b, make([]byte, 5000)...) })
		}},
		{name: "an index", repair: "index", damage: func(d string) {
			edit(t, strings.TrimSuffix(d+name(last), "dat")+"idx", func(b []byte) []byte { return b[:len(b)-4] })
		}},
		{name: "no index", repair: "index", damage: func(d string) { _ = os.Remove(strings.TrimSuffix(d+name(first), "dat") + "idx") }},
		{name: "a torn log of groups", repair: "torn end", damage: func(d string) {
			edit(t, d+"/groups.log", func(b []byte) []byte { return append(b, 200, 0, 0, 0, 1, 2, 3) })
		}},
		{
			name: "a damaged log of groups", want: []string{"groups.log", "entry at byte 0"},
			damage: func(d string) {
				edit(t, d+"/groups.log", func([]byte) []byte {
					return flip(12)(append(frame(`{"type":"meta","g":"x"}`), frame(`{"type":"meta","g":"y"}`)...))
				})
			},
		},
		{
			name: "an offset behind the end", want: []string{`group "readers"`, "offset 1000000", "partition 1", `topic "t"`, "ends at offset"},
			damage: func(d string) {
				edit(t, d+"/groups.log", func(b []byte) []byte {
					return append(b, frame(`{"type":"commit","g":"readers","t":"t","p":1,"o":1000000}`)...)
				})
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := copyDir(t, dir)
			c.damage(d)
			before := state(t, d)
			if len(c.want) == 0 {
				repairs := verify(t, d, 2, stated)
				mended := func(r Repair) bool { return strings.Contains(r.What, c.repair) }
				if (c.repair == "") != (len(repairs) == 0) || (len(repairs) > 0 && !slices.ContainsFunc(repairs, mended)) {
					t.Errorf("repairs: %+v", repairs)
				}
				if repairs := verify(t, d, 2, stated); len(repairs) > 0 {
					t.Errorf("the second time: %+v", repairs)
				}
				return
			}
			b, err := Open(Config{Dir: d, Log: quiet})
			if err == nil {
				_ = b.Close()
				t.Fatal("it was opened")
			}
			for _, want := range append(c.want, "embedded broker: open "+d) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q lacks %q", err, want)
				}
			}
			for path, now := range state(t, d) {
				if before[path] != now {
					t.Errorf("%s was changed", path)
				}
			}
		})
	}
}

func frame(s string) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(2+len(s)))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(append([]byte{1, 0}, s...), castagnoli))
	return append(append(b, 1, 0), s...)
}

// TestTornWithoutFsync: with Process only one torn batch at the very end is cut.
func TestTornWithoutFsync(t *testing.T) {
	dir, _ := written(t, Process, 1, 500, "1000000")
	b, err := Open(Config{Dir: dir, Durability: Process, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	w, done := wants(500)
	stop := load(t, b, 1, w, "s")
	<-done
	stop()
	killed := copyDir(t, dir) // as if it had been killed
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	last := filepath.Join(killed, "partitions/t-0/0.dat")
	whole := copyDir(t, killed)
	if repairs := verify(t, whole, 1, w.statement()); len(repairs) > 0 {
		t.Errorf("repairs: %+v", repairs)
	}
	edit(t, last, flip(-1))
	if b, err = Open(Config{Dir: copyDir(t, killed), Durability: Process, Log: quiet}); err != nil {
		t.Fatal(err)
	}
	if r := b.Repairs(); len(r) != 2 || r[1].To >= r[1].From || !strings.Contains(r[1].What, "torn") {
		t.Errorf("repairs: %+v", r)
	}
	_ = b.Close()
	edit(t, last, func(b []byte) []byte { return flip(lastBatch(b[:lastBatch(b)]) + 70)(b) }) // the one before, too
	edit(t, last, flip(-1))                                                                   // and the last is whole again
	if b, err = Open(Config{Dir: killed, Durability: Process, Log: quiet}); err == nil {
		_ = b.Close()
		t.Error("a damaged batch with a whole one behind it was cut")
	} else if !strings.Contains(err.Error(), "whole record batches behind it") {
		t.Error(err)
	}
}

// sealBatch gives a batch an offset, a length, one record and a checksum.
func sealBatch(b []byte, offset int64) []byte {
	binary.BigEndian.PutUint64(b, uint64(offset))
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-batchPrefix))
	b[16] = 2
	binary.BigEndian.PutUint32(b[57:], 1)
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], castagnoli))
	return b
}
