package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"deed/cmd/internal/access"
	"deed/cmd/internal/door"
)

// Client speaks to a server.
type Client struct {
	Base string // like http://127.0.0.1:3333
	HTTP *http.Client

	Project     string             // that calls are about; "" leaves it to the server
	Credentials access.Credentials // to sign with; zero: none
}

// UnreachableError says that no server answered.
type UnreachableError struct {
	Base string
	Err  error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("no server answers at %s: %v", e.Base, e.Err)
}
func (e *UnreachableError) Unwrap() error { return e.Err }

// Do sends a request and decodes a JSON answer into out, if that is not nil. An answer of no is a *Problem; no answer is an
// *UnreachableError.
func (c *Client) Do(ctx context.Context, method, path string, header http.Header, body []byte, out any) (int, error) {
	resp, err := c.send(ctx, method, path, header, body)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp.StatusCode, &UnreachableError{c.Base, err}
	}
	switch out := out.(type) {
	case nil:
	case *[]byte:
		*out = b
	default:
		if err := json.Unmarshal(b, out); err != nil {
			return resp.StatusCode, fmt.Errorf("%s %s: the answer is not what was expected: %w", method, path, err)
		}
	}
	return resp.StatusCode, nil
}

// Send is Do with a JSON body.
func (c *Client) Send(ctx context.Context, method, path string, in, out any) error {
	b, err := json.Marshal(in)
	if err != nil {
		return err
	}
	_, err = c.Do(ctx, method, path, http.Header{"Content-Type": {"application/json"}}, b, out)
	return err
}

func (c *Client) send(ctx context.Context, method, path string, header http.Header, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.Base, "/")+path, bytes.NewReader(body))
	if err != nil {
		return nil, &UnreachableError{c.Base, err}
	}
	maps.Copy(req.Header, header)
	if c.Project != "" {
		req.Header.Set(headerProject, c.Project)
	}
	if c.Credentials != (access.Credentials{}) {
		if err := access.Sign(req, body, c.Credentials, time.Now()); err != nil {
			return nil, fmt.Errorf("DEED_ACCESS_KEY and DEED_SECRET_KEY: %w", err)
		}
	}
	h := c.HTTP
	if h == nil {
		h = http.DefaultClient
	}
	resp, err := h.Do(req)
	if err != nil {
		if u := (*url.Error)(nil); errors.As(err, &u) {
			err = u.Err
		}
		return nil, &UnreachableError{c.Base, err}
	}
	if resp.StatusCode < 400 {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }()
	p := &Problem{Title: "the server answered " + resp.Status, Status: resp.StatusCode}
	_ = json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(p) // else the status line is all there is
	return nil, p
}

// Invoke sends an event and returns the request id, and the invocation if it ended within wait.
func (c *Client) Invoke(ctx context.Context, function string, event []byte, wait time.Duration) (id string, ended *Invocation, err error) {
	return c.InvokeKey(ctx, function, "", event, wait)
}

// InvokeKey is Invoke with an idempotency key: made again it returns the same request id. "" is none. A key that is not one is
// refused before anything is sent.
func (c *Client) InvokeKey(ctx context.Context, function, key string, event []byte, wait time.Duration) (id string, ended *Invocation, err error) {
	h := http.Header{"Content-Type": {"application/octet-stream"}}
	if key != "" {
		if err := door.CheckKey(key); err != nil {
			return "", nil, err
		}
		h.Set(headerKey, quote(key))
	}
	if wait > 0 {
		h.Set("Prefer", fmt.Sprintf("wait=%d", max(1, int(wait.Seconds()))))
	}
	var in Invocation
	status, err := c.Do(ctx, http.MethodPost, "/v1/functions/"+url.PathEscape(function)+"/invocations", h, event, &in)
	if err != nil {
		return "", nil, err
	}
	if status == http.StatusAccepted {
		return in.RequestID, nil, nil
	}
	return in.RequestID, &in, nil
}

// Stream calls fn with the events of a stream until it ends.
func (c *Client) Stream(ctx context.Context, path string, fn func(Event) error) error {
	resp, err := c.send(ctx, http.MethodGet, path, nil, nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	r := bufio.NewReader(resp.Body)
	for {
		line, err := r.ReadBytes('\n')
		if data, ok := bytes.CutPrefix(line, []byte("data: ")); ok {
			var e Event
			if json.Unmarshal(data, &e) == nil && e.ID != "" {
				if err := fn(e); err != nil {
					return err
				}
			}
		}
		if errors.Is(err, io.EOF) || ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return &UnreachableError{c.Base, err}
		}
	}
}
