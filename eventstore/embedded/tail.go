package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// The header of a record batch, as the Kafka protocol has it.
const (
	batchHeader = 61
	batchPrefix = 12 // what the length does not count
	minLength   = batchHeader - batchPrefix
	maxLength   = 1 << 30 // what the broker reads at the most
)

// header of a record batch.
type header struct {
	base, length, maxTime, producer int64 // base is an offset
	epoch, lastDelta, count         int32
	attributes                      uint16
	magic                           byte
	crc                             uint32
}

// size of the batch in the file, in bytes.
func (h *header) size() int64 { return batchPrefix + h.length }

// next is the offset behind the batch.
func (h *header) next() int64 { return h.base + int64(h.lastDelta) + 1 }

// parse reads the header at the start of b, which has at least batchHeader bytes.
func parse(b []byte) header {
	return header{
		base:       int64(binary.BigEndian.Uint64(b)),     //nolint:gosec // judged later
		length:     int64(binary.BigEndian.Uint32(b[8:])), //nolint:gosec // judged later
		epoch:      int32(binary.BigEndian.Uint32(b[12:])),
		magic:      b[16],
		crc:        binary.BigEndian.Uint32(b[17:]),
		attributes: binary.BigEndian.Uint16(b[21:]),
		lastDelta:  int32(binary.BigEndian.Uint32(b[23:])),
		maxTime:    int64(binary.BigEndian.Uint64(b[35:])), //nolint:gosec // a time
		producer:   int64(binary.BigEndian.Uint64(b[43:])), //nolint:gosec // a number
		count:      int32(binary.BigEndian.Uint32(b[57:])),
	}
}

// segmentBytes is the size at which a segment is followed by another one, in bytes, unless its topic has a smaller one.
const segmentBytes = 100 << 20

// tail is the end of one partition, as far as it stands in the journal. The broker writes a batch with one call, to a file
// that is only ever appended to; the next segment is named by the offset that it begins with. The first one is made here, so
// that there is always a file to look at: by its descriptor, which costs a tenth of looking by name.
type tail struct {
	dir   string
	path  string
	segs  []span     // all of them, the last one is being written
	roll  int64      // size of a segment that may be followed by another one, in bytes
	end   int64      // offset behind the last record
	next  string     // path of the segment that would begin at end
	file  *os.File   // of the last segment; nil before there is one
	dirty bool       // bytes of file are in the journal only
	left  []*os.File // of segments before it, to be synced and closed by the next checkpoint
	fresh bool       // a file was made and its name may not be durable
	need  int64      // size of a batch that did not fit
}

func newTail(root, dir string) *tail {
	t := &tail{dir: dir, path: filepath.Join(root, "partitions", dir), roll: segmentBytes}
	t.move(0)
	return t
}

func (t *tail) move(end int64) {
	t.end, t.need = end, 0
	t.next = filepath.Join(t.path, strconv.FormatInt(end, 10)+".dat")
}

// open begins to follow the segment at the end of the partition; false if there is none.
func (t *tail) open() (bool, error) {
	f, err := os.Open(t.next)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	t.follow(f)
	return true, nil
}

