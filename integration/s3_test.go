package integration

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"deed/integration/s3test"
)

// waitReady waits until /readyz answers with the status, and returns what it says.
func (p *process) waitReady(ctx context.Context, status int) string {
	p.t.Helper()
	for {
		req, err := http.NewRequestWithContext(ctx, "GET", "http://"+p.addr+"/readyz", nil)
		if err != nil {
			p.t.Fatal(err)
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			b, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode == status {
				return string(b)
			}
		}
		if !await(ctx, 10*time.Millisecond) {
			p.t.Fatalf("/readyz is not %d at the end of patience", status)
		}
	}
}

// TestTwoNodesShareS3: two nodes on one broker and one S3 bucket run what was deployed at the other, take events of 100 KB for
// each other, and deliver to one object store; while the store is away they are not ready, and then they are again.
func TestTwoNodesShareS3(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	server := s3test.Start(t, "shared")
	broker := freePort(t)
	store := server.URL("shared", "prefix=deed")
	one := start(t, t.TempDir(), freePort(t), broker, "--blob", store)
	two := start(t, t.TempDir(), freePort(t), "", "--brokers", broker, "--blob", store)
	one.waitReady(ctx, 200)
	two.waitReady(ctx, 200)
	one.deploy("first", "echo", "", `{"on_success":"obs://results/ok"}`)
	two.deploy("second", "echo", "", `{"on_success":"obs://results/ok"}`)

	event := bytes.Repeat([]byte("0123456789"), 10_000)
	for name, at := range map[string][]*process{"first": {two, one}, "second": {one, two}} {
		for _, p := range at {
			for range 4 { // every partition has its turn, and so each node runs some
				req, err := http.NewRequestWithContext(ctx, "POST", "http://"+p.addr+"/v1/functions/"+name+"/invocations", bytes.NewReader(event))
				if err != nil {
					t.Fatal(err)
				}
				var id string
				for id == "" {
					resp, err := http.DefaultClient.Do(req.Clone(ctx))
					if err != nil {
						t.Fatal(err)
					}
					_ = resp.Body.Close()
					switch resp.StatusCode {
					case 202:
						id = resp.Header.Get("X-Request-Id")
					case 404: // the registry has not come to this node yet
						req.Body = io.NopCloser(bytes.NewReader(event))
						if !await(ctx, 10*time.Millisecond) {
							t.Fatal("the function does not come to the other node")
						}
					default:
						t.Fatal(resp.Status)
					}
				}
				req, err = http.NewRequestWithContext(ctx, "GET", "http://"+p.addr+"/v1/invocations/"+id, nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Prefer", "wait=60")
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				var result []byte
				if resp, err = http.Get("http://" + p.addr + "/v1/invocations/" + id + "/result"); err != nil {
					t.Fatal(err)
				}
				if result, err = io.ReadAll(resp.Body); err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
				if !bytes.Equal(result, event) {
					t.Errorf("%s: %d bytes came back, status %s", id, len(result), resp.Status)
				}
			}
		}
	}
	one.settle(ctx)
	two.settle(ctx)
	objects, err := filepath.Glob(filepath.Join(server.Dir, "shared/deed/objects/results/ok/default/default/*/*/*/*/*.json"))
	if err != nil || len(objects) != 16 {
		t.Errorf("%d objects, want 16: %v", len(objects), err)
	}
	if modules, err := os.ReadDir(filepath.Join(server.Dir, "shared/deed/sha256")); err != nil || len(modules) < 2 {
		t.Errorf("%v: one module and one event, at least: %v", modules, err)
	}

	server.Stop()
	for _, p := range []*process{one, two} {
		if words := p.waitReady(ctx, 503); !strings.Contains(words, "blob store s3://shared") || !strings.Contains(words, "cannot be reached") {
			t.Error(words)
		}
	}
	var answer struct{ Title string }
	if s := call(ctx, "POST", "http://"+one.addr+"/v1/functions/first/invocations", strings.Repeat("x", 100_000), &answer); s != 503 || !strings.Contains(answer.Title, "cannot be stored") {
		t.Errorf("%d %s", s, answer.Title)
	}
	server.Restart()
	for _, p := range []*process{one, two} {
		p.waitReady(ctx, 200)
	}
	if s := call(ctx, "POST", "http://"+two.addr+"/v1/functions/first/invocations", strings.Repeat("x", 100_000), nil); s != 202 {
		t.Error(s)
	}
	two.settle(ctx)
}

// TestStartWithoutItsStore: a node whose store cannot be used does not start, and says which of the possible reasons it is.
func TestStartWithoutItsStore(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for address, says := range map[string]string{
		"s3://b?use_path_style=true&endpoint=http://" + freePort(t): "cannot be reached",
		"s3://AKIA:topsecret@b": "credentials do not belong in a URL",
		"ftp://b":               "file:///dir or s3://bucket",
	} {
		r := run(ctx, t, []string{"AWS_ACCESS_KEY_ID=AKIA", "AWS_SECRET_ACCESS_KEY=topsecret"}, "serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--blob", address)
		if r.code != 1 || strings.Count(r.err, "\n") != 1 || !strings.Contains(r.err, says) || strings.Contains(r.err, "topsecret") {
			t.Errorf("%s: exit %d: %s", address, r.code, r.err)
		}
	}
}
