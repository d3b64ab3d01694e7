package fgsapi

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"deed/cmd/internal/access"
	"deed/cmd/internal/door"
	"deed/domain"
	"deed/eventstore"
	"deed/eventstore/memory"
	"deed/projections/functions"
	"deed/projections/invocations"
	"deed/runtime/files"
)

// modules takes any module for good, and stores them.
type modules struct{ m sync.Map }

func (m *modules) Check(context.Context, []byte, *files.Tree, domain.Limits) error { return nil }

func (m *modules) Put(_ context.Context, b []byte) (domain.Digest, error) {
	d := domain.DigestOf(b)
	m.m.Store(d, b)
	return d, nil
}

func (m *modules) Get(_ context.Context, d domain.Digest) ([]byte, error) {
	b, ok := m.m.Load(d)
	if !ok {
		return nil, domain.Reject(domain.CodeNotFound, "no such bytes", "")
	}
	return b.([]byte), nil //nolint:forcetypeassert // Put stores nothing else
}

// world is a server on logs in memory, without an owner: what is accepted waits.
type world struct {
	s       *Server
	handler http.Handler
	log     *memory.Log
	now     time.Time
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	w := &world{log: memory.New(1), now: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)}
	registry, model, mods := functions.New(), invocations.New(1), &modules{}
	changes := memory.New(1)
	clock := func() time.Time { return w.now }
	w.s = &Server{
		Door: &door.Door{
			Log: w.log, Functions: changes, Registry: registry, Model: model, Blobs: mods, Modules: mods,
			Slots: func() int { return 0 }, Now: clock, Random: func(b []byte) { _, _ = rand.Read(b) },
		},
		Registry: registry, Model: model, Region: "r1", Now: clock, Logger: slog.New(slog.DiscardHandler),
		Keyring: &access.Keyring{Any: func() bool { return false }, Find: func(string) (access.Key, bool) { return access.Key{}, false }, Now: clock},
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = changes.Follow(ctx, 0, 0, func(ms []eventstore.Message) error {
			for _, m := range ms {
				_ = registry.Apply(m.Offset, eventstore.Decode(m))
			}
			return nil
		})
	})
	tb.Cleanup(func() { cancel(); wg.Wait() })
	w.handler = w.s.Handler()
	return w
}

// call makes a request and checks what is promised of every answer.
func (w *world) call(tb testing.TB, method, path, body string) (int, map[string]any) {
	tb.Helper()
	req := httptest.NewRequest(method, "http://127.0.0.1"+path, strings.NewReader(body))
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, req)
	b, _ := io.ReadAll(rec.Body)
	if rec.Header().Get(headerRequestID) == "" {
		tb.Errorf("%s %s: the answer has no %s", method, path, headerRequestID)
	}
	var out map[string]any
	if rec.Code >= 300 && rec.Code < 400 {
		tb.Errorf("%s %s: redirected, %d", method, path, rec.Code)
	}
	err := json.Unmarshal(b, &out)
	if rec.Code >= 400 {
		code, _ := out["error_code"].(string)
		words, _ := out["error_msg"].(string)
		if err != nil || code == "" || words == "" || len(out) != 2 {
			tb.Errorf("%s %s: %d %s", method, path, rec.Code, b)
		}
		if rec.Code != published[code].status {
			tb.Errorf("%s %s: %s with status %d", method, path, code, rec.Code)
		}
	}
	return rec.Code, out
}

const root = "/v2/p1/fgs/functions"

func (w *world) create(tb testing.TB, name string) {
	tb.Helper()
	body := `{"func_name":"` + name + `","package":"default","runtime":"wasm","handler":"-","timeout":3,"memory_size":128,"code_type":"inline","xrole":"agency","func_code":{"file":"AGFzbQEAAAA="}}`
	if code, out := w.call(tb, "POST", root, body); code != 200 {
		tb.Fatalf("%d %v", code, out)
	}
}

