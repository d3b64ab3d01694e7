package integration

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
)

// restless is a member of the owners' group that does nothing, and joins and leaves all the time.
type restless struct{ first, last atomic.Int32 }

func (r *restless) Setup(s sarama.ConsumerGroupSession) error {
	r.first.CompareAndSwap(0, s.GenerationID())
	r.last.Store(s.GenerationID())
	return nil
}
func (*restless) Cleanup(sarama.ConsumerGroupSession) error { return nil }
func (*restless) ConsumeClaim(s sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
	for {
		select {
		case <-s.Context().Done():
			return nil
		case _, ok := <-c.Messages():
			if !ok {
				return nil
			}
		}
	}
}

// disturb makes the group rebalance every second, until ctx ends.
func (s *stage) disturb(ctx context.Context, r *restless) {
	conf := sarama.NewConfig()
	conf.Version = sarama.V2_8_0_0
	conf.Consumer.Group.Session.Timeout = 6 * time.Second
	conf.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategyCooperativeSticky()}
	for ctx.Err() == nil {
		began := time.Now()
		group, err := sarama.NewConsumerGroup(s.brokers(), s.namespace+".owners", conf)
		if err != nil {
			await(ctx, 100*time.Millisecond)
			continue
		}
		stay, leave := context.WithTimeout(ctx, 500*time.Millisecond)
		for stay.Err() == nil {
			if err := group.Consume(stay, []string{s.namespace + ".invocations"}, r); err != nil {
				break
			}
		}
		leave()
		_ = group.Close()
		await(ctx, time.Second-time.Since(began))
	}
}

// TestRetry3Stays3UnderARebalanceEverySecond: a function that always fails, with three retries, runs four times, whatever the
// group of owners goes through: the state of retries is in the log and nowhere else.
func TestRetry3Stays3UnderARebalanceEverySecond(t *testing.T) {
	t.Parallel()
	each(t, 1, false, func(t *testing.T, s *stage) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		for n := range 2 {
			s.node(n)
		}
		s.deploy()
		const wanted = 100 // generations
		run, stop := context.WithCancel(ctx)
		defer stop()
		var r restless
		var group sync.WaitGroup
		group.Go(func() { s.disturb(run, &r) })
		passed := func() int32 { return r.last.Load() - r.first.Load() }
		for passed() < wanted && ctx.Err() == nil {
			s.fire(ctx, 5, 1, "broken")
			await(ctx, 500*time.Millisecond)
		}
		stop()
		group.Wait()
		s.settle(ctx, 0)
		log, _ := s.judged()
		t.Logf("%d generations of the group", passed())
		if passed() < wanted {
			t.Errorf("only %d generations", passed())
		}
		for id := range s.accepted {
			i := log.inv[id]
			if i == nil {
				continue // said already
			}
			// An attempt that was lost with its owner is no retry: it has a budget of its own.
			if i.codeFails != 4 || i.started != i.codeFails+i.lost || i.terminal != "deed.InvocationFailed.v1" {
				t.Errorf("%s: %d attempts, %d failed, %d lost, %s; want 4 that failed", id, i.started, i.codeFails, i.lost, i.terminal)
			}
		}
	})
}

// TestEveryNodeAnswers: three nodes share the partitions, and each answers for all of them: waiting for an outcome, watching,
// cancelling, telling the history of an invocation that another node owns. A fourth joins without a pause for the others.
func TestEveryNodeAnswers(t *testing.T) {
	each(t, 1, false, func(t *testing.T, s *stage) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		for n := range 3 {
			s.node(n)
		}
		s.deploy()
		deed := func(n int, args ...string) (string, error) {
			binary, _ := faultyBinary()
			out, err := exec.CommandContext(ctx, binary, append([]string{"--server", "http://" + s.place(n).addr}, args...)...).CombinedOutput()
			return strings.TrimSpace(string(out)), err
		}
		wait := func(n int, id string) string { // for the outcome, at that node
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.place(n).addr+"/v1/invocations/"+id, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Prefer", "wait=20")
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return err.Error()
			}
			defer resp.Body.Close()
			b, _ := io.ReadAll(resp.Body)
			return string(b)
		}
		owners := func() (r nodesReport, n int) {
			r, _ = s.report(ctx, 0)
			set := map[string]bool{}
			for _, p := range r.Partitions {
				set[p.Owner] = true
			}
			return r, len(set)
		}
		for _, n := owners(); n < 3; _, n = owners() {
			if !await(ctx, 50*time.Millisecond) {
				r, _ := owners()
				t.Fatalf("the partitions are not shared: %+v", r)
			}
		}
		// Every node accepts, in a partition of its own; every other one answers for it.
		for from := range 3 {
			for at := range 3 {
				id, err := deed(from, "invoke", "sleepy", "--data", `"x"`)
				if err != nil {
					t.Fatal(id, err)
				}
				if out := wait(at, id); !strings.Contains(out, "succeeded") {
					t.Errorf("get at %d of what %d accepted: %s", at, from, out)
				}
				if out, err := deed(at, "history", id); err != nil || !strings.Contains(out, "InvocationSucceeded") {
					t.Errorf("history: %s %v", out, err)
				}
				if out, err := deed(at, "watch", id); err != nil || !strings.Contains(out, "InvocationSucceeded") {
					t.Errorf("watch: %s %v", out, err)
				}
			}
		}
		s.put("/v1/functions/slow?timeout=60s", string(sleepModule(30*time.Second)))
		for from := range 3 {
			id, err := deed(from, "invoke", "slow", "--data", "1")
			if err != nil {
				t.Fatal(id, err)
			}
			if out, err := deed((from+1)%3, "cancel", id, "--force"); err != nil {
				t.Fatal(out, err)
			}
			if out := wait((from+2)%3, id); !strings.Contains(out, "Canceled") {
				t.Errorf("cancelled at another node: %s", out)
			}
		}
		if out, err := deed(1, "nodes"); err != nil || !strings.Contains(out, "(this node)") {
			t.Errorf("nodes: %s %v", out, err)
		} else {
			t.Log("\n" + out)
		}
		// A node that joins takes partitions from others; what those keep goes on without a pause.
		before, _ := owners()
		s.node(3)
		for moved := false; !moved; {
			after, n := owners()
			kept := 0
			for i := range after.Partitions {
				if after.Partitions[i].Epoch == before.Partitions[i].Epoch {
					kept++
				}
			}
			if moved = n == 4; moved && kept == 0 {
				t.Errorf("no partition was left alone: %+v, then %+v", before, after)
			}
			if !await(ctx, 50*time.Millisecond) {
				t.Fatal("the fourth node gets nothing")
			}
		}
		s.settle(ctx, 3)
		s.judged()
	})
}

