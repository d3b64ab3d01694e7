package fgsapi

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"deed/cmd/internal/access"
	"deed/cmd/internal/door"
	"deed/domain"
	"deed/eventstore"
	"deed/projections/functions"
	"deed/projections/invocations"
)

// Server serves the API. All fields are required.
type Server struct {
	Door     *door.Door
	Registry *functions.Registry
	Model    *invocations.Model
	Keyring  *access.Keyring
	Region   string // of this server: it stands in every URN
	Now      func() time.Time
	Logger   *slog.Logger

	router   *router
	creating sync.Mutex   // held while a function is made
	large    atomic.Int64 // bytes that large bodies hold
}

// Bounds of the bodies that are in memory at once: each is there as a whole, for it is signed. Those of at most largeBody
// bytes are not counted. What counts is what has come and not what was announced, so that who sends slowly is in nobody's way.
const (
	largeBudget = 320 << 20
	largeBody   = 1 << 20
)

// The headers of answers.
const (
	headerRequestID  = "X-Request-Id"
	headerProject    = "X-Project-Id"
	headerBehind     = "X-Deed-Records-Behind" // how many records of the log the read model has not read
	headerOlder      = "X-Deed-Older"          // "true": there were older invocations than the read model keeps
	headerEncoding   = "X-Deed-Result-Encoding"
	contentTypeJSON  = "application/json"
	retryAfterSecond = "1"
)

// call is one request.
type call struct {
	w       http.ResponseWriter
	r       *http.Request
	path    map[string]string
	project string
	by      string // the caller, for the log
	body    []byte
}

// Handler is the API: everything below /v2/.
func (s *Server) Handler() http.Handler {
	s.router = newRouter(Operations())
	serve := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.serve(w, r); err != nil {
			s.fail(w, r, err)
		}
	})
	refuse := func(w http.ResponseWriter, r *http.Request, words string) { s.fail(w, r, fault("FSS.0403", words)) }
	guarded := access.Guard(serve, s.Keyring.Any, refuse)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(headerRequestID, newRequestID())
		defer func() { // whoever called is to know that it failed, and the others are to be served
			p := recover()
			if p == http.ErrAbortHandler { //nolint:errorlint // the value itself is thrown
				panic(p)
			}
			if p != nil {
				s.fail(w, r, fmt.Errorf("a mistake in the server: %v", p))
			}
		}()
		guarded.ServeHTTP(w, r)
	})
}

// newRequestID is the id of an answer, in the form of a UUID. An invocation's is replaced by its own.
func newRequestID() string {
	var id domain.UUID
	_, _ = rand.Read(id[:]) // never fails
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id.String()
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) error {
	if err := s.Keyring.Expect(r); err != nil {
		return err
	}
	op, path, lost := s.router.find(r)
	c := &call{w: w, r: r, path: path, project: path["project_id"]}
	release, err := s.readBody(c, op.limit)
	if err != nil {
		return err
	}
	defer release()
	who, err := s.Keyring.Caller(r, c.body)
	if err != nil {
		return err
	}
	if lost != nil { // which is nobody's business before it is known who asks
		return lost
	}
	if domain.CheckProject(c.project) != nil {
		return fault("FSS.0400", fmt.Sprintf("%q is not a project id", short(c.project, 70)))
	}
	if other := r.Header.Get(headerProject); other != "" && other != c.project {
		return fault("FSS.0403", "the header X-Project-Id names another project than the path")
	}
	if !who.May(c.project) {
		return fault("FSS.0403", "the access key is not for the project of the path")
	}
	c.by = "fgs"
	if who.Access != "" {
		c.by = "key/" + who.Access
	}
	for name, values := range r.URL.Query() {
		if len(values) > 1 { // their order is not signed
			return fault("FSS.1001", fmt.Sprintf("the query has %s more than once", short(name, 40)))
		}
	}
	if !op.Implemented() {
		return &Fault{http.StatusNotImplemented, "FSS.0501", op.Name + " is not provided by this server: " + op.Why}
	}
	return op.handle(s, c)
}

// readBody reads the whole body, which is signed. A large one is refused if there is no room for it now.
func (s *Server) readBody(c *call, limit int64) (release func(), err error) {
	limit = max(limit, maxConfig) // operations without a body are sent small ones, too
	if c.r.ContentLength > limit {
		return func() {}, tooLarge(limit)
	}
	var held int64
	release = func() { s.large.Add(-held) }
	var b bytes.Buffer
	from := http.MaxBytesReader(c.w, c.r.Body, limit)
	for err == nil {
		_, err = io.CopyN(&b, from, largeBody)
		if rest := int(c.r.ContentLength) - b.Len(); rest > 0 && rest < 3*b.Len() {
			b.Grow(rest + bytes.MinRead) // a quarter has come: the rest will, too
		}
		if now := int64(b.Cap()); now > held && b.Len() >= largeBody {
			full := s.large.Add(now-held) > largeBudget
			if held = now; full {
				err = fault("FSS.0503", "too many large bodies are on their way: send it again")
			}
		}
	}
	if errors.Is(err, io.EOF) {
		c.body = b.Bytes()
		return release, nil
	}
	release()
	f, large := (*Fault)(nil), (*http.MaxBytesError)(nil)
	switch {
	case errors.As(err, &large):
		err = tooLarge(limit)
	case !errors.As(err, &f):
		err = fault("FSS.0400", "the body could not be read: "+err.Error())
	}
	return func() {}, err
}

