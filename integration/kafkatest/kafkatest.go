// Package kafkatest runs Apache Kafka (KRaft) on loopback for tests and for who wants to look: it fetches it with Maven, at
// the version that pom.xml names, and starts one node or three. It owns no production code.
package kafkatest

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

//go:embed pom.xml
var pom []byte

// Version is Kafka's, from pom.xml.
func Version() string {
	return string(regexp.MustCompile(`<kafka.version>(.*)</kafka.version>`).FindSubmatch(pom)[1])
}

// Missing says what this machine lacks to run Kafka; "" if nothing.
func Missing() string {
	for _, program := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(program); err != nil {
			return program + " is not installed"
		}
	}
	return ""
}

// libs fetches Kafka's jars, once for a user and version, and returns their directory.
func libs(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "deed-tests", "kafka-"+Version())
	if _, err := os.Stat(filepath.Join(dir, "complete")); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", err
	}
	file := filepath.Join(dir, "pom.xml")
	if err := os.WriteFile(file, pom, 0o600); err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, "mvn", "-q", "-B", "-f", file, "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+dir).CombinedOutput() //nolint:gosec // our own pom
	if err != nil {
		return "", fmt.Errorf("fetch Kafka %s: %w: %s", Version(), err, out)
	}
	return dir, os.WriteFile(filepath.Join(dir, "complete"), nil, 0o600)
}

// Config of a cluster.
type Config struct {
	Dir        string            // where it lives; must be empty or an earlier cluster's
	Nodes      int               // 1, or 3 with replication 3 and min.insync.replicas 2
	Properties map[string]string // besides, or instead of, what is set here
	Listener   string            // protocol of the clients' listener: PLAINTEXT by default, SSL, SASL_PLAINTEXT or SASL_SSL
}

// Cluster is a running cluster.
type Cluster struct {
	nodes []*node
}

type node struct {
	id      int
	dir     string
	libs    string
	port    int
	heap    string
	mu      sync.Mutex
	process *os.Process
	ended   chan struct{}
}

const startWithin = 2 * time.Minute

// Start formats and starts the nodes, and returns when all of them serve.
func Start(ctx context.Context, c Config) (_ *Cluster, err error) {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	if missing := Missing(); missing != "" {
		return nil, errors.New(missing)
	}
	jars, err := libs(ctx)
	if err != nil {
		return nil, err
	}
	if c.Listener == "" {
		c.Listener = "PLAINTEXT"
	}
	var ports, controllers []int
	for range c.Nodes {
		ports, controllers = append(ports, freePort()), append(controllers, freePort())
	}
	var voters []string
	for i, p := range controllers {
		voters = append(voters, fmt.Sprintf("%d@127.0.0.1:%d", i+1, p))
	}
	replicas := min(c.Nodes, 3)
	cluster := &Cluster{}
	defer func() {
		if err != nil {
			cluster.Stop()
		}
	}()
	for i := range c.Nodes {
		dir := filepath.Join(c.Dir, fmt.Sprint(i+1))
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return nil, err
		}
		p := map[string]string{
			"process.roles": "broker,controller", "node.id": fmt.Sprint(i + 1), "controller.quorum.voters": strings.Join(voters, ","),
			"listeners":                      fmt.Sprintf("CLIENTS://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d", ports[i], controllers[i]),
			"advertised.listeners":           fmt.Sprintf("CLIENTS://127.0.0.1:%d", ports[i]),
			"listener.security.protocol.map": "CLIENTS:" + c.Listener + ",CONTROLLER:PLAINTEXT",
			"controller.listener.names":      "CONTROLLER", "inter.broker.listener.name": "CLIENTS", "log.dirs": filepath.Join(dir, "data"),
			"offsets.topic.replication.factor": fmt.Sprint(replicas), "transaction.state.log.replication.factor": fmt.Sprint(replicas),
			"transaction.state.log.min.isr": fmt.Sprint(max(1, replicas-1)), "min.insync.replicas": fmt.Sprint(max(1, replicas-1)),
			"default.replication.factor": fmt.Sprint(replicas), "offsets.topic.num.partitions": "4", "transaction.state.log.num.partitions": "2",
			"auto.create.topics.enable": "false", "num.network.threads": "2", "num.io.threads": "4",
			// Not the defaults: groups settle at once, and a dead broker is noticed after two seconds, not nine.
			"group.min.session.timeout.ms": "1000", "group.initial.rebalance.delay.ms": "0",
			"broker.session.timeout.ms": "2000", "broker.heartbeat.interval.ms": "500", "controlled.shutdown.enable": "false",
		}
		maps.Copy(p, c.Properties)
		var text strings.Builder
		for _, k := range slices.Sorted(keys(p)) {
			fmt.Fprintf(&text, "%s=%s\n", k, p[k])
		}
		if err := os.WriteFile(filepath.Join(dir, "server.properties"), []byte(text.String()), 0o600); err != nil {
			return nil, err
		}
		heap := "-Xmx512m"
		if c.Nodes > 1 {
			heap = "-Xmx256m"
		}
		cluster.nodes = append(cluster.nodes, &node{id: i + 1, dir: dir, libs: jars, port: ports[i], heap: heap})
	}
	const clusterID = "ZGVlZC1rYWZrYS10ZXN0cw"
	for _, n := range cluster.nodes {
		if _, err := os.Stat(filepath.Join(n.dir, "data", "meta.properties")); err == nil {
			continue
		}
		out, err := n.java(ctx, "kafka.tools.StorageTool", "format", "-t", clusterID, "-c", filepath.Join(n.dir, "server.properties")).CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("format node %d: %w: %s", n.id, err, out)
		}
	}
	errs := make(chan error, len(cluster.nodes))
	for _, n := range cluster.nodes {
		go func() { errs <- n.start(ctx) }()
	}
	for range cluster.nodes {
		err = errors.Join(err, <-errs)
	}
	return cluster, err
}

