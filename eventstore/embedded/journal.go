package embedded

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
)

// The journal is what makes an append durable with one sync of one file, whatever the number of partitions: before a
// response leaves, the bytes that were appended to any segment since the last pass are copied here and the journal is
// synced. Its room is laid out beforehand and overwritten, so a sync writes data only, no metadata of the file system. The
// segments themselves are synced behind, in the background (checkpoint). At the next start the journal says how far each
// segment was synced, and gives back what a segment lost.
//
// Measured on a virtual disk (ext4), 1 record of 1.4 kB in each of n files and what makes them durable, p50 for n = 1, 4, 8:
// fdatasync of each file at once 0.13, 0.41, 0.65 ms; syncfs 0.14, 0.30, 0.45 ms, and it waits for what strangers wrote too;
// the journal 0.10 to 0.14 ms whatever n is.
//
// It is two files that take turns. A record begins on a page of its own, so that writing one never touches the page of an
// earlier one, and only one is on its way at a time: a record that is not whole with none behind it was never answered for.
//
//	8 magic | 8 id | 8 generation | 8 sequence | 4 kind | 4 length | 4 CRC-32C of it all | body
//
// The id is random and changes with each start: nobody can store bytes in the log that look like a record.
const (
	journalMagic  = "deed-jn1"
	recordHeader  = 44
	journalPage   = 4096
	journalGrowth = 1 << 20 // room is laid out in such pieces
	maxRecord     = 4 << 20 // more is written in several records, unless one batch is larger
)

// kind of a record.
type kind uint32

const (
	ends     kind = iota + 1 // how far each segment was synced in its own file (snapshot)
	appended                 // bytes appended to segments
	trimmed                  // a partition is about to lose its records below an offset
	dropped                  // a topic is about to be deleted
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func journalName(dir string, generation uint64) string {
	return filepath.Join(dir, fmt.Sprintf("journal.%d", generation%2))
}

// journal writes records. It is not safe for concurrent use.
type journal struct {
	sync       func(*os.File) error
	files      [2]*os.File
	room       [2]int64 // how far each file was laid out
	id         uint64
	generation uint64
	sequence   uint64 // of the last record
	at         int64  // where the next record begins
	kind       kind
	buf        []byte // the record that is being made
}

// newJournal begins a new journal after the generation and sequence given, with one snapshot in it. The old one counts
// until that is durable.
func newJournal(dir string, d disk, generation, sequence uint64, s snapshot) (*journal, error) {
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	j := &journal{sync: d.sync, id: binary.BigEndian.Uint64(id[:]), generation: generation + 1, sequence: sequence}
	s.since = sequence
	name, other := journalName(dir, j.generation), journalName(dir, j.generation+1)
	f, err := os.OpenFile(name+".tmp", os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600) //nolint:gosec // the operator's directory
	if err != nil {
		return nil, err
	}
	j.files[j.generation%2] = f
	j.begin(ends)
	j.buf = s.append(j.buf)
	if err := j.commit(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := errors.Join(os.Rename(name+".tmp", name), d.syncDir(dir)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	o, err := os.OpenFile(other, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // the operator's directory
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	j.files[(j.generation+1)%2] = o
	st, err := o.Stat()
	if err != nil {
		return nil, errors.Join(err, j.close())
	}
	j.room[(j.generation+1)%2] = st.Size() / journalPage * journalPage
	return j, d.syncDir(dir)
}

// begin begins a record; its body is appended to buf.
func (j *journal) begin(k kind) {
	j.kind = k
	j.buf = append(j.buf[:0], make([]byte, recordHeader)...)
}

// empty reports whether the record has no body yet.
func (j *journal) empty() bool { return len(j.buf) == recordHeader }

// commit writes the record and returns when it is durable. After an error nothing is known about it.
func (j *journal) commit() error {
	seal(j.buf, j.id, j.generation, j.sequence+1, j.kind)
	f, room := j.files[j.generation%2], &j.room[j.generation%2]
	next := j.at + pages(int64(len(j.buf)))
	if next > *room {
		grown := max(next, *room+journalGrowth)
		if _, err := f.WriteAt(make([]byte, grown-*room), *room); err != nil {
			return err
		}
		*room = grown
	}
	if _, err := f.WriteAt(j.buf, j.at); err != nil {
		return err
	}
	if err := j.sync(f); err != nil {
		return err
	}
	j.sequence++
	j.at = next
	return nil
}

// turn goes on in the other file, whose records must not be needed any more.
func (j *journal) turn() { j.generation, j.at = j.generation+1, 0 }

func (j *journal) close() error {
	var errs []error
	for _, f := range j.files {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

func pages(n int64) int64 { return (n + journalPage - 1) / journalPage * journalPage }

// seal writes the header of a record.
func seal(record []byte, id, generation, sequence uint64, k kind) {
	copy(record, journalMagic)
	binary.BigEndian.PutUint64(record[8:], id)
	binary.BigEndian.PutUint64(record[16:], generation)
	binary.BigEndian.PutUint64(record[24:], sequence)
	binary.BigEndian.PutUint32(record[32:], uint32(k))
	binary.BigEndian.PutUint32(record[36:], uint32(len(record)-recordHeader)) //nolint:gosec // a few MiB
	crc := crc32.Update(crc32.Checksum(record[:40], castagnoli), castagnoli, record[recordHeader:])
	binary.BigEndian.PutUint32(record[40:], crc)
}