func TestLifeOfAFunction(t *testing.T) {
	w := newWorld(t)
	w.create(t, "f")
	steps := []struct {
		method, path, body string
		status             int
		want               map[string]any
	}{
		{"POST", "", `{"func_name":"f","package":"default","runtime":"wasm","handler":"-","timeout":3,"memory_size":128,"func_code":{"file":"AGFzbQEAAAA="},"code_type":"zip"}`, 409, map[string]any{"error_code": "FSS.1061"}},
		{"GET", "/f/config", "", 200, map[string]any{"func_urn": "urn:fss:r1:p1:function:default:f:latest", "memory_size": 128.0, "cpu": 300.0}},
		{"GET", "/urn:fss:anywhere:p1:function:default:f/config", "", 200, map[string]any{"func_name": "f"}},
		{"GET", "/urn:fss:r1:p2:function:default:f/config", "", 403, map[string]any{"error_code": "FSS.0403"}},
		{"GET", "/g/config", "", 404, map[string]any{"error_code": "FSS.1051"}},
		{"GET", "/p1:default:f:v1/config", "", 404, map[string]any{"error_code": "FSS.1052"}},
		{"GET", "/p1:default:f:!a/config", "", 404, map[string]any{"error_code": "FSS.1053"}},
		{"POST", "/f/versions", `{"version":"v1","description":"one"}`, 200, map[string]any{"version": "v1", "version_description": "one"}},
		{"POST", "/f/versions", `{"version":"v2"}`, 400, map[string]any{"error_code": "FSS.1016"}},
		{"PUT", "/f/config", `{"timeout":5}`, 200, map[string]any{"timeout": 5.0, "memory_size": 128.0, "xrole": "agency"}},
		{"PUT", "/p1:default:f:v1/config", `{"timeout":5}`, 400, map[string]any{"error_code": "FSS.1015"}},
		{"POST", "/f/versions", `{"version":"v2"}`, 200, map[string]any{"timeout": 5.0}},
		{"POST", "/f/versions", `{"version":"latest"}`, 400, map[string]any{"error_code": "FSS.1015"}},
		{"POST", "/f/aliases", `{"name":"a","version":"v1","additional_version_weights":{"v2":30}}`, 200, map[string]any{"alias_urn": "urn:fss:r1:p1:function:default:f:!a"}},
		{"POST", "/f/aliases", `{"name":"a","version":"v2"}`, 409, map[string]any{"error_code": "FSS.1063"}},
		{"POST", "/f/aliases", `{"name":"b","version":"v1"}`, 409, map[string]any{"error_code": "FSS.1066"}},
		{"POST", "/f/aliases", `{"name":"b","version":"v2","additional_version_weights":{"latest":1}}`, 400, map[string]any{"error_code": "FSS.1091"}},
		{"POST", "/f/aliases", `{"name":"b","version":"v2","additional_version_weights":{"v1":101}}`, 400, map[string]any{"error_code": "FSS.1092"}},
		{"POST", "/f/aliases", `{"name":"b","version":"v2","additional_version_weights":{"v2":1}}`, 400, map[string]any{"error_code": "FSS.1093"}},
		{"PUT", "/f/aliases/b", `{"version":"v2"}`, 404, map[string]any{"error_code": "FSS.1053"}},
		{"DELETE", "/p1:default:f:v2", "", 403, map[string]any{"error_code": "FSS.1094"}},
		{"DELETE", "/p1:default:f:v1", "", 409, map[string]any{"error_code": "FSS.1066"}},
		{"DELETE", "/p1:default:f:latest", "", 400, map[string]any{"error_code": "FSS.1015"}},
		{"PUT", "/f/async-invoke-config", `{"max_async_retry_attempts":4}`, 400, map[string]any{"error_code": "FSS.0400"}},
		{"PUT", "/f/async-invoke-config", `{"max_async_event_age_in_seconds":86401}`, 400, map[string]any{"error_code": "FSS.0400"}},
		{"PUT", "/f/async-invoke-config", `{"destination_config":{"on_failure":{"destination":"FunctionGraph","param":"{\"func_urn\":\"f\"}"}}}`, 409, map[string]any{"error_code": "FSS.0409"}},
		{"PUT", "/f/async-invoke-config", `{"destination_config":{"on_failure":{"destination":"SMN","param":"{}"}}}`, 400, map[string]any{"error_code": "FSS.0400"}},
		{"PUT", "/f/async-invoke-config", `{}`, 200, map[string]any{"max_async_retry_attempts": 1.0, "max_async_event_age_in_seconds": 3600.0, "created_time": "2026-01-31T12:00:00Z"}},
		{"DELETE", "/f/async-invoke-config", "", 204, nil},
		{"DELETE", "/f/async-invoke-config", "", 404, map[string]any{"error_code": "FSS.0404"}},
		{"PUT", "/f/config-max-instance", `{"max_instance_num":1001}`, 400, map[string]any{"error_code": "FSS.1026"}},
		{"PUT", "/f/config-max-instance", `{"max_instance_num":7}`, 200, map[string]any{"strategy_config": map[string]any{"concurrency": 7.0, "concurrent_num": 1.0}}},
		{"POST", "/f/invocations-async", strings.Repeat(" ", maxEvent+1), 413, map[string]any{"error_code": "FSS.1201"}},
		{"POST", "/f/cancel", `{"request_id":"nonsense"}`, 400, map[string]any{"error_msg": "Invalid RequestId"}},
		{"GET", "/f/async-invocations?status=DONE", "", 400, map[string]any{"error_code": "FSS.1001"}},
		{"GET", "/f/async-invocations?limit=501", "", 400, map[string]any{"error_code": "FSS.1001"}},
		{"GET", "/f/snapshots/x", "", 501, map[string]any{"error_code": "FSS.0501"}},
		{"PUT", "/f/config", `{"app_xrole":5}`, 400, map[string]any{"error_code": "FSS.0400"}},
		{"PUT", "/f/config", `{"lts_custom_tag":{"a":1}}`, 400, map[string]any{"error_code": "FSS.0400"}},
		{"PUT", "/f/config", `{"strategy_config":{"concurrency":9,"concurrent_num":2}}`, 400, map[string]any{"error_code": "FSS.1026"}},
		{"PUT", "/f/config", `{"strategy_config":{"concurrency":9,"concurrent_num":1}}`, 200, map[string]any{"strategy_config": map[string]any{"concurrency": 9.0, "concurrent_num": 1.0}}},
		{"PUT", "/f/config", `null`, 400, map[string]any{"error_code": "FSS.0400"}},
		{"PUT", "/f/reservedinstances", `{"count":1,"tactics_config":"x"}`, 400, map[string]any{"error_code": "FSS.0400"}},
		{"GET", "/f/async-invocations?limit=1&limit=2", "", 400, map[string]any{"error_code": "FSS.1001"}},
		{"GET", "/f/async-invocations?query_end_time=2024-05-06T07:08:09", "", 200, map[string]any{"count": 0.0}},
		{"DELETE", "/f", "", 204, nil},
		{"GET", "/f/config", "", 404, map[string]any{"error_code": "FSS.1051"}},
	}
	for _, step := range steps {
		code, out := w.call(t, step.method, root+step.path, step.body)
		if code != step.status {
			t.Errorf("%s %s: %d %v, want %d", step.method, step.path, code, out, step.status)
		}
		for k, v := range step.want {
			if got, _ := json.Marshal(out[k]); string(got) != mustJSON(v) {
				t.Errorf("%s %s: %s is %s, want %s", step.method, step.path, k, got, mustJSON(v))
			}
		}
	}
}

func mustJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// FuzzBodies: whatever is sent to whichever operation, the answer has the form that is promised of all, and the next call
// finds a server.
func FuzzBodies(f *testing.F) {
	ops := Operations()
	for i := range ops {
		f.Add(uint8(i), "f", "limit=3&marker=1", `{"version":"v1","name":"a","count":1,"tags":[{"key":"a","value":"b"}]}`)
	}
	f.Add(uint8(5), "f", "", `{"max_async_retry_attempts":1,"destination_config":{"on_success":{"destination":"OBS","param":"{\"bucket\":\"abc\",\"expires\":3}"}}}`)
	f.Add(uint8(11), "f", "", `{"func_name":"g","package":"default","runtime":"wasm","handler":"-","timeout":3,"memory_size":128,"code_type":"zip","func_code":{"file":"AGFzbQEAAAA="}}`)
	f.Add(uint8(14), "p1:default:f:!a", "", `{"user_data":"{\"a\":\"b\"}","timeout":1e1}`)
	f.Add(uint8(3), "f", "query_begin_time=2026-01-31T11:00:00&status=WAIT&request_id=%00", "")
	w := newWorld(f)
	w.create(f, "f")
	f.Fuzz(func(t *testing.T, op uint8, ref, query, body string) {
		o := ops[int(op)%len(ops)]
		if o.Name == "InvokeFunction" || o.Name == "DeleteFunction" && ref == "f" {
			return // it would wait for an owner; the function is needed
		}
		path := strings.NewReplacer("{project_id}", "p1", "{function_urn}", escape(ref), "{alias_name}", "a", "{period}", "5").Replace(o.Path)
		for strings.Contains(path, "{") {
			before, rest, _ := strings.Cut(path, "{")
			_, after, _ := strings.Cut(rest, "}")
			path = before + "x" + after
		}
		req := httptest.NewRequest(o.Method, "http://127.0.0.1/", strings.NewReader(body))
		req.URL.Path, req.URL.RawPath, req.URL.RawQuery = path, "", query
		rec := httptest.NewRecorder()
		w.handler.ServeHTTP(rec, req)
		if rec.Code >= 300 && rec.Code < 400 || rec.Code == 500 {
			t.Fatalf("%s %s: %d %s", o.Method, path, rec.Code, rec.Body)
		}
		if rec.Code >= 400 {
			var out map[string]string
			if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil || out["error_code"] == "" || out["error_msg"] == "" {
				t.Fatalf("%s %s: %d %s", o.Method, path, rec.Code, rec.Body)
			}
		}
	})
}