func tooLarge(limit int64) error {
	return fault("FSS.1201", fmt.Sprintf("the body of the request is too large: the limit is %d bytes", limit))
}

// fail answers with the fault that err is, or is turned into. Only what is our own fault is logged.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	f := s.faultOf(w, r, err)
	if f.Status == http.StatusServiceUnavailable || f.Status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", retryAfterSecond)
	}
	w.Header().Set("Content-Type", contentTypeJSON)
	w.WriteHeader(f.Status)
	b, _ := json.Marshal(f) // two strings
	_, _ = w.Write(b)       // a client that went away
}

func (s *Server) faultOf(w http.ResponseWriter, r *http.Request, err error) *Fault {
	var f *Fault
	var denied *access.Denied
	var rejection *domain.Rejection
	var unacknowledged *door.Unacknowledged
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &denied):
		return fault("FSS.0401", denied.Words)
	case errors.As(err, &rejection):
		return because(codeOf[rejection.Code], rejection)
	case errors.As(err, &unacknowledged):
		w.Header().Set(headerRequestID, unacknowledged.ID.String())
		return fault("FSS.0503", "the log did not acknowledge the request in time; whether "+unacknowledged.ID.String()+" will run is unknown")
	}
	s.Logger.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	if errors.Is(err, eventstore.ErrUnknownOutcome) {
		return fault("FSS.0500", "the change was written, and whether it took effect is unknown: "+err.Error())
	}
	return fault("FSS.0500", err.Error())
}

// codeOf is the code of a rejection that no operation has a closer one for.
var codeOf = map[domain.Code]string{
	domain.CodeInvalid: "FSS.0400", domain.CodeNotFound: "FSS.0404", domain.CodeConflict: "FSS.0409",
	domain.CodeTooLarge: "FSS.0413", domain.CodeUnavailable: "FSS.0503",
}

func asRejection(err error) *domain.Rejection {
	var r *domain.Rejection
	errors.As(err, &r)
	return r
}

// reply answers with JSON: an object or, where the operation has it so, a list.
func (c *call) reply(status int, v any) error {
	c.w.Header().Set("Content-Type", contentTypeJSON)
	c.w.WriteHeader(status)
	enc := json.NewEncoder(c.w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // a client that went away
	return nil
}

// empty answers without a body.
func (c *call) empty(status int) error {
	c.w.WriteHeader(status)
	return nil
}

// decode reads the body as one JSON object into v. Members that are not known are passed over: newer clients send some that
// older servers do not know.
func (c *call) decode(v any) error {
	if len(bytes.TrimSpace(c.body)) == 0 {
		return fault("FSS.0400", "the body is empty; it is to be a JSON object")
	}
	if bytes.Equal(bytes.TrimSpace(c.body), []byte("null")) {
		return fault("FSS.0400", "the body is null; it is to be a JSON object")
	}
	d := json.NewDecoder(bytes.NewReader(c.body))
	if err := d.Decode(v); err != nil {
		return fault("FSS.0400", "the body is not the JSON that is expected: "+err.Error())
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fault("FSS.0400", "the body holds more than one JSON value")
	}
	return nil
}

// ref is the function of the path.
func (s *Server) ref(c *call) (Ref, error) {
	return ParseRef(c.path["function_urn"], c.project, s.Region)
}

// function is the function of the path, as it stands.
func (s *Server) function(c *call) (Ref, functions.Function, error) {
	ref, err := s.ref(c)
	if err != nil {
		return ref, functions.Function{}, err
	}
	f, err := s.Registry.Get(ref.Function)
	if err != nil {
		return ref, f, fault("FSS.1051", "")
	}
	ref.Function = f.ID
	return ref, f, nil
}

// version is the version that the path names: an alias's main one, or `latest` where none is named.
func (s *Server) version(c *call) (Ref, functions.Function, functions.Version, error) {
	ref, f, err := s.function(c)
	if err != nil {
		return ref, f, functions.Version{}, err
	}
	name := ref.Qualifier
	if ref.Alias {
		a, ok := f.Alias(name)
		if !ok {
			return ref, f, functions.Version{}, fault("FSS.1053", "")
		}
		name = a.Version
	}
	v, ok := f.Version(name)
	if !ok {
		return ref, f, v, fault("FSS.1052", "")
	}
	return ref, f, v, nil
}
