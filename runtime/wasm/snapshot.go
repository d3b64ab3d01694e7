package wasm

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"runtime"
	"sync"
	"time"

	"github.com/tetratelabs/wazero/api"

	"deed/runtime/wasm/meter"
)

// A reactor's initialisation is given the same clock and the same random bytes in every attempt. So whatever it leaves in
// memory and globals is the same, too, and can be kept: a snapshot is made at the first attempt with the same arguments,
// environment, files and memory limit, and later ones begin with it. Without one, an attempt initialises by itself, under the
// same clock and chance, and gives the same bytes. The price: what initialisation draws from the random source, the seeds
// of hash tables for example, is the same in all attempts of a deployment.
type snapshot struct {
	image   *image
	globals []uint64 // of the mutable ones, in the order of facts.mutable
	passed  int64    // how far initialisation moved the clock, in nanoseconds

	granted, used int64 // fuel: what initialisation was given and took; attempts over the snapshot are charged for it, too
}

// The bounds of what is kept. Beyond them attempts initialise by themselves.
const (
	snapshotTime     = time.Second // for an initialisation; it is spent before the attempt's own time begins
	snapshotMaximum  = 64 << 20    // bytes of one
	snapshotsSum     = 512 << 20   // bytes of all of a host, if Config does not say
	snapshotsEach    = 16          // tries for one module, which are as many as it has environments in use
	snapshotsGlobals = 1000        // mutable globals of a module
)

// initialTime is where the clock stands when a reactor is initialised: before any attempt, so that no clock goes back.
var initialTime = time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)

// snapshots reports whether a snapshot holds all that initialisation can change: tables and data segments must be out of
// its reach, mutable globals must be numbers, and nothing may run when an instance is made.
func (f *facts) snapshots() bool {
	return f.initializes && !f.picksData && !f.changesTables && !f.starts && !f.taken && !f.unkeepable && len(f.mutable) <= snapshotsGlobals
}

// snapshots are those of one module.
type snapshots struct {
	mu    sync.Mutex // guards what follows
	made  map[[sha256.Size]byte]*snapshot
	bytes int64 // of those made
}

// snapshotFor gives the snapshot to begin an attempt with, or nil without one. An attempt whose fuel does not last for the
// initialisation gets none: it is to end where it would end by itself.
func (m *Module) snapshotFor(ctx context.Context, a *Attempt) *snapshot {
	if !m.facts.snapshots() {
		return nil
	}
	s := m.snapshotOf(ctx, a)
	if s != nil && a.Limits.Fuel > 0 && s.used > a.Limits.Fuel {
		return nil
	}
	return s
}

// snapshotOf gives the snapshot of an attempt's arguments, environment, files and memory limit. The first who asks makes it; who
// asks meanwhile gets nil.
func (m *Module) snapshotOf(ctx context.Context, a *Attempt) *snapshot {
	key := snapshotKey(a)
	m.snapshots.mu.Lock()
	s, tried := m.snapshots.made[key]
	if tried || len(m.snapshots.made) >= snapshotsEach {
		m.snapshots.mu.Unlock()
		return s
	}
	if m.snapshots.made == nil {
		m.snapshots.made = map[[sha256.Size]byte]*snapshot{}
	}
	m.snapshots.made[key] = nil
	m.snapshots.mu.Unlock()
	s = m.snapshot(ctx, a)
	m.snapshots.mu.Lock()
	defer m.snapshots.mu.Unlock()
	if s == nil && ctx.Err() != nil {
		delete(m.snapshots.made, key) // it was stopped, so nothing is known
		return nil
	}
	m.snapshots.made[key] = s
	if s != nil {
		m.snapshots.bytes += int64(s.image.bytes())
	}
	return s
}

// snapshotKey is what an initialisation depends on.
func snapshotKey(a *Attempt) (key [sha256.Size]byte) {
	h := sha256.New()
	addWords(h, len(a.Args), func(i int) string { return a.Args[i] })
	for i := range 2 {
		addWords(h, len(a.Env), func(n int) string {
			if isContext(a.Env[n][0]) {
				return ""
			}
			return a.Env[n][i]
		})
	}
	if a.Files != nil {
		d := a.Files.Digest()
		h.Write(d[:])
	}
	var limit [8]byte
	binary.LittleEndian.PutUint64(limit[:], uint64(a.Limits.Memory))
	h.Write(limit[:])
	h.Sum(key[:0])
	return key
}

// addWords hashes a list so that no other list has the same hash.
func addWords(h hash.Hash, n int, word func(int) string) {
	var b []byte
	b = binary.AppendUvarint(b, uint64(n))
	for i := range n {
		b = binary.AppendUvarint(b, uint64(len(word(i))))
		b = append(b, word(i)...)
	}
	h.Write(b)
}

// snapshot initialises a reactor as an attempt would. It gives nil when initialisation did not succeed, when it reached
// for what a snapshot does not hold, and when the snapshot is too large.
func (m *Module) snapshot(ctx context.Context, a *Attempt) (s *snapshot) {
	ctx, cancel := context.WithTimeoutCause(ctx, snapshotTime, errTimeout)
	defer cancel()
	defer runtime.KeepAlive(m)
	box := m.host.boxes.get()
	defer m.host.boxes.put(box)
	alone := *a
	alone.Event, alone.Limits.Fuel = nil, 0
	box.begin(ctx, &alone)
	defer box.end()
	box.initialise()
	mod, err := m.instance(watch(box.within(ctx), m.engine.watched), box, m.initial)
	if err != nil {
		return nil
	}
	defer func() { _ = mod.Close(context.Background()) }()
	if _, err := mod.ExportedFunction(initializeName).Call(box.within(ctx)); err != nil || ctx.Err() != nil {
		return nil
	}
	if box.reached || box.mount.open > 0 || box.memory.refused > 0 || box.memory.peak == 0 {
		return nil
	}
	box.measure(mod)
	s = &snapshot{granted: box.fuel.granted, used: box.fuel.used, image: imageOf(box.memory.slab.b[:box.memory.peak]), passed: box.clock.passed}
	for _, g := range m.facts.mutable {
		s.globals = append(s.globals, mod.ExportedGlobal(globalName(g)).Get())
	}
	n := int64(s.image.bytes())
	if n > snapshotMaximum {
		return nil
	}
	if m.host.snapshotBytes.Add(n) > m.host.snapshotsMost {
		m.host.snapshotBytes.Add(-n)
		return nil
	}
	return s
}

// restore gives an instance that was made over the snapshot's image, and its sandbox, the rest of it. The fuel is what
// initialisation left of its slice, so that the guest is looked at where it would be without a snapshot.
func (s *snapshot) restore(mod api.Module, box *sandbox, f *facts) error {
	if pages := uint32((s.image.size - f.memory) >> 16); pages > 0 {
		if _, ok := mod.Memory().Grow(pages); !ok {
			return fmt.Errorf("memory of %s for a snapshot was refused", size(int64(s.image.size)))
		}
	}
	for i, g := range f.mutable {
		mod.ExportedGlobal(globalName(g)).(api.MutableGlobal).Set(s.globals[i])
	}
	granted := s.granted
	if box.fuel.limit > 0 { // as it would have been given to an attempt with this limit
		granted = min(granted, box.fuel.limit)
	}
	mod.ExportedGlobal(meter.Fuel).(api.MutableGlobal).Set(uint64(granted - s.used))
	box.fuel.granted, box.clock.passed = granted, s.passed
	return nil
}
