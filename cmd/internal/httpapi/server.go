package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"deed/cmd/internal/door"
	"deed/domain"
	"deed/eventstore"
	"deed/projections/functions"
	"deed/projections/invocations"
)

// Server serves the API.
type Server struct {
	Door     *door.Door
	Registry *functions.Registry
	Model    *invocations.Model
	Operator Operator
	Ready    func() error // why the node cannot serve; nil if it can
	Version  string
	Logger   *slog.Logger
}

// retryAfter is when a call that could not be taken may be made again, in seconds.
const retryAfter = "1"

// maxModule bounds the body of a deploy.
const maxModule = 32 << 20

// route is one operation; the table is what the router, the OpenAPI document and its test are made from.
type route struct {
	method, path, summary string
	handle                func(*Server, http.ResponseWriter, *http.Request) error
}

func routes() []route {
	return []route{
		{"PUT", "/v1/functions/{name}", "Deploy a new version of a function; the body is the module", (*Server).deploy},
		{"GET", "/v1/functions", "List the functions", (*Server).functions},
		{"GET", "/v1/functions/{name}", "Show a function", (*Server).function},
		{"DELETE", "/v1/functions/{name}", "Delete a function", (*Server).deleteFunction},
		{"PUT", "/v1/functions/{name}/policy", "Set the asynchronous policy", (*Server).setPolicy},
		{"GET", "/v1/functions/{name}/policy", "Show the asynchronous policy", (*Server).policy},
		{"DELETE", "/v1/functions/{name}/policy", "Unset the asynchronous policy", (*Server).unsetPolicy},
		{"POST", "/v1/functions/{name}/invocations", "Invoke a function; the body is the event", (*Server).invoke},
		{"GET", "/v1/invocations", "List invocations, newest first", (*Server).list},
		{"GET", "/v1/invocations/{id}", "Show an invocation", (*Server).get},
		{"GET", "/v1/invocations/{id}/result", "The bytes that the last attempt printed", (*Server).result},
		{"GET", "/v1/invocations/{id}/events", "The events of an invocation, with how each was judged", (*Server).events},
		{"GET", "/v1/invocations/{id}/stream", "The events of an invocation as they happen (server-sent events), up to its end", (*Server).stream},
		{"POST", "/v1/invocations/{id}/cancel", "Ask that an invocation end", (*Server).cancel},
		{"GET", "/v1/stream", "All events as they happen (server-sent events)", (*Server).streamAll},
		{"GET", "/v1/nodes", "Who owns which partition, and how far everything is", (*Server).nodes},
		{"GET", "/v1/log/undecodable", "Records of the log that could not be read", (*Server).undecodable},
		{"GET", "/metrics", "Figures for Prometheus", (*Server).metrics},
		{"GET", "/v1/version", "What the server is", (*Server).version},
		{"GET", "/openapi.json", "This API as an OpenAPI 3.1 document", (*Server).openapi},
		{"GET", "/healthz", "Whether the process lives", (*Server).healthz},
		{"GET", "/readyz", "Whether the node can serve", (*Server).readyz},
	}
}

// Handler is the API.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range routes() {
		mux.HandleFunc(r.method+" "+r.path, func(w http.ResponseWriter, req *http.Request) {
			if err := r.handle(s, w, req); err != nil {
				s.fail(w, req, err)
			}
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, req *http.Request) {
		s.fail(w, req, domain.Reject(domain.CodeNotFound, fmt.Sprintf("there is no %s %s", req.Method, req.URL.Path), "GET /openapi.json lists what there is"))
	})
	return s.guard(mux)
}

// guard refuses what a page on another site could make a browser send here: without keys, whoever reaches the port is
// trusted, and a browser on this machine reaches it for everybody.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			if !local(r.Host) {
				s.fail(w, r, forbidden("host "+strconv.Quote(r.Host)+" is not this server"))
				return
			}
			if origin := r.Header.Get("Origin"); origin != "" {
				if u, err := url.Parse(origin); err != nil || !strings.EqualFold(u.Host, r.Host) {
					s.fail(w, r, forbidden("requests from "+strconv.Quote(origin)+" are not taken"))
					return
				}
			}
			if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
				s.fail(w, r, forbidden("requests from other sites are not taken"))
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func forbidden(words string) error {
	return &Problem{Type: "deed:forbidden", Title: words, Status: http.StatusForbidden, Hint: "use http://127.0.0.1 and the port that deed serve printed"}
}

