package wasm

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
)

// sandbox is everything a guest can reach. One serves one attempt at a time and is then used again: its configuration
// holds its own readers, writers and clock, so an attempt adds nothing to it.
type sandbox struct {
	ctx     context.Context // of the attempt; done when the guest must stop
	timeout time.Duration   // of the attempt
	args    []string        // of the attempt
	env     [][2]string     // of the attempt, with those of its context
	config  wazero.ModuleConfig
	filed   wazero.ModuleConfig // config with the mount; made when the first attempt has files

	stdin  bytes.Reader
	stdout output
	stderr logBuffer
	clock  clock
	chance chance
	memory memory
	mount  mount
	fuel   fuel
	deep   bool // the guest recursed deeper than it may

	reactor bool   // the guest is one
	reached bool   // the guest called what a snapshot cannot follow
	context []byte // what the guest's imports of the attempt's context give; made when it is asked for
}

func newSandbox(pool *slabs) *sandbox {
	s := &sandbox{memory: memory{pool: pool}}
	s.mount.box, s.chance.box = s, s
	s.config = wazero.NewModuleConfig().WithName("").WithStartFunctions().
		WithStdin(&s.stdin).WithStdout(&s.stdout).WithStderr(&s.stderr).
		WithRandSource(&s.chance).
		WithWalltime(s.clock.wall, 1).WithNanotime(s.clock.monotonic, 1).
		WithNanosleep(s.sleep)
	return s
}

func (s *sandbox) begin(ctx context.Context, a *Attempt) {
	s.ctx, s.timeout, s.args, s.env = ctx, a.Limits.Timeout, a.Args, a.Env
	s.stdin.Reset(a.Event)
	s.stdout.begin(int(a.Limits.MaxOutput))
	s.stderr.reset()
	s.reached = false
	s.clock = clock{start: a.Start.UnixNano()}
	s.chance.Seed(a.Seed)
	s.memory.limit = uint64(a.Limits.Memory)
	s.mount.tree = a.Files
	s.fuel, s.deep = fuel{limit: a.Limits.Fuel}, false
}

// initialise gives the guest the clock and the chance of an initialisation, which are the same in every attempt.
func (s *sandbox) initialise() {
	s.clock = clock{start: initialTime.UnixNano()}
	s.chance.Seed([32]byte{})
}

// initialised gives it those of its attempt. What ran while it initialised stays on the monotonic clock, which never goes
// back.
func (s *sandbox) initialised(a *Attempt) {
	s.clock = clock{start: a.Start.UnixNano(), before: s.clock.before + s.clock.passed}
	s.chance.Seed(a.Seed)
}

// within is a context by which the host's functions find the sandbox.
func (s *sandbox) within(ctx context.Context) context.Context {
	return context.WithValue(ctx, sandboxKey{}, s)
}

// end gives everything back that the attempt held; the instance must be closed.
func (s *sandbox) end() {
	s.ctx, s.args, s.env, s.context = nil, nil, nil, nil
	s.stdin.Reset(nil)
	s.stdout.end()
	s.mount.tree, s.mount.open, s.mount.rooted = nil, 0, false
	s.memory.release()
}

// configuration is what an instance is made with: with the mount if the function has files.
func (s *sandbox) configuration() wazero.ModuleConfig {
	if s.mount.tree == nil {
		return s.config
	}
	if s.filed == nil {
		s.filed = s.mount.with(s.config)
	}
	return s.filed
}

// errStopped unwinds a guest that called the host when it should not go on: it never gets to run again, so it cannot
// succeed late. What stopped it is found in the sandbox, not in this error.
var errStopped = errors.New("the guest was stopped")

// goOn unwinds a guest that must stop. What a call of the host may spend long on asks it: such calls cost little fuel, so a
// guest that makes nothing but them is long in coming to its next slice.
func (s *sandbox) goOn() {
	if s.ctx.Err() != nil {
		panic(errStopped)
	}
}

// sleep takes real time, and ends with the attempt. The guest's clock moves by exactly what was asked for.
func (s *sandbox) sleep(ns int64) {
	if ns <= 0 {
		return
	}
	t := time.NewTimer(time.Duration(ns))
	defer t.Stop()
	select {
	case <-t.C:
		s.clock.passed += ns
	case <-s.ctx.Done():
		panic(errStopped)
	}
}

// chance is the guest's random source.
type chance struct {
	rand.ChaCha8
	box *sandbox
}

// Read implements io.Reader. A guest may ask for as many bytes as it has memory, again and again.
func (c *chance) Read(p []byte) (int, error) {
	c.box.goOn()
	return c.ChaCha8.Read(p)
}

// clockStep is how far the guest's clock moves with each reading: 1 µs, so that a guest that waits for the clock to move
// does not wait for ever, and one that reads it often does not run ahead by much.
const clockStep = int64(time.Microsecond)

// clock is the guest's: both of its clocks are functions of how often they were read and how long the guest slept.
type clock struct {
	start  int64 // Unix nanoseconds
	passed int64 // nanoseconds since
	before int64 // nanoseconds that the monotonic clock showed at the start
}

func (c *clock) wall() (sec int64, nsec int32) {
	c.passed += clockStep
	t := c.start + c.passed
	sec, rest := t/int64(time.Second), t%int64(time.Second)
	if rest < 0 {
		sec, rest = sec-1, rest+int64(time.Second)
	}
	return sec, int32(rest)
}

// monotonic is never 0, which some runtimes take for a broken clock.
func (c *clock) monotonic() int64 {
	c.passed += clockStep
	return c.before + c.passed
}

// sandboxes hands them out.
type sandboxes struct {
	pool  sync.Pool
	slabs slabs
}

func (p *sandboxes) get() *sandbox {
	if s, ok := p.pool.Get().(*sandbox); ok {
		return s
	}
	return newSandbox(&p.slabs)
}

func (p *sandboxes) put(s *sandbox) { p.pool.Put(s) }
