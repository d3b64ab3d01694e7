package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"deed/cmd/internal/httpapi"
	"deed/domain"
)

// choice is what redrive and notifications redrive are given.
type choice struct {
	in        httpapi.NewOperation
	condition string
	detach    bool
}

func (c *choice) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&c.in.Function, "function", "", "of this function: NAME, or PACKAGE:NAME")
	f.StringVar(&c.in.Status, "status", "", "succeeded, failed or discarded")
	f.StringVar(&c.condition, "condition", "", "that ended under this condition, like InvocationTimeout")
	f.StringVar(&c.in.Since, "since", "", "accepted since: a time (RFC 3339) or an age like 10m")
	f.StringVar(&c.in.Until, "until", "", "accepted until: a time or an age")
	f.IntVar(&c.in.Rate, "rate", domain.DefaultRate, "a second at most")
	f.BoolVar(&c.in.DryRun, "dry-run", false, "only show how many, and which")
	f.BoolVar(&c.detach, "detach", false, "do not wait for the end; the operation goes on in any case")
}

func (c *choice) fill(cmd *cobra.Command, ids []string) error {
	c.in.IDs = ids
	if cmd.Flags().Changed("condition") {
		c.in.Condition = &c.condition
	}
	for name, t := range map[string]*string{"since": &c.in.Since, "until": &c.in.Until} {
		q := url.Values{}
		if err := setTime(q, name, *t); err != nil {
			return err
		}
		*t = q.Get(name)
	}
	if len(ids) == 0 && c.in.Function == "" && c.in.Status == "" && c.in.Condition == nil && c.in.Since == "" {
		return usageError{fmt.Errorf("%s: name the invocations, or select them by --function, --status, --condition, --since and --until", cmd.CommandPath())}
	}
	return nil
}

func (e *env) redrive() *cobra.Command {
	c := choice{in: httpapi.NewOperation{Kind: string(domain.Redrive)}}
	cmd := &cobra.Command{
		Use: "redrive [ID…]", Short: "Run invocations again that have ended, as new ones with the same event",
		Long: "Makes a new invocation of each, with the same event, for what its function is now. What was redriven before is passed\n" +
			"over. The server does it, at the rate that is given: deed operations shows, pauses and stops it.",
		Args: args(0, domain.MaxListed),
		RunE: func(cmd *cobra.Command, ids []string) error { return e.again(cmd, &c, ids) },
	}
	c.flags(cmd)
	cmd.Flags().BoolVar(&c.in.Pinned, "pinned", false, "as the version that each had, and not what its function is now")
	return cmd
}

// again asks for an operation and shows how it goes on.
func (e *env) again(cmd *cobra.Command, c *choice, ids []string) error {
	if err := c.fill(cmd, ids); err != nil {
		return err
	}
	var o httpapi.Operation
	if err := e.client().Send(cmd.Context(), http.MethodPost, "/v1/operations", c.in, &o); err != nil {
		return err
	}
	if c.in.DryRun {
		return e.print(o, func(w io.Writer) {
			for _, r := range o.Results {
				_, _ = fmt.Fprintln(w, r.RequestID)
			}
			e.say("%d would be acted on%s", o.Total, besides(o))
		})
	}
	if c.detach {
		return e.print(o, func(w io.Writer) {
			_, _ = fmt.Fprintln(w, o.ID)
			e.say("deed operations watch %s shows how far it is", o.ID)
		})
	}
	return e.watchOperation(cmd.Context(), o)
}

// besides says what was not acted on.
func besides(o httpapi.Operation) (words string) {
	if o.PassedOver > 0 {
		words += fmt.Sprintf("; %d were before", o.PassedOver)
	}
	if o.Open > 0 {
		words += fmt.Sprintf("; %d have no outcome yet", o.Open)
	}
	if o.Older {
		words += "; older ones may have been selected that the read model does not have any more"
	}
	return words
}

var errProblems = errors.New("not all could be done")

