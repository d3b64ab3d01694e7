package embedded

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
)

// The logs of the broker's state: entries of 4 bytes length, 4 bytes CRC-32C and then a version of 2 bytes and JSON, both of
// which the length and the checksum are about.
var stateLogs = []string{"groups.log", "pids.log"}

// states examines the logs of state. The broker reads them as far as they are whole and then appends behind what is not,
// where nobody would ever read it, so a torn end has to go.
func (r *recovery) states() error {
	for _, name := range stateLogs {
		b, err := r.stateLog(name)
		if err != nil {
			return err
		}
		if name == "groups.log" {
			if err := r.offsets(b); err != nil {
				return err
			}
		}
	}
	if !r.memory.clean {
		// What was seen of producers is true only together with the segments as they were when the broker was closed: a batch
		// that is thought to be there would be acknowledged and not be stored.
		r.steps = append(r.steps, func() error { return remove(filepath.Join(r.root, "seq_windows.json")) })
	}
	return nil
}

func (r *recovery) stateLog(name string) ([]byte, error) {
	path := filepath.Join(r.root, name)
	kept := path + ".kept"
	b, err := os.ReadFile(path) //nolint:gosec // the operator's directory
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	n := frames(b, nil)
	second, err := os.ReadFile(kept) //nolint:gosec // the operator's directory
	if err == nil && !r.memory.clean && !same(path, kept) && (n < len(b) || n == 0) {
		// The file was replaced and not synced before the machine stopped, and what it had is not all there.
		size := len(b)
		b, n = second, frames(second, nil)
		r.do(Repair{File: name, Offset: -1, From: int64(size), To: int64(n), What: "a file that was not synced was replaced by the one before"},
			func() error { return os.Rename(kept, path) })
	}
	if n < len(b) {
		for at := n + 1; at < len(b); at++ {
			if frames(b[at:], nil) > 0 {
				return nil, fmt.Errorf("%s: the entry at byte %d is damaged, and the one at byte %d behind it is not", path, n, at)
			}
		}
		r.do(Repair{File: name, Offset: -1, From: int64(len(b)), To: int64(n), What: "a torn end was cut"},
			func() error { return os.Truncate(path, int64(n)) })
	}
	r.steps = append(r.steps, func() error { return remove(kept) }) // made anew when the file was synced
	return b[:n], nil
}

// frames gives the bodies of the whole entries at the start of b to visit, and returns their length in all.
func frames(b []byte, visit func([]byte)) int {
	at := 0
	for len(b)-at >= 10 {
		n := int64(binary.LittleEndian.Uint32(b[at:]))
		if n < 2 || n > int64(len(b)-at-8) || crc32.Checksum(b[at+8:at+8+int(n)], castagnoli) != binary.LittleEndian.Uint32(b[at+4:]) {
			break
		}
		if visit != nil {
			visit(b[at+10 : at+8+int(n)])
		}
		at += 8 + int(n)
	}
	return at
}

// offsets refuses what a group committed behind the end of a partition: with the next records below that offset it would
// pass over them in silence.
func (r *recovery) offsets(log []byte) error {
	type place struct {
		group, topic string
		partition    int32
	}
	committed := map[place]int64{}
	frames(log, func(b []byte) {
		var e struct {
			Type      string `json:"type"`
			Group     string `json:"g"`
			Topic     string `json:"t"`
			Partition int32  `json:"p"`
			Offset    int64  `json:"o"`
		}
		if json.Unmarshal(b, &e) != nil {
			return // so does the broker
		}
		switch at := (place{e.Group, e.Topic, e.Partition}); e.Type {
		case "commit":
			committed[at] = e.Offset
		case "delete":
			delete(committed, at)
		}
	})
	for at, offset := range committed {
		if end, ok := r.ends[partitionDir(at.topic, at.partition)]; ok && offset > end {
			return fmt.Errorf("group %q committed offset %d of partition %d of topic %q, which ends at offset %d", at.group, offset, at.partition, at.topic, end)
		}
	}
	return nil
}

func same(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

func remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
