package wasm

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"golang.org/x/sync/singleflight"

	"deed/runtime/wasm/meter"
)

// features are what a module may use; see the package's comment.
const features = api.CoreFeaturesV2 | experimental.CoreFeaturesExtendedConst

// Config is how a host is opened.
type Config struct {
	// CacheDir is the directory in which compiled modules are kept between runs of the process, by their digest and the
	// engine's version. It is made when it is missing, must be private to the process's user, and may be deleted at any
	// time. "" keeps them in memory only; loading a Go module then costs about a second instead of 40 ms.
	CacheDir string
	// CodeBudget is about how many bytes the compiled modules may take that are kept in memory; 0: as many as there are.
	// One that was forgotten is loaded again when it is asked for.
	CodeBudget int64
	// SnapshotBudget is how many bytes the snapshots of initialised memory may take; 0: 512 MiB.
	SnapshotBudget int64
	// Interpreter runs guests without compiling them, some hundred times slower. It is for comparing: outcomes are the same,
	// but for guests that call functions within each other deeper than 2,000, where the engine's interpreter has its end.
	Interpreter bool
}

// Host holds the engine and the compiled modules. It is safe for use from many goroutines.
type Host struct {
	engine  *engine
	bare    *engine // without a cache on disk, for when that one is broken; nil without CacheDir
	cache   wazero.CompilationCache
	offered map[[2]string]bool // module and name of what a module may import

	compilers chan struct{} // a token per compile that may run
	patience  time.Duration // for one compile
	boxes     sandboxes
	flights   singleflight.Group // of loads
	checks    singleflight.Group
	compiles  atomic.Int64 // that were begun

	snapshotBytes atomic.Int64 // of all modules' snapshots
	snapshotsMost int64

	mu       sync.Mutex // guards what follows
	resident residents
	busy     int           // attempts and compiles under way
	closing  chan struct{} // made by Close, closed when busy is 0
}

// Open starts an engine. The caller closes the host.
func Open(ctx context.Context, c Config) (_ *Host, err error) {
	h := &Host{
		offered:   map[[2]string]bool{},
		resident:  residents{modules: map[[sha256.Size]byte]*Module{}, pinned: map[string][][sha256.Size]byte{}, budget: c.CodeBudget},
		compilers: make(chan struct{}, max(2, runtime.GOMAXPROCS(0)/2)),
		patience:  compileTime,

		snapshotsMost: c.SnapshotBudget,
	}
	if h.snapshotsMost == 0 {
		h.snapshotsMost = snapshotsSum
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("open wasm host: %w", err)
			_ = h.shut(ctx)
		}
	}()
	config := wazero.NewRuntimeConfigCompiler()
	if c.Interpreter {
		config = wazero.NewRuntimeConfigInterpreter()
	}
	config = config.WithCoreFeatures(features).WithDebugInfoEnabled(false) // what stops a guest that spins is its fuel
	if c.CacheDir == "" {
		h.engine, err = newEngine(ctx, config)
	} else {
		if h.bare, err = newEngine(ctx, config); err != nil {
			return nil, err
		}
		if h.cache, err = wazero.NewCompilationCacheWithDir(c.CacheDir); err != nil {
			return nil, err
		}
		h.engine, err = newEngine(ctx, config.WithCompilationCache(h.cache))
	}
	if err != nil {
		return nil, err
	}
	for _, module := range []string{wasiModule, deedModule} {
		for name := range h.engine.Module(module).ExportedFunctionDefinitions() {
			h.offered[[2]string{module, name}] = name != meter.ImportMore
		}
	}
	return h, nil
}

// engine is what compiles modules and runs them.
type engine struct {
	wazero.Runtime
	watched api.Module // see there
}

func newEngine(ctx context.Context, config wazero.RuntimeConfig) (_ *engine, err error) {
	e := &engine{Runtime: wazero.NewRuntimeWithConfig(ctx, config)}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.Close(ctx))
		}
	}()
	plain, err := guard(ctx, e)
	if err != nil {
		return nil, err
	}
	wasi := e.NewHostModuleBuilder(wasiModule)
	exportWASI(wasi, plain)
	if _, err = wasi.Instantiate(ctx); err != nil {
		return nil, err
	}
	if err = offerContext(ctx, e); err != nil {
		return nil, err
	}
	if e.watched, err = watched(ctx, e, plain); err != nil {
		return nil, err
	}
	return e, nil
}

// Close waits for the attempts and compiles that are under way, and then frees everything. It does not stop attempts: end
// their contexts first. When ctx ends before they do, nothing is freed and the error is ctx's; Close may be called again.
func (h *Host) Close(ctx context.Context) error {
	h.mu.Lock()
	if h.closing == nil {
		h.closing = make(chan struct{})
		if h.busy == 0 {
			close(h.closing)
		}
	}
	h.mu.Unlock()
	select {
	case <-h.closing:
		return h.shut(ctx)
	case <-ctx.Done():
		return fmt.Errorf("close wasm host: %w", ctx.Err())
	}
}

func (h *Host) shut(ctx context.Context) error {
	var errs []error
	for _, r := range []*engine{h.engine, h.bare} {
		if r != nil {
			errs = append(errs, r.Close(ctx))
		}
	}
	if h.cache != nil {
		errs = append(errs, h.cache.Close(ctx))
	}
	h.boxes.slabs.close()
	return errors.Join(errs...)
}

// enter reports whether something new may begin; what entered leaves.
func (h *Host) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closing != nil {
		return false
	}
	h.busy++
	return true
}

func (h *Host) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.busy--; h.busy == 0 && h.closing != nil {
		close(h.closing)
	}
}

// Times after which something is given up.
const (
	compileTime     = time.Minute // a large Go module takes 1 to 5 s on one core, which others may be busy with
	fetchTime       = time.Minute
	instantiateTime = 10 * time.Second // of a check; the slowest seen is 5 ms
)

// errClosed is what a host that is being closed answers.
var errClosed = errors.New("the wasm host is closed")
