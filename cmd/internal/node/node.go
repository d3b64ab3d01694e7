package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"deed/cmd/internal/access"
	"deed/cmd/internal/door"
	"deed/eventstore"
	"deed/eventstore/blob"
	"deed/eventstore/embedded"
	"deed/eventstore/kafka"
	"deed/eventstore/keys"
	"deed/projections"
	"deed/projections/functions"
	"deed/projections/invocations"
	"deed/projections/notify"
	"deed/projections/poison"
	"deed/projections/retry"
	"deed/runtime/sink/object"
	"deed/runtime/wasm"
	"deed/runtime/worker"
)

// Node is a running system.
type Node struct {
	Door     *door.Door
	Registry *functions.Registry
	Model    *invocations.Model
	Keyring  *access.Keyring
	config   Config

	listener net.Listener
	broker   *embedded.Broker
	cluster  *kafka.Cluster
	logsMu   sync.Mutex // guards logs while the node opens
	logs     []eventstore.Log
	host     *wasm.Host
	blobs    *blob.Store
	keys     *keys.Store // nil with a cluster
	lock     *os.File

	partsMu   sync.RWMutex // guards the slice, which is replaced and never changed
	parts     []*part
	trimming  sync.Mutex // guards positions
	positions map[int][]committedAt
	growing   sync.Mutex // held while partitions are opened
	deps      *worker.Deps
	group     eventstore.Membership
	poison    *poison.List
	metrics   *metrics
	slot      atomic.Uint64
	caught    atomic.Bool // the tails have reached the ends of the log as they were at the start

	clock  clock
	latest atomic.Int64 // the latest time that the broker gave, in ms
	skew   atomic.Int64 // how far the clock was found ahead of the broker's, in ns; 0: not
	skews  chan time.Duration

	blobTrouble   atomic.Pointer[error] // why the blob store cannot be used
	brokerTrouble atomic.Pointer[error] // why the brokers cannot be asked

	alarmsMu sync.Mutex
	alarms   []string

	run     context.Context // of everything that lives until the node is closed
	cancel  context.CancelCauseFunc
	readers sync.WaitGroup
	failed  chan error

	buckets sync.Map // name → *blob.Bucket
}

// Region is the region of functions that are made here.
func (n *Node) Region() string { return n.config.Region }

// Addr is where the node listens for HTTP.
func (n *Node) Addr() string { return n.listener.Addr().String() }

// BrokerAddr is where the embedded broker listens; "" with a cluster.
func (n *Node) BrokerAddr() string {
	if n.broker == nil {
		return ""
	}
	return n.broker.Addr()
}

// Name is what the node calls itself in its claims: host and process.
func (n *Node) Name() string { return n.deps.Node }

// Topic is the name of the topic of invocations.
func (n *Node) Topic() string { return n.topics().Invocations() }

func (n *Node) topics() eventstore.Topics { return eventstore.Topics{Namespace: n.config.Namespace} }

// Listener is the bound socket of the HTTP server.
func (n *Node) Listener() net.Listener { return n.listener }

// Failed delivers the error on which the node must stop.
func (n *Node) Failed() <-chan error { return n.failed }

// Open starts a node up to the point where it can accept: the log open, the registry and the read model folded.
func Open(ctx context.Context, c Config) (_ *Node, err error) {
	if c, err = c.validate(); err != nil {
		return nil, err
	}
	n := &Node{config: c, failed: make(chan error, 1), skews: make(chan time.Duration, 1)}
	n.clock.forward = len(c.Brokers) == 0
	n.run, n.cancel = context.WithCancelCause(context.Background())
	defer func() {
		if err != nil {
			_ = n.Close()
		}
	}()
	if n.listener, err = net.Listen("tcp", c.Listen); err != nil { //nolint:noctx // binds at once
		if errors.Is(err, syscall.EADDRINUSE) {
			return nil, fmt.Errorf("port %s is in use: is another node running? (--listen chooses another port)", c.Listen)
		}
		return nil, fmt.Errorf("listen on %s: %w", c.Listen, err)
	}
	if err = n.lockData(); err != nil {
		return nil, err
	}
	if err = n.openStores(ctx); err != nil {
		return nil, err
	}
	return n, n.begin(ctx)
}

// lockData makes sure that this process alone works on the directory.
func (n *Node) lockData() error {
	dir := n.config.Data
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("data directory %s cannot be made: %w", dir, errors.Unwrap(err))
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("data directory %s cannot be written: %w", dir, errors.Unwrap(err))
	}
	n.lock = f
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil { //nolint:gosec // a file descriptor
		return fmt.Errorf("data directory %s is used by another process (--data chooses another one)", dir)
	}
	return nil
}

