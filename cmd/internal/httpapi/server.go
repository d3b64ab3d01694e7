package httpapi

import (
	"fmt"
	"log/slog"
	"net/http"
	"path"

	"deed/cmd/internal/access"
	"deed/cmd/internal/door"
	"deed/cmd/internal/reconcile"
	"deed/cmd/internal/redrive"
	"deed/domain"
	"deed/projections/functions"
	"deed/projections/invocations"
)

// Server serves the API.
type Server struct {
	Door       *door.Door
	Registry   *functions.Registry
	Model      *invocations.Model
	Operator   Operator
	Redriver   *redrive.Redriver
	Reconciler *reconcile.Reconciler
	Keyring    *access.Keyring
	Keys       Keys
	Ready      func() error // why the node cannot serve; nil if it can
	Region     string       // of functions that are made here
	Version    string
	Logger     *slog.Logger
}

// retryAfter is when a call that could not be taken may be made again, in seconds.
const retryAfter = "1"

// maxModule bounds a module.
const maxModule = 32 << 20

// who may make a call, once there are keys.
type who int

const (
	anybody   who = iota // it says nothing of anybody's
	tenants              // it is about one project: whoever may touch that
	operators            // it is about the cluster
)

// route is one operation; the table is what the router, the OpenAPI document and its test are made from.
type route struct {
	method, path, summary string
	who                   who
	handle                func(*Server, http.ResponseWriter, *http.Request) error
	most                  int // bytes of its body, if that is more than a module
}

func routes() []route {
	return []route{
		{"PUT", "/v1/functions/{name}", "Deploy a new version of a function; the body is the module, or the module and the function's files", tenants, (*Server).deploy, maxDeploy},
		{"GET", "/v1/functions", "List the functions", tenants, (*Server).functions, 0},
		{"GET", "/v1/functions/{name}", "Show a function", tenants, (*Server).function, 0},
		{"DELETE", "/v1/functions/{name}", "Delete a function", tenants, (*Server).deleteFunction, 0},
		{"PUT", "/v1/functions/{name}/policy", "Set the asynchronous policy", tenants, (*Server).setPolicy, 0},
		{"GET", "/v1/functions/{name}/policy", "Show the asynchronous policy", tenants, (*Server).policy, 0},
		{"DELETE", "/v1/functions/{name}/policy", "Unset the asynchronous policy", tenants, (*Server).unsetPolicy, 0},
		{"POST", "/v1/functions/{name}/invocations", "Invoke a function; the body is the event", tenants, (*Server).invoke, 0},
		{"GET", "/v1/invocations", "List invocations, newest first", tenants, (*Server).list, 0},
		{"GET", "/v1/invocations/{id}", "Show an invocation", tenants, (*Server).get, 0},
		{"GET", "/v1/invocations/{id}/result", "The bytes that the last attempt printed", tenants, (*Server).result, 0},
		{"GET", "/v1/invocations/{id}/events", "The events of an invocation, with how each was judged", tenants, (*Server).events, 0},
		{"GET", "/v1/invocations/{id}/stream", "The events of an invocation as they happen (server-sent events), up to its end", tenants, (*Server).stream, 0},
		{"POST", "/v1/invocations/{id}/cancel", "Ask that an invocation end", tenants, (*Server).cancel, 0},
		{"GET", "/v1/invocations/{id}/notification", "The bytes of the notification record that is owed, or was", tenants, (*Server).notification, 0},
		{"GET", "/v1/notifications", "List what outcomes owed, newest first", tenants, (*Server).notifications, 0},
		{"GET", "/v1/reconcile", "Compare what was owed with the receipts and with what the sinks hold", tenants, (*Server).reconcile, 0},
		{"POST", "/v1/operations", "Redrive invocations, or deliver abandoned notifications again", tenants, (*Server).operate, 0},
		{"GET", "/v1/operations", "List operations, newest first", tenants, (*Server).operations, 0},
		{"GET", "/v1/operations/{operation}", "Show how far an operation is", tenants, (*Server).operation, 0},
		{"POST", "/v1/operations/{operation}/pause", "Stop an operation for the time being", tenants, (*Server).pause, 0},
		{"POST", "/v1/operations/{operation}/resume", "Let an operation go on", tenants, (*Server).resume, 0},
		{"POST", "/v1/operations/{operation}/stop", "End an operation", tenants, (*Server).stop, 0},
		{"GET", "/v1/stream", "All events as they happen (server-sent events)", tenants, (*Server).streamAll, 0},
		{"GET", "/v1/nodes", "Who owns which partition, and how far everything is", operators, (*Server).nodes, 0},
		{"GET", "/v1/log/undecodable", "Records of the log that could not be read", operators, (*Server).undecodable, 0},
		{"POST", "/v1/keys", "Make an access key; its secret is shown this once", operators, (*Server).createKey, 0},
		{"GET", "/v1/keys", "List the access keys", operators, (*Server).keys, 0},
		{"DELETE", "/v1/keys/{key}", "Revoke an access key", operators, (*Server).revokeKey, 0},
		{"GET", "/metrics", "Figures for Prometheus", operators, (*Server).metrics, 0},
		{"GET", "/v1/version", "What the server is", anybody, (*Server).version, 0},
		{"GET", "/openapi.json", "This API as an OpenAPI 3.1 document", anybody, (*Server).openapi, 0},
		{"GET", "/healthz", "Whether the process lives", anybody, (*Server).healthz, 0},
		{"GET", "/readyz", "Whether the node can serve", anybody, (*Server).readyz, 0},
	}
}

// Handler is the API.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range routes() {
		mux.HandleFunc(r.method+" "+r.path, func(w http.ResponseWriter, req *http.Request) {
			req, err := s.admit(w, req, r)
			if err == nil {
				err = r.handle(s, w, req)
			}
			if err != nil {
				s.fail(w, req, err)
			}
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, req *http.Request) {
		s.fail(w, req, domain.Reject(domain.CodeNotFound, fmt.Sprintf("there is no %s %s", req.Method, req.URL.Path), "GET /openapi.json lists what there is"))
	})
	return s.guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if clean := path.Clean(r.URL.Path); clean != r.URL.Path && clean+"/" != r.URL.Path {
			// The router would redirect to the clean path, and an event that a client posts would be lost on the way.
			s.fail(w, r, domain.Reject(domain.CodeNotFound, fmt.Sprintf("there is no %s %s", r.Method, r.URL.Path), "the path has empty or dotted parts; write "+clean))
			return
		}
		mux.ServeHTTP(w, r)
	}))
}

func (s *Server) version(w http.ResponseWriter, _ *http.Request) error {
	return reply(w, http.StatusOK, Version{s.Version, domain.Protocol, s.Registry.Cluster().String()})
}

func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) error {
	return reply(w, http.StatusOK, map[string]string{"status": "alive"})
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) error {
	if err := s.Ready(); err != nil {
		return domain.Reject(domain.CodeUnavailable, "not ready: "+err.Error(), "")
	}
	return reply(w, http.StatusOK, map[string]string{"status": "ready"})
}