// make makes the first segment, empty, unless there is one.
func (t *tail) make() error {
	if t.file != nil {
		return nil
	}
	if err := os.MkdirAll(t.path, 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(t.next, os.O_CREATE|os.O_RDONLY, 0o600)
	if err == nil {
		t.follow(f)
	}
	return err
}

func (t *tail) follow(f *os.File) {
	if t.file != nil {
		t.left = append(t.left, t.file) // also if it is synced already: a checkpoint may be at it
	}
	t.file, t.dirty, t.fresh = f, false, true
	t.segs = append(t.segs, span{dir: t.dir, base: t.end})
}

// forget is for files that were deleted. A checkpoint may still hold them, so they are closed when nobody does.
func (t *tail) forget() {
	t.segs, t.left, t.file, t.dirty = nil, nil, nil, false
	t.move(0)
}

func (t *tail) close() {
	if t.file != nil {
		t.left = append(t.left, t.file)
	}
	for _, f := range t.left {
		_ = f.Close() // was read only
	}
	t.file, t.left = nil, nil
}

// gather copies what was appended since to the journal's record, whole batches only, and writes records that are full.
func (t *tail) gather(j *journal) error {
	for t.file != nil {
		size, deleted, err := t.size()
		if err != nil {
			return err
		}
		if deleted {
			t.forget()
			return nil
		}
		active := &t.segs[len(t.segs)-1]
		if size < active.size {
			return fmt.Errorf("%s: became shorter, from %d to %d bytes", t.file.Name(), active.size, size)
		}
		for more := true; more && active.size < size; {
			if more, err = t.copy(j, active, size); err != nil {
				return err
			}
		}
		// A segment that is followed by another one is complete.
		if active.size < size || size < t.roll || t.end == active.base {
			return nil
		}
		if ok, err := t.open(); err != nil || !ok {
			return err
		}
	}
	return nil
}

func (t *tail) size() (int64, bool, error) {
	var st syscall.Stat_t
	err := stat(t.file, &st)
	return st.Size, st.Nlink == 0, err
}

// stat is os.File.Stat without garbage.
func stat(f *os.File, st *syscall.Stat_t) error {
	if err := syscall.Fstat(int(f.Fd()), st); err != nil { //nolint:gosec // a descriptor
		return fmt.Errorf("stat %s: %w", f.Name(), err)
	}
	return nil
}

// copy takes over the batches that fit into one record; false if there is only a part of one, still being written.
func (t *tail) copy(j *journal, active *span, size int64) (bool, error) {
	if len(j.buf) >= maxRecord-maxRecord/8 {
		if err := j.commit(); err != nil {
			return false, err
		}
		j.begin(appended)
	}
	start := len(j.buf)
	n := min(size-active.size, max(int64(maxRecord-start), t.need))
	j.buf = appendPlace(j.buf, t.dir, active.base, active.size)
	j.buf = binary.BigEndian.AppendUint32(j.buf, 0)
	data := len(j.buf)
	j.buf = grow(j.buf, int(n))
	if _, err := t.file.ReadAt(j.buf[data:], active.size); err != nil {
		return false, err
	}
	whole, end, need, err := batches(j.buf[data:], t.end)
	if err != nil {
		return false, fmt.Errorf("%s: at byte %d: %w", t.file.Name(), active.size+int64(whole), err)
	}
	if whole == 0 {
		j.buf = j.buf[:start]
		t.need = need
		return need > n && need <= size-active.size, nil
	}
	j.buf = j.buf[:data+whole]
	binary.BigEndian.PutUint32(j.buf[data-4:], uint32(whole)) //nolint:gosec // at most one batch or a few MiB
	active.size += int64(whole)
	t.dirty = true
	t.move(end)
	return true, nil
}

func grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b[:len(b)+n]
	}
	return append(b, make([]byte, n)...)
}

// batches finds how many bytes of b are whole batches that begin with the offset given, the offset behind them, and the
// size of the one that is not whole.
func batches(b []byte, offset int64) (whole int, end, need int64, err error) {
	for len(b)-whole >= batchHeader {
		h := parse(b[whole:])
		if h.base != offset || h.magic != 2 || h.length < minLength || h.length > maxLength || h.lastDelta < 0 {
			return whole, offset, 0, fmt.Errorf("no record batch with offset %d", offset)
		}
		if h.size() > int64(len(b)-whole) {
			return whole, offset, h.size(), nil
		}
		whole += int(h.size())
		offset = h.next()
	}
	return whole, offset, 0, nil
}

// resume follows the partition from its end, as it was when the directory was opened.
func (t *tail) resume(end int64) (err error) {
	t.move(end)
	if len(t.segs) == 0 {
		return t.make()
	}
	base := t.segs[len(t.segs)-1].base
	t.file, err = os.Open(filepath.Join(t.path, strconv.FormatInt(base, 10)+".dat"))
	return err
}
