package embedded

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// Repair is something that was put right before the broker began. If the one before it had Fsync, nothing that anybody was
// answered for, or that a consumer had read, is lost by one.
type Repair struct {
	File     string // below the data directory
	Offset   int64  // of the first record that was lost or brought back; -1 where there are no records
	From, To int64  // size of the file before and after, in bytes
	What     string
}

// recovery is what is to be done before the broker opens a directory. It is found out whole before anything is changed.
type recovery struct {
	root    string
	memory  *memory
	ends    map[string]int64 // offset behind the last record, by partition
	rolls   map[string]int64 // size of the segments of a partition, if it was set
	tails   []*tail
	repairs []Repair
	steps   []func() error
}

// examine walks everything in a directory. An error means that something is missing or damaged that was synced once, or
// that cannot be told from that; it names the file and the place. Nothing is changed.
func examine(root string) (*recovery, error) {
	m, err := remember(root)
	r := &recovery{root: root, memory: m, ends: map[string]int64{}, rolls: map[string]int64{}}
	if err != nil {
		return r, err
	}
	disk, err := segments(root)
	if err != nil {
		return r, err
	}
	dirs, err := r.partitions()
	if err != nil {
		return r, err
	}
	found := map[string][]span{}
	for _, s := range disk {
		if !slices.Contains(dirs, s.dir) {
			if s.size == 0 {
				// It was made for a topic that did not come to be.
				r.steps = append(r.steps, func() error { return os.RemoveAll(filepath.Join(root, "partitions", s.dir)) })
				continue
			}
			return r, fmt.Errorf("%s: there are segments, and no such partition in topics.json", filepath.Join(root, "partitions", s.dir))
		}
		found[s.dir] = append(found[s.dir], s)
	}
	for dir, known := range m.segs {
		if !slices.Contains(dirs, dir) && !nothing(known) {
			return r, fmt.Errorf("%s: partition %s has records that were synced, and is not there", filepath.Join(root, "topics.json"), dir)
		}
	}
	for _, dir := range dirs {
		if err := r.partition(dir, found[dir]); err != nil {
			return r, fmt.Errorf("partition %s: %w", dir, err)
		}
	}
	return r, r.states()
}

// partitions lists the partitions that the broker will open, by the names of their directories.
func (r *recovery) partitions() ([]string, error) {
	var topics struct {
		Topics []struct {
			Name       string            `json:"name"`
			Partitions int               `json:"partitions"`
			Configs    map[string]string `json:"configs"`
		} `json:"topics"`
	}
	path := filepath.Join(r.root, "topics.json")
	b, err := os.ReadFile(path) //nolint:gosec // the operator's directory
	if err == nil {
		err = json.Unmarshal(b, &topics)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var dirs []string
	for _, t := range topics.Topics {
		for p := range t.Partitions {
			dir := partitionDir(t.Name, int32(p)) //nolint:gosec // counts partitions
			dirs = append(dirs, dir)
			if n, ok := t.Configs["segment.bytes"]; ok {
				r.rolls[dir] = rollOf("segment.bytes", &n)
			}
		}
	}
	meta := filepath.Join(r.root, "meta.json")
	switch _, err2 := os.Stat(meta); {
	case errors.Is(err2, fs.ErrNotExist) && len(dirs) > 0:
		return nil, fmt.Errorf("%s is not there, and topics are", meta)
	case errors.Is(err, fs.ErrNotExist):
		r.steps = append(r.steps, func() error { return remove(meta) }) // a first start that did not come to its end
	}
	return dirs, nil
}

// nothing reports whether nothing was ever synced of a partition.
func nothing(known map[int64]*synced) bool {
	for _, s := range known {
		if s.to > 0 {
			return false
		}
	}
	return true
}

func partitionDir(topic string, partition int32) string {
	return url.PathEscape(topic) + "-" + strconv.Itoa(int(partition))
}

func (r *recovery) do(repair Repair, step func() error) {
	r.repairs, r.steps = append(r.repairs, repair), append(r.steps, step)
}

func (r *recovery) name(path string) string {
	name, err := filepath.Rel(r.root, path)
	if err != nil {
		return path
	}
	return name
}

// apply does what was found to do, and makes it durable. If we crash on the way, the next start finds the journal as it was
// and does the rest.
func (r *recovery) apply(d disk) error {
	for i, step := range r.steps {
		if err := step(); err != nil {
			return fmt.Errorf("repair %d: %w", i+1, err)
		}
	}
	return syncTree(r.root, d)
}
