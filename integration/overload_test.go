package integration

import (
	"context"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
)

// figures are a node's, as Prometheus reads them; those of several labels are added up.
func figures(t *testing.T, addr string) map[string]float64 {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, m := range regexp.MustCompile(`(?m)^(deed_\w+)(?:\{([^}]*)\})? (\S+)$`).FindAllStringSubmatch(string(b), -1) {
		v, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			t.Fatalf("%s: %v", m[0], err)
		}
		out[m[1]] += v
		if m[2] != "" {
			out[m[1]+"{"+m[2]+"}"] += v
		}
	}
	return out
}

// TestOverload: beyond --max-open a request is answered with 503 and Retry-After, and nothing is appended; when something has
// ended, more is accepted. The figures say what was accepted, what is open, and what came of it.
func TestOverload(t *testing.T) {
	s := newStage(t, nil)
	s.args = append(s.args, "--max-open", "20", "--concurrency", "2", "--partitions", "1")
	s.env = nil // no renewals: the log's end moves by what is accepted alone
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s.node(0)
	s.deploy()
	s.put("/v1/functions/stuck?timeout=5m", string(sleepModule(time.Hour)))
	addr := s.place(0).addr
	invoke := func(function string) *http.Response {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/v1/functions/"+function+"/invocations", strings.NewReader("1"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp
	}
	await := func(what string, ok func(map[string]float64) bool) map[string]float64 {
		for {
			f := figures(t, addr)
			if ok(f) {
				return f
			}
			if !await(ctx, 20*time.Millisecond) {
				t.Fatalf("%s does not come: %v", what, f)
			}
		}
	}
	var last string
	for n := range 20 {
		resp := invoke("stuck")
		if resp.StatusCode != 202 {
			t.Fatalf("request %d: %d", n+1, resp.StatusCode)
		}
		last = resp.Header.Get("X-Request-Id")
	}
	f := await("all that is open", func(f map[string]float64) bool {
		return f["deed_open_invocations"] == 20 && f["deed_attempts_running"] > 0
	})
	if f["deed_requests_total"] != 20 || f["deed_oldest_wait_seconds"] <= 0 || f[`deed_append_seconds{quantile="0.99"}`] <= 0 || f["deed_partition_owned"] != 1 || f["deed_ready"] != 1 {
		t.Errorf("%v", f)
	}
	end := func() int64 {
		var r nodesReport
		r, _ = s.report(ctx, 0)
		return r.Partitions[0].End
	}
	before := end()
	for range 5 {
		if resp := invoke("echo"); resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
			t.Errorf("beyond the bound: %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
		}
	}
	if after := end(); after != before {
		t.Errorf("%d records were appended for what was refused", after-before)
	}
	if s := call(ctx, "POST", "http://"+addr+"/v1/invocations/"+last+"/cancel", `{"force":true}`, nil); s != 200 {
		t.Fatal("cancel:", s)
	}
	await("room", func(f map[string]float64) bool { return f["deed_open_invocations"] < 20 })
	if resp := invoke("echo"); resp.StatusCode != 202 {
		t.Errorf("with room again: %d", resp.StatusCode)
	}
	await("the outcome of what was cancelled", func(f map[string]float64) bool {
		return f[`deed_outcomes_total{condition="Canceled",outcome="discarded"}`] == 1
	})
	// A record that an owner wrote who is not in force is void, and counted.
	producer := newProducer(t, s.broker)
	defer producer.Close()
	for _, m := range readLog(t, s.broker, s.namespace+".invocations")[0] {
		for _, h := range m.Headers {
			if string(h.Key) == "ce_type" && string(h.Value) == "deed.AttemptStarted.v1" {
				send(t, producer, 0, m)
			}
		}
	}
	send(t, producer, 0, &sarama.ConsumerMessage{Topic: s.namespace + ".invocations", Value: []byte("x")})
	await("void records", func(f map[string]float64) bool {
		return f[`deed_void_records_total{reason="duplicate"}`] > 0 && f["deed_undecodable_records_total"] == 1 && f["deed_partition_lag_records"] == 0
	})
}

// TestWeakTopics: a node does not start on topics whose settings can lose what was acknowledged, and names setting and remedy;
// it does when it is told to.
func TestWeakTopics(t *testing.T) {
	s := newStage(t, realKafka(t, 1, false))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conf := sarama.NewConfig()
	conf.Version = sarama.V2_8_0_0
	admin, err := sarama.NewClusterAdmin(s.brokers(), conf)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	day := "86400000"
	if err := admin.CreateTopic(s.namespace+".invocations", &sarama.TopicDetail{NumPartitions: 2, ReplicationFactor: 1, ConfigEntries: map[string]*string{"retention.ms": &day}}, false); err != nil {
		t.Fatal(err)
	}
	binary, err := faultyBinary()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(ctx, binary, "serve", "--data", filepath.Join(s.dir, "weak"), "--listen", s.place(0).addr, "--namespace", s.namespace,
		"--brokers", strings.Join(s.brokers(), ",")).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "retention.ms is "+day) || !strings.Contains(string(out), "--allow-weak-topics") {
		t.Errorf("%s %v", out, err)
	}
	s.args = append(s.args, "--allow-weak-topics")
	p := s.node(0)
	s.deploy()
	s.fire(ctx, 20, 4, "echo")
	s.settle(ctx, 0)
	s.judged()
	if words := p.words.last(10_000); !strings.Contains(words, "retention.ms") {
		t.Errorf("it says nothing of it: %s", words)
	}
}
