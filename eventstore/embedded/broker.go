// Package embedded runs a Kafka broker inside the process, on a data directory, for eventstore/kafka to speak to. It is for
// one machine: no replication.
//
// The broker is franz-go's kfake. It is kept to what it does well and refuses the rest to everybody (rules): transactions,
// of which a crash leaves halves; compaction, in which a crash loses records; retention, for a partition whose records
// were all removed begins again at offset 0 after a restart.
//
// kfake writes through to the operating system before it answers, and does not sync. This package does: it holds each
// response until what was written before it is durable (syncer, journal), so what anybody sees is durable for everybody.
// Before kfake opens a directory everything in it is walked (recovery).
package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Durability is what an acknowledged record survives.
type Durability int

const (
	// Fsync is the default: the end of the process, of the operating system and of the power, as far as the disk keeps what
	// it was made to keep. It holds for everything that a client sees: also what it reads is durable by then.
	Fsync Durability = iota
	// Process is the end of the process, also by SIGKILL. After a power loss the directory may be refused.
	Process
)

// Config of a Broker.
type Config struct {
	Dir        string       // where the log lives; created if absent, and used by one broker at a time
	Listen     string       // host:port on a loopback address; defaults to a free port of 127.0.0.1
	Durability Durability   // defaults to Fsync
	Log        *slog.Logger // of repairs and failures; defaults to slog.Default()
}

// maxBatch is the size of the largest batch that is taken, in bytes: above what eventstore/kafka sends.
const maxBatch = 2 << 20

// Broker is a running broker.
type Broker struct {
	dir     string
	log     *slog.Logger
	cluster *kfake.Cluster
	gate    *gate
	syncer  *syncer
	lock    *os.File
	repairs []Repair
	close   sync.Once
	closed  error

	mu      sync.Mutex
	failure error
	failed  chan error
}

// Open starts a broker. What an earlier one acknowledged is there, also if that one was killed; it is read into memory
// then, all at once. A directory or a port that is in use is an error that says so. A directory in which records are damaged
// or missing that were durable is refused and left as it is; what a crash leaves at the end of a partition is put right
// (Repairs).
func Open(c Config) (*Broker, error) { return open(c, realDisk) }

func open(c Config, d disk) (*Broker, error) {
	if c.Dir == "" {
		return nil, errors.New("embedded broker: no directory given")
	}
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if err := loopback(c.Listen); err != nil {
		return nil, err
	}
	lock, err := lockDir(c.Dir)
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", c.Listen) //nolint:noctx // binds at once
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, errors.Join(fmt.Errorf("embedded broker: port %s is in use", c.Listen), lock.Close())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("embedded broker: listen on %s: %w", c.Listen, err), lock.Close())
	}
	b := &Broker{dir: c.Dir, log: c.Log, gate: newGate(ln), lock: lock, failed: make(chan error, 1)}
	if err := b.start(c, d); err != nil {
		return nil, errors.Join(fmt.Errorf("embedded broker: open %s: %w", c.Dir, err), ln.Close(), lock.Close())
	}
	return b, nil
}

func (b *Broker) start(c Config, d disk) error {
	if err := b.recover(c.Durability == Fsync, d); err != nil {
		return err
	}
	b.gate.shut, b.gate.hold = b.why, func(bool) error { return nil }
	if b.syncer.live {
		b.gate.hold = b.syncer.wait
	}
	var err error
	b.cluster, err = kfake.NewCluster(
		kfake.NumBrokers(1),
		kfake.ListenFn(func(string, string) (net.Listener, error) { return b.gate, nil }),
		kfake.DataDir(c.Dir),
		kfake.GroupMinSessionTimeout(time.Second),
		kfake.DefaultNumPartitions(defaultPartitions),
		kfake.WithLogger(&complaints{b.fail, c.Log}),
		kfake.BrokerConfigs(map[string]string{
			"log.retention.ms": "-1", "log.retention.bytes": "-1", "log.segment.bytes": strconv.Itoa(segmentBytes), "message.max.bytes": strconv.Itoa(maxBatch),
			"group.initial.rebalance.delay.ms": "0",
		}),
	)
	if err != nil {
		return errors.Join(err, b.syncer.stop(false))
	}
	(&rules{b.cluster, b.syncer, b.fail}).enforce()
	if err := errors.Join(b.why(), b.syncer.openStates(), remove(filepath.Join(c.Dir, "seq_windows.json"))); err != nil {
		// It is true of the segments as they were at the last clean stop. From here on it would be false.
		b.cluster.Close()
		return errors.Join(err, b.syncer.stop(false))
	}
	b.gate.open()
	return nil
}

