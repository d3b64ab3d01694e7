package integration

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"deed/integration/kafkatest"
	"deed/runtime/wasm/wasmtest"

	"github.com/IBM/sarama"
)

var onKafka = flag.Bool("kafka", os.Getenv("DEED_KAFKA") != "", "run on Apache Kafka, too")

// faultyBinary is deed as the fault tests build it: it can be killed at labelled points, and its clock be shifted.
var faultyBinary = sync.OnceValues(func() (string, error) {
	dir, err := buildOnce()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "deed-faults")
	if out, err := exec.Command("go", "build", "-tags", "faults", "-o", path, "deed/cmd/deed").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return path, nil
})

// kafkas are the clusters of this test run, by number of brokers; started when the first test asks.
var kafkas struct {
	sync.Mutex
	shared *kafkatest.Cluster
	dirs   []string
	all    []*kafkatest.Cluster
}

// realKafka is a cluster of its own for this test, or, of one broker, the one that tests share.
func realKafka(t *testing.T, brokers int, own bool) *kafkatest.Cluster {
	t.Helper()
	if !*onKafka {
		t.Skip("Apache Kafka is not asked for: make test-kafka runs this")
	}
	if missing := kafkatest.Missing(); missing != "" {
		t.Skip("no Apache Kafka: " + missing)
	}
	kafkas.Lock()
	defer kafkas.Unlock()
	if !own && kafkas.shared != nil {
		return kafkas.shared
	}
	dir, err := os.MkdirTemp("", "deed-kafka-")
	if err != nil {
		t.Fatal(err)
	}
	kafkas.dirs = append(kafkas.dirs, dir)
	c, err := kafkatest.Start(context.Background(), kafkatest.Config{Dir: dir, Nodes: brokers})
	if err != nil {
		t.Fatal(err)
	}
	if own {
		t.Cleanup(c.Stop)
	} else {
		kafkas.shared = c
		kafkas.all = append(kafkas.all, c)
	}
	return c
}

func stopKafkas() {
	kafkas.Lock()
	defer kafkas.Unlock()
	for _, c := range kafkas.all {
		c.Stop()
	}
	for _, d := range kafkas.dirs {
		_ = os.RemoveAll(d)
	}
}

// stage is a deployment under test: nodes on the embedded broker of node 0, or on Apache Kafka.
type stage struct {
	t         *testing.T
	chance    *rand.Rand
	dir       string
	namespace string
	cluster   *kafkatest.Cluster // nil: embedded
	broker    string             // embedded: where node 0's broker listens
	args      []string           // of every node
	env       []string

	mu    sync.Mutex
	nodes []*member
	kills int

	accepted   map[string]string // id → function
	unanswered atomic.Int64
	refused    atomic.Int64
}

// member is a node's place: its directory and address stay when its process dies.
type member struct {
	n    int
	addr string
	p    *process
}

var stages atomic.Int64

// each runs a story on the embedded broker and on Apache Kafka with that many brokers.
func each(t *testing.T, brokers int, own bool, story func(t *testing.T, s *stage)) {
	t.Run("embedded", func(t *testing.T) { story(t, newStage(t, nil)) })
	t.Run("kafka", func(t *testing.T) { story(t, newStage(t, realKafka(t, brokers, own))) })
}

func newStage(t *testing.T, cluster *kafkatest.Cluster) *stage {
	t.Helper()
	n := *seed
	if n == 0 {
		n = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d (repeat with -seed)", n)
	if _, err := faultyBinary(); err != nil {
		t.Fatal(err)
	}
	return &stage{
		t: t, chance: rand.New(rand.NewPCG(n, 7)), dir: t.TempDir(), cluster: cluster, broker: freePort(t), accepted: map[string]string{},
		namespace: fmt.Sprintf("f%d-%d", os.Getpid(), stages.Add(1)), args: []string{"--session-timeout", "2s", "--grace", "2s"},
		env: []string{"DEED_UPKEEP=1s,2s"},
	}
}

// node starts the node with that number, or starts it again.
func (s *stage) node(n int, env ...string) *process {
	s.t.Helper()
	m := s.place(n)
	p := s.launch(m, env...)
	s.mu.Lock()
	m.p = p
	s.mu.Unlock()
	return p
}

func (s *stage) place(n int) *member {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.nodes) <= n {
		s.nodes = append(s.nodes, &member{n: len(s.nodes), addr: freePort(s.t)})
	}
	return s.nodes[n]
}

