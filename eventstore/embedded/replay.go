package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
)

// memory is what the journal knows about the segments.
type memory struct {
	generation, sequence uint64 // the last ones used
	any                  bool   // there is a journal; else nothing is known of how far anything was synced
	exact, clean         bool
	segs                 map[string]map[int64]*synced // by partition and base
	trims                map[string]int64
	dropped              map[string]bool
	files                []*os.File // hold the pieces
}

// synced is how far one segment is known to have been synced: the first from bytes in its own file, the rest, up to to,
// in the journal.
type synced struct {
	from, to int64
	pieces   []piece
}

// piece is some bytes of a segment that stand in a journal.
type piece struct {
	in *os.File
	at int64 // in the journal
	n  int64
}

// record is a whole record of a journal.
type record struct {
	generation, sequence uint64
	kind                 kind
	in                   *os.File
	at, n                int64 // its body
}

// remember reads the journal of a directory. It changes nothing. A last record that is not whole is left out: nobody was
// answered for it. A record that is not whole with a whole one behind it is an error.
func remember(dir string) (*memory, error) {
	m := &memory{segs: map[string]map[int64]*synced{}, trims: map[string]int64{}, dropped: map[string]bool{}}
	var chains [2][]record
	var whys [2]error
	for i := range chains {
		f, err := os.Open(journalName(dir, uint64(i))) //nolint:gosec // 0 or 1
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return m, err
		}
		m.files = append(m.files, f)
		if chains[i], whys[i], err = scan(f); err != nil {
			return m, err
		}
	}
	hi, lo := chains[0], chains[1]
	whyHi, whyLo := whys[0], whys[1]
	if generation(lo) > generation(hi) {
		hi, lo, whyHi, whyLo = lo, hi, whyLo, whyHi
	}
	if len(hi) == 0 {
		if whyHi = errors.Join(whyHi, whyLo); whyHi != nil || len(m.files) > 0 {
			return m, errors.Join(whyHi, fmt.Errorf("%s: no record of the journal can be read", journalName(dir, 0)))
		}
		return m, nil
	}
	if whyHi != nil {
		return m, whyHi
	}
	m.any, m.generation, m.sequence = true, generation(hi), hi[len(hi)-1].sequence
	chain := hi
	base, err := lastEnds(hi)
	if err == nil && (base == nil || base.since+1 < hi[0].sequence) {
		// The segments were not yet synced as far as the other file goes, so that one is needed, whole.
		if whyLo != nil {
			return m, whyLo
		}
		if len(lo) == 0 || lo[len(lo)-1].sequence+1 != hi[0].sequence {
			return m, fmt.Errorf("%s: its last records are missing, and %s needs them", journalName(dir, m.generation+1), journalName(dir, m.generation))
		}
		chain = append(append([]record{}, lo...), hi...)
		base, err = lastEnds(chain)
	}
	if err != nil {
		return m, err
	}
	if base == nil || base.since+1 < chain[0].sequence {
		return m, fmt.Errorf("%s: the journal does not say where it begins", journalName(dir, m.generation))
	}
	return m, m.fold(base, chain)
}

func generation(chain []record) uint64 {
	if len(chain) == 0 {
		return 0
	}
	return chain[0].generation
}

// scan reads the records of the newest generation of a file. Its second result says what is wrong with the file: a record
// that belongs to them and does not connect.
func scan(f *os.File) ([]record, error, error) { //nolint:revive // two kinds of error
	st, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	var chain []record
	var stray *record
	next, id := int64(0), uint64(0)
	for at := int64(0); at+recordHeader <= st.Size(); {
		r, rid, ok, err := readRecord(f, at, st.Size())
		if err != nil {
			return nil, nil, err
		}
		if !ok {
			at += journalPage
			continue
		}
		end := at + pages(recordHeader+r.n)
		switch {
		case at == next && (len(chain) == 0 || (rid == id && r.generation == chain[0].generation && r.sequence == chain[len(chain)-1].sequence+1)):
			chain, next, id = append(chain, r), end, rid
		case stray == nil && (len(chain) == 0 || (rid == id && r.generation >= chain[0].generation)):
			stray = &r
		}
		at = end
	}
	if stray != nil {
		return chain, fmt.Errorf("%s: the record at byte %d is damaged, and a later one at byte %d is not", f.Name(), next, stray.at-recordHeader), nil
	}
	return chain, nil, nil
}

