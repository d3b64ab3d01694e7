// Package node assembles a whole system from one Config: the embedded broker or a connection to a cluster, one tail a
// partition, the owners, the door and the HTTP server. It is the only package that knows everyone.
package node

import (
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"runtime"
	"time"

	"deed/domain"
	"deed/eventstore"
	"deed/eventstore/kafka"
	"deed/runtime/worker"
)

// Config of a node. The zero value of a field means its default.
type Config struct {
	// Data is the node's directory: the embedded log, modules and large payloads, objects of obs://B/P under
	// objects/B/P, idempotency keys (keys.db), compiled code. Required.
	Data string
	// Listen is host:port of the HTTP server, on a loopback address unless there are access keys. Defaults to 127.0.0.1:3333.
	Listen string
	// Region is the region of functions that are made here. A function is found whatever region it is asked for in. Defaults to
	// "local".
	Region string
	// SealKey is the file of the key that secrets are stored with: 64 hexadecimal digits, readable by its owner alone. Defaults
	// to the environment variable DEED_SEAL_KEY, then, without Brokers, to seal.key in Data, which is made if it is not there.
	SealKey string
	// KafkaListen opens the embedded broker at a known host:port to other clients. Defaults to a free port.
	KafkaListen string
	// Durability of the embedded broker: "fsync" (the default), where what was acknowledged or seen survives a power loss, or
	// "process", where it survives the death of the process.
	Durability string
	// Brokers of a Kafka cluster to use instead of the embedded broker.
	Brokers []string
	// Security is how this node and the brokers know one another; only with Brokers.
	Security kafka.Security
	// KafkaPasswordFile has the password of Security.User; what ends its line is not part of it. Defaults to the
	// environment variable DEED_KAFKA_PASSWORD.
	KafkaPasswordFile string
	// Blob is where modules and large payloads are: file:///dir or s3://bucket (blob.Open), which every node must reach.
	// Defaults to the node's own data directory, which is enough for one node. Objects of obs://B/P are under objects/B/P in it.
	Blob string
	// Namespace is the prefix of topics and groups. Defaults to "deed".
	Namespace string
	// Replication of the topics, if they are created now: 0 is 3, or the number of brokers if that is less.
	Replication int
	// InSync is how many replicas must have a record before it is acknowledged, in topics created now: 0 is a majority.
	InSync int
	// AllowWeak lets the node start on topics whose settings can lose what was acknowledged.
	AllowWeak bool
	// Partitions of deed.invocations: 1 to 4096. A topic that has fewer gets more; one that has more keeps them. Defaults to 4
	// for a topic that is created now, and to what it has for one that exists.
	Partitions int
	// Concurrency is how many attempts run at once on this node. Defaults to 16 a processor.
	Concurrency int
	// FunctionConcurrency is how many attempts of one function run at once on this node. Defaults to half of Concurrency.
	FunctionConcurrency int
	// Memory is how many bytes functions may take together: three quarters of it are for the attempts that run at once, by
	// their functions' limits; what is over that waits, and a function whose own limit is over it runs alone. The rest is
	// for compiled code and for snapshots of initialised memory, which are forgotten and not made, when there are too many.
	// Defaults to half of what the machine, or the control group, gives the process.
	Memory int64
	// Session is how long this node may be silent before its partitions are given to others. Defaults to 10 s.
	Session time.Duration
	// MaxOpen is how many invocations may be open in the cluster before this node accepts no more. Defaults to 200,000.
	MaxOpen int
	// Upkeep is what owners do by the clock; tests make it quick.
	Upkeep worker.Upkeep
	// Grace is how long running attempts may go on after a stop was asked for. Defaults to 10 s.
	Grace time.Duration
	// Logger defaults to slog.Default().
	Logger *slog.Logger

	ownBlob  bool
	growTo   int
	retain   time.Duration // how long records are kept once the owners need them no more; 0: for ever
	feedMost int           // tests make them small
	feedIdle int64
	wrapLog  func(eventstore.Log) eventstore.Log // benchmarks count with it
}

// DefaultMaxOpen bounds what a node holds in memory: an open invocation takes about four kilobytes.
const DefaultMaxOpen = 200_000

// DefaultListen is where a node listens by default.
const DefaultListen = "127.0.0.1:3333"

func (c Config) validate() (Config, error) {
	if c.Data == "" {
		return c, fmt.Errorf("no data directory is given")
	}
	abs, err := filepath.Abs(c.Data)
	if err != nil {
		return c, fmt.Errorf("data directory: %w", err)
	}
	c.Data = abs
	if c.Listen == "" {
		c.Listen = DefaultListen
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return c, fmt.Errorf("--listen %q is not host:port", c.Listen)
	}
	if c.Region == "" {
		c.Region = domain.NativeRegion
	}
	if domain.CheckRegion(c.Region) != nil {
		return c, fmt.Errorf("--region %q: a region has 1 to 64 letters, digits, . _ and -", c.Region)
	}
	for _, b := range c.Brokers {
		if host, _, err := net.SplitHostPort(b); err != nil || host == "" {
			return c, fmt.Errorf("--brokers %q is not host:port", b)
		}
	}
	if c.Durability == "" {
		c.Durability = "fsync"
	}
	if c.Durability != "fsync" && c.Durability != "process" {
		return c, fmt.Errorf("--durability %q: allowed are fsync and process", c.Durability)
	}
	if c.Security, err = c.secured(); err != nil {
		return c, err
	}
	if c.Namespace == "" {
		c.Namespace = eventstore.DefaultNamespace
	}
	c.ownBlob = c.Blob == ""
	if c.ownBlob {
		c.Blob = (&url.URL{Scheme: "file", Path: filepath.ToSlash(filepath.Join(c.Data, "blobs"))}).String()
	}
	c.growTo = c.Partitions
	if c.Partitions == 0 {
		c.Partitions = 4
	}
	if c.Partitions < 1 || c.Partitions > 4096 {
		return c, fmt.Errorf("--partitions %d is out of range: allowed are 1 to 4096", c.Partitions)
	}
	if c.Replication < 0 || c.InSync < 0 || c.InSync > c.Replication && c.Replication > 0 {
		return c, fmt.Errorf("--min-insync-replicas %d does not fit --replication %d", c.InSync, c.Replication)
	}
	if c.Concurrency == 0 {
		c.Concurrency = 16 * runtime.GOMAXPROCS(0)
	}
	if c.FunctionConcurrency == 0 {
		c.FunctionConcurrency = max(1, c.Concurrency/2)
	}
	if c.Concurrency < 1 || c.FunctionConcurrency < 1 {
		return c, fmt.Errorf("--concurrency must be at least 1")
	}
	if c.Memory == 0 {
		c.Memory = machineMemory() / 2
	}
	if c.Memory < 1 {
		return c, fmt.Errorf("--memory-budget must be more than nothing")
	}
	if c.Session == 0 {
		c.Session = 10 * time.Second
	}
	if c.Session < time.Second || c.Session > 5*time.Minute {
		return c, fmt.Errorf("--session-timeout %s is out of range: allowed are 1s to 5m", c.Session)
	}
	if c.MaxOpen == 0 {
		c.MaxOpen = DefaultMaxOpen
	}
	if c.MaxOpen < 1 {
		return c, fmt.Errorf("--max-open must be at least 1")
	}
	if c.Grace == 0 {
		c.Grace = 10 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c, nil
}