func local(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// fail answers with the problem; only what is our own fault is logged.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	var p *Problem
	var rejection *domain.Rejection
	var unacknowledged *door.Unacknowledged
	var undecided *door.Undecided
	again := retryAfter
	switch {
	case errors.As(err, &p):
	case errors.As(err, &rejection):
		p = &Problem{Type: "deed:" + string(rejection.Code), Title: rejection.Words, Status: statusOf[rejection.Code], Hint: rejection.Hint}
	case errors.As(err, &undecided):
		again = strconv.Itoa(int(undecided.After.Seconds()))
		p = &Problem{
			Type: "deed:undecided", Title: "the first call with this Idempotency-Key got no answer, and the log does not say yet what became of it", Status: 503,
			Detail: undecided.Err.Error(), Hint: "make the same call again in " + again + " seconds, with the same Idempotency-Key: there will be one invocation",
		}
	case errors.As(err, &unacknowledged):
		p = &Problem{
			Type: "deed:unacknowledged", Title: "the log did not acknowledge the request in time; whether it will run is unknown", Status: 503,
			Detail: unacknowledged.Error(), Hint: "deed get " + unacknowledged.ID.String() + " tells later", ID: unacknowledged.ID.String(),
		}
		if unacknowledged.Key != "" {
			// The id may be replaced: nobody is told it before the log is known to have it.
			p.Hint, p.Detail, p.ID = "make the same call again, with the same Idempotency-Key: there will be one invocation", unacknowledged.Err.Error(), ""
		}
	default:
		s.Logger.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path, "error", err)
		p = &Problem{Type: "deed:internal", Title: "the server failed", Status: 500, Detail: err.Error()}
		if errors.Is(err, eventstore.ErrUnknownOutcome) {
			p.Title = "the change was written, and whether it took effect is unknown"
		}
	}
	if p.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", again)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // a client that went away
}

func reply(w http.ResponseWriter, status int, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // a client that went away
	return nil
}

// body reads a body of at most limit bytes.
func body(w http.ResponseWriter, r *http.Request, limit int, what string) ([]byte, error) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(limit)))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, domain.Reject(domain.CodeTooLarge, fmt.Sprintf("%s is too large; the limit is %d bytes (%d MiB)", what, limit, limit>>20), "")
	}
	if err != nil {
		return nil, domain.Reject(domain.CodeInvalid, what+" could not be read: "+err.Error(), "")
	}
	return b, nil
}

func name(r *http.Request) domain.FunctionID { return domain.NativeFunction(r.PathValue("name")) }

func (s *Server) invoke(w http.ResponseWriter, r *http.Request) error {
	event, err := body(w, r, domain.MaxPayload, "the event")
	if err != nil {
		return err
	}
	if ct := r.Header.Get("Content-Type"); strings.HasPrefix(ct, "application/json") && len(event) > 0 && !json.Valid(event) {
		return domain.Reject(domain.CodeInvalid, "the event is declared as JSON and is not", "send it as application/octet-stream, or mend it")
	}
	key, keyed, err := idempotencyKey(r.Header)
	if err != nil {
		return err
	}
	wait, err := preferWait(r.Header.Get("Prefer"))
	if err != nil {
		return err
	}
	var a door.Accepted
	if trace := traceParent(r.Header.Get("Traceparent")); keyed {
		a, err = s.Door.InvokeKey(r.Context(), name(r), key, event, trace)
	} else {
		a, err = s.Door.Invoke(r.Context(), name(r), event, trace)
	}
	if err != nil {
		return err
	}
	if a.Replayed {
		w.Header().Set(headerReplayed, "true")
	}
	w.Header().Set("Location", "/v1/invocations/"+a.ID.String())
	w.Header().Set("X-Request-Id", a.ID.String())
	if wait == 0 {
		return reply(w, http.StatusAccepted, Accepted{a.ID.String()})
	}
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	w.Header().Set("Preference-Applied", "wait="+strconv.Itoa(int(wait.Seconds())))
	row, err := s.Door.Wait(ctx, a.ID)
	if err != nil {
		return reply(w, http.StatusAccepted, Accepted{a.ID.String()}) // accepted all the same; the wait ended first
	}
	return s.show(w, r, row)
}

// traceParent keeps a W3C trace context that is one.
func traceParent(s string) string {
	if len(s) != 55 || s[2] != '-' || s[35] != '-' || s[52] != '-' || strings.Trim(s, "0123456789abcdef-") != "" {
		return ""
	}
	return s
}

