package fgsapi

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"deed/cmd/internal/door"
	"deed/domain"
	"deed/projections/invocations"
)

// The headers of invocations.
const (
	headerMemory   = "X-Cff-Instance-Memory"
	headerLogType  = "X-Cff-Log-Type"
	headerVersion  = "X-Cff-Request-Version"
	headerReqID    = "X-Cff-Request-Id"
	headerSummary  = "X-Cff-Invoke-Summary"
	headerLog      = "X-Cff-Function-Log"
	headerBilling  = "X-Cff-Billing-Duration"
	headerAnswered = "X-Cff-Response-Version"
	headerErrCode  = "X-Func-Err-Code"
	headerIsErr    = "X-Is-Func-Err"
)

const (
	// syncPatience is how long a synchronous invocation is waited for (FunctionGraph's limit: 15 minutes).
	syncPatience = 15 * time.Minute
	// logTail and logHeader are how much of the log a synchronous invocation is answered with: 4 KB in the body, 2,000 bytes in the
	// header.
	logTail   = 4 << 10
	logHeader = 2000
)

// instanceMemory are the sizes that X-Cff-Instance-Memory may name, in MB.
var instanceMemory = append(slices.Clone(memorySizes), 8192, 10240)

// call makes the call of a request. What the event is, is the function's business: the SDKs send JSON objects, others
// anything.
func (s *Server) newCall(c *call) (door.Call, error) {
	ref, f, v, err := s.version(c)
	if err != nil {
		return door.Call{}, err
	}
	out := door.Call{Function: f.ID, Qualifier: ref.Qualifier, Event: c.body, Trace: c.r.Header.Get("Traceparent"), Value: c.value}
	if ref.Alias {
		out.Qualifier = "!" + ref.Qualifier
	}
	if len(out.Trace) != 55 {
		out.Trace = ""
	}
	if out.Memory, err = memoryOf(c.r.Header.Get(headerMemory), aboutOf(v)); err != nil {
		return out, err
	}
	return out, nil
}

// value is a header or a cookie of the call, for the rules of an alias.
func (c *call) value(kind, param string) string {
	if kind == "header" {
		return c.r.Header.Get(param)
	}
	if cookie, err := c.r.Cookie(param); err == nil {
		return cookie.Value
	}
	return ""
}

// memoryOf is the memory that a call asks for, in bytes; 0 for the function's own. It is heeded only where the function has
// enable_dynamic_memory.
func memoryOf(header string, a about) (int64, error) {
	if header == "" {
		return 0, nil
	}
	mb, err := strconv.ParseInt(header, 10, 64)
	if err != nil || !slices.Contains(instanceMemory, mb) {
		return 0, fault("FSS.0406", fmt.Sprintf("%s %q is not a size: allowed are %s MB", headerMemory, short(header, 20), strings.Trim(fmt.Sprint(instanceMemory), "[]")))
	}
	if string(a.Settings["enable_dynamic_memory"]) != "true" {
		return 0, nil
	}
	if mb<<20 > domain.MaxMemory {
		return 0, fault("FSS.0406", fmt.Sprintf("%s %d MB: a WebAssembly module can have %d MB at most", headerMemory, mb, domain.MaxMemory>>20))
	}
	return mb << 20, nil
}

func (s *Server) invokeAsync(c *call) error {
	if len(c.body) > maxEvent { // the limit of reading is that of small bodies
		return tooLarge(maxEvent)
	}
	in, err := s.newCall(c)
	if err != nil {
		return err
	}
	a, err := s.Door.Accept(c.r.Context(), in)
	if err != nil {
		return err
	}
	c.w.Header().Set(headerRequestID, a.ID.String())
	c.w.Header().Set(headerReqID, a.ID.String())
	return c.reply(http.StatusAccepted, object{"request_id": a.ID.String()})
}

// invokeSync runs a function and waits. The request stands in the log like any other; but it has no policy, so it is not
// retried for an error of the function, and nobody else is told of the outcome.
func (s *Server) invokeSync(c *call) error {
	version := strings.ToLower(c.r.Header.Get(headerVersion))
	if version == "" {
		version = "v0"
	}
	if version != "v0" && version != "v1" {
		return fault("FSS.0400", fmt.Sprintf("%s %q: allowed are v0 (text) and v1 (JSON)", headerVersion, short(version, 20)))
	}
	logs := c.r.Header.Get(headerLogType)
	if logs != "" && logs != "tail" {
		return fault("FSS.0400", fmt.Sprintf("%s %q: allowed is tail", headerLogType, short(logs, 20)))
	}
	in, err := s.newCall(c)
	if err != nil {
		return err
	}
	in.Sync = true
	ctx, cancel := context.WithTimeout(c.r.Context(), syncPatience)
	defer cancel()
	a, err := s.Door.Accept(ctx, in)
	if err != nil {
		return err
	}
	c.w.Header().Set(headerRequestID, a.ID.String())
	c.w.Header().Set(headerReqID, a.ID.String())
	row, err := s.Door.Wait(ctx, a.ID)
	if ctx.Err() != nil {
		return fault("FSS.0504", fmt.Sprintf("invocation %s goes on: it did not end within %s", a.ID, syncPatience))
	}
	if err != nil {
		return err
	}
	last, result, err := s.Door.LastAttempt(ctx, row)
	if err != nil {
		return err
	}
	return c.answer(row, last, result, version, logs == "tail")
}

