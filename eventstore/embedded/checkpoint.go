package embedded

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// checkpointed is the end of a checkpoint.
type checkpointed struct {
	snapshot snapshot
	err      error
}

// beginCheckpoint turns to the other journal and syncs, in the background, the segments that this one completes.
func (s *syncer) beginCheckpoint() {
	snap := s.snapshot()
	var files, old []*os.File
	dirs := map[string]bool{}
	for _, t := range s.tails {
		files, old = append(files, t.left...), append(old, t.left...)
		if t.dirty {
			files = append(files, t.file)
		}
		if t.fresh {
			dirs[t.path], dirs[filepath.Dir(t.path)] = true, true
		}
		t.left, t.dirty, t.fresh = nil, false, false
	}
	s.journal.turn()
	done := make(chan checkpointed, 1)
	s.checkpoint = done
	go func() {
		var errs []error
		for _, f := range files {
			errs = append(errs, s.disk.sync(f))
		}
		for _, f := range old {
			_ = f.Close() // was read only
		}
		for dir := range dirs {
			if err := s.disk.syncDir(dir); !errors.Is(err, fs.ErrNotExist) { // its topic may be deleted
				errs = append(errs, err)
			}
		}
		done <- checkpointed{snap, errors.Join(errs...)}
	}()
}

// endCheckpoint writes the snapshot of a checkpoint that has ended.
func (s *syncer) endCheckpoint(wait bool) error {
	if s.checkpoint == nil {
		return nil
	}
	var c checkpointed
	if wait {
		c = <-s.checkpoint
	} else {
		select {
		case c = <-s.checkpoint:
		default:
			return nil
		}
	}
	s.checkpoint = nil
	if c.err != nil {
		return c.err
	}
	s.journal.begin(ends)
	s.journal.buf = c.snapshot.append(s.journal.buf)
	return s.journal.commit()
}

func (s *syncer) snapshot() snapshot {
	snap := snapshot{since: s.journal.sequence, exact: s.live, trims: map[string]int64{}}
	for _, t := range s.tails {
		if !s.dropped[topicOf(t.dir)] {
			snap.segs = append(snap.segs, t.segs...)
		}
	}
	maps.Copy(snap.trims, s.trims)
	for topic := range s.dropped {
		snap.dropped = append(snap.dropped, topic)
	}
	return snap
}

// syncTree syncs every file and directory under a directory, but not the journal.
func syncTree(root string, d disk) error {
	var dirs []string
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			dirs = append(dirs, path)
			return nil
		}
		if !e.Type().IsRegular() || isJournal(e.Name()) {
			return nil
		}
		f, err := os.Open(path) //nolint:gosec // the operator's directory
		if err != nil {
			return err
		}
		return errors.Join(d.sync(f), f.Close())
	})
	for _, dir := range slices.Backward(dirs) {
		err = errors.Join(err, d.syncDir(dir))
	}
	return err
}

func isJournal(name string) bool {
	ok, _ := filepath.Match("journal.*", name)
	return ok
}
