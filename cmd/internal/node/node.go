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
	"deed/cmd/internal/reconcile"
	"deed/cmd/internal/redrive"
	"deed/eventstore"
	"deed/eventstore/blob"
	"deed/eventstore/embedded"
	"deed/eventstore/kafka"
	"deed/eventstore/keys"
	"deed/projections/functions"
	"deed/projections/invocations"
	"deed/projections/operations"
	"deed/projections/poison"
	"deed/runtime/files"
	"deed/runtime/sink/object"
	"deed/runtime/wasm"
	"deed/runtime/worker"
)

// Node is a running system.
type Node struct {
	Door     *door.Door
	Registry *functions.Registry
	Model    *invocations.Model

	Operations *operations.Model
	Redriver   *redrive.Redriver
	Reconciler *reconcile.Reconciler
	Keyring    *access.Keyring
	config     Config

	listener net.Listener
	broker   *embedded.Broker
	cluster  *kafka.Cluster
	logsMu   sync.Mutex // guards logs while the node opens
	logs     []eventstore.Log
	host     *wasm.Host
	engine   *engine
	blobs    *blob.Store
	keys     *keys.Store // nil with a cluster
	lock     *os.File

	partsMu   sync.RWMutex // guards the slice, which is replaced and never changed
	parts     []*part
	trimming  sync.Mutex // guards positions
	positions map[int][]committedAt
	growing   sync.Mutex // held while partitions are opened
	deps      *worker.Deps
	runs      *worker.Pool
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
	streams *streams
	notices eventstore.Log // deed.notifications
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
	n.streams = &streams{n: n, made: map[string]bool{}}
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
	n.host, err = wasm.Open(ctx, wasm.Config{
		CacheDir: filepath.Join(c.Data, "compiled"), CodeBudget: forCode(c.Memory), SnapshotBudget: forSnapshots(c.Memory),
	})
	n.engine = &engine{n.host, files.NewShelf(shelfBytes), n.blobs}
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
func (n *Node) bucket(name string) (object.Bucket, error) { return n.openBucket(name) }

func (n *Node) openBucket(name string) (*blob.Bucket, error) {
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
	errs = append(errs, n.streams.close())
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
