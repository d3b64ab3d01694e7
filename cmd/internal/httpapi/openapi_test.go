package httpapi

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"deed/cmd/internal/access"
	"deed/cmd/internal/door"
	"deed/cmd/internal/reconcile"
	"deed/cmd/internal/redrive"
	"deed/domain"
	"deed/eventstore/memory"
	"deed/projections/functions"
	"deed/projections/invocations"
	"deed/projections/operations"
)

func testServer() *Server {
	model, registry, again := invocations.New(1), functions.New(), operations.New()
	return &Server{
		Redriver: &redrive.Redriver{Rows: model, Model: again}, Reconciler: &reconcile.Reconciler{Rows: model, Operations: again, Registry: registry},
		Keyring: &access.Keyring{Any: func() bool { return false }}, Keys: nobody{}, Operator: nobody{},
		Door:     &door.Door{Log: memory.New(1), Functions: memory.New(1), Registry: registry, Model: model, OperationsLog: memory.New(1), Operations: again, Random: func([]byte) {}},
		Registry: registry, Model: model, Ready: func() error { return nil }, Version: "test", Logger: slog.New(slog.DiscardHandler),
	}
}

// nobody operates the test server.
type nobody struct{}

func (nobody) Nodes(context.Context) Nodes { return Nodes{Node: "n"} }
func (nobody) Unread() []Unread            { return nil }
func (nobody) Metrics() http.Handler       { return http.NotFoundHandler() }

func (nobody) Create(context.Context, []string, bool, string) (access.Credentials, error) {
	return access.Credentials{}, domain.Reject(domain.CodeInvalid, "no keys here", "")
}

func (nobody) Revoke(context.Context, string) error {
	return domain.Reject(domain.CodeNotFound, "no keys here", "")
}

// TestDocumentMatchesRouter asks the running router for every operation of the document: none may be answered by the
// catch-all, and a path that is not in the document must be.
func TestDocumentMatchesRouter(t *testing.T) {
	handler := testServer().Handler()
	var doc struct {
		OpenAPI string                                `json:"openapi"`
		Paths   map[string]map[string]json.RawMessage `json:"paths"`
	}
	rec := httptest.NewRecorder()
	handler.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "http://127.0.0.1/openapi.json", nil))
	if err := json.Unmarshal(rec.Body.Bytes(), &doc); err != nil || !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Fatal(err, doc.OpenAPI)
	}
	ask := func(method, path string) string {
		path = strings.NewReplacer("{name}", "nobody", "{key}", "K", "{operation}", domain.UUID{1}.String(), "{id}", domain.NewInvocationID(1, 0, [8]byte{1}).String()).Replace(path)
		req := httptest.NewRequest(method, path, strings.NewReader("{}"))
		req.Host = "127.0.0.1"
		if strings.HasSuffix(path, "/v1/stream") {
			return "" // it would go on for ever; it is in the table
		}
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, req)
		b, _ := io.ReadAll(rec.Body)
		return string(b)
	}
	operations := 0
	for path, item := range doc.Paths {
		for method := range item {
			operations++
			if strings.Contains(path, "/functions/{name}") && method == "put" && !strings.HasSuffix(path, "policy") {
				continue // needs an engine; the integration tests deploy
			}
			if body := ask(strings.ToUpper(method), path); strings.Contains(body, "there is no "+strings.ToUpper(method)+" ") {
				t.Errorf("%s %s is in the document and not in the router", method, path)
			}
		}
	}
	if operations != len(routes()) {
		t.Errorf("%d operations in the document, %d routes", operations, len(routes()))
	}
	if body := ask(http.MethodGet, "/v1/nothing"); !strings.Contains(body, "there is no GET /v1/nothing") {
		t.Errorf("an unknown path: %s", body)
	}
}

func TestForeignRequestsAreRefused(t *testing.T) {
	handler := testServer().Handler()
	for name, set := range map[string]func(*http.Request){
		"host":   func(r *http.Request) { r.Host = "evil.example" },
		"origin": func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") },
		"port":   func(r *http.Request) { r.Header.Set("Origin", "http://127.0.0.1:9") },
		"site":   func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
	} {
		req := httptest.NewRequest(http.MethodPost, "/v1/functions/echo/invocations", strings.NewReader("x"))
		req.Host = "127.0.0.1:3333"
		set(req)
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, req)
		if rec.Code != http.StatusForbidden || rec.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
		}
	}
}
