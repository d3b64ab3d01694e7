package cli

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"deed/cmd/internal/door"
	"deed/cmd/internal/httpapi"
	"deed/domain"
)

func (e *env) invoke() *cobra.Command {
	var data, key string
	var wait time.Duration
	cmd := &cobra.Command{
		Use: "invoke NAME", Short: "Invoke a function; prints the request id, or with --wait the result", Args: args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) error {
			event, err := e.event(data)
			if err != nil {
				return err
			}
			if wait != 0 && wait < time.Second {
				return usageError{fmt.Errorf("--wait %s is out of range: allowed are 1s to 15m", wait)}
			}
			if cmd.Flags().Changed("key") {
				if err := door.CheckKey(key); err != nil {
					return err
				}
			}
			id, ended, err := e.client().InvokeKey(cmd.Context(), a[0], key, event, wait)
			if err != nil {
				return err
			}
			if wait == 0 {
				return e.print(httpapi.Accepted{RequestID: id}, func(w io.Writer) { _, _ = fmt.Fprintln(w, id) })
			}
			if ended == nil {
				e.say("error: request %s had not ended after %s; it goes on", id, wait)
				e.say("hint: deed get %s tells later", id)
				return quietError{exitFailed}
			}
			return e.ended(*ended)
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "the event; @FILE reads a file, - reads stdin")
	cmd.Flags().StringVar(&key, "key", "", "idempotency key: the same call with the same key, within 24 hours, is the same request")
	cmd.Flags().DurationVar(&wait, "wait", 0, "wait for the outcome and print the result's bytes; --wait alone waits 30s")
	cmd.Flags().Lookup("wait").NoOptDefVal = "30s"
	return cmd
}

// ended prints the result's bytes and nothing else.
func (e *env) ended(inv httpapi.Invocation) error {
	if e.json {
		if err := e.print(inv, nil); err != nil {
			return err
		}
	} else {
		b := []byte(inv.Result)
		if inv.ResultBase64 != "" {
			var err error
			if b, err = base64.StdEncoding.DecodeString(inv.ResultBase64); err != nil {
				return fmt.Errorf("the server's answer: %w", err)
			}
		}
		if _, err := e.out.Write(b); err != nil {
			return err
		}
	}
	if inv.Status == string(domain.Succeeded) {
		return nil
	}
	e.say("error: request %s %s: %s", inv.RequestID, inv.Status, reason(inv))
	e.say("hint: deed history %s shows how", inv.RequestID)
	return quietError{exitFailed}
}

func reason(inv httpapi.Invocation) string {
	parts := []string{}
	for _, s := range []string{inv.Condition, inv.FailureKind, inv.Error} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, ": ")
}

func (e *env) event(data string) ([]byte, error) {
	var b []byte
	var err error
	switch {
	case data == "-":
		b, err = io.ReadAll(io.LimitReader(e.in, domain.MaxPayload+1))
	case strings.HasPrefix(data, "@"):
		b, err = os.ReadFile(data[1:])
	default:
		b = []byte(data)
	}
	if err != nil {
		return nil, fmt.Errorf("the event cannot be read: %w", err)
	}
	if len(b) > domain.MaxPayload {
		return nil, domain.Reject(domain.CodeTooLarge, fmt.Sprintf("the event is too large; the limit is %d bytes (6 MiB)", domain.MaxPayload), "put large data into an object store and send its address")
	}
	return b, nil
}

// id checks a request id before anything is sent.
func id(s string) (string, error) {
	if _, err := domain.ParseInvocationID(s); err != nil {
		return "", err
	}
	return "/v1/invocations/" + s, nil
}

func (e *env) get() *cobra.Command {
	return &cobra.Command{
		Use: "get ID", Short: "Show an invocation", Args: args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) error {
			path, err := id(a[0])
			if err != nil {
				return err
			}
			var inv httpapi.Invocation
			if _, err := e.client().Do(cmd.Context(), http.MethodGet, path, nil, nil, &inv); err != nil {
				return err
			}
			return e.print(inv, func(w io.Writer) { printInvocation(w, inv) })
		},
	}
}