// watchOperation shows a bar until the end. An interrupt leaves the operation as it is: it is the server's.
func (e *env) watchOperation(ctx context.Context, o httpapi.Operation) error {
	bar := progressbar.NewOptions(-1, progressbar.OptionSetWriter(e.err), progressbar.OptionSetDescription(o.Kind), progressbar.OptionShowCount(),
		progressbar.OptionShowIts(), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	for o.Status != "ended" {
		if o.Status != "planned" && bar.GetMax() != o.Total {
			bar.ChangeMax(o.Total)
		}
		_ = bar.Set(o.Done + o.Failed)
		bar.Describe(o.Kind + " " + o.Status)
		path := fmt.Sprintf("/v1/operations/%s?after=%d", url.PathEscape(o.ID), o.Version)
		if _, err := e.client().Do(ctx, http.MethodGet, path, http.Header{"Prefer": {"wait=30"}}, nil, &o); err != nil {
			if ctx.Err() != nil {
				e.say("\nthe operation goes on; deed operations watch %s shows it, deed operations stop %s ends it", o.ID, o.ID)
			}
			return interrupted(ctx, err)
		}
	}
	_ = bar.Finish()
	if err := e.print(o, func(w io.Writer) { e.showResults(w, o) }); err != nil {
		return err
	}
	if o.Failed > 0 || o.Reason != "" {
		return errProblems
	}
	return nil
}

func (e *env) showResults(w io.Writer, o httpapi.Operation) {
	for _, r := range o.Results {
		switch {
		case r.Problem != "":
			_, _ = fmt.Fprintf(w, "%s\t-\t%s\n", r.RequestID, r.Problem)
		case r.Place != "":
			_, _ = fmt.Fprintf(w, "%s\t%s\n", r.RequestID, r.Place)
		default:
			_, _ = fmt.Fprintf(w, "%s\t%s\n", r.RequestID, r.RedrivenAs)
		}
	}
	if shown := len(o.Results); shown < o.Done+o.Failed {
		e.say("the newest %d are shown", shown)
	}
	why := ""
	if o.Reason != "" {
		why = "; " + o.Reason
	}
	e.say("%d done, %d failed%s%s", o.Done, o.Failed, besides(o), why)
}

func (e *env) operations() *cobra.Command {
	cmd := &cobra.Command{Use: "operations", Short: "List, watch, pause, resume and stop redrives", Args: args(0, 0)}
	act := func(verb, short, path string) *cobra.Command {
		return &cobra.Command{
			Use: verb + " ID", Short: short, Args: args(1, 1),
			RunE: func(cmd *cobra.Command, a []string) error {
				var o httpapi.Operation
				if _, err := e.client().Do(cmd.Context(), http.MethodPost, "/v1/operations/"+url.PathEscape(a[0])+path, nil, nil, &o); err != nil {
					return err
				}
				return e.print(o, func(io.Writer) { e.say("%s: %s, %d of %d done", o.ID, o.Status, o.Done+o.Failed, o.Total) })
			},
		}
	}
	cmd.AddCommand(e.listOperations(),
		&cobra.Command{
			Use: "watch ID", Short: "Show how far one is, up to its end", Args: args(1, 1),
			RunE: func(cmd *cobra.Command, a []string) error {
				var o httpapi.Operation
				if _, err := e.client().Do(cmd.Context(), http.MethodGet, "/v1/operations/"+url.PathEscape(a[0]), nil, nil, &o); err != nil {
					return err
				}
				return e.watchOperation(cmd.Context(), o)
			},
		},
		act("pause", "Stop one for the time being, behind the step under way", "/pause"),
		act("resume", "Let one go on", "/resume"),
		act("stop", "End one; what was done is done", "/stop"))
	return cmd
}

func (e *env) listOperations() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List operations, newest first", Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var out struct {
				Operations []httpapi.Operation `json:"operations"`
			}
			if _, err := e.client().Do(cmd.Context(), http.MethodGet, "/v1/operations", nil, nil, &out); err != nil {
				return err
			}
			return e.print(out, func(w io.Writer) {
				t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				_, _ = fmt.Fprintln(t, "OPERATION\tKIND\tSTATUS\tTOTAL\tDONE\tFAILED\tREQUESTED\tBY")
				for _, o := range out.Operations {
					_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\n", o.ID, o.Kind, o.Status, o.Total, o.Done, o.Failed, o.RequestedAt, o.By)
				}
				_ = t.Flush()
			})
		},
	}
}

func (e *env) notifications() *cobra.Command {
	var function, status, since string
	var limit int
	cmd := &cobra.Command{
		Use: "notifications", Short: "List what outcomes owed, newest first, and deliver again what was abandoned", Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{"limit": {fmt.Sprint(limit)}}
			for name, v := range map[string]string{"function": function, "status": status} {
				if v != "" {
					q.Set(name, v)
				}
			}
			if err := setTime(q, "since", since); err != nil {
				return err
			}
			var out struct {
				Notifications []httpapi.Notice `json:"notifications"`
			}
			if _, err := e.client().Do(cmd.Context(), http.MethodGet, "/v1/notifications?"+q.Encode(), nil, nil, &out); err != nil {
				return err
			}
			return e.print(out, func(w io.Writer) {
				t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				_, _ = fmt.Fprintln(t, "REQUEST\tFUNCTION\tSINK\tSTATUS\tTRIES\tENDED\tDUE")
				for _, n := range out.Notifications {
					_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", n.RequestID, n.Function, n.Sink, n.Status, n.Tries, n.EndedAt, dash(n.Due))
				}
				_ = t.Flush()
			})
		},
	}
	cmd.Flags().StringVar(&function, "function", "", "of this function")
	cmd.Flags().StringVar(&status, "status", "", "owed, delivered, abandoned or redelivered")
	cmd.Flags().StringVar(&since, "since", "", "of invocations accepted since: a time (RFC 3339) or an age like 10m")
	cmd.Flags().IntVar(&limit, "limit", 20, "at most so many")
	c := choice{in: httpapi.NewOperation{Kind: string(domain.Renotify)}}
	redrive := &cobra.Command{
		Use: "redrive [ID…]", Short: "Deliver again what was abandoned, the same record under the same id",
		Long: "Names invocations, by their ids or by a filter, whose notifications were abandoned. What was delivered again before is\n" +
			"passed over.",
		Args: args(0, domain.MaxListed),
		RunE: func(cmd *cobra.Command, ids []string) error { return e.again(cmd, &c, ids) },
	}
	c.flags(redrive)
	cmd.AddCommand(redrive)
	return cmd
}