// TestGrowingTopic: the topic gets more partitions while nodes run: new ids use them, old invocations stay where they are.
func TestGrowingTopic(t *testing.T) {
	each(t, 1, false, func(t *testing.T, s *stage) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		s.node(0)
		s.node(1)
		s.deploy()
		s.fire(ctx, 100, 4, "echo", "sleepy")
		conf := sarama.NewConfig()
		conf.Version = sarama.V2_8_0_0
		admin, err := sarama.NewClusterAdmin(s.brokers(), conf)
		if err != nil {
			t.Fatal(err)
		}
		defer admin.Close()
		if err := admin.CreatePartitions(s.namespace+".invocations", 7, nil, false); err != nil {
			t.Fatal(err)
		}
		used := func() int {
			s.mu.Lock()
			defer s.mu.Unlock()
			slots := map[uint64]bool{}
			for id := range s.accepted {
				slots[slotOf(id)] = true
			}
			return len(slots)
		}
		for used() < 7 {
			s.fire(ctx, 50, 4, "echo", "flaky")
			if !await(ctx, 100*time.Millisecond) {
				t.Fatalf("%d partitions are used", used())
			}
		}
		s.settle(ctx, 0)
		s.settle(ctx, 1)
		s.judged()
	})
}

// TestUndecodable: what a stranger wrote into the topic is counted, named with its place, and blocks nothing.
func TestUndecodable(t *testing.T) {
	each(t, 1, false, func(t *testing.T, s *stage) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		s.node(0)
		s.deploy()
		s.fire(ctx, 20, 4, "echo")
		producer := newProducer(t, s.brokers()[0])
		defer producer.Close()
		junk := &sarama.ConsumerMessage{Topic: s.namespace + ".invocations", Key: []byte("k"), Value: []byte("not of ours")}
		send(t, producer, 2, junk)
		s.fire(ctx, 20, 4, "echo")
		s.settle(ctx, 0)
		binary, _ := faultyBinary()
		out, err := exec.CommandContext(ctx, binary, "--server", "http://"+s.place(0).addr, "log", "--undecodable", "--json").Output()
		var answer struct {
			Records []struct {
				Topic     string `json:"topic"`
				Partition int    `json:"partition"`
				Reason    string `json:"reason"`
			} `json:"records"`
		}
		if err != nil || json.Unmarshal(out, &answer) != nil || len(answer.Records) != 1 || answer.Records[0].Partition != 2 || answer.Records[0].Topic != s.namespace+".invocations" {
			t.Errorf("%s %v", out, err)
		}
		if said := s.nodes[0].p.words.last(100_000); !strings.Contains(said, "cannot be read") || !strings.Contains(said, "partition=2") {
			t.Errorf("it is not logged:\n%s", said)
		}
	})
}

// TestWrongBlobStore: a node whose blob store is another cluster's does not start, and says why; one whose store goes away is
// not ready until it is back.
func TestWrongBlobStore(t *testing.T) {
	a, b := newStage(t, nil), newStage(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	a.node(0)
	a.deploy()
	binary, _ := faultyBinary()
	out, err := exec.CommandContext(ctx, binary, "serve", "--data", filepath.Join(b.dir, "node0"), "--listen", b.broker, "--blob", "file://"+filepath.Join(a.dir, "shared")).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "another cluster") {
		t.Errorf("%s %v", out, err)
	}
	t.Log(strings.TrimSpace(string(out)))

	// Another directory than the cluster's, such as that of a share that is not mounted, is not taken for it.
	out, err = exec.CommandContext(ctx, binary, "serve", "--data", filepath.Join(a.dir, "node1"), "--listen", b.broker, "--brokers", a.broker,
		"--namespace", a.namespace, "--blob", "file://"+filepath.Join(a.dir, "elsewhere")).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "does not name its cluster") {
		t.Errorf("%s %v", out, err)
	}
	t.Log(strings.TrimSpace(string(out)))
	store := filepath.Join(a.dir, "shared")
	ready := func(want int) {
		t.Helper()
		for call(ctx, "GET", "http://"+a.place(0).addr+"/readyz", "", nil) != want {
			if !await(ctx, 100*time.Millisecond) {
				t.Fatalf("/readyz does not become %d", want)
			}
		}
	}
	ready(200)
	if err := os.Rename(store, store+".gone"); err != nil {
		t.Fatal(err)
	}
	ready(503)
	if err := os.RemoveAll(store); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(store+".gone", store); err != nil {
		t.Fatal(err)
	}
	ready(200)
}
