package httpapi

import (
	"fmt"
	"log/slog"
	"net/http"
	"path"

	"deed/cmd/internal/access"
	"deed/cmd/internal/door"
	"deed/cmd/internal/operator"
	"deed/domain"
	"deed/projections/functions"
	"deed/projections/invocations"
)

// Server serves the API.
type Server struct {
	Door     *door.Door
	Registry *functions.Registry
	Model    *invocations.Model
	Operator Operator
	Again    *operator.Operator // of redrives
	Keyring  *access.Keyring
	Keys     Keys
	Ready    func() error // why the node cannot serve; nil if it can
	Region   string       // of functions that are made here
	Version  string
	Logger   *slog.Logger
}

// retryAfter is when a call that could not be taken may be made again, in seconds.
const retryAfter = "1"

// maxModule bounds the body of a deploy.
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
}

func routes() []route {
	return []route{
		{"PUT", "/v1/functions/{name}", "Deploy a new version of a function; the body is the module", tenants, (*Server).deploy},
		{"GET", "/v1/functions", "List the functions", tenants, (*Server).functions},
		{"GET", "/v1/functions/{name}", "Show a function", tenants, (*Server).function},
		{"DELETE", "/v1/functions/{name}", "Delete a function", tenants, (*Server).deleteFunction},
		{"PUT", "/v1/functions/{name}/policy", "Set the asynchronous policy", tenants, (*Server).setPolicy},
		{"GET", "/v1/functions/{name}/policy", "Show the asynchronous policy", tenants, (*Server).policy},
		{"DELETE", "/v1/functions/{name}/policy", "Unset the asynchronous policy", tenants, (*Server).unsetPolicy},
		{"POST", "/v1/functions/{name}/invocations", "Invoke a function; the body is the event", tenants, (*Server).invoke},
		{"GET", "/v1/invocations", "List invocations, newest first", tenants, (*Server).list},
		{"GET", "/v1/invocations/{id}", "Show an invocation", tenants, (*Server).get},
		{"GET", "/v1/invocations/{id}/result", "The bytes that the last attempt printed", tenants, (*Server).result},
		{"GET", "/v1/invocations/{id}/events", "The events of an invocation, with how each was judged", tenants, (*Server).events},
		{"GET", "/v1/invocations/{id}/stream", "The events of an invocation as they happen (server-sent events), up to its end", tenants, (*Server).stream},
		{"POST", "/v1/invocations/{id}/cancel", "Ask that an invocation end", tenants, (*Server).cancel},
		{"GET", "/v1/invocations/{id}/notification", "The bytes of the notification record that is owed, or was", tenants, (*Server).notification},
		{"GET", "/v1/notifications", "List what outcomes owed, newest first", tenants, (*Server).notifications},
		{"POST", "/v1/operations", "Redrive invocations, or deliver abandoned notifications again", tenants, (*Server).operate},
		{"GET", "/v1/operations", "List operations, newest first", tenants, (*Server).operations},
		{"GET", "/v1/operations/{operation}", "Show how far an operation is", tenants, (*Server).operation},
		{"POST", "/v1/operations/{operation}/pause", "Stop an operation for the time being", tenants, (*Server).pause},
		{"POST", "/v1/operations/{operation}/resume", "Let an operation go on", tenants, (*Server).resume},
		{"POST", "/v1/operations/{operation}/stop", "End an operation", tenants, (*Server).stop},
		{"GET", "/v1/stream", "All events as they happen (server-sent events)", tenants, (*Server).streamAll},
		{"GET", "/v1/nodes", "Who owns which partition, and how far everything is", operators, (*Server).nodes},
		{"GET", "/v1/log/undecodable", "Records of the log that could not be read", operators, (*Server).undecodable},
		{"POST", "/v1/keys", "Make an access key; its secret is shown this once", operators, (*Server).createKey},
		{"GET", "/v1/keys", "List the access keys", operators, (*Server).keys},
		{"DELETE", "/v1/keys/{key}", "Revoke an access key", operators, (*Server).revokeKey},
		{"GET", "/metrics", "Figures for Prometheus", operators, (*Server).metrics},
		{"GET", "/v1/version", "What the server is", anybody, (*Server).version},
		{"GET", "/openapi.json", "This API as an OpenAPI 3.1 document", anybody, (*Server).openapi},
		{"GET", "/healthz", "Whether the process lives", anybody, (*Server).healthz},
		{"GET", "/readyz", "Whether the node can serve", anybody, (*Server).readyz},
	}
}

// Handler is the API.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range routes() {
		mux.HandleFunc(r.method+" "+r.path, func(w http.ResponseWriter, req *http.Request) {
			req, err := s.admit(w, req, r.who)
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