func readRecord(f *os.File, at, size int64) (record, uint64, bool, error) {
	var h [recordHeader]byte
	if _, err := f.ReadAt(h[:], at); err != nil {
		return record{}, 0, false, err
	}
	n := int64(binary.BigEndian.Uint32(h[36:]))
	if string(h[:8]) != journalMagic || at+recordHeader+n > size {
		return record{}, 0, false, nil
	}
	sum := crc32.New(castagnoli)
	_, _ = sum.Write(h[:40])
	if _, err := io.Copy(sum, io.NewSectionReader(f, at+recordHeader, n)); err != nil {
		return record{}, 0, false, err
	}
	r := record{
		generation: binary.BigEndian.Uint64(h[16:]), sequence: binary.BigEndian.Uint64(h[24:]),
		kind: kind(binary.BigEndian.Uint32(h[32:])), in: f, at: at + recordHeader, n: n,
	}
	return r, binary.BigEndian.Uint64(h[8:]), sum.Sum32() == binary.BigEndian.Uint32(h[40:]), nil
}

func lastEnds(chain []record) (*snapshot, error) {
	for _, r := range slices.Backward(chain) {
		if r.kind == ends {
			return readSnapshot(r)
		}
	}
	return nil, nil //nolint:nilnil // there is none
}

// fold applies the records behind the snapshot to it.
func (m *memory) fold(base *snapshot, chain []record) error {
	m.exact = base.exact
	for _, s := range base.segs {
		m.at(s.dir, s.base).from, m.at(s.dir, s.base).to = s.size, s.size
	}
	maps.Copy(m.trims, base.trims)
	for _, topic := range base.dropped {
		m.dropped[topic] = true
	}
	for _, r := range chain {
		if r.sequence <= base.since || r.kind == ends {
			continue
		}
		if err := m.apply(r); err != nil {
			return err
		}
	}
	m.clean = base.clean && chain[len(chain)-1].kind == ends
	return nil
}

func (m *memory) apply(r record) error {
	b := &body{in: io.NewSectionReader(r.in, r.at, r.n), left: r.n}
	for b.left > 0 && b.err == nil {
		name, x, y := b.place()
		switch r.kind {
		case appended:
			n := b.number(4)
			at := r.at + r.n - b.left
			b.skip(n)
			s := m.at(name, x)
			if b.err == nil && s.to != y {
				return fmt.Errorf("%s: the record at byte %d begins at byte %d of %s/%d.dat, and the one before ended at %d", r.in.Name(), r.at-recordHeader, y, name, x, s.to)
			}
			s.to += n
			s.pieces = append(s.pieces, piece{r.in, at, n})
			delete(m.dropped, topicOf(name))
		case trimmed:
			m.trims[name] = max(m.trims[name], x)
		case dropped:
			for dir := range m.segs {
				if topicOf(dir) == name {
					delete(m.segs, dir)
					delete(m.trims, dir)
				}
			}
			m.dropped[name] = true
		case ends:
		}
	}
	if b.err != nil {
		return fmt.Errorf("%s: the record at byte %d: %w", r.in.Name(), r.at-recordHeader, b.err)
	}
	return nil
}

func (m *memory) at(dir string, base int64) *synced {
	if m.segs[dir] == nil {
		m.segs[dir] = map[int64]*synced{}
	}
	if m.segs[dir][base] == nil {
		m.segs[dir][base] = &synced{}
	}
	return m.segs[dir][base]
}

func (m *memory) close() error {
	errs := make([]error, 0, len(m.files))
	for _, f := range m.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// topicOf is the escaped name of a partition's topic.
func topicOf(dir string) string { return dir[:max(0, strings.LastIndexByte(dir, '-'))] }
