package integration

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"deed/runtime/wasm/wasmtest"
)

// keyedCall is what a call with an idempotency key was answered.
type keyedCall struct {
	status   int
	replayed string
	location string
	body     string
	id       string
}

func (p *process) keyed(ctx context.Context, function, key, event, prefer string) keyedCall {
	p.t.Helper()
	req, err := http.NewRequestWithContext(ctx, "POST", "http://"+p.addr+"/v1/functions/"+function+"/invocations", strings.NewReader(event))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Idempotency-Key", key)
	if prefer != "" {
		req.Header.Set("Prefer", prefer)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	var in struct {
		ID string `json:"request_id"`
	}
	_ = json.Unmarshal(b, &in)
	return keyedCall{resp.StatusCode, resp.Header.Get("Idempotency-Replayed"), resp.Header.Get("Location"), string(b), in.ID}
}

// TestIdempotencyKeys: the same call with the same key is one invocation, by HTTP and by the command line, at once, after
// its end, and after the node was killed.
func TestIdempotencyKeys(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	data, addr, broker := t.TempDir(), freePort(t), freePort(t)
	node := start(t, data, addr, broker)
	var deployed map[string]any
	if s := call(ctx, "PUT", "http://"+addr+"/v1/functions/echo", string(wasmtest.Echo()), &deployed); s != 200 {
		t.Fatal(s, deployed)
	}

	var wg sync.WaitGroup
	calls := make([]keyedCall, 16)
	for i := range calls {
		wg.Go(func() { calls[i] = node.keyed(ctx, "echo", "many", "x", "") })
	}
	wg.Wait()
	for _, c := range calls {
		if c.status != 202 || c.id == "" || c.id != calls[0].id || c.location != calls[0].location || c.body != calls[0].body {
			t.Errorf("%+v, and %+v", c, calls[0])
		}
	}

	first := node.keyed(ctx, "echo", `"waited"`, "hello", "wait=30")
	again := node.keyed(ctx, "echo", "waited", "hello", "wait=30")
	if first.status != 200 || first.replayed != "" || again.status != 200 || again.replayed != "true" || first.body != again.body {
		t.Errorf("%+v\n%+v", first, again)
	}
	if c := node.keyed(ctx, "echo", "waited", "other", ""); c.status != 409 || !strings.Contains(c.body, "another request") {
		t.Errorf("another event: %+v", c)
	}

	invoke := func(args ...string) ran {
		return run(ctx, t, []string{"DEED_SERVER=http://" + addr}, append([]string{"invoke", "echo", "--data", "from the shell", "--key", `a "key"`}, args...)...)
	}
	one, two := invoke(), invoke()
	if one.code != 0 || one.out == "" || one.out != two.out {
		t.Errorf("%+v\n%+v", one, two)
	}
	if waited := invoke("--wait"); waited.out != "from the shell" {
		t.Errorf("%+v", waited)
	}
	if r := run(ctx, t, []string{"DEED_SERVER=http://" + addr}, "invoke", "echo", "--key", "a\tb"); r.code != 1 || !strings.Contains(r.err, "printable") {
		t.Errorf("%+v", r)
	}

	node.kill()
	node = start(t, data, addr, broker)
	node.settle(ctx)
	if c := node.keyed(ctx, "echo", "many", "x", ""); c.status != 202 || c.id != calls[0].id || c.replayed != "true" {
		t.Errorf("after a kill: %+v, want %s", c, calls[0].id)
	}
	if three := invoke(); three.out != one.out {
		t.Errorf("after a kill: %+v", three)
	}
	var l listed
	if s := call(ctx, "GET", "http://"+addr+"/v1/invocations", "", &l); s != 200 || len(l.Invocations) != 3 {
		t.Errorf("%d, %d invocations, want 3", s, len(l.Invocations))
	}

	// A node that works on brokers refuses the header: its doors and another node's would each have keys of their own.
	guest := start(t, t.TempDir(), freePort(t), "", "--brokers", broker, "--blob", "file://"+filepath.Join(data, "blobs"))
	if c := guest.keyed(ctx, "echo", "k", "x", ""); c.status != 400 || !strings.Contains(c.body, "not supported on a cluster") || !strings.Contains(c.body, "hint") {
		t.Errorf("%+v", c)
	}
}