func (n *Node) openStores(ctx context.Context) (err error) {
	c := n.config
	brokers := c.Brokers
	producers := 1
	if len(brokers) == 0 {
		if err = n.openBroker(); err != nil {
			return err
		}
		brokers, producers = []string{n.broker.Addr()}, c.Partitions
	}
	if bare(c.Security) {
		c.Logger.Warn("the brokers' password goes over the network as it is; --kafka-tls encrypts, a SCRAM mechanism does not send it")
	}
	if n.cluster, err = kafka.Open(ctx, kafka.Config{
		Brokers: brokers, Producers: producers, Replication: c.Replication, InSync: c.InSync, Session: c.Session, Security: c.Security, Log: c.Logger,
	}); err != nil {
		return err
	}
	if n.blobs, err = blob.Open(ctx, c.Blob); err != nil {
		return err
	}
	if c.ownBlob && len(c.Brokers) > 0 {
		c.Logger.Warn("modules and large payloads are in this node's own directory: other nodes cannot run what is deployed here; --blob names a store that all reach")
	}
	if len(c.Brokers) == 0 { // on a cluster the doors of several nodes would each have their own, and make two invocations of one key
		if n.keys, err = keys.Open(ctx, filepath.Join(c.Data, "keys.db")); err != nil {
			return err
		}
	}
	n.host, err = wasm.Open(ctx, wasm.Config{CacheDir: filepath.Join(c.Data, "compiled")})
	return err
}

func (n *Node) openLog(topic string) (eventstore.Log, error) {
	l, err := n.cluster.Log(topic)
	if err != nil {
		return nil, err
	}
	n.logsMu.Lock()
	n.logs = append(n.logs, l)
	n.logsMu.Unlock()
	if n.config.wrapLog != nil {
		return n.config.wrapLog(l), nil
	}
	return l, nil
}

// begin opens the topics, folds the registry, and starts a tail and an owner for each partition.
func (n *Node) begin(ctx context.Context) error {
	topics := n.topics()
	if err := n.cluster.EnsureTopic(ctx, topics.Invocations(), n.config.Partitions); err != nil {
		return err
	}
	if n.config.growTo > 0 {
		if err := n.cluster.GrowTopic(ctx, topics.Invocations(), n.config.growTo); err != nil {
			return err
		}
	}
	if err := n.cluster.EnsureTopic(ctx, topics.Functions(), 1); err != nil {
		return err
	}
	if err := n.examine(ctx, topics.Invocations(), topics.Functions()); err != nil {
		return err
	}
	doors, err := n.openLog(topics.Invocations())
	if err != nil {
		return err
	}
	owners, err := n.openLog(topics.Invocations())
	if err != nil {
		return err
	}
	registry, err := n.openLog(topics.Functions())
	if err != nil {
		return err
	}
	n.Registry, n.Model = functions.New(), invocations.New(doors.Partitions())
	n.poison, n.metrics = poison.New(topics.Invocations(), n.config.Logger), newMetrics()
	n.Door = &door.Door{
		Log: n.metrics.timed(doors), Functions: registry, Registry: n.Registry, Model: n.Model, Blobs: n.blobs, Modules: checker{n.host},
		Slots: n.nextSlot, Now: n.now, Random: random, MaxOpen: n.config.MaxOpen, Clock: n.clockTrouble, Skewed: n.skewed, BrokerTime: n.brokerTime,
	}
	if err := n.followRegistry(ctx, registry); err != nil {
		return err
	}
	if err := n.openKeyring(); err != nil {
		return err
	}
	if err := n.Door.Form(ctx); err != nil {
		return fmt.Errorf("name the cluster: %w", err)
	}
	// A store is taken into use only by a cluster that has nothing in one yet: else an empty directory, such as that of a share
	// that is not mounted, would be taken for the cluster's, and nothing that is in the right one would be found.
	belong := n.blobs.Check
	if !n.Registry.Used() {
		belong = n.blobs.Belong
	}
	if err := belong(ctx, n.Registry.Cluster().String()); err != nil {
		return fmt.Errorf("blob store %s: %w", n.config.Blob, err)
	}
	if n.keys != nil {
		if err := n.keys.Belong(ctx, n.Registry.Cluster().String()); err != nil {
			return fmt.Errorf("%s: %w", filepath.Join(n.config.Data, "keys.db"), err)
		}
		n.Door.Keys = n.keys
	}
	n.readers.Go(n.watchBlobs)
	n.readers.Go(n.watchBrokers)
	n.readers.Go(n.tuneMemory)
	n.group = n.cluster.Membership(topics.OwnersGroup(), topics.Invocations())
	host, _ := os.Hostname()
	n.deps = &worker.Deps{
		Log: n.metrics.timed(owners), Retry: retry.Projection{}, Notify: notify.Projection{}, Engine: &engine{n.host, n.blobs}, Blobs: n.blobs,
		Objects: faulty(&object.Sink{Open: n.bucket}), Funcs: n.Door, Place: n.group,
		Runs: worker.NewPool(n.config.Concurrency, n.config.FunctionConcurrency), Tells: worker.NewPool(64, 16),
		Cluster: n.Registry.Cluster().String(), Group: topics.OwnersGroup(), Node: fmt.Sprintf("%s/%d", host, os.Getpid()),
		Now: n.now, Random: random, Logger: n.config.Logger, Upkeep: upkeep(n.config.Upkeep),
		Alarm: n.alarm, Skewed: n.skewed, Point: point, Seen: n.metrics.seen,
	}
	if err := n.grow(ctx); err != nil {
		return err
	}
	if err := n.catchUp(ctx, doors); err != nil {
		return err
	}
	for p := range doors.Partitions() {
		if ahead := n.clock.atLeast(n.Model.LogTime(p).Time()); ahead > time.Second {
			n.config.Logger.Warn("the machine's clock is behind the log's time; the node goes by the log's", "behind", ahead)
		}
	}
	n.readers.Go(n.watchGrowth)
	if n.config.retain > 0 {
		n.readers.Go(n.watchTrim)
	}
	n.metrics.watch(n)
	return nil
}