func escape(s string) string { return strings.ReplaceAll(s, "{", "(") }

// TestChangesAtOnce: changes of one function that carry no condition all take effect, whoever comes at the same time; of those
// that make one thing, one does.
func TestChangesAtOnce(t *testing.T) {
	w := newWorld(t)
	w.create(t, "f")
	var all sync.WaitGroup
	var made, published atomic.Int32
	for i := range 30 {
		all.Go(func() {
			tag := fmt.Sprintf(`{"tags":[{"key":"k%d","value":"v"}]}`, i%15)
			if code, out := w.call(t, "POST", "/v2/p1/functions/f/tags/create", tag); code != 204 {
				t.Errorf("tags: %d %v", code, out)
			}
			if code, out := w.call(t, "PUT", root+"/f/config", fmt.Sprintf(`{"timeout":%d}`, 3+i)); code != 200 {
				t.Errorf("config: %d %v", code, out)
			}
			body := `{"func_name":"g","package":"default","runtime":"wasm","handler":"-","timeout":3,"memory_size":128,"code_type":"inline","func_code":{"file":"AGFzbQEAAAA="}}`
			if code, _ := w.call(t, "POST", root, body); code == 200 {
				made.Add(1)
			}
			if code, _ := w.call(t, "POST", root+"/f/versions", `{"version":"once"}`); code == 200 {
				published.Add(1)
			}
		})
	}
	all.Wait()
	if made.Load() != 1 || published.Load() != 1 {
		t.Errorf("%d made, %d published", made.Load(), published.Load())
	}
	if _, out := w.call(t, "GET", "/v2/p1/functions/f/tags", ""); len(out["tags"].([]any)) != 15 { //nolint:forcetypeassert // it is one
		t.Errorf("tags: %v", out)
	}
}
