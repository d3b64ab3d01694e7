package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
)

// logEnds is the end of every partition of the topics.
func logEnds(t testing.TB, broker string, topics ...string) map[string]map[int32]int64 {
	t.Helper()
	conf := sarama.NewConfig()
	conf.Version = sarama.V2_8_0_0
	client, err := sarama.NewClient([]string{broker}, conf)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ends := map[string]map[int32]int64{}
	for _, topic := range topics {
		parts, err := client.Partitions(topic)
		if err != nil {
			t.Fatal(err)
		}
		ends[topic] = map[int32]int64{}
		for _, p := range parts {
			if ends[topic][p], err = client.GetOffset(topic, p, sarama.OffsetNewest); err != nil {
				t.Fatal(err)
			}
		}
	}
	return ends
}

// settle waits until the node is ready and nothing is open, nor owed.
func (p *process) settle(ctx context.Context) {
	p.t.Helper()
	for call(ctx, "GET", "http://"+p.addr+"/readyz", "", nil) != 200 {
		if !await(ctx, 10*time.Millisecond) {
			p.t.Fatal("the node is not ready at the end of patience")
		}
	}
	for {
		open, unsettled, ok := p.open(ctx)
		if ok && open+unsettled == 0 {
			return
		}
		if !await(ctx, 10*time.Millisecond) {
			p.t.Fatalf("%d open and %d unsettled at the end of patience", open, unsettled)
		}
	}
}

// unknownImport is a module that wants a function which no host of ours has: env.launch, of type () → ().
var unknownImport = "\x00asm\x01\x00\x00\x00" + "\x01\x04\x01\x60\x00\x00" + "\x02\x0e\x01\x03env\x06launch\x00\x00"