// launch starts a node's process and returns when it serves; on failure the test ends.
func (s *stage) launch(m *member, env ...string) *process {
	s.t.Helper()
	binary, err := faultyBinary()
	if err != nil {
		s.t.Fatal(err)
	}
	args := []string{
		"serve", "--data", filepath.Join(s.dir, fmt.Sprint("node", m.n)), "--listen", m.addr, "--namespace", s.namespace,
		"--blob", "file://" + filepath.Join(s.dir, "shared"),
	}
	switch {
	case s.cluster != nil:
		args = append(args, "--brokers", strings.Join(s.cluster.Brokers(), ","))
	case m.n == 0:
		args = append(args, "--kafka-listen", s.broker)
	default:
		args = append(args, "--brokers", s.broker)
	}
	p := &process{t: s.t, addr: m.addr, broker: s.brokers()[0], done: make(chan error, 1)}
	p.cmd = exec.Command(binary, append(args, s.args...)...)
	p.cmd.Env = append(append(os.Environ(), s.env...), env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.words = &words{}
	p.cmd.Stderr = p.words
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGCONT)
		p.kill()
		if s.t.Failed() {
			s.t.Logf("node %d (%d) said:\n%s", m.n, p.cmd.Process.Pid, p.words.last(6000))
		}
	})
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	go func() {
		_, _ = io.Copy(io.Discard, lines)
		p.done <- p.cmd.Wait()
	}()
	if err != nil || !strings.Contains(line, "http://") {
		err := <-p.done
		p.done <- err
		if p.died() { // at a labelled point, before it served
			return p
		}
		s.t.Fatalf("node %d did not come up: %q %v\n%s", m.n, line, err, p.words.last(3000))
	}
	return p
}

// died reports whether the process was killed by SIGKILL.
func (p *process) died() bool {
	select {
	case err := <-p.done:
		p.done <- err
		exit := (*exec.ExitError)(nil)
		if errors.As(err, &exit) {
			w, ok := exit.Sys().(syscall.WaitStatus)
			return ok && w.Signaled() && w.Signal() == syscall.SIGKILL
		}
	default:
	}
	return false
}

// words keeps what a process says.
type words struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *words) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(b)
}

func (w *words) last(n int) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.b.String()
	return s[max(0, len(s)-n):]
}

func (s *stage) brokers() []string {
	if s.cluster != nil {
		return s.cluster.Brokers()
	}
	return []string{s.broker}
}

// signal sends a signal to a node.
func (s *stage) signal(n int, sig os.Signal) {
	s.mu.Lock()
	p := s.nodes[n].p
	s.mu.Unlock()
	_ = p.cmd.Process.Signal(sig)
}

// kill kills a node with SIGKILL.
func (s *stage) kill(n int) {
	s.mu.Lock()
	p := s.nodes[n].p
	s.kills++
	s.mu.Unlock()
	p.kill()
}

// anyAddr is the address of some node.
func (s *stage) anyAddr(n int64) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nodes[n%int64(len(s.nodes))].addr
}

// deploy makes the functions that the stories use: echo, flaky (every other attempt fails), broken (all fail).
func (s *stage) deploy() {
	s.t.Helper()
	for name, module := range map[string][]byte{"echo": wasmtest.Echo(), "flaky": wasmtest.Flaky(), "broken": wasmtest.Exit(3), "sleepy": wasmtest.Sleep(300e6)} {
		s.put("/v1/functions/"+name, string(module))
		retries := 2
		if name == "broken" {
			retries = 3
		}
		s.put("/v1/functions/"+name+"/policy", fmt.Sprintf(
			`{"max_async_retry_attempts":%d,"max_async_event_age_in_seconds":3600,"on_success":"obs://results/ok","on_failure":"obs://results/failed"}`, retries))
	}
}

func (s *stage) put(path, body string) {
	s.t.Helper()
	var answer map[string]any
	if status := call(s.t.Context(), "PUT", "http://"+s.anyAddr(0)+path, body, &answer); status != 200 {
		s.t.Fatalf("PUT %s: %d %v", path, status, answer)
	}
}

// fire sends that many requests from some clients, each to some node, and calls again where none answers; it returns when
// all were accepted. Before each request, gate may wait.
func (s *stage) fire(ctx context.Context, total, clients int, functions ...string) {
	var next atomic.Int64
	var group sync.WaitGroup
	for c := range clients {
		group.Go(func() {
			at := int64(c)
			for ctx.Err() == nil {
				n := next.Add(1)
				if n > int64(total) {
					return
				}
				function := functions[int(n)%len(functions)]
				for ctx.Err() == nil {
					at++
					one, cancel := context.WithTimeout(ctx, 35*time.Second)
					var a struct {
						RequestID string `json:"request_id"`
					}
					status := call(one, "POST", "http://"+s.anyAddr(at)+"/v1/functions/"+function+"/invocations", fmt.Sprintf(`{"n":%d}`, n), &a)
					cancel()
					if status == 202 {
						s.mu.Lock()
						s.accepted[a.RequestID] = function
						s.mu.Unlock()
						break
					}
					switch status {
					case 0:
						s.unanswered.Add(1)
					case 503, 500, 404: // 404: a node that has not read the registry yet
						s.refused.Add(1)
					default:
						s.t.Errorf("answer %d", status)
						return
					}
					await(ctx, 20*time.Millisecond)
				}
			}
		})
	}
	group.Wait()
}

func (s *stage) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.accepted)
}

// nodesReport is what deed nodes --json prints.
type nodesReport struct {
	Partitions []struct {
		Partition int    `json:"partition"`
		Owner     string `json:"owner"`
		Epoch     uint64 `json:"epoch"`
		Lag       int64  `json:"lag"`
		Open      int    `json:"open"`
		Committed int64  `json:"committed"`
		End       int64  `json:"end"`
	} `json:"partitions"`
	Alarms []string `json:"alarms"`
}

