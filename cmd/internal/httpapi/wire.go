// Package httpapi is the native HTTP API under /v1, from both ends: the server, the client that the command line uses, and
// the one table of errors between them.
package httpapi

import (
	"encoding/base64"
	"encoding/json"
	"unicode/utf8"

	"deed/domain"
	"deed/projections/functions"
	"deed/projections/invocations"
)

// Problem is an error in the sense of RFC 9457.
type Problem struct {
	Type   string `json:"type"` // deed:<code>
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	Hint   string `json:"hint,omitempty"`       // what to do instead
	ID     string `json:"request_id,omitempty"` // of a request whose outcome is unknown
}

// Error implements error: a client hands a Problem on.
func (p *Problem) Error() string { return p.Title }

// statusOf and its reverse are the one table between codes and HTTP.
var statusOf = map[domain.Code]int{
	domain.CodeInvalid: 400, domain.CodeNotFound: 404, domain.CodeConflict: 409, domain.CodeTooLarge: 413, domain.CodeUnavailable: 503,
}

// Accepted answers an invocation.
type Accepted struct {
	RequestID string `json:"request_id"`
}

// Invocation is an invocation as people and programs get it.
type Invocation struct {
	RequestID    string `json:"request_id"`
	Function     string `json:"function"`
	Version      string `json:"version"`
	Status       string `json:"status"`
	Attempts     int    `json:"attempts"`
	RequestedAt  string `json:"requested_at"`
	EndedAt      string `json:"ended_at,omitempty"`
	Result       string `json:"result,omitempty"`
	ResultBase64 string `json:"result_base64,omitempty"`
	FailureKind  string `json:"failure_kind,omitempty"`
	Condition    string `json:"condition,omitempty"`
	Error        string `json:"error,omitempty"`

	Deadline     string        `json:"deadline,omitempty"`
	RetryDue     string        `json:"retry_due,omitempty"`
	CancelAsked  bool          `json:"cancel_requested,omitempty"`
	Parent       string        `json:"parent,omitempty"`
	Root         string        `json:"root,omitempty"`
	Hops         int           `json:"hops,omitempty"`
	Redrives     string        `json:"redrives,omitempty"`    // whose event it runs again
	RedrivenAs   string        `json:"redriven_as,omitempty"` // what runs its event again
	Notification *Notification `json:"notification,omitempty"`
}

// Notification is what became of the word about the outcome.
type Notification struct {
	Sink   string `json:"sink"`
	Status string `json:"status"` // owed, delivered, abandoned, or redelivered after that
	Tries  int    `json:"failed_tries,omitempty"`
}

func invocationOf(row invocations.Row, result []byte) Invocation {
	s := row.State
	v := Invocation{
		RequestID: s.ID.String(), Function: s.Function.Name, Version: s.Version, Status: string(s.Status()), Attempts: s.Started,
		RequestedAt: s.ID.T0().String(), FailureKind: string(s.Kind), Condition: string(s.Cond), Error: s.Error, CancelAsked: s.Cancel, Hops: s.Hops,
	}
	if row.Refused != "" {
		v.Status, v.Error = "refused", "the request was void when it landed: "+string(row.Refused)
		return v
	}
	v.Deadline = s.Deadline.String()
	if s.EndedAt != 0 {
		v.EndedAt = s.EndedAt.String()
	}
	if s.Outcome != domain.Open && s.Reason != "" {
		v.Error = s.Reason
	}
	if s.Outcome == domain.Succeeded {
		v.FailureKind, v.Error = "", ""
	}
	if s.Due != 0 && s.Outcome == domain.Open {
		v.RetryDue = s.Due.String()
	}
	if !s.Parent.IsZero() {
		v.Parent, v.Root = s.Parent.String(), s.LineageRoot().String()
	}
	if !s.Redrives.IsZero() {
		v.Redrives = s.Redrives.String()
	}
	if utf8.Valid(result) {
		v.Result = string(result)
	} else {
		v.ResultBase64 = base64.StdEncoding.EncodeToString(result)
	}
	if sink := s.Owes(); sink != "" {
		v.Notification = &Notification{Sink: string(sink), Status: notified(s), Tries: s.Notified.Tries}
	}
	return v
}