// recover puts the directory right and begins a new journal.
func (b *Broker) recover(live bool, d disk) error {
	r, err := examine(b.dir)
	if err != nil {
		return errors.Join(err, r.memory.close())
	}
	for _, fixed := range r.repairs {
		level := slog.LevelWarn
		if fixed.What == indexRemade {
			level = slog.LevelInfo
		}
		b.log.Log(context.Background(), level, "the log was repaired", "file", fixed.File, "offset", fixed.Offset, "from", fixed.From, "to", fixed.To, "what", fixed.What)
	}
	b.repairs = r.repairs
	s := &syncer{root: b.dir, disk: d, live: live, fail: b.fail, tails: r.tails, trims: r.memory.trims, dropped: map[string]bool{}}
	snap := snapshot{exact: live, trims: r.memory.trims}
	for _, t := range r.tails {
		snap.segs = append(snap.segs, t.segs...)
	}
	if err := errors.Join(r.apply(d), r.memory.close()); err != nil {
		return err
	}
	if s.journal, err = newJournal(b.dir, d, r.memory.generation, r.memory.sequence, snap); err != nil {
		return err
	}
	b.syncer = s
	for _, t := range s.tails {
		if err := t.resume(r.ends[t.dir]); err != nil {
			return errors.Join(err, s.stop(false))
		}
	}
	return nil
}

// Addr is host:port for clients.
func (b *Broker) Addr() string { return b.gate.Addr().String() }

// Repairs is what was put right when the directory was opened.
func (b *Broker) Repairs() []Repair { return b.repairs }

// Failed delivers one error, if the broker cannot write or cannot make durable what it wrote. It has stopped then: all
// connections are cut and no response leaves any more. A full disk is such a case. Nothing that was acknowledged is lost;
// when there is room again a new broker can be opened on the directory after Close.
//
// It is not tried again in place: after a failed sync the system may have dropped what was to be written, and after a failed
// write the broker would take a second try for a duplicate.
func (b *Broker) Failed() <-chan error { return b.failed }

func (b *Broker) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failure != nil {
		return
	}
	if errors.Is(err, syscall.ENOSPC) {
		b.failure = fmt.Errorf("embedded broker: no space left on the device of %s: %w", b.dir, err)
	} else {
		b.failure = fmt.Errorf("embedded broker: %s: %w", b.dir, err)
	}
	b.log.Error("the embedded broker stopped", "error", b.failure)
	b.failed <- b.failure
	b.gate.close()
}

// why is the failure, if there was one.
func (b *Broker) why() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failure
}

// Size is how many bytes all segments have, as the file system says.
func (b *Broker) Size() (int64, error) {
	segs, err := segments(b.dir)
	if err != nil {
		return 0, fmt.Errorf("embedded broker: size of %s: %w", b.dir, err)
	}
	n := int64(0)
	for _, s := range segs {
		n += s.size
	}
	return n, nil
}

// Close stops the broker and saves what only a clean stop can save; all of it is durable then, with Process too. It may be
// called again.
func (b *Broker) Close() error {
	b.close.Do(func() {
		b.cluster.Close()
		b.gate.close()
		stopped := b.syncer.stop(b.why() == nil)
		b.closed = errors.Join(b.why(), stopped, b.lock.Close())
	})
	return b.closed
}
