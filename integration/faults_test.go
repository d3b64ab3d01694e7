package integration

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"
)

// points are the labelled points of an invocation's life at which a node can be made to kill itself.
var points = []string{
	"after request read", "before attempt started", "after attempt started", "after run", "before outcome", "after outcome",
	"before sink write", "after sink write", "before receipt", "after receipt",
}

// untilKilled starts a node that kills itself when it comes to the point for the nth time, and waits until it has.
func (s *stage) untilKilled(ctx context.Context, n int, point string, nth int) {
	s.t.Helper()
	began := time.Now()
	p := s.node(n, fmt.Sprintf("DEED_KILL_AT=%s:%d", point, nth))
	select {
	case err := <-p.done:
		p.done <- err
		if !p.died() {
			s.t.Fatalf("%s: the node ended, and was not killed: %v\n%s", point, err, p.words.last(2000))
		}
		s.kills++
		s.t.Logf("killed %s (%d) after %s", point, nth, time.Since(began).Round(time.Millisecond))
	case <-ctx.Done():
		s.t.Fatalf("the node does not come to %q for the %dth time", point, nth)
	}
}

// TestKilledAtEveryPoint: under load, one node after another kills itself at each labelled point; others take over, and
// nothing is lost or told twice.
func TestKilledAtEveryPoint(t *testing.T) {
	each(t, 1, false, func(t *testing.T, s *stage) {
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
		defer cancel()
		// The first claims of a partition lead to a commit at once; later ones wait for the admission window.
		s.untilKilled(ctx, 0, "before commit", 1+s.chance.IntN(4))
		s.node(0)
		s.deploy()
		over := make(chan struct{})
		loaded := make(chan struct{})
		go func() { // load as long as nodes are to be killed
			defer close(loaded)
			for {
				select {
				case <-over:
					return
				default:
					s.fire(ctx, 10, 2, "echo", "flaky", "broken")
					await(ctx, 10*time.Millisecond)
				}
				if ctx.Err() != nil {
					return
				}
			}
		}()
		for _, point := range points {
			s.untilKilled(ctx, 1, point, 1+s.chance.IntN(6))
		}
		close(over)
		<-loaded
		s.settle(ctx, 0)
		r, _ := s.judged()
		if r.renewals == 0 {
			t.Error("no marker was renewed")
		}
	})
}

// TestKillsAndJoins: three nodes under load, killed and started at random.
func TestKillsAndJoins(t *testing.T) {
	each(t, 1, false, func(t *testing.T, s *stage) {
		ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
		defer cancel()
		for n := range 3 {
			s.node(n)
		}
		s.deploy()
		done := make(chan struct{})
		go func() { defer close(done); s.fire(ctx, *total, 16, "echo", "flaky", "broken", "echo") }()
		first := 1 // node 0 has the embedded broker; the broker has a test of its own
		if s.cluster != nil {
			first = 0
		}
		for kill := 1; kill <= 8; kill++ {
			for s.count() < kill**total/10+s.chance.IntN(*total/20) && ctx.Err() == nil {
				await(ctx, 5*time.Millisecond)
			}
			n := first + s.chance.IntN(3-first)
			s.kill(n)
			await(ctx, time.Duration(s.chance.IntN(800))*time.Millisecond)
			s.node(n)
		}
		<-done
		s.settle(ctx, 0)
		s.judged()
	})
}

