package wasm

import (
	"context"
	"crypto/sha256"
	"runtime"
	"sync"

	"github.com/tetratelabs/wazero"
)

// What a host keeps in memory of modules is bounded: beyond Config.CodeBudget, the one that was used longest ago is
// forgotten, and loaded again, from the cache on disk, when it is asked for. To forget is to drop the host's reference:
// attempts that run, or have just been given the module, hold their own, so nobody has to count them. The memory goes back
// once the garbage collector has found the module (its cleanup closes it) and what it was compiled to (the engine's own
// finalizer unmaps it): two collections, which come every two minutes even on an idle node.

// footprint estimates what a module takes: 2 to 3 times its bytes, measured with Go, Rust and JavaScript, which is code,
// the engine's tables of functions, and the initial image of memory; and a little for those that are nearly empty.
func footprint(module []byte) int64 { return 3*int64(len(module)) + 32<<10 }

// residents are the modules that a host keeps. The host's mutex guards it.
type residents struct {
	modules map[[sha256.Size]byte]*Module
	bytes   int64
	budget  int64 // 0: none
	uses    uint64
	pinned  map[string][][sha256.Size]byte
}

// get gives a module, which is then the one that was used last.
func (r *residents) get(digest [sha256.Size]byte) (*Module, bool) {
	m, ok := r.modules[digest]
	if ok {
		r.uses++
		m.used = r.uses
	}
	return m, ok
}

// add puts a module in memory, and forgets others if there is no room for it. The new one stays, whatever its size.
func (r *residents) add(digest [sha256.Size]byte, m *Module) {
	r.uses++
	m.used = r.uses
	r.modules[digest] = m
	r.bytes += m.footprint
	if r.budget == 0 || r.bytes <= r.budget {
		return
	}
	pinned := map[[sha256.Size]byte]bool{digest: true}
	for _, digests := range r.pinned {
		for _, d := range digests {
			pinned[d] = true
		}
	}
	for r.bytes > r.budget {
		var oldest [sha256.Size]byte
		var found *Module
		for d, m := range r.modules {
			if !pinned[d] && (found == nil || m.used < found.used) {
				oldest, found = d, m
			}
		}
		if found == nil {
			return
		}
		delete(r.modules, oldest)
		r.bytes -= found.footprint
	}
}

// Pin keeps modules in memory that are or will be loaded, whatever the budget says, until the same name pins others or
// none. What is pinned counts against the budget.
func (h *Host) Pin(name string, digests ...[sha256.Size]byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(digests) == 0 {
		delete(h.resident.pinned, name)
	} else {
		h.resident.pinned[name] = digests
	}
}

// Resident tells how many modules are in memory, and about how many bytes they take.
func (h *Host) Resident() (modules int, bytes int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.resident.modules), h.resident.bytes
}

// remains is what has to be given back when nobody has a module any more. It must not lead to the module.
type remains struct {
	host      *Host
	compiled  wazero.CompiledModule
	snapshots *snapshots
	once      *sync.Once
	freed     chan struct{} // closed when it is done
}

func (r remains) free() {
	r.once.Do(func() {
		_ = r.compiled.Close(context.Background()) // its memory is the engine's; nothing can fail
		r.snapshots.mu.Lock()
		defer r.snapshots.mu.Unlock()
		r.host.snapshotBytes.Add(-r.snapshots.bytes)
		close(r.freed)
	})
}

// made is a module that was compiled, which gives back what it took when nobody has it any more.
func (h *Host) made(e *engine, compiled wazero.CompiledModule, footprint int64) *Module {
	m := &Module{host: h, engine: e, compiled: compiled, footprint: footprint, snapshots: &snapshots{}}
	m.remains = remains{h, compiled, m.snapshots, new(sync.Once), make(chan struct{})}
	runtime.AddCleanup(m, remains.free, m.remains)
	return m
}