func keys(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func freePort() int {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // binds at once
	if err != nil {
		panic(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // tcp
}

func (n *node) java(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "java", append([]string{n.heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", filepath.Join(n.libs, "*")}, args...)...) //nolint:gosec // Kafka's classes
}

// start starts the node and returns when it serves.
func (n *node) start(ctx context.Context) error {
	log, err := os.OpenFile(filepath.Join(n.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return errors.Join(err, log.Close())
	}
	cmd := n.java(context.WithoutCancel(ctx), "kafka.Kafka", filepath.Join(n.dir, "server.properties"))
	cmd.Stdout, cmd.Stderr = w, w
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // it must not outlive a test that is killed
	started, ended := make(chan error, 1), make(chan struct{})
	go func() {
		// The signal comes when the thread ends that started the process: it is kept until then.
		// Unlocked, it goes on living afterwards: it may have started other processes with the same signal.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
		close(ended)
	}()
	err = <-started
	_ = w.Close()
	if err != nil {
		return errors.Join(err, r.Close(), log.Close())
	}
	n.mu.Lock()
	n.process, n.ended = cmd.Process, ended
	n.mu.Unlock()
	serves := make(chan struct{})
	go func() {
		defer func() { _, _ = r.Close(), log.Close() }()
		var once sync.Once
		for lines := bufio.NewReader(r); ; { // not a Scanner: Kafka's lines have no bound
			line, err := lines.ReadString('\n')
			_, _ = log.WriteString(line)
			if strings.Contains(line, "Kafka Server started") {
				once.Do(func() { close(serves) })
			}
			if err != nil {
				return
			}
		}
	}()
	select {
	case <-serves:
		return nil
	case <-ended:
		return fmt.Errorf("node %d ended before it served: %s", n.id, n.said())
	case <-ctx.Done():
		n.signal(syscall.SIGKILL)
		return fmt.Errorf("node %d does not serve within %s: %s", n.id, startWithin, n.said())
	}
}

// said is the end of what the node logged.
func (n *node) said() string {
	b, err := os.ReadFile(filepath.Join(n.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-4000):])
}

func (n *node) signal(s os.Signal) {
	n.mu.Lock()
	p, ended := n.process, n.ended
	n.mu.Unlock()
	if p == nil {
		return
	}
	_ = p.Signal(s)
	if s == syscall.SIGKILL {
		<-ended
	}
}

// Brokers are the addresses of all nodes.
func (c *Cluster) Brokers() []string {
	var out []string
	for _, n := range c.nodes {
		out = append(out, fmt.Sprintf("127.0.0.1:%d", n.port))
	}
	return out
}

// Kill kills a node with SIGKILL; nodes are counted from 0.
func (c *Cluster) Kill(i int) { c.nodes[i].signal(syscall.SIGKILL) }

// Pause stops a node with SIGSTOP.
func (c *Cluster) Pause(i int) { c.nodes[i].signal(syscall.SIGSTOP) }

// Resume lets a paused node go on.
func (c *Cluster) Resume(i int) { c.nodes[i].signal(syscall.SIGCONT) }

// Restart starts a node that was killed, and returns when it serves.
func (c *Cluster) Restart(ctx context.Context, i int) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	return c.nodes[i].start(ctx)
}

// Stop kills all nodes: nothing of a test's cluster is needed any more.
func (c *Cluster) Stop() {
	for _, n := range c.nodes {
		n.signal(syscall.SIGKILL)
	}
}
