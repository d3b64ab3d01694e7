package domain

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// NotificationBody is the record that a sink is told: FunctionGraph's fields, and two that say how a payload that is not
// UTF-8 text was made a string.
type NotificationBody struct {
	Timestamp      string                     `json:"timestamp"`
	RequestContext NotificationRequestContext `json:"request_context"`

	RequestPayload         string `json:"request_payload"`
	RequestPayloadEncoding string `json:"request_payload_encoding,omitempty"` // "base64", else absent

	ResponseContext NotificationResponseContext `json:"response_context"`

	ResponsePayload         string `json:"response_payload"`
	ResponsePayloadEncoding string `json:"response_payload_encoding,omitempty"` // "base64", else absent
}

// NotificationRequestContext says which invocation, and why it ended so. ApproximateInvokeCount is the number of attempts
// made: more than 1 means retried, 0 never run.
type NotificationRequestContext struct {
	RequestID              string    `json:"request_id"`
	FunctionURN            string    `json:"function_urn"`
	Condition              Condition `json:"condition"`
	ApproximateInvokeCount int       `json:"approximate_invoke_count"`
}

// NotificationResponseContext is 200 unless the platform failed or the function failed unhandled.
type NotificationResponseContext struct {
	StatusCode    int    `json:"status_code"`
	FunctionError string `json:"function_error"`
}

// NotificationRecord makes the bytes of the record from the terminal state and the two payloads, and from nothing else:
// its timestamp is the terminal fact's, so two deliverers write the same bytes.
func NotificationRecord(i Invocation, request, response []byte) []byte {
	body := NotificationBody{
		Timestamp: i.EndedAt.String(),
		RequestContext: NotificationRequestContext{
			RequestID: i.ID.String(), FunctionURN: i.Function.Version(i.Version),
			Condition: i.Cond, ApproximateInvokeCount: i.Done,
		},
		ResponseContext: NotificationResponseContext{StatusCode: StatusCode(i.Cond), FunctionError: i.FunctionError()},
	}
	if i.Broken {
		body.RequestContext.FunctionURN = ""
	}
	body.RequestPayload, body.RequestPayloadEncoding = text(request)
	body.ResponsePayload, body.ResponsePayloadEncoding = text(response)
	return encoded(body)
}

// reference is a record without its payloads, and where the whole is.
type reference struct {
	Timestamp       string                      `json:"timestamp"`
	RequestContext  NotificationRequestContext  `json:"request_context"`
	RequestPayload  *string                     `json:"request_payload"` // null
	ResponseContext NotificationResponseContext `json:"response_context"`
	ResponsePayload *string                     `json:"response_payload"` // null
	Record          struct {
		Digest string `json:"digest"`
		Size   int    `json:"size"`
	} `json:"record"`
}

// Referred is the record itself if it has at most limit bytes. Else it is the record without its payloads, which are null,
// and with a member "record" that has the digest and the size, in bytes, of the whole: the API gives it as the
// invocation's notification.
func Referred(record []byte, limit int) ([]byte, error) {
	if len(record) <= limit {
		return record, nil
	}
	var r reference
	if err := json.Unmarshal(record, &r); err != nil {
		return nil, fmt.Errorf("refer to a notification record: %w", err)
	}
	r.RequestPayload, r.ResponsePayload = nil, nil
	r.Record.Digest, r.Record.Size = DigestOf(record).String(), len(record)
	return encoded(r), nil
}

func encoded(v any) []byte {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // a value of strings and numbers always encodes
	return []byte(strings.TrimSuffix(b.String(), "\n"))
}

// StatusCode is the record's status_code for a condition.
func StatusCode(c Condition) int {
	if c == NoCondition || c == HandledInvocationError {
		return 200
	}
	return 500
}

// FunctionError names the failure kind and what happened, in words; for a handled error it is the function's own text.
func (i Invocation) FunctionError() string {
	switch {
	case i.Cond == NoCondition:
		return ""
	case i.Cond == HandledInvocationError || i.Kind == NoFailure || i.Outcome == Discarded:
		return i.Reason
	}
	return string(i.Kind) + ": " + i.Reason
}

func text(b []byte) (s, encoding string) {
	if utf8.Valid(b) {
		return string(b), ""
	}
	return base64.StdEncoding.EncodeToString(b), "base64"
}