// goRead runs a reader until the node is closed; its error stops the node.
func (n *Node) goRead(run func() error) {
	n.readers.Go(func() {
		if err := run(); err != nil && n.run.Err() == nil {
			select {
			case n.failed <- err:
			default:
			}
		}
	})
}

// followRegistry folds the registry up to its end as it is now, and goes on behind it.
func (n *Node) followRegistry(ctx context.Context, log eventstore.Log) error {
	_, end, err := log.Bounds(ctx, 0)
	if err != nil {
		return err
	}
	reached := make(chan struct{})
	var once sync.Once
	if end == 0 {
		once.Do(func() { close(reached) })
	}
	n.goRead(func() error {
		return log.Follow(n.run, 0, 0, func(batch []eventstore.Message) error {
			for _, m := range batch {
				r := eventstore.Decode(m)
				if r.Must && r.Event == nil {
					return fmt.Errorf("registry, offset %d: %s: %w", m.Offset, r.Type, projections.ErrStopped)
				}
				if r.Event == nil {
					n.poison.Note(n.topics().Functions(), m, r)
				}
				if err := n.Registry.Apply(m.Offset, r); err != nil {
					n.config.Logger.Debug("registry: void", "offset", m.Offset, "type", r.Type, "reason", err)
				}
				if m.Offset+1 >= end {
					once.Do(func() { close(reached) })
				}
			}
			return nil
		})
	})
	select {
	case <-reached:
		return nil
	case err := <-n.failed:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Ready reports why the node cannot serve; nil if it can.
func (n *Node) Ready() error {
	if !n.caught.Load() {
		return errors.New("the log is being folded")
	}
	if n.run.Err() != nil {
		return errors.New("the node is stopping")
	}
	if err := n.clockTrouble(); err != nil {
		return err
	}
	if err := n.keysTrouble(); err != nil {
		return err
	}
	if err := n.blobTrouble.Load(); err != nil {
		return *err
	}
	if err := n.brokerTrouble.Load(); err != nil {
		return *err
	}
	acting := false
	n.eachPart(func(_ int, part *part) { acting = acting || part.owner.Acting() })
	if acting {
		return nil
	}
	if len(n.config.Brokers) > 0 {
		return nil // other nodes may own all of them
	}
	return errors.New("no partition is owned yet")
}

// bucket opens the bucket of obs://name. With the default store, which is one of many things in the data directory, that is
// objects/name beside it.
func (n *Node) bucket(name string) (object.Bucket, error) {
	if b, ok := n.buckets.Load(name); ok {
		return b.(*blob.Bucket), nil //nolint:forcetypeassert // nothing else is stored
	}
	open := n.blobs.Objects
	if n.config.ownBlob {
		open = func(name string) (*blob.Bucket, error) {
			return blob.OpenBucket(filepath.Join(n.config.Data, "objects", name))
		}
	}
	b, err := open(name)
	if err != nil {
		return nil, err
	}
	if other, loaded := n.buckets.LoadOrStore(name, b); loaded {
		_ = b.Close()
		b = other.(*blob.Bucket) //nolint:forcetypeassert // as above
	}
	return b, nil
}

// Close stops what Open started, in the order in which nobody writes into what is closed. Run must have returned.
func (n *Node) Close() error {
	n.cancel(errors.New("the node is closed"))
	var errs []error
	n.readers.Wait()
	for _, l := range n.logs {
		errs = append(errs, l.Close())
	}
	if n.cluster != nil {
		errs = append(errs, n.cluster.Close())
	}
	if n.broker != nil {
		errs = append(errs, n.broker.Close())
	}
	if n.host != nil {
		errs = append(errs, n.host.Close(context.Background()))
	}
	if n.keys != nil {
		errs = append(errs, n.keys.Close())
	}
	if n.blobs != nil {
		errs = append(errs, n.blobs.Close())
	}
	n.buckets.Range(func(_, b any) bool {
		errs = append(errs, b.(*blob.Bucket).Close()) //nolint:forcetypeassert // as above
		return true
	})
	if n.listener != nil {
		_ = n.listener.Close() // the HTTP server may have closed it
	}
	if n.lock != nil {
		errs = append(errs, n.lock.Close())
	}
	return errors.Join(errs...)
}

func random(b []byte) { _, _ = rand.Read(b) } // never fails
