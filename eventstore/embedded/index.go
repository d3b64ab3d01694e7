package embedded

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"strings"
)

// An index has 15 bytes a batch: version 1, the low byte of the CRC-32C of what follows, epoch, the greatest time so far,
// and whether the batch is of a transaction. The broker relies on the epoch and on the flag; both stand in the segment as
// well, so an index that is short or torn is made anew. It is not synced with the segment.
const indexEntry = 15

func indexPath(segment string) string { return strings.TrimSuffix(segment, ".dat") + ".idx" }

func encodeIndex(h header, greatest int64) [indexEntry]byte {
	var b [indexEntry]byte
	b[0] = 1
	binary.LittleEndian.PutUint32(b[2:], uint32(h.epoch))  //nolint:gosec // as it is
	binary.LittleEndian.PutUint64(b[6:], uint64(greatest)) //nolint:gosec // as it is
	if transactional(h) {
		b[14] = 1
	}
	b[1] = byte(crc32.Checksum(b[2:], castagnoli)) //nolint:gosec // the low byte
	return b
}

func transactional(h header) bool { return h.attributes&0x10 != 0 }

// indexReader compares an index with the batches of its segment.
type indexReader struct {
	file  *os.File
	in    *bufio.Reader
	good  bool
	count int64 // batches of the segment
}

func openIndex(segment string) *indexReader {
	f, err := os.Open(indexPath(segment))
	if err != nil {
		return &indexReader{}
	}
	return &indexReader{file: f, in: bufio.NewReader(f), good: true}
}

// check takes the next entry. An error means that it is whole and says something else than the segment: then one of the two
// is damaged, where the checksum of the batch does not tell.
func (x *indexReader) check(h header) error {
	x.count++
	if !x.good {
		return nil
	}
	b, err := x.in.Peek(indexEntry)
	if err != nil || b[0] != 1 || byte(crc32.Checksum(b[2:], castagnoli)) != b[1] { //nolint:gosec // the low byte
		x.good = false
		return nil
	}
	if epoch := int32(binary.LittleEndian.Uint32(b[2:])); epoch != h.epoch || (b[14] == 1) != transactional(h) { //nolint:gosec // as it is
		return fmt.Errorf("the record batch with offset %d has epoch %d, and %d in the index", h.base, h.epoch, epoch)
	}
	_, _ = x.in.Discard(indexEntry) // it was peeked at
	return nil
}

// complete reports whether there was a good entry for each batch and nothing else.
func (x *indexReader) complete() bool {
	if x.good {
		_, err := x.in.Peek(1)
		x.good = errors.Is(err, io.EOF)
	}
	return x.good
}

func (x *indexReader) close() {
	if x.file != nil {
		_ = x.file.Close() // was read only
	}
}

// size of the file, in bytes.
func (x *indexReader) size() int64 {
	if x.file == nil {
		return 0
	}
	st, err := x.file.Stat()
	if err != nil {
		return 0 // it is only told
	}
	return st.Size()
}

// rebuildIndex writes the index of the first so many batches of a segment.
func rebuildIndex(segment string, count int64) error {
	in, err := os.Open(segment)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(indexPath(segment), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(out)
	greatest := int64(-1)
	var b [batchHeader]byte
	at := int64(0)
	for range count {
		if _, err := in.ReadAt(b[:], at); err != nil {
			return errors.Join(err, out.Close())
		}
		h := parse(b[:])
		greatest = max(greatest, h.maxTime)
		entry := encodeIndex(h, greatest)
		_, _ = w.Write(entry[:]) // Flush tells
		at += h.size()
	}
	return errors.Join(w.Flush(), out.Close())
}

func removeIndex(segment string) error {
	if err := os.Remove(indexPath(segment)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