// TestBadInput sends what is wrong, one thing at a time, and nothing of it may leave a trace in the log.
func TestBadInput(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	node := start(t, t.TempDir(), freePort(t), freePort(t))
	node.deploy("a", "echo", "", `{"on_success":"function:b"}`)
	node.deploy("b", "echo", "", `{"on_failure":"function:c"}`)
	node.deploy("c", "echo", "", "")
	echo, err := os.ReadFile(filepath.Join(built(t), "echo.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	var ended struct {
		ID string `json:"request_id"`
	}
	if s := call(ctx, "POST", "http://"+node.addr+"/v1/functions/c/invocations", `1`, &ended); s != 202 {
		t.Fatalf("invoke: %d", s)
	}
	node.settle(ctx)
	topics := []string{"deed.invocations", "deed.functions"}
	before := logEnds(t, node.broker, topics...)

	const unknownID = "0190a8b3-1c2d-7003-8000-000000000000"
	js := http.Header{"Content-Type": {"application/json"}}
	invoke, policy := "/v1/functions/c/invocations", "/v1/functions/c/policy"
	for _, c := range []struct {
		name, method, path, body string
		header                   http.Header
		status                   int
		says                     string // in title, detail or hint
		bare                     bool   // no hint is needed: the title says what is allowed
	}{
		{"unknown function", "POST", "/v1/functions/nobody/invocations", "1", nil, 404, "nobody", false},
		{"function name that is not one", "PUT", "/v1/functions/Not%20One", string(echo), nil, 400, "name", true},
		{"delete an unknown function", "DELETE", "/v1/functions/nobody", "", nil, 404, "nobody", false},
		{"policy of an unknown function", "PUT", "/v1/functions/nobody/policy", "{}", nil, 404, "nobody", false},
		{"policy that is not set", "GET", policy, "", nil, 404, "no policy", false},
		{"malformed JSON", "POST", invoke, `{"n":`, js, 400, "JSON", false},
		{"two JSON values", "POST", invoke, `1 2`, js, 400, "JSON", false},
		{"event over 6 MiB", "POST", invoke, strings.Repeat("x", 6<<20+1), nil, 413, "6 MiB", true},
		{"wait out of range", "POST", invoke, "1", http.Header{"Prefer": {"wait=901"}}, 400, "900", true},
		{"wait of zero", "POST", invoke, "1", http.Header{"Prefer": {"wait=0"}}, 400, "900", true},
		{"idempotency key: too long", "POST", invoke, "1", http.Header{"Idempotency-Key": {strings.Repeat("k", 256)}}, 400, "255", false},
		{"idempotency key: empty", "POST", invoke, "1", http.Header{"Idempotency-Key": {""}}, 400, "printable", false},
		{"idempotency key: not ASCII", "POST", invoke, "1", http.Header{"Idempotency-Key": {"schlüssel"}}, 400, "printable", false},
		{"idempotency key: an open quote", "POST", invoke, "1", http.Header{"Idempotency-Key": {`"k`}}, 400, "quote", false},
		{"idempotency key: two of them", "POST", invoke, "1", http.Header{"Idempotency-Key": {"a", "b"}}, 400, "more than one", false},
		{"idempotency key: of a function that is not there", "POST", "/v1/functions/nobody/invocations", "1", http.Header{"Idempotency-Key": {"k"}}, 404, "nobody", false},

		{"module: empty", "PUT", "/v1/functions/m", "", nil, 400, "module", false},
		{"module: truncated", "PUT", "/v1/functions/m", string(echo[:len(echo)/2]), nil, 400, "module", false},
		{"module: last byte missing", "PUT", "/v1/functions/m", string(echo[:len(echo)-1]), nil, 400, "module", false},
		{"module: not WASM", "PUT", "/v1/functions/m", "#!/bin/sh\necho hello\n", nil, 400, "module", false},
		{"module: header only", "PUT", "/v1/functions/m", "\x00asm\x01\x00\x00\x00", nil, 400, "module", false},
		{"module: component", "PUT", "/v1/functions/m", "\x00asm\x0d\x00\x01\x00", nil, 400, "component", false},
		{"module: unknown host import", "PUT", "/v1/functions/m", unknownImport, nil, 400, "launch", false},
		{"module: section bomb", "PUT", "/v1/functions/m", "\x00asm\x01\x00\x00\x00\x01\xff\xff\xff\xff\x0f", nil, 400, "module", false},
		{"module: vector bomb", "PUT", "/v1/functions/m", "\x00asm\x01\x00\x00\x00\x01\x05\xff\xff\xff\xff\x0f", nil, 400, "module", false},

		{"deploy: unknown option", "PUT", "/v1/functions/m?colour=red", string(echo), nil, 400, "colour", false},
		{"deploy: timeout that is no duration", "PUT", "/v1/functions/m?timeout=soon", string(echo), nil, 400, "soon", false},
		{"deploy: negative timeout", "PUT", "/v1/functions/m?timeout=-1s", string(echo), nil, 400, "timeout", true},
		{"deploy: memory that is no size", "PUT", "/v1/functions/m?memory=much", string(echo), nil, 400, "128MiB", true},
		{"deploy: memory beyond everything", "PUT", "/v1/functions/m?memory=9000GiB", string(echo), nil, 400, "memory", true},
		{"deploy: env that is no variable", "PUT", "/v1/functions/m?env=NOVALUE", string(echo), nil, 400, "NAME=VALUE", true},

		{"id that is not one", "GET", "/v1/invocations/not-an-id", "", nil, 400, "not-an-id", true},
		{"id of nobody", "GET", "/v1/invocations/" + unknownID, "", nil, 404, unknownID, false},
		{"events of nobody", "GET", "/v1/invocations/" + unknownID + "/events", "", nil, 404, unknownID, false},
		{"stream of nobody", "GET", "/v1/invocations/" + unknownID + "/stream", "", nil, 404, unknownID, false},
		{"cancel nobody", "POST", "/v1/invocations/" + unknownID + "/cancel", "", nil, 404, unknownID, false},
		{"cancel what is not an id", "POST", "/v1/invocations/x/cancel", "", nil, 400, "x", true},
		{"cancel what has ended", "POST", "/v1/invocations/" + ended.ID + "/cancel", "", nil, 409, "ended", false},
		{"cancel with an unknown member", "POST", "/v1/invocations/" + ended.ID + "/cancel", `{"gently":true}`, nil, 400, "gently", false},

		{"policy: retries 4", "PUT", policy, `{"max_async_retry_attempts":4}`, nil, 400, "0 to 3", true},
		{"policy: retries -1", "PUT", policy, `{"max_async_retry_attempts":-1}`, nil, 400, "0 to 3", true},
		{"policy: age 0", "PUT", policy, `{"max_async_event_age_in_seconds":0}`, nil, 400, "86400", true},
		{"policy: age beyond a day", "PUT", policy, `{"max_async_event_age_in_seconds":86401}`, nil, 400, "86400", true},
		{"policy: age beyond everything", "PUT", policy, `{"max_async_event_age_in_seconds":9223372036854775807}`, nil, 400, "86400", true},
		{"policy: bad target", "PUT", policy, `{"on_success":"ftp://somewhere"}`, nil, 400, "ftp://somewhere", true},
		{"policy: bad bucket", "PUT", policy, `{"on_success":"obs://../up"}`, nil, 400, "..", true},
		{"policy: bad function name", "PUT", policy, `{"on_success":"function:"}`, nil, 400, "function", true},
		{"policy: cycle a, b, c, a", "PUT", policy, `{"on_success":"function:a"}`, nil, 409, "c → a → b → c", true},
		{"policy: cycle with itself", "PUT", policy, `{"on_failure":"function:c"}`, nil, 409, "c → c", true},
		{"policy: unknown member", "PUT", policy, `{"retries":1}`, nil, 400, "retries", false},
		{"policy: two values", "PUT", policy, `{} {}`, nil, 400, "more than one", true},
		{"policy: null retries as text", "PUT", policy, `{"max_async_retry_attempts":"2"}`, nil, 400, "JSON", false},
		{"policy: empty", "PUT", policy, ``, nil, 400, "JSON", false},

		{"list: limit 0", "GET", "/v1/invocations?limit=0", "", nil, 400, "1 to 10000", true},
		{"list: limit beyond", "GET", "/v1/invocations?limit=10001", "", nil, 400, "1 to 10000", true},
		{"list: limit that is no number", "GET", "/v1/invocations?limit=all", "", nil, 400, "1 to 10000", true},
		{"list: unknown status", "GET", "/v1/invocations?status=lost", "", nil, 400, "waiting", false},
		{"list: since that is no time", "GET", "/v1/invocations?since=yesterday", "", nil, 400, "yesterday", true},

		{"page of another site", "POST", invoke, "1", http.Header{"Origin": {"https://evil.example"}}, 403, "evil.example", false},
		{"page of nowhere", "POST", invoke, "1", http.Header{"Origin": {"null"}}, 403, "null", false},
		{"another port is another site", "POST", invoke, "1", http.Header{"Origin": {"http://127.0.0.1:1"}}, 403, "127.0.0.1:1", false},
		{"fetch of another site", "POST", invoke, "1", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403, "other sites", false},
		{"unknown host", "POST", invoke, "1", http.Header{"Host": {"rebound.example"}}, 403, "rebound.example", false},
		{"unknown host deletes", "DELETE", "/v1/functions/c", "", http.Header{"Host": {"rebound.example"}}, 403, "rebound.example", false},

		{"no such path", "POST", "/v1/nothing", "", nil, 404, "/v1/nothing", false},
		{"no such method", "PATCH", "/v1/functions/c", "", nil, 404, "PATCH", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(ctx, c.method, "http://"+node.addr+c.path, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			maps.Copy(req.Header, c.header)
			if host := c.header.Get("Host"); host != "" {
				req.Host = host
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
			var p struct {
				Type, Title, Detail, Hint string
				Status                    int
			}
			if err := json.Unmarshal(b, &p); err != nil {
				t.Fatalf("%d is not a problem: %q", resp.StatusCode, b)
			}
			if ct := resp.Header.Get("Content-Type"); resp.StatusCode != c.status || p.Status != c.status || ct != "application/problem+json" {
				t.Errorf("status %d, want %d, as %s: %s", resp.StatusCode, c.status, ct, b)
			}
			if p.Title == "" || !strings.HasPrefix(p.Type, "deed:") || p.Hint == "" && !c.bare {
				t.Errorf("type, title or hint is missing: %s", b)
			}
			if !strings.Contains(p.Title+p.Detail+p.Hint, c.says) {
				t.Errorf("%q is not said: %s", c.says, b)
			}
			if strings.Contains(string(b), "goroutine ") {
				t.Errorf("a stack trace: %s", b)
			}
		})
	}
	for topic, ends := range logEnds(t, node.broker, topics...) {
		if !maps.Equal(before[topic], ends) {
			t.Errorf("%s grew: %v before, %v after", topic, before[topic], ends)
		}
	}
	node.settle(ctx) // and it still serves
}

// TestWaitThatOverflows asks for a wait whose nanoseconds do not fit 64 bits.
func TestWaitThatOverflows(t *testing.T) {
	node := start(t, t.TempDir(), freePort(t), freePort(t))
	node.deploy("echo", "echo", "", "")
	req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+node.addr+"/v1/functions/echo/invocations", strings.NewReader("1"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Prefer", "wait=9223372036854775807")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 400 {
		t.Errorf("status %d, want 400", resp.StatusCode)
	}
}

// ran is how a process ended.
type ran struct {
	code     int
	out, err string
}

// run runs the built binary to its end.
func run(ctx context.Context, t testing.TB, env []string, args ...string) ran {
	t.Helper()
	cmd := exec.CommandContext(ctx, filepath.Join(built(t), "deed"), args...)
	cmd.Env = append(os.Environ(), env...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	_ = cmd.Run() // the code says it
	if ctx.Err() != nil {
		t.Fatalf("deed %v did not end in time: %s", args, &errOut)
	}
	return ran{cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
}

// TestStartErrors starts nodes that cannot start: each says why in one sentence and exits with 1.
func TestStartErrors(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	data := t.TempDir()
	node := start(t, data, freePort(t), freePort(t))
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(node.addr)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		says string
	}{
		{"port in use", []string{"--data", t.TempDir(), "--listen", node.addr}, port},
		{"port of the broker in use", []string{"--data", t.TempDir(), "--listen", "127.0.0.1:0", "--kafka-listen", node.broker}, node.broker},
		{"data directory in use", []string{"--data", data, "--listen", "127.0.0.1:0"}, "used by another process"},
		{"data directory below a file", []string{"--data", filepath.Join(file, "data"), "--listen", "127.0.0.1:0"}, "not a directory"},
		{"data directory is a file", []string{"--data", file, "--listen", "127.0.0.1:0"}, "not a directory"},
		{"every address", []string{"--data", t.TempDir(), "--listen", "0.0.0.0:0"}, "0.0.0.0:0"},
		{"every address by silence", []string{"--data", t.TempDir(), "--listen", ":0"}, ":0"},
		{"address that is not one", []string{"--data", t.TempDir(), "--listen", "here"}, "host:port"},
		{"broker on every address", []string{"--data", t.TempDir(), "--listen", "127.0.0.1:0", "--kafka-listen", "0.0.0.0:0"}, "0.0.0.0"},
		{"partitions out of range", []string{"--data", t.TempDir(), "--listen", "127.0.0.1:0", "--partitions", "5000"}, "1 to 4096"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
			defer cancel()
			r := run(ctx, t, nil, append([]string{"serve"}, c.args...)...)
			if r.code != 1 || r.out != "" {
				t.Errorf("exit code %d, stdout %q", r.code, r.out)
			}
			lines := strings.Split(strings.TrimSuffix(r.err, "\n"), "\n")
			if len(lines) != 1 || !strings.HasPrefix(lines[0], "error: ") || !strings.Contains(r.err, c.says) || strings.Contains(r.err, "goroutine ") {
				t.Errorf("want one error line that says %q: %s", c.says, r.err)
			}
		})
	}
	node.settle(ctx) // whoever was there is not disturbed
}