// TestZombie: a node is stopped for longer than its session, others take over, and it goes on: what it appends changes nothing.
func TestZombie(t *testing.T) {
	each(t, 1, false, func(t *testing.T, s *stage) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		for n := range 3 {
			s.node(n)
		}
		s.deploy()
		var stale int
		for round := range 3 {
			done := make(chan struct{})
			go func() { defer close(done); s.fire(ctx, 400, 8, "echo", "flaky", "sleepy") }()
			n := 1 + round%2
			await(ctx, time.Duration(100+s.chance.IntN(400))*time.Millisecond)
			before := s.epochs(ctx, 0)
			s.signal(n, syscall.SIGSTOP)
			// The zombie's partitions are claimed by others: that is when it may wake.
			for claimed := false; !claimed && ctx.Err() == nil; {
				await(ctx, 50*time.Millisecond)
				for p, e := range s.epochs(ctx, 0) {
					claimed = claimed || e > before[p]
				}
			}
			s.signal(n, syscall.SIGCONT)
			<-done
		}
		s.settle(ctx, 0)
		r, log := s.judged()
		for p, ms := range log {
			for _, m := range ms {
				for _, h := range m.Headers {
					if string(h.Key) == "ce_ownerid" && !r.verdicts[p][m.Offset] {
						stale++
					}
				}
			}
		}
		t.Logf("%d owners' records are void", stale)
	})
}

// epochs are those in force, as a node reads the log.
func (s *stage) epochs(ctx context.Context, n int) map[int]uint64 {
	out := map[int]uint64{}
	r, _ := s.report(ctx, n)
	for _, p := range r.Partitions {
		out[p.Partition] = p.Epoch
	}
	return out
}

// TestBrokerKilled: the broker is killed under load, and comes back; of three brokers, whichever leads partition 0.
func TestBrokerKilled(t *testing.T) {
	story := func(t *testing.T, s *stage) {
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
		defer cancel()
		for n := range 3 {
			s.node(n)
		}
		s.deploy()
		done := make(chan struct{})
		go func() { defer close(done); s.fire(ctx, *total/2, 8, "echo", "flaky") }()
		for range 2 {
			// The rest may have been accepted while the broker came back.
			for want := min(s.count()+100, *total/2); s.count() < want && ctx.Err() == nil; {
				await(ctx, 10*time.Millisecond)
			}
			switch s.cluster {
			case nil:
				s.kill(0)
				s.node(0)
			default:
				n := s.chance.IntN(len(s.cluster.Brokers()))
				s.cluster.Kill(n)
				await(ctx, time.Second)
				if err := s.cluster.Restart(ctx, n); err != nil {
					t.Fatal(err)
				}
			}
		}
		<-done
		t.Logf("all are accepted")
		s.settle(ctx, 1)
		s.judged()
	}
	t.Run("embedded", func(t *testing.T) { story(t, newStage(t, nil)) })
	t.Run("kafka", func(t *testing.T) { story(t, newStage(t, realKafka(t, 1, true))) })
	t.Run("three brokers", func(t *testing.T) {
		c := realKafka(t, 3, true)
		s := newStage(t, c)
		s.args = append(s.args, "--replication", "3")
		story(t, s)
	})
}

// TestBrokerStopped: the broker stands still for longer than a session, and goes on.
func TestBrokerStopped(t *testing.T) {
	each(t, 1, true, func(t *testing.T, s *stage) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		for n := range 2 {
			s.node(n)
		}
		s.deploy()
		done := make(chan struct{})
		go func() { defer close(done); s.fire(ctx, *total/4, 8, "echo", "flaky") }()
		for s.count() < 50 && ctx.Err() == nil {
			await(ctx, 10*time.Millisecond)
		}
		pause, resume := func() { s.signal(0, syscall.SIGSTOP) }, func() { s.signal(0, syscall.SIGCONT) }
		if s.cluster != nil {
			pause, resume = func() { s.cluster.Pause(0) }, func() { s.cluster.Resume(0) }
		}
		pause()
		await(ctx, 5*time.Second) // two sessions and a half
		resume()
		<-done
		s.settle(ctx, 1)
		s.judged()
	})
}

// TestSinks: a sink that fails, hangs, or fails after it has written is told in the end, once.
func TestSinks(t *testing.T) {
	for _, how := range []string{"fail:20", "after:20", "hang:3"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, nil)
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			s.node(0, "DEED_SINK="+how)
			s.deploy()
			s.fire(ctx, 30, 4, "echo", "broken")
			s.settle(ctx, 0)
			s.judged()
		})
	}
}