// maxWait bounds Prefer: wait.
const maxWait = 15 * time.Minute

func preferWait(prefer string) (time.Duration, error) {
	for p := range strings.SplitSeq(prefer, ",") {
		if n, ok := strings.CutPrefix(strings.TrimSpace(p), "wait="); ok {
			seconds, err := strconv.Atoi(n)
			if err != nil || seconds < 1 || seconds > int(maxWait.Seconds()) {
				return 0, domain.Reject(domain.CodeInvalid, fmt.Sprintf("Prefer: wait=%s is out of range: allowed are 1 to %d seconds", n, int(maxWait.Seconds())), "")
			}
			return time.Duration(seconds) * time.Second, nil
		}
	}
	return 0, nil
}

func (s *Server) show(w http.ResponseWriter, r *http.Request, row invocations.Row) error {
	result, err := s.Door.Result(r.Context(), row)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, invocationOf(row, result))
}

func (s *Server) find(r *http.Request) (invocations.Row, error) {
	id, err := domain.ParseInvocationID(r.PathValue("id"))
	if err != nil {
		return invocations.Row{}, err
	}
	return s.Door.Find(r.Context(), id)
}

func (s *Server) get(w http.ResponseWriter, r *http.Request) error {
	row, err := s.find(r)
	if err != nil {
		return err
	}
	if wait, err := preferWait(r.Header.Get("Prefer")); err != nil {
		return err
	} else if wait > 0 {
		ctx, cancel := context.WithTimeout(r.Context(), wait)
		defer cancel()
		if row, err = s.Door.Wait(ctx, row.State.ID); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return s.show(w, r, row)
}

func (s *Server) result(w http.ResponseWriter, r *http.Request) error {
	row, err := s.find(r)
	if err != nil {
		return err
	}
	b, err := s.Door.Result(r.Context(), row)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(b) // a client that went away
	return nil
}

func (s *Server) list(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	f := invocations.Filter{Status: domain.Status(q.Get("status")), Limit: 100}
	if name := q.Get("function"); name != "" {
		f.Function = domain.NativeFunction(name)
	}
	switch f.Status {
	case "", domain.Waiting, domain.Running, domain.Status(domain.Succeeded), domain.Status(domain.Failed), domain.Status(domain.Discarded):
	default:
		return domain.Reject(domain.CodeInvalid, fmt.Sprintf("%q is not a status", f.Status), "a status is waiting, running, succeeded, failed or discarded")
	}
	if v := q.Get("limit"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > 10_000 {
			return domain.Reject(domain.CodeInvalid, fmt.Sprintf("limit %q is out of range: allowed are 1 to 10000", v), "")
		}
		f.Limit = n
	}
	if v := q.Get("since"); v != "" {
		at, err := domain.ParseInstant(v)
		if err != nil {
			return domain.Reject(domain.CodeInvalid, "since: "+err.Error(), "")
		}
		f.Since = at
	}
	out := []Invocation{}
	for _, row := range s.Model.List(f) {
		out = append(out, invocationOf(row, nil))
	}
	return reply(w, http.StatusOK, map[string]any{"invocations": out})
}

func (s *Server) cancel(w http.ResponseWriter, r *http.Request) error {
	id, err := domain.ParseInvocationID(r.PathValue("id"))
	if err != nil {
		return err
	}
	var opts struct {
		Force bool `json:"force"`
	}
	b, err := body(w, r, 4<<10, "the body")
	if err != nil {
		return err
	}
	if len(b) > 0 {
		if err := strict(b, &opts); err != nil {
			return err
		}
	}
	if err := s.Door.Cancel(r.Context(), id, opts.Force, "api"); err != nil {
		return err
	}
	return reply(w, http.StatusOK, Accepted{id.String()})
}

// strict decodes JSON and refuses members that nobody knows: a misspelt option must not be passed over in silence.
func strict(b []byte, v any) error {
	dec := json.NewDecoder(strings.NewReader(string(b)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return domain.Reject(domain.CodeInvalid, "the body is not the JSON that is expected: "+strings.TrimPrefix(err.Error(), "json: "), "GET /openapi.json describes it")
	}
	if dec.More() {
		return domain.Reject(domain.CodeInvalid, "the body holds more than one JSON value", "")
	}
	return nil
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
