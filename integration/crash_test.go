package integration

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	seed    = flag.Uint64("seed", 0, "seed of the crash tests; 0 draws one")
	total   = flag.Int("invocations", 2000, "invocations of the crash test")
	waiting = flag.Int("waiting", 3000, "invocations that wait in the test of many")
)

// TestNothingAcceptedIsLost fires requests from 16 clients, kills the node with SIGKILL three times while at least 50 accepted
// requests are open, and has the log judged by the independent checker.
func TestNothingAcceptedIsLost(t *testing.T) {
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d (repeat with -seed)", *seed)
	chance := rand.New(rand.NewPCG(*seed, 0))
	data, addr, broker := t.TempDir(), freePort(t), freePort(t)
	node := start(t, data, addr, broker)
	policy := `{"max_async_retry_attempts":2,"max_async_event_age_in_seconds":600,"on_success":"obs://results/ok","on_failure":"obs://results/failed"}`
	node.deploy("echo", "echo", "", policy)
	node.deploy("flaky", "flaky", "", policy)

	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	var mu sync.Mutex
	accepted := map[string]string{} // id → function
	var next, unanswered atomic.Int64
	var clients sync.WaitGroup
	for range 16 {
		clients.Go(func() {
			for ctx.Err() == nil {
				n := next.Add(1)
				if n > int64(*total) {
					return
				}
				function := "echo"
				if n%5 == 0 {
					function = "flaky"
				}
				for ctx.Err() == nil {
					var a struct {
						RequestID string `json:"request_id"`
					}
					switch s := call(ctx, "POST", "http://"+addr+"/v1/functions/"+function+"/invocations", fmt.Sprintf(`{"n":%d}`, n), &a); s {
					case 202:
						mu.Lock()
						accepted[a.RequestID] = function
						mu.Unlock()
					case 0, 503:
						unanswered.Add(1)
						if await(ctx, 20*time.Millisecond) {
							continue // the node is down; this client calls again, which makes another invocation
						}
					default:
						t.Errorf("answer %d", s)
					}
					break
				}
			}
		})
	}
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(accepted)
	}
	for kill := range 3 {
		enough := *total/4*kill + *total/8 + chance.IntN(*total/8)
		for ctx.Err() == nil {
			if open, _, ok := node.open(ctx); ok && open >= 75 && count() >= enough {
				break
			}
			await(ctx, 2*time.Millisecond)
		}
		began := time.Now()
		node.kill()
		node = start(t, data, addr, broker)
		t.Logf("kill %d after %d accepted; serving again after %s", kill+1, count(), time.Since(began).Round(time.Millisecond))
	}
	clients.Wait()
	for {
		open, unsettled, ok := node.open(ctx)
		if ok && open+unsettled == 0 {
			break
		}
		if !await(ctx, 50*time.Millisecond) {
			t.Fatalf("%d open and %d unsettled at the end of patience", open, unsettled)
		}
	}
	judge(t, check(readLog(t, broker, "deed.invocations")), accepted, data, 3)
	t.Logf("%d accepted, %d calls without an answer", len(accepted), unanswered.Load())
}

// await waits for d; it reports false when ctx has ended.
func await(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// judge holds a report against what clients were told and what the sinks hold.
func judge(t *testing.T, r *report, accepted map[string]string, data string, kills int) {
	t.Helper()
	for _, p := range r.problems {
		t.Error(p)
	}
	for id := range accepted {
		i := r.inv[id]
		switch {
		case i == nil:
			t.Errorf("%s was accepted and is not in the log", id)
		case i.terminals != 1:
			t.Errorf("%s has %d outcomes", id, i.terminals)
		case i.target() != "" && (i.owed != 1 || i.settled != 1):
			t.Errorf("%s: %d owed, %d settled", id, i.owed, i.settled)
		}
	}
	objectsOf(t, r, filepath.Join(data, "objects/results"))
	attempts, lost := 0, 0
	for _, i := range r.inv {
		attempts += i.started
		lost += i.lost
	}
	for epoch := uint64(2); epoch <= uint64(kills)+1; epoch++ {
		t.Logf("open when epoch %d began: %d", epoch, r.openAt[epoch])
		if r.openAt[epoch] < 50 {
			t.Errorf("only %d requests were open at kill %d: the test shows too little", r.openAt[epoch], epoch-1)
		}
	}
	t.Logf("%d invocations, %d attempts, %d lost, %d void records, types %v", len(r.inv), attempts, lost, r.void, r.types)
	if r.undecoded > 0 {
		t.Errorf("%d records cannot be decoded", r.undecoded)
	}
}

// objectsOf holds the objects of a bucket against the log: one for each outcome that has a target, and each in its place.
func objectsOf(t testing.TB, r *report, bucket string) {
	t.Helper()
	objects := map[string]int{}
	// A kill can leave a temporary file of the object store behind; it is not an object.
	files, err := filepath.Glob(filepath.Join(bucket, "*/default/default/*/*/*/*/*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var rec struct {
			RequestContext struct {
				RequestID string `json:"request_id"`
			} `json:"request_context"`
		}
		if err := json.Unmarshal(b, &rec); err != nil || !strings.Contains(f, rec.RequestContext.RequestID) {
			t.Errorf("%s holds %s (%v)", f, b, err)
		}
		objects[rec.RequestContext.RequestID]++
	}
	for id, i := range r.inv {
		if want := min(1, len(i.target())); objects[id] != want {
			t.Errorf("%s (%s): %d objects, want %d", id, i.terminal, objects[id], want)
		}
	}
}
