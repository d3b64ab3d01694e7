// Package embedded runs a Kafka broker inside the process, on a data directory, for eventstore/kafka to speak to. It is for
// one machine: no replication, and what it survives is what docs/design.md says.
//
// The broker is franz-go's kfake. It is kept to what it does well and refuses the rest to everybody (rules): transactions,
// of which a crash leaves halves; compaction, in which a crash loses records; retention, for a partition whose records
// were all removed begins again at offset 0 after a restart.
package embedded

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Config of a Broker.
type Config struct {
	Dir    string // where the log lives; created if absent, and used by one broker at a time
	Listen string // host:port on a loopback address; defaults to a free port of 127.0.0.1
}

// maxBatch is the size of the largest batch that is taken, in bytes: above what eventstore/kafka sends.
const maxBatch = 2 << 20

// Broker is a running broker.
type Broker struct {
	cluster *kfake.Cluster
	addr    string
	lock    *os.File
	close   sync.Once
	closed  error
}

// Open starts a broker. What an earlier one acknowledged is there, also if that one was killed; it is read into memory
// then, all at once. A directory or a port that is in use is an error that says so.
func Open(c Config) (*Broker, error) {
	if c.Dir == "" {
		return nil, errors.New("embedded broker: no directory given")
	}
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
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
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(1),
		kfake.ListenFn(func(string, string) (net.Listener, error) { return ln, nil }),
		kfake.DataDir(c.Dir),
		kfake.GroupMinSessionTimeout(time.Second),
		kfake.BrokerConfigs(map[string]string{
			"log.retention.ms": "-1", "log.retention.bytes": "-1", "message.max.bytes": strconv.Itoa(maxBatch),
			"group.initial.rebalance.delay.ms": "0",
		}),
	)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("embedded broker: open %s: %w", c.Dir, err), ln.Close(), lock.Close())
	}
	enforce(cluster)
	return &Broker{cluster: cluster, addr: ln.Addr().String(), lock: lock}, nil
}

// Addr is host:port for clients.
func (b *Broker) Addr() string { return b.addr }

// Close stops the broker and saves what only a clean stop can save. It may be called again.
func (b *Broker) Close() error {
	b.close.Do(func() {
		b.cluster.Close()
		b.closed = b.lock.Close()
	})
	return b.closed
}

// loopback refuses addresses that another machine could reach: the broker has no keys.
func loopback(listen string) error {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("embedded broker: %q is not host:port", listen)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("embedded broker: %q is not a loopback address; the embedded broker has no authentication and serves this machine only", host)
	}
	return nil
}

// lockDir makes the directory and holds it until the file is closed or the process dies, however it dies.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("embedded broker: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "broker.lock"), os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // the operator's directory
	if err != nil {
		return nil, fmt.Errorf("embedded broker: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil { //nolint:gosec // a file descriptor
		return nil, errors.Join(fmt.Errorf("embedded broker: directory %s is in use by another broker", dir), f.Close())
	}
	return f, nil
}