func (s *stage) report(ctx context.Context, n int) (r nodesReport, ok bool) {
	one, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return r, call(one, "GET", "http://"+s.place(n).addr+"/v1/nodes", "", &r) == 200
}

// settle waits until nothing is open, as the node reads the log.
func (s *stage) settle(ctx context.Context, n int) {
	s.t.Helper()
	open := -1
	for {
		if r, ok := s.report(ctx, n); ok {
			open = 0
			for _, p := range r.Partitions {
				open += p.Open + int(p.Lag)
			}
			if open == 0 && len(r.Partitions) > 0 {
				return
			}
		}
		if !await(ctx, 50*time.Millisecond) {
			s.t.Fatalf("%d open at the end of patience: %s", open, s.unended(n))
		}
	}
}

// unended is what the node says of some invocations that have not ended, with their events.
func (s *stage) unended(n int) string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var out strings.Builder
	for _, status := range []string{"waiting", "running"} {
		var list struct {
			Invocations []json.RawMessage `json:"invocations"`
		}
		call(ctx, "GET", "http://"+s.place(n).addr+"/v1/invocations?limit=3&status="+status, "", &list)
		for _, i := range list.Invocations {
			var id struct {
				ID string `json:"request_id"`
			}
			var events json.RawMessage
			if json.Unmarshal(i, &id) == nil {
				call(ctx, "GET", "http://"+s.place(n).addr+"/v1/invocations/"+id.ID+"/events", "", &events)
			}
			fmt.Fprintf(&out, "\n%s %s", i, events)
		}
	}
	return out.String()
}

// judged reads the log from its start and holds it against what was accepted, what the sinks hold, and what was committed.
func (s *stage) judged() (*report, map[int32][]*sarama.ConsumerMessage) {
	s.t.Helper()
	topic := s.namespace + ".invocations"
	log := readLog(s.t, s.brokers()[0], topic)
	r := check(log)
	for _, p := range r.problems {
		s.t.Error(p)
	}
	for id := range s.accepted {
		i := r.inv[id]
		switch {
		case i == nil:
			s.t.Errorf("%s was accepted and is not in the log", id)
		case i.terminals != 1:
			s.t.Errorf("%s has %d outcomes", id, i.terminals)
		case i.target() != "" && (i.owed != 1 || i.settled != 1):
			s.t.Errorf("%s: %d owed, %d settled", id, i.owed, i.settled)
		}
	}
	attempts, lost := 0, 0
	for _, i := range r.inv {
		attempts += i.started
		lost += i.lost
	}
	moved := r.checkPositions(s.t, log, positions(s.t, s.brokers()[0], s.namespace+".owners", topic, len(log)))
	objectsOf(s.t, r, filepath.Join(s.dir, "shared/objects/results"))
	s.t.Logf("%d accepted (%d calls without an answer, %d refused), %d in the log, %d attempts, %d lost, %d void records, %d renewals, %d restated, %d positions moved, epochs %v",
		len(s.accepted), s.unanswered.Load(), s.refused.Load(), len(r.inv), attempts, lost, r.void, r.renewals, r.carried, moved, r.epochs)
	return r, log
}

// resident is the memory that a process holds, in bytes.
func resident(t testing.TB, p *process) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var kb int64
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kb); n == 1 {
			return kb << 10
		}
	}
	return 0
}

func newProducer(t testing.TB, broker string) sarama.SyncProducer {
	t.Helper()
	conf := sarama.NewConfig()
	conf.Version = sarama.V2_8_0_0
	conf.Producer.Return.Successes, conf.Producer.Partitioner = true, sarama.NewManualPartitioner
	p, err := sarama.NewSyncProducer([]string{broker}, conf)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// send appends a copy of a record.
func send(t testing.TB, p sarama.SyncProducer, partition int32, m *sarama.ConsumerMessage) {
	t.Helper()
	headers := make([]sarama.RecordHeader, len(m.Headers))
	for i, h := range m.Headers {
		headers[i] = *h
	}
	if _, _, err := p.SendMessage(&sarama.ProducerMessage{
		Topic: m.Topic, Partition: partition, Key: sarama.ByteEncoder(m.Key), Value: sarama.ByteEncoder(m.Value), Headers: headers,
	}); err != nil {
		t.Fatal(err)
	}
}

// sleepModule is a function that sleeps.
func sleepModule(d time.Duration) []byte { return wasmtest.Sleep(d.Nanoseconds()) }

// refuses starts node 0, which must not come up, and returns what it says.
func (s *stage) refuses() string {
	s.t.Helper()
	binary, err := faultyBinary()
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, binary, "serve", "--data", filepath.Join(s.dir, "node0"), "--listen", s.place(0).addr, "--namespace", s.namespace,
		"--blob", "file://"+filepath.Join(s.dir, "shared")).CombinedOutput()
	if err == nil || ctx.Err() != nil {
		s.t.Fatalf("the node came up: %s", out)
	}
	return string(out)
}