// notified is what became of the word about an outcome, as its own log tells.
func notified(s domain.Invocation) string {
	switch {
	case s.Notified.Abandoned:
		return "abandoned"
	case s.Notified.Settled:
		return "delivered"
	}
	return "owed"
}

// Function is a function as the API shows it.
type Function struct {
	Name       string            `json:"name"`
	URN        string            `json:"urn"`
	Version    string            `json:"version"`
	Digest     string            `json:"digest"`
	Size       int64             `json:"size"`
	Files      string            `json:"files,omitempty"` // digest of their archive
	FilesSize  int64             `json:"files_size,omitempty"`
	TimeoutMS  int64             `json:"timeout_ms"`
	Memory     int64             `json:"memory"`
	MaxOutput  int64             `json:"max_output"`
	Fuel       int64             `json:"fuel,omitempty"`
	Env        map[string]string `json:"env,omitempty"`
	DeployedAt string            `json:"deployed_at"`
	Policy     *Policy           `json:"policy,omitempty"`
	Warnings   []string          `json:"warnings,omitempty"`
}

// Policy is an asynchronous policy; absent members have FunctionGraph's defaults: one retry, 3,600 s.
type Policy struct {
	MaxRetries *int   `json:"max_async_retry_attempts,omitempty"`
	MaxAge     *int64 `json:"max_async_event_age_in_seconds,omitempty"`
	OnSuccess  string `json:"on_success,omitempty"`
	OnFailure  string `json:"on_failure,omitempty"`
}

func functionOf(f functions.Function) Function {
	v := f.Newest()
	out := Function{
		Name: f.ID.Name, URN: f.ID.Version(v.Version), Version: v.Version, Digest: v.Code.String(), Size: v.Size,
		TimeoutMS: v.Limits.Timeout.Milliseconds(), Memory: v.Limits.Memory, MaxOutput: v.Limits.MaxOutput, Fuel: v.Limits.Fuel, DeployedAt: v.DeployedAt.String(),
	}
	if !v.Files.None() {
		out.Files, out.FilesSize = v.Files.Digest.String(), v.Files.Size
	}
	for _, e := range v.Env {
		if out.Env == nil {
			out.Env = map[string]string{}
		}
		out.Env[e.Name] = e.Value
	}
	if p := f.Policy(); p.Set {
		out.Policy = policyOf(p)
	}
	return out
}

func policyOf(p domain.Policy) *Policy {
	retries, age := p.MaxRetries, int64(p.MaxAge.Seconds())
	return &Policy{MaxRetries: &retries, MaxAge: &age, OnSuccess: string(p.OnSuccess), OnFailure: string(p.OnFailure)}
}

// Event is an event as CloudEvents JSON, with where it stands and how the fold judged it.
type Event struct {
	SpecVersion     string          `json:"specversion"`
	ID              string          `json:"id"`
	Source          string          `json:"source"`
	Type            string          `json:"type"`
	Subject         string          `json:"subject"`
	Time            string          `json:"time"`
	CausationID     string          `json:"causationid,omitempty"`
	CorrelationID   string          `json:"correlationid,omitempty"`
	OwnerEpoch      string          `json:"ownerepoch,omitempty"`
	OwnerID         string          `json:"ownerid,omitempty"`
	OwnerSequence   string          `json:"ownersequence,omitempty"`
	LogTime         string          `json:"logtime,omitempty"`
	TraceParent     string          `json:"traceparent,omitempty"`
	DataContentType string          `json:"datacontenttype"`
	Data            json.RawMessage `json:"data"`

	Partition int    `json:"partition"`
	Offset    int64  `json:"offset"`
	Effective bool   `json:"effective"`
	Void      string `json:"void,omitempty"` // why it is void
}

// Version is what the server is.
type Version struct {
	Version  string `json:"version"`
	Protocol int    `json:"protocol"`
	Cluster  string `json:"cluster"`
}
