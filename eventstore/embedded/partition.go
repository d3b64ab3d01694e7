package embedded

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

func (r *recovery) partition(dir string, disk []span) error {
	t := newTail(r.root, dir)
	if roll, ok := r.rolls[dir]; ok {
		t.roll = min(t.roll, roll)
	}
	r.tails = append(r.tails, t)
	r.ends[dir] = 0
	if r.memory.dropped[topicOf(dir)] {
		if len(disk) > 0 {
			r.do(Repair{File: filepath.Join("partitions", dir), Offset: disk[0].base, What: "the deletion of the topic was completed"},
				func() error { return os.RemoveAll(t.path) })
		}
		return nil
	}
	list, err := r.trimmed(r.merge(dir, disk), r.memory.trims[dir])
	if err != nil || len(list) == 0 {
		return err
	}
	offset, epoch := list[0].base, int32(0)
	if len(r.memory.segs[dir]) == 0 && r.memory.any && offset > max(0, r.memory.trims[dir]) {
		return fmt.Errorf("%s: the segments before it are missing, from offset 0 to %d", list[0].path, offset)
	}
	for i := range list {
		s := &list[i]
		flaw, err := r.segment(s, &offset, &epoch)
		if err != nil {
			return err
		}
		if flaw != nil {
			if err := r.torn(flaw, list[i:]); err != nil {
				return err
			}
		}
		if s.size > 0 || (s.size == 0 && s.base == 0) {
			t.segs = append(t.segs, s.span)
		}
		if flaw != nil {
			break
		}
	}
	if len(t.segs) == 0 && list[0].base > 0 {
		return fmt.Errorf("%s: no whole record batch is left in it, and the partition begins at offset %d", list[0].path, list[0].base)
	}
	r.ends[dir] = offset
	r.snapshot(t, offset)
	return nil
}

// merge puts together what is in the directory and what the journal knows.
func (r *recovery) merge(dir string, disk []span) []segment {
	var list []segment
	for _, s := range disk {
		list = append(list, segment{span: s})
	}
	for base, known := range r.memory.segs[dir] {
		i := slices.IndexFunc(list, func(s segment) bool { return s.base == base })
		if i < 0 {
			i = len(list)
			list = append(list, segment{span: span{dir, base, -1}})
		}
		list[i].synced = *known
	}
	slices.SortFunc(list, func(a, b segment) int { return int(a.base - b.base) })
	for i := range list {
		list[i].path = filepath.Join(r.root, "partitions", dir, strconv.FormatInt(list[i].base, 10)+".dat")
	}
	return list
}

// trimmed leaves out the segments below an offset that were to be removed, if any of them is gone.
func (r *recovery) trimmed(list []segment, bound int64) ([]segment, error) {
	gone := 0
	for i := range list {
		if list[i].size < 0 && i+1 < len(list) && list[i+1].base <= bound {
			gone = i + 1
		}
	}
	for _, s := range list[:gone] {
		if s.size >= 0 {
			r.do(Repair{File: r.name(s.path), Offset: s.base, From: s.size, What: "the deletion of records was completed"},
				func() error { return errors.Join(os.Remove(s.path), removeIndex(s.path)) })
		}
	}
	for _, s := range list[gone:] {
		switch {
		case s.size < 0 && s.synced.from > 0:
			return nil, fmt.Errorf("%s: missing, from byte 0, record offset %d; %d bytes of it were synced", s.path, s.base, s.synced.to)
		case s.size >= 0 && s.size < s.synced.from:
			return nil, fmt.Errorf("%s: ends at byte %d, and was synced to byte %d; the segment begins with record offset %d", s.path, s.size, s.synced.to, s.base)
		}
	}
	return list[gone:], nil
}

