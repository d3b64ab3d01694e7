package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"deed/runtime/wasm/wasmtest"
)

// clock is a file that shifts the clocks of the nodes that read it.
type clock struct{ path string }

func (s *stage) clock(name string) clock {
	c := clock{filepath.Join(s.dir, name)}
	c.set(s.t, 0)
	return c
}

func (c clock) env() string { return "DEED_CLOCK_FILE=" + c.path }

// set shifts the clock; nodes notice within 100 ms.
func (c clock) set(t *testing.T, ahead time.Duration) {
	t.Helper()
	if err := os.WriteFile(c.path+".new", []byte(ahead.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(c.path+".new", c.path); err != nil {
		t.Fatal(err)
	}
}

// TestClockJumps: a node's clock jumps by an hour, ahead or back, under load, and later returns; nothing that was accepted is
// lost. With Apache Kafka the node notices that it is not the broker's time, gives its partitions up and accepts nothing; with
// the embedded broker, which is of the same machine, the node's time never goes back.
func TestClockJumps(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(jump.String(), func(t *testing.T) {
			each(t, 1, false, func(t *testing.T, s *stage) {
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
				defer cancel()
				c := s.clock("clock1")
				if s.cluster == nil {
					s.node(0, c.env())
				} else {
					s.node(0)
					s.node(1, c.env())
				}
				s.deploy()
				s.fire(ctx, 100, 4, "echo", "flaky")
				done := make(chan struct{})
				go func() { defer close(done); s.fire(ctx, 600, 4, "echo", "flaky") }()
				c.set(t, jump)
				<-done
				s.fire(ctx, 100, 4, "echo")
				if s.cluster != nil {
					for {
						var problem struct {
							Title string `json:"title"`
						}
						if call(ctx, "GET", "http://"+s.place(1).addr+"/readyz", "", &problem) == 503 && strings.Contains(problem.Title, "clock") {
							break
						}
						s.fire(ctx, 20, 2, "echo")
						if !await(ctx, 50*time.Millisecond) {
							t.Fatal("the node is ready with a clock that is wrong")
						}
					}
				}
				c.set(t, 0)
				s.fire(ctx, 200, 4, "echo", "flaky")
				s.settle(ctx, 0)
				r, _ := s.judged()
				t.Logf("%d requests were too late", r.late)
			})
		})
	}
}

// TestTimePasses: when all clocks move on, what is settled is forgotten, the committed positions move over it, and a node that
// starts then folds only what lies behind them; a late copy of an old request opens nothing.
func TestTimePasses(t *testing.T) {
	s := newStage(t, nil) // on Apache Kafka the broker's clock would have to move, too
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c := s.clock("clock")
	s.env = append(s.env, c.env())
	s.node(0)
	s.node(1)
	s.deploy()
	s.fire(ctx, 300, 8, "echo", "flaky")
	s.settle(ctx, 0)
	c.set(t, 3*time.Minute)
	s.fire(ctx, 100, 8, "echo")
	s.settle(ctx, 0)
	for moved := false; !moved; {
		r, _ := s.report(ctx, 0)
		moved = len(r.Partitions) > 0
		for _, p := range r.Partitions {
			moved = moved && p.Committed > 20
		}
		if !await(ctx, 50*time.Millisecond) {
			t.Fatalf("the positions do not move: %+v", r)
		}
	}
	s.kill(1)
	s.kill(0)
	s.node(0)
	s.node(1)
	old := replay(t, s)
	s.fire(ctx, 100, 8, "echo", "flaky")
	s.settle(ctx, 0)
	r, log := s.judged()
	for id, at := range old {
		p := int32(slotOf(id))
		for _, m := range log[p][at:] {
			for _, h := range m.Headers {
				again := string(h.Key) == "ce_type" && (string(h.Value) == "deed.InvocationRequested.v1" || string(h.Value) == "deed.AttemptStarted.v1")
				if again && string(m.Key) == id && r.verdicts[p][m.Offset] {
					t.Errorf("%s is settled, and %s at offset %d counts", id, h.Value, m.Offset)
				}
			}
		}
	}
	s.settle(ctx, 1)             // its read model may be behind that of the node that was asked above
	for id := range s.accepted { // what lies before the tails' beginnings is shown, too
		var i struct {
			Status string `json:"status"`
		}
		if status := call(ctx, "GET", "http://"+s.place(1).addr+"/v1/invocations/"+id, "", &i); status != 200 || i.Status == "waiting" || i.Status == "running" {
			t.Fatalf("%s: %d %+v", id, status, i)
		}
	}
}

// replay appends copies of old requests, as a producer that woke up late might.
func replay(t *testing.T, s *stage) map[string]int {
	t.Helper()
	topic := s.namespace + ".invocations"
	log := readLog(t, s.broker, topic)
	out := map[string]int{}
	producer := newProducer(t, s.broker)
	defer producer.Close()
	for p, ms := range log {
		for _, m := range ms[:min(40, len(ms))] {
			for _, h := range m.Headers {
				if string(h.Key) == "ce_type" && string(h.Value) == "deed.InvocationRequested.v1" {
					send(t, producer, p, m)
					out[string(m.Key)] = len(ms)
				}
			}
		}
	}
	if len(out) == 0 {
		t.Fatal("no request was copied")
	}
	return out
}

// TestManyWaiting: many invocations wait for hours; they are restated, so a restart folds only the tail, and each costs little
// memory. With -waiting 100000 it prints the figures for that many.
func TestManyWaiting(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	c := s.clock("clock")
	s.env = []string{"DEED_UPKEEP=1s,5m", c.env()}
	s.args = append(s.args, "--max-open", fmt.Sprint(2**waiting))
	p := s.node(0)
	s.deploy()
	idle := resident(t, p)
	s.put("/v1/functions/stuck?timeout=5m", string(wasmtest.Sleep(3600e9))) // a few run, all others wait for a place
	s.put("/v1/functions/stuck/policy", `{"max_async_retry_attempts":0,"max_async_event_age_in_seconds":86400}`)
	s.fire(ctx, *waiting, 64, "stuck")
	open := func() (n int, lag int64) {
		r, _ := s.report(ctx, 0)
		for _, p := range r.Partitions {
			n += p.Open
			lag += p.End - p.Committed
		}
		return n, lag
	}
	for n, _ := open(); n < *waiting; n, _ = open() {
		if !await(ctx, 100*time.Millisecond) {
			t.Fatal("they do not wait")
		}
	}
	full := resident(t, p)
	c.set(t, 6*time.Minute) // all requests are old now; they are restated, and then the position may move behind them
	before, _ := s.report(ctx, 0)
	for moved := false; !moved; {
		r, _ := s.report(ctx, 0)
		moved = len(r.Partitions) == len(before.Partitions)
		for i := range r.Partitions {
			moved = moved && r.Partitions[i].Committed >= before.Partitions[i].End
		}
		if !await(ctx, 200*time.Millisecond) {
			t.Fatalf("the positions do not move: %+v", r)
		}
	}
	_, lag := open()
	log := readLog(t, s.broker, s.namespace+".invocations")
	records := 0
	for _, ms := range log {
		records += len(ms)
	}
	s.kill(0)
	began := time.Now()
	p = s.node(0)
	restart := time.Since(began)
	for n, _ := open(); n < *waiting; n, _ = open() {
		if !await(ctx, 50*time.Millisecond) {
			t.Fatalf("only %d are open after the restart", n)
		}
	}
	again := resident(t, p)
	t.Logf("%d waiting: resident %d MiB idle, %d MiB with them, %d MiB after a restart; %d records in the log, %d to fold; serving %s after kill -9",
		*waiting, idle>>20, full>>20, again>>20, records, lag, restart.Round(time.Millisecond))
	r := check(log)
	for _, problem := range r.problems {
		t.Error(problem)
	}
	if r.carried < *waiting {
		t.Errorf("only %d of %d were restated", r.carried, *waiting)
	}
}
