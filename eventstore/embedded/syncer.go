package embedded

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// disk is how things become durable. Tests put their own in between.
type disk struct {
	sync    func(*os.File) error
	syncDir func(path string) error
	journal int64 // a journal that is longer is left for the other one, in bytes
}

var realDisk = disk{datasync, syncDir, 32 << 20}

func syncDir(path string) error {
	d, err := os.Open(path) //nolint:gosec // the operator's directory
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// syncer makes durable what the broker wrote, in passes: one at a time, each for all that wait.
//
// What is true if the machine stops:
//   - before the journal's record is whole: nobody was answered for what is in it. Its bytes may be in the segments, in
//     part and in any order; the next start takes them over as far as they are whole.
//   - after: it is in the journal, whatever the segments say; the next start completes them.
//   - while the segments are synced in the background: the same, the journal is needed until the next snapshot is in it.
//   - after the snapshot is in it: the segments are as long as it says. What stands in the other file is not needed.
type syncer struct {
	root string
	disk disk
	live bool // Fsync; else responses are not held and no pass is made
	fail func(error)

	mu        sync.Mutex
	gathering *group // those who wait for the pass that comes

	turn       sync.Mutex // held by the pass; guards what follows
	journal    *journal
	tails      []*tail
	states     []*stateFile
	trims      map[string]int64
	dropped    map[string]bool
	checkpoint chan checkpointed // nil unless one is being made
	err        error             // after it nothing is synced any more
}

// group is all who wait for the same pass.
type group struct {
	done chan struct{}
	all  bool // state files may have been replaced
	n    int
	err  error
}

// wait returns when a pass has ended that began after the call. With all, files of the broker's state may have been
// replaced by others of the same name. An error means that it is not known what is durable.
func (s *syncer) wait(all bool) error {
	s.mu.Lock()
	g := s.gathering
	if g == nil {
		g = &group{done: make(chan struct{})}
		s.gathering = g
	}
	g.all = g.all || all
	g.n++
	first := g.n == 1
	s.mu.Unlock()
	if !first {
		<-g.done
		return g.err
	}
	s.turn.Lock() // until the pass before has ended others may join
	s.mu.Lock()
	s.gathering = nil
	s.mu.Unlock()
	g.err = s.pass(g.all)
	s.turn.Unlock()
	close(g.done)
	return g.err
}

// pass makes durable all that was written before it began. If nothing was, it is a few calls of stat.
func (s *syncer) pass(all bool) error {
	if s.err == nil {
		if s.err = s.write(all); s.err != nil {
			s.fail(s.err)
		}
	}
	return s.err
}

func (s *syncer) write(all bool) error {
	if err := s.endCheckpoint(s.journal.at > 4*s.disk.journal); err != nil {
		return err
	}
	s.journal.begin(appended)
	for _, t := range s.tails {
		if err := t.gather(s.journal); err != nil {
			return err
		}
	}
	if !s.journal.empty() {
		if err := s.journal.commit(); err != nil {
			return err
		}
	}
	replaced, err := s.syncStates()
	if err != nil {
		return err
	}
	if all || replaced {
		// The broker syncs most of its files before it renames them, but not the directory. That the file of topics was replaced
		// is seen also when it was not this response that did it: a topic must be durable before a record in it is acknowledged.
		if err := s.disk.syncDir(s.root); err != nil {
			return err
		}
	}
	for _, f := range s.states {
		f.keep()
	}
	if s.journal.at >= s.disk.journal && s.checkpoint == nil {
		s.beginCheckpoint()
	}
	return nil
}

// openStates is called when the broker has opened the directory.
func (s *syncer) openStates() error {
	for _, name := range append(slices.Clone(stateLogs), "topics.json") {
		f, err := openState(filepath.Join(s.root, name), name != "topics.json")
		if err != nil {
			return err
		}
		s.states = append(s.states, f)
	}
	return nil
}

func (s *syncer) syncStates() (replaced bool, err error) {
	for _, f := range s.states {
		r, err := f.sync(s.disk)
		if err != nil {
			return false, err
		}
		replaced = replaced || r
	}
	return replaced, nil
}

// watch makes partitions, which may come to be, known, and the size at which their segments end. It is to be called before
// the broker makes them.
func (s *syncer) watch(roll int64, dirs ...string) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	for _, dir := range dirs {
		i := slices.IndexFunc(s.tails, func(t *tail) bool { return t.dir == dir })
		if i < 0 {
			i = len(s.tails)
			s.tails = append(s.tails, newTail(s.root, dir))
		}
		t := s.tails[i]
		t.roll = min(t.roll, roll)
		if err := t.make(); err != nil {
			s.fail(err)
			return err
		}
		delete(s.dropped, topicOf(dir))
	}
	return nil
}

// trim says, durably, that segments of a partition are about to be removed, those that end at or below an offset.
func (s *syncer) trim(dir string, bound int64) error {
	return s.note(trimmed, dir, bound, func() {
		s.trims[dir] = max(s.trims[dir], bound)
		for _, t := range s.tails {
			for t.dir == dir && len(t.segs) > 1 && t.segs[1].base <= bound {
				t.segs = t.segs[1:]
			}
		}
	})
}

// drop says, durably, that a topic is about to be deleted.
func (s *syncer) drop(topic string) error {
	return s.note(dropped, topic, 0, func() {
		s.dropped[topic] = true
		for _, t := range s.tails {
			if topicOf(t.dir) == topic {
				delete(s.trims, t.dir)
				t.forget()
			}
		}
	})
}

// note writes a record of its own. It is called while the broker writes nothing, and all that was written is in the
// journal before it.
func (s *syncer) note(k kind, name string, x int64, then func()) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	if s.live {
		if err := s.pass(false); err != nil {
			return err
		}
	} else if s.err != nil {
		return s.err
	}
	s.journal.begin(k)
	s.journal.buf = appendPlace(s.journal.buf, name, x, 0)
	if s.err = s.journal.commit(); s.err != nil {
		s.fail(s.err)
		return s.err
	}
	then()
	return nil
}

// stop ends the passes. If all went well until then, everything under the root is synced and the journal says so.
func (s *syncer) stop(well bool) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	if s.checkpoint != nil {
		if c := <-s.checkpoint; s.err == nil && c.err != nil {
			s.err = c.err
			s.fail(s.err)
		}
		s.checkpoint = nil
	}
	var err error
	if s.err == nil && well {
		err = s.seal()
	}
	for _, t := range s.tails {
		t.close()
	}
	for _, f := range s.states {
		f.close()
	}
	s.tails, s.err = nil, errors.New("embedded broker: closed")
	return errors.Join(err, s.journal.close())
}

func (s *syncer) seal() error {
	if err := syncTree(s.root, s.disk); err != nil {
		return err
	}
	segs, err := segments(s.root)
	if err != nil {
		return err
	}
	snap := s.snapshot()
	snap.segs, snap.clean = segs, true
	s.journal.begin(ends)
	s.journal.buf = snap.append(s.journal.buf)
	return s.journal.commit()
}