// answer is how a synchronous invocation ended. An error of the function is an answer, too: with status 200, and headers that
// say so. What the platform did is an error of the call.
func (c *call) answer(row invocations.Row, last domain.Event, result []byte, version string, tail bool) error {
	i := row.State
	if row.Refused != "" {
		return fault("FSS.0503", "the request came too late into the log and was not run: make it again")
	}
	switch number := errorCode(i); number {
	case numberThrottled:
		return fault("FSS.0429", i.Reason)
	case numberExpired:
		return fault("FSS.0504", i.Reason)
	case numberPlatform:
		return fault("FSS.0500", errorMessage(i))
	default:
		c.w.Header().Set(headerErrCode, strconv.Itoa(number))
	}
	failed := i.Outcome != domain.Succeeded
	if failed && len(result) == 0 {
		result = errorPayload(i)
	}
	u, log := usageOf(last)
	text := runLog(row, u, log.Text)
	h := c.w.Header()
	h.Set(headerIsErr, strconv.FormatBool(failed))
	h.Set(headerAnswered, version)
	h.Set(headerBilling, strconv.FormatInt(billed(u.Duration), 10))
	summary, _ := json.Marshal(map[string]any{ // numbers and strings
		"duration": millis(u.Duration), "billingDuration": billed(u.Duration), "memorySize": i.Limits.Memory >> 20, "memoryUsed": megabytes(u.PeakMemory),
		"version": i.Version, "attempts": i.Done,
	})
	h.Set(headerSummary, string(summary))
	if tail {
		h.Set(headerLog, base64.StdEncoding.EncodeToString([]byte(lastBytes(text, logHeader))))
	}
	if version == "v0" {
		h.Set("Content-Type", contentType(result))
		c.w.WriteHeader(http.StatusOK)
		_, _ = c.w.Write(result) // a client that went away
		return nil
	}
	out := object{"request_id": i.ID.String(), "result": string(result), "log": "", "status": domain.StatusCode(i.Cond)}
	if !utf8.Valid(result) {
		h.Set(headerEncoding, "base64")
		out["result"] = base64.StdEncoding.EncodeToString(result)
	}
	if tail {
		out["log"] = lastBytes(text, logTail)
	}
	return c.reply(http.StatusOK, out)
}

func contentType(b []byte) string {
	switch {
	case json.Valid(b):
		return contentTypeJSON
	case utf8.Valid(b):
		return "text/plain; charset=utf-8"
	}
	return "application/octet-stream"
}

func usageOf(e domain.Event) (domain.Usage, domain.AttemptLog) {
	switch e := e.(type) {
	case domain.AttemptSucceeded:
		return e.Usage, e.Log
	case domain.AttemptFailed:
		return e.Usage, e.Log
	default:
		return domain.Usage{}, domain.AttemptLog{}
	}
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// billed is a duration in whole milliseconds, rounded up, and at least one.
func billed(d time.Duration) int64 {
	return max(1, int64((d+time.Millisecond-1)/time.Millisecond))
}

func megabytes(n int64) float64 { return float64(n*1000>>20) / 1000 }

// runLog is the log of an attempt in the form of FunctionGraph's: what the function wrote, between two lines of the platform.
func runLog(row invocations.Row, u domain.Usage, log string) string {
	i := row.State
	end := i.EndedAt
	begin := end.Add(-u.Duration)
	if log != "" && !strings.HasSuffix(log, "\n") {
		log += "\n"
	}
	return fmt.Sprintf("%s Start invoke request '%s', version: %s\n%s%s Finish invoke request '%s', duration: %.3fms, billing duration: %dms, memory used: %.3fMB, billing memory: %dMB\n",
		begin, i.ID, i.Version, log, end, i.ID, millis(u.Duration), billed(u.Duration), megabytes(u.PeakMemory), i.Limits.Memory>>20)
}

// lastBytes is the end of a text, at most n bytes, from the beginning of a character.
func lastBytes(s string, n int) string {
	if len(s) <= n {
		return s
	}
	s = s[len(s)-n:]
	for s != "" && !utf8.RuneStart(s[0]) {
		s = s[1:]
	}
	return s
}

func (s *Server) cancel(c *call) error {
	ref, err := s.ref(c)
	if err != nil {
		return err
	}
	f, err := s.Registry.Get(ref.Function)
	if err != nil {
		return fault("FSS.0404", "")
	}
	named, err := versionsNamed(ref, f)
	if err != nil {
		return err
	}
	var in struct {
		RequestID string `json:"request_id"`
		Type      string `json:"type"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	switch in.Type {
	case "", "force":
	case "recursive":
		return fault("FSS.0400", "type recursive is not supported: cancel the children by their own ids")
	default:
		return fault("FSS.0400", fmt.Sprintf("type %q: allowed is force", short(in.Type, 20)))
	}
	id, err := domain.ParseInvocationID(in.RequestID)
	if err != nil {
		return fault("FSS.0400", "Invalid RequestId")
	}
	row, err := s.Door.Find(c.r.Context(), id)
	if r := asRejection(err); r != nil && r.Code == domain.CodeNotFound {
		return fault("FSS.0400", "Invalid RequestId")
	} else if err != nil {
		return err
	}
	if f := row.State.Function; f.Project != c.project || f.Package != ref.Function.Package || f.Name != ref.Function.Name || named != nil && !named(row.State.Version) {
		return fault("FSS.0400", "Invalid RequestId") // the same words as of one that does not exist
	}
	err = s.Door.Cancel(c.r.Context(), id, in.Type == "force", c.by)
	if r := (*domain.Rejection)(nil); errors.As(err, &r) && r.Code == domain.CodeConflict {
		return fault("FSS.0400", r.Words)
	} else if err != nil {
		return err
	}
	return c.empty(http.StatusOK)
}
