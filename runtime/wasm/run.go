package wasm

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"deed/domain"
	"deed/runtime/files"
)

// Attempt is one run of a function.
type Attempt struct {
	// Args are the guest's arguments; the first is the program's name by custom.
	Args []string
	// Env are names and values. A command is given all of them in its environment, in this order. A reactor is given those
	// whose names begin with DEED_ through the imports of the attempt's context only; see contextOf.
	Env [][2]string
	// Event is what the guest reads from standard input. It is not changed.
	Event []byte
	// Files are what the guest finds below /, read-only; nil: it has no directory at all.
	Files *files.Tree
	// Limits bound the attempt. They must pass their own Check.
	Limits domain.Limits
	// Seed is where the guest's random bytes come from.
	Seed [32]byte
	// Start is where the guest's clock starts.
	Start time.Time
}

// Outcome is how an attempt ended.
type Outcome struct {
	// Result is what the guest printed, also when it failed; nil if it printed more than its limit.
	Result []byte
	// Log is what the guest wrote to standard error, at most MaxLog bytes as a JSON string.
	Log []byte
	// LogTruncated reports whether there was more. Log then ends in a line that says how much.
	LogTruncated bool
	// Kind is NoFailure when the guest succeeded.
	Kind domain.FailureKind
	// Error says for a person why it failed, in at most 4 KiB.
	Error string
	// ExitCode is the guest's, when it ended by itself.
	ExitCode uint32
	// Duration is real time, from the call of Run.
	Duration time.Duration
	// PeakMemory is the largest size of the guest's linear memory, in bytes.
	PeakMemory int64
	// Fuel is what the guest computed, in units of the table of costs (Costs). The same attempt uses the same, wherever it runs,
	// unless it was stopped by time.
	Fuel int64
}

// ErrCanceled is the cause of a context that cancels one attempt by force; see context.WithCancelCause.
var ErrCanceled = errors.New("the attempt is canceled")

// errTimeout is the cause when the attempt's own limit stopped it.
var errTimeout = errors.New("the time limit passed")

// Run runs one attempt in a fresh instance. It never fails: what happens is in the outcome. When ctx ends, the guest is
// stopped; the outcome is then FailedCanceled if ctx's cause is ErrCanceled, and FailedPlatform otherwise, for an attempt
// that stopped for reasons of the node. An attempt that reached its end only after that, or after its time limit, does not
// count as a success.
func (m *Module) Run(ctx context.Context, a Attempt) Outcome { return m.run(ctx, a, true) }

// run makes an instance and calls it, or only makes one.
func (m *Module) run(ctx context.Context, a Attempt, start bool) (o Outcome) {
	began := time.Now()
	defer func() { o.Duration = time.Since(began) }()
	if err := checkWords(&a); err != nil {
		return Outcome{Kind: domain.FailedPlatform, Error: err.Error()}
	}
	if need := m.facts.memory; need > uint64(a.Limits.Memory) {
		return Outcome{Kind: domain.FailedBadModule, Error: fmt.Sprintf("the module needs %s of memory to start, and its limit is %s",
			size(int64(need)), size(a.Limits.Memory))}
	}
	if !m.host.enter() {
		return Outcome{Kind: domain.FailedPlatform, Error: errClosed.Error()}
	}
	defer m.host.leave()
	defer runtime.KeepAlive(m) // or it could be closed under the guest, for instances do not hold it
	var s *snapshot
	if start {
		s = m.snapshotFor(ctx, &a)
		began = time.Now()
	}
	ctx, cancel := context.WithTimeoutCause(ctx, a.Limits.Timeout, errTimeout)
	defer cancel()
	box := m.host.boxes.get()
	box.begin(ctx, &a)
	err := m.call(ctx, box, &a, start, s)
	o = box.outcome(err)
	box.end()
	m.host.boxes.put(box)
	return o
}

// call makes an instance, over a snapshot when there is one, runs it and closes it. When it returns, nothing of the guest
// runs any more.
func (m *Module) call(ctx context.Context, box *sandbox, a *Attempt, start bool, s *snapshot) error {
	initial := m.initial
	if m.facts.reactor {
		box.initialise()
	}
	if s != nil {
		initial = s.image
	}
	ctx = box.within(ctx)
	mod, err := m.instance(ctx, box, initial)
	if err != nil {
		box.fuel.used = box.fuel.granted // what its start used; the slices are all that is known
		return err
	}
	defer func() {
		box.measure(mod)
		_ = mod.Close(context.Background()) // nothing is open, so nothing can fail
	}()
	switch {
	case !start:
		return nil
	case m.facts.reactor:
		return m.react(ctx, mod, box, a, s)
	}
	_, err = mod.ExportedFunction(startName).Call(ctx)
	return err
}

// instance makes one whose memory begins with an image.
func (m *Module) instance(ctx context.Context, box *sandbox, initial *image) (api.Module, error) {
	box.memory.initial, box.reactor = initial, m.facts.reactor
	mod, err := m.instantiate(experimental.WithMemoryAllocator(ctx, &box.memory), box.configuration())
	box.fuel.slice = firstSlice
	return mod, err
}

// unmade is the error of an instance that could not be made.
type unmade struct{ err error }

func (u *unmade) Error() string { return u.err.Error() }
func (u *unmade) Unwrap() error { return u.err }

// instantiate also turns a panic of the engine into an error: it panics over memory that it was not given, and may over
// modules that it did not validate well.
func (m *Module) instantiate(ctx context.Context, config wazero.ModuleConfig) (mod api.Module, err error) {
	defer func() {
		if p := recover(); p != nil {
			mod, err = nil, &unmade{fmt.Errorf("%v", p)}
		}
	}()
	made, err := m.engine.InstantiateModule(ctx, m.compiled, config)
	if err != nil {
		return nil, &unmade{err}
	}
	return made, nil
}

// checkWords refuses arguments and environment that a guest cannot be given.
func checkWords(a *Attempt) error {
	for _, s := range a.Args {
		if strings.ContainsRune(s, 0) {
			return errors.New("an argument holds a NUL")
		}
	}
	for _, e := range a.Env {
		if e[0] == "" || strings.ContainsAny(e[0], "=\x00") || strings.ContainsRune(e[1], 0) {
			return fmt.Errorf("the environment variable %q cannot be given to a function", e[0])
		}
	}
	return nil
}
