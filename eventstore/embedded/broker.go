// Package embedded runs a Kafka broker inside the process, on a data directory, for eventstore/kafka to speak to. It is for
// one machine: no replication, and what it survives is what docs/design.md says.
//
// The broker is franz-go's kfake, under rules that keep it to what it does well: no transactions, no compaction, no
// retention (a partition whose records were all removed by retention would begin again at offset 0 after a restart).
package embedded

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Config of a Broker.
type Config struct {
	Dir    string // where the log lives; created if absent
	Listen string // host:port on a loopback address; defaults to a free port of 127.0.0.1
}

// Broker is a running broker.
type Broker struct {
	cluster *kfake.Cluster
	addr    string
}

// Open starts a broker. A port in use is an error that says so.
func Open(c Config) (*Broker, error) {
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	if err := loopback(c.Listen); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("embedded broker: %w", err)
	}
	ln, err := net.Listen("tcp", c.Listen) //nolint:noctx // binds at once
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("embedded broker: port %s is in use", c.Listen)
	}
	if err != nil {
		return nil, fmt.Errorf("embedded broker: listen on %s: %w", c.Listen, err)
	}
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(1),
		kfake.ListenFn(func(string, string) (net.Listener, error) { return ln, nil }),
		kfake.DataDir(c.Dir),
		kfake.GroupMinSessionTimeout(time.Second),
		kfake.BrokerConfigs(map[string]string{
			"log.retention.ms": "-1", "log.retention.bytes": "-1", "message.max.bytes": strconv.Itoa(2 << 20),
			"group.initial.rebalance.delay.ms": "0",
		}),
	)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("embedded broker: open %s: %w", c.Dir, err), ln.Close())
	}
	return &Broker{cluster, ln.Addr().String()}, nil
}

// Addr is host:port for clients.
func (b *Broker) Addr() string { return b.addr }

// Close stops the broker and saves what only a clean stop can save. Clients must have left their groups before.
func (b *Broker) Close() error {
	b.cluster.Close()
	return nil
}

// loopback refuses addresses that another machine could reach: the broker has no keys.
func loopback(listen string) error {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("embedded broker: %q is not host:port", listen)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("embedded broker: %s is not a loopback address; the embedded broker has no authentication and serves this machine only", host)
	}
	return nil
}
