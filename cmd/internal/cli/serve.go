package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"deed/cmd/internal/fgsapi"
	"deed/cmd/internal/httpapi"
	"deed/cmd/internal/node"
	"deed/domain"
)

// Version of the program, as it was built.
func Version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

func dataDir() string {
	if dir := os.Getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "deed")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "deed-data"
	}
	return filepath.Join(home, ".local", "share", "deed")
}

func (e *env) serve() *cobra.Command {
	var c node.Config
	var verbose bool
	cmd := &cobra.Command{
		Use: "serve", Short: "Run a node", Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			level := slog.LevelWarn
			if verbose {
				level = slog.LevelInfo
			}
			c.Logger = slog.New(slog.NewTextHandler(e.err, &slog.HandlerOptions{Level: level}))
			return e.runServer(cmd.Context(), c)
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.Data, "data", dataDir(), "data directory")
	f.StringVar(&c.Listen, "listen", node.DefaultListen, "address to serve HTTP on; port 0 chooses a free one")
	f.StringVar(&c.Region, "region", domain.NativeRegion, "region in the URNs of functions that are made here")
	f.StringVar(&c.SealKey, "seal-key", "", "file of the key that secrets are stored with (default: DEED_SEAL_KEY, or seal.key in the data directory); nodes of a cluster must have the same")
	f.StringVar(&c.KafkaListen, "kafka-listen", "", "address to open the embedded broker on for other Kafka clients")
	f.StringVar(&c.Durability, "durability", "fsync", "of the embedded broker: fsync (survives a power loss) or process (survives the death of the process)")
	f.StringSliceVar(&c.Brokers, "brokers", nil, "use this Kafka cluster (host:port,…) instead of the embedded broker")
	f.BoolVar(&c.Security.TLS, "kafka-tls", false, "encrypt connections to the brokers, and check their certificates")
	f.StringVar(&c.Security.CA, "kafka-ca", "", "file (PEM) of the authorities of the brokers' certificates, instead of the system's; implies --kafka-tls")
	f.StringVar(&c.Security.Cert, "kafka-cert", "", "file (PEM) of this node's certificate for the brokers; with --kafka-key")
	f.StringVar(&c.Security.Key, "kafka-key", "", "file (PEM) of its key")
	f.StringVar(&c.Security.User, "kafka-sasl-user", "", "name at the brokers; the password is in DEED_KAFKA_PASSWORD or --kafka-password-file")
	f.StringVar((*string)(&c.Security.Mechanism), "kafka-sasl-mechanism", "", "PLAIN (default), SCRAM-SHA-256 or SCRAM-SHA-512")
	f.StringVar(&c.KafkaPasswordFile, "kafka-password-file", "", "file with the password of --kafka-sasl-user")
	f.StringVar(&c.Blob, "blob", "", "where modules and large payloads are: file:///dir or s3://bucket?region=… (default: the data directory; several nodes must share one)")
	f.StringVar(&c.Namespace, "namespace", "deed", "prefix of topics and groups")
	f.IntVar(&c.Partitions, "partitions", 0, "partitions of the invocations topic; one that has fewer gets more (default 4 for a new one)")
	f.IntVar(&c.Replication, "replication", 0, "replicas of topics that are created now (default 3, or the number of brokers)")
	f.IntVar(&c.InSync, "min-insync-replicas", 0, "replicas that must have a record before it is acknowledged, in topics created now (default a majority)")
	f.BoolVar(&c.AllowWeak, "allow-weak-topics", false, "start although topics have settings that can lose what was acknowledged")
	f.IntVar(&c.Concurrency, "concurrency", 0, "attempts that run at once on this node (default 16 a processor)")
	f.IntVar(&c.FunctionConcurrency, "function-concurrency", 0, "attempts of one function that run at once on this node (default half of --concurrency)")
	f.Func("memory-budget", "what functions may take together: three quarters for attempts, by their memory limits, the rest for compiled code; like 8GiB (default half of the machine's)", func(v string) (err error) {
		c.Memory, err = httpapi.ParseSize(v)
		return err
	})
	f.DurationVar(&c.Session, "session-timeout", 10*time.Second, "silence after which this node's partitions are given to others")
	f.IntVar(&c.MaxOpen, "max-open", node.DefaultMaxOpen, "invocations that may be open before no more are accepted (503)")
	f.DurationVar(&c.Grace, "grace", 10*time.Second, "how long running attempts may go on after SIGTERM")
	f.BoolVar(&verbose, "verbose", false, "log what the node does")
	return cmd
}

// runServer serves until ctx ends or the node fails; a second signal stops at once.
func (e *env) runServer(ctx context.Context, c node.Config) error {
	again := make(chan os.Signal, 2)
	signal.Notify(again, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(again)
	n, err := node.Open(ctx, c)
	if err != nil {
		return err
	}
	s := serveNode(n, c.Logger)
	run, stopRun := context.WithCancel(context.Background())
	owners := make(chan error, 1)
	go func() { owners <- n.Run(run) }()
	_, _ = fmt.Fprintf(e.out, "deed serves http://%s\n", n.Addr())
	if c.KafkaListen != "" {
		_, _ = fmt.Fprintf(e.out, "kafka clients: %s\n", n.BrokerAddr())
	}
	var failed error
	select {
	case <-ctx.Done():
		go func() {
			for first := true; ; first = false {
				<-again
				if !first || ctx.Err() == nil {
					os.Exit(exitFailed) // asked twice: stop at once; what was accepted is in the log
				}
			}
		}()
	case failed = <-n.Failed():
	case failed = <-s.failed:
	case failed = <-owners:
		owners <- failed
	}
	// Accepting first, then completing, then the log.
	shut, cancel := context.WithTimeout(context.Background(), time.Second)
	_ = s.http.Shutdown(shut)
	cancel()
	_ = s.http.Close() // streams that are still open
	stopRun()
	return errors.Join(failed, <-owners, n.Close())
}

type server struct {
	http   *http.Server
	failed chan error
}

// serveNode begins to serve a node's API on its listener.
func serveNode(n *node.Node, logger *slog.Logger) *server {
	if logger == nil {
		logger = slog.Default()
	}
	api := &httpapi.Server{
		Door: n.Door, Registry: n.Registry, Model: n.Model, Operator: operator{n}, Redriver: n.Redriver, Reconciler: n.Reconciler, Keyring: n.Keyring, Keys: n.AccessKeys(), Ready: n.Ready,
		Region: n.Region(), Version: Version(), Logger: logger,
	}
	door := &fgsapi.Server{
		Door: n.Door, Registry: n.Registry, Model: n.Model, Keyring: n.Keyring, Region: n.Region(), Now: n.Now, Logger: logger,
	}
	native, fgs := api.Handler(), door.Handler()
	both := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(strings.TrimLeft(r.URL.Path, "/"), "v2/") { // its paths are never cleaned, and nothing is redirected
			fgs.ServeHTTP(w, r)
			return
		}
		native.ServeHTTP(w, r)
	})
	s := &server{
		http: &http.Server{
			Handler: both, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 5 * time.Minute,
			IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		},
		failed: make(chan error, 1),
	}
	go func() {
		if err := s.http.Serve(n.Listener()); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- err
		}
	}()
	return s
}