// segment walks one segment and plans what makes it as the journal knows it.
func (r *recovery) segment(s *segment, offset *int64, epoch *int32) (*fault, error) {
	if s.base != *offset {
		return &fault{0, *offset, fmt.Sprintf("a gap: the segment begins with record offset %d", s.base)}, nil
	}
	index := openIndex(s.path)
	defer index.close()
	remade := func() {
		r.do(Repair{File: r.name(indexPath(s.path)), Offset: -1, From: index.size(), To: index.count * indexEntry, What: indexRemade},
			func() error { return rebuildIndex(s.path, index.count) })
	}
	healed := s.base
	at := int64(0)
	_, next, flaw, err := s.walk(*offset, *epoch, func(h header) error {
		at += h.size()
		if at <= s.synced.from {
			healed = h.next()
		}
		*epoch = h.epoch
		return index.check(h)
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.path, err)
	}
	*offset = next
	differs, err := s.differs()
	if err != nil {
		return nil, err
	}
	if differs {
		to := s.length()
		r.do(Repair{File: r.name(s.path), Offset: healed, From: max(0, s.size), To: to, What: "completed from the journal"}, s.heal)
		s.size = to
	}
	if flaw != nil {
		if s.base != next { // it is cut, or all is refused
			remade()
		}
		return flaw, nil
	}
	if s.length() <= 0 && s.base == 0 {
		return nil, nil //nolint:nilnil // a partition that was not written to
	}
	if s.length() <= 0 {
		r.do(Repair{File: r.name(s.path), Offset: s.base, What: "an empty segment was removed"},
			func() error { return errors.Join(os.Remove(s.path), removeIndex(s.path)) })
		return nil, nil //nolint:nilnil // nothing is wrong
	}
	if !index.complete() {
		remade()
	}
	return nil, nil //nolint:nilnil // nothing is wrong
}

// indexRemade is no news: an index is never synced with its segment.
const indexRemade = "the index was made anew"

// torn decides about a segment that is not whole and those behind it: they are cut off if nobody can have been answered for
// what is lost.
func (r *recovery) torn(flaw *fault, list []segment) error {
	s := &list[0]
	where := fmt.Errorf("%s: at byte %d, record offset %d: %s", s.path, flaw.at, flaw.offset, flaw.why)
	if flaw.at < s.synced.to {
		return fmt.Errorf("%w; it was synced to byte %d", where, s.synced.to)
	}
	for _, later := range list[1:] {
		if later.synced.to > 0 {
			return fmt.Errorf("%w; %s behind it was synced", where, later.path)
		}
	}
	if !r.memory.exact {
		// Responses did not wait for the journal. Only what a write leaves that was cut short may go.
		if len(list) > 1 {
			return fmt.Errorf("%w; there is another segment behind it", where)
		}
		more, err := followed(s.path, flaw.at, flaw.offset)
		if err != nil {
			return err
		}
		if more {
			return fmt.Errorf("%w; there are whole record batches behind it", where)
		}
	}
	for _, later := range list[1:] {
		r.do(Repair{File: r.name(later.path), Offset: later.base, From: later.size, What: "a segment behind a torn end was removed"},
			func() error { return errors.Join(os.Remove(later.path), removeIndex(later.path)) })
	}
	if flaw.at == 0 && s.base > 0 {
		r.do(Repair{File: r.name(s.path), Offset: flaw.offset, From: s.size, What: "a torn segment was removed: " + flaw.why},
			func() error { return errors.Join(os.Remove(s.path), removeIndex(s.path)) })
		s.size = 0
		return nil
	}
	r.do(Repair{File: r.name(s.path), Offset: flaw.offset, From: s.size, To: flaw.at, What: "a torn end was cut: " + flaw.why},
		func() error { return os.Truncate(s.path, flaw.at) })
	s.size = flaw.at
	return nil
}

// snapshot drops the broker's summary of a partition if it contradicts the segments: with it the broker would go on at a
// wrong offset. Everything in it that counts is found in the segments.
func (r *recovery) snapshot(t *tail, end int64) {
	path := filepath.Join(t.path, "snapshot.json")
	b, err := os.ReadFile(path) //nolint:gosec // the operator's directory
	if err != nil {
		return
	}
	var s struct {
		High     int64             `json:"high_watermark"`
		Stable   int64             `json:"last_stable_offset"`
		Start    int64             `json:"log_start_offset"`
		Aborted  []json.RawMessage `json:"aborted_txns"`
		Segments []struct {
			Base int64 `json:"base_offset"`
			Size int64 `json:"size"`
		} `json:"segments"`
	}
	good := json.Unmarshal(b, &s) == nil && len(s.Segments) == len(t.segs) && len(t.segs) > 0
	for i := 0; good && i < len(t.segs); i++ {
		good = s.Segments[i].Base == t.segs[i].base && s.Segments[i].Size == t.segs[i].size
	}
	if good && s.High == end && s.Stable == end && s.Start >= t.segs[0].base && s.Start <= end && len(s.Aborted) == 0 {
		return
	}
	r.steps = append(r.steps, func() error { return os.Remove(path) }) // out of date after every crash: not worth a word
}