func printInvocation(w io.Writer, inv httpapi.Invocation) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(k, v string) {
		if v != "" {
			_, _ = fmt.Fprintf(t, "%s\t%s\n", k, v)
		}
	}
	row("request", inv.RequestID)
	row("function", inv.Function+" version "+inv.Version)
	row("status", inv.Status)
	row("attempts", fmt.Sprint(inv.Attempts))
	row("requested", inv.RequestedAt)
	row("ended", inv.EndedAt)
	row("retry due", inv.RetryDue)
	row("condition", inv.Condition)
	row("failure", inv.FailureKind)
	row("error", inv.Error)
	row("caused by", inv.Parent)
	row("redrives", inv.Redrives)
	row("redriven as", inv.RedrivenAs)
	if n := inv.Notification; n != nil {
		row("notification", n.Status+" to "+n.Sink)
	}
	if inv.ResultBase64 != "" {
		row("result", "(base64) "+inv.ResultBase64)
	} else {
		row("result", inv.Result)
	}
	_ = t.Flush()
}

func (e *env) list() *cobra.Command {
	var function, status, since string
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "List invocations, newest first", Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{"limit": {fmt.Sprint(limit)}}
			if function != "" {
				q.Set("function", function)
			}
			if status != "" {
				q.Set("status", status)
			}
			if err := setTime(q, "since", since); err != nil {
				return err
			}
			var out struct {
				Invocations []httpapi.Invocation `json:"invocations"`
			}
			if _, err := e.client().Do(cmd.Context(), http.MethodGet, "/v1/invocations?"+q.Encode(), nil, nil, &out); err != nil {
				return err
			}
			return e.print(out, func(w io.Writer) {
				t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				_, _ = fmt.Fprintln(t, "REQUEST\tFUNCTION\tSTATUS\tATTEMPTS\tREQUESTED\tWHY")
				for _, i := range out.Invocations {
					why := i.Condition
					if i.FailureKind != "" {
						why += " (" + i.FailureKind + ")"
					}
					_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%s\n", i.RequestID, i.Function, i.Status, i.Attempts, i.RequestedAt, why)
				}
				_ = t.Flush()
			})
		},
	}
	cmd.Flags().StringVar(&function, "function", "", "of this function")
	cmd.Flags().StringVar(&status, "status", "", "waiting, running, succeeded, failed or discarded")
	cmd.Flags().StringVar(&since, "since", "", "accepted since: a time (RFC 3339) or an age like 10m")
	cmd.Flags().IntVar(&limit, "limit", 20, "at most so many")
	return cmd
}

// setTime sets a parameter to a time that a person wrote, if there is one. The error is of usage.
func setTime(q url.Values, name, written string) error {
	if written == "" {
		return nil
	}
	at, err := sinceTime(written)
	if err != nil {
		return usageError{fmt.Errorf("--%s: %w", name, err)}
	}
	q.Set(name, at)
	return nil
}

func sinceTime(s string) (string, error) {
	if d, err := time.ParseDuration(s); err == nil {
		return domain.InstantOf(time.Now().Add(-d)).String(), nil
	}
	at, err := domain.ParseInstant(s)
	if err != nil {
		return "", fmt.Errorf("%w, nor an age like 10m", err)
	}
	return at.String(), nil
}

func (e *env) cancel() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "cancel ID", Short: "Ask that an invocation end; --force stops a running attempt, too", Args: args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) error {
			path, err := id(a[0])
			if err != nil {
				return err
			}
			if _, err := e.client().Do(cmd.Context(), http.MethodPost, path+"/cancel", nil, fmt.Appendf(nil, `{"force":%t}`, force), nil); err != nil {
				return err
			}
			return e.print(httpapi.Accepted{RequestID: a[0]}, func(io.Writer) {
				e.say("the cancel of %s is recorded; deed get %s tells what became of it", a[0], a[0])
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "stop a running attempt")
	return cmd
}

var errInterrupted = errors.New("interrupted")

func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errInterrupted
	}
	return err
}
