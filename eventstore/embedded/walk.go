package embedded

import (
	"bufio"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const walkBuffer = 256 << 10

// fault is where the walk of a segment ended early.
type fault struct {
	at     int64 // byte of the segment
	offset int64 // of the record that should stand there
	why    string
}

// segment is a segment as the next start would have it: the file, completed by what the journal has of it.
type segment struct {
	span          // size is that of the file, in bytes; -1 if there is none
	path   string // of the file
	synced synced // what the journal knows
}

// length is up to where there is anything, in bytes.
func (s *segment) length() int64 { return max(s.size, s.synced.to) }

// open gives the bytes of the segment from its beginning.
func (s *segment) open() (io.Reader, io.Closer, error) {
	var f *os.File
	if s.size > 0 {
		var err error
		if f, err = os.Open(s.path); err != nil {
			return nil, nil, err
		}
	}
	var parts []io.Reader
	if f != nil {
		parts = append(parts, io.NewSectionReader(f, 0, min(s.size, s.synced.from)))
	}
	for _, p := range s.synced.pieces {
		parts = append(parts, io.NewSectionReader(p.in, p.at, p.n))
	}
	if f != nil && s.size > s.synced.to {
		parts = append(parts, io.NewSectionReader(f, s.synced.to, s.size-s.synced.to))
	}
	return io.MultiReader(parts...), f, nil
}

// walk reads the batches of a segment, whose first record has the offset given, and calls visit for each that is as it was
// written. It returns how many bytes those are, and the offset behind them. Nothing is trusted: a length is read only as far
// as there are bytes.
func (s *segment) walk(offset int64, epoch int32, visit func(header) error) (int64, int64, *fault, error) {
	in, closer, err := s.open()
	if err != nil {
		return 0, offset, nil, err
	}
	at, next, flaw, err := walkBatches(in, s.length(), offset, epoch, visit)
	if f, ok := closer.(*os.File); ok && f != nil {
		err = errors.Join(err, f.Close())
	}
	return at, next, flaw, err
}

func walkBatches(in io.Reader, length, offset int64, epoch int32, visit func(header) error) (int64, int64, *fault, error) {
	r := bufio.NewReaderSize(in, walkBuffer)
	at := int64(0)
	for at < length {
		broken := func(why string, args ...any) (int64, int64, *fault, error) {
			return at, offset, &fault{at, offset, fmt.Sprintf(why, args...)}, nil
		}
		if length-at < batchHeader {
			return broken("%d bytes are too few for a record batch", length-at)
		}
		b, err := r.Peek(batchHeader)
		if err != nil {
			return at, offset, nil, err
		}
		h := parse(b)
		switch {
		case h.magic != 2:
			return broken("the record batch has format %d, not 2", h.magic)
		case h.base != offset:
			return broken("the record batch has offset %d", h.base)
		case h.length < minLength || h.length > maxLength:
			return broken("the record batch has %d bytes", h.size())
		case h.size() > length-at:
			return broken("the record batch has %d bytes, and %d are there", h.size(), length-at)
		}
		sum, err := checksum(r, h.size())
		switch {
		case err != nil:
			return at, offset, nil, err
		case sum != h.crc:
			return broken("the checksum of the record batch is wrong")
		case h.count < 1 || h.lastDelta != h.count-1:
			return broken("the record batch has %d records, and %d is the last", h.count, h.lastDelta)
		case h.epoch < epoch: // not under the checksum
			return broken("the record batch has epoch %d after epoch %d", h.epoch, epoch)
		}
		if err := visit(h); err != nil {
			return at, offset, nil, err
		}
		at, offset, epoch = at+h.size(), h.next(), h.epoch
	}
	return at, offset, nil, nil
}

// checksum reads a batch and gives the CRC-32C of what stands behind the field for it.
func checksum(r *bufio.Reader, size int64) (uint32, error) {
	if _, err := r.Discard(21); err != nil {
		return 0, err
	}
	sum := uint32(0)
	for left := size - 21; left > 0; {
		b, err := r.Peek(int(min(left, int64(max(r.Buffered(), 1)))))
		if len(b) == 0 {
			return 0, err
		}
		sum = crc32.Update(sum, castagnoli, b)
		left -= int64(len(b))
		_, _ = r.Discard(len(b)) // they were peeked at
	}
	return sum, nil
}

// followed reports whether a whole batch stands at a byte of a file, or one with a later offset behind it: then what is wrong
// there is not a torn end.
func followed(path string, from, offset int64) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }()
	st, err := f.Stat()
	if err != nil {
		return false, err
	}
	b := make([]byte, walkBuffer)
	for at := from; at+batchHeader <= st.Size(); at += walkBuffer - batchHeader + 1 {
		n, err := f.ReadAt(b, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return false, err
		}
		for i := 0; i+batchHeader <= n; i++ {
			if b[i+16] != 2 {
				continue
			}
			h := parse(b[i:])
			if (h.base < offset && at+int64(i) > from) || h.length < minLength || h.size() > st.Size()-at-int64(i) || h.count < 1 || h.lastDelta != h.count-1 {
				continue
			}
			sum, err := checksum(bufio.NewReader(io.NewSectionReader(f, at+int64(i), h.size())), h.size())
			if err != nil || sum == h.crc {
				return true, err
			}
		}
	}
	return false, nil
}

// segments lists the segments under a root, by partition and base.
func segments(root string) ([]span, error) {
	dirs, err := os.ReadDir(filepath.Join(root, "partitions"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []span
	for _, d := range dirs {
		if !d.IsDir() {
			continue
		}
		files, err := os.ReadDir(filepath.Join(root, "partitions", d.Name()))
		if err != nil {
			return nil, err
		}
		first := len(all)
		for _, f := range files {
			name, ok := strings.CutSuffix(f.Name(), ".dat")
			base, err := strconv.ParseInt(name, 10, 64)
			if !ok || err != nil {
				continue // not one that the broker would read
			}
			if base < 0 || strconv.FormatInt(base, 10) != name {
				return nil, fmt.Errorf("%s: not the name of a segment", filepath.Join(root, "partitions", d.Name(), f.Name()))
			}
			st, err := f.Info()
			if err != nil {
				return nil, err
			}
			all = append(all, span{d.Name(), base, st.Size()})
		}
		slices.SortFunc(all[first:], func(a, b span) int { return int(a.base - b.base) })
	}
	return all, nil
}
