package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"deed/cmd/internal/httpapi"
	"deed/cmd/internal/node"
	"deed/domain"
)

// operator introduces a node to its API.
type operator struct{ n *node.Node }

func (o operator) Metrics() http.Handler { return o.n.Metrics() }

func (o operator) Unread() []httpapi.Unread {
	var out []httpapi.Unread
	for _, r := range o.n.Unread() {
		out = append(out, httpapi.Unread{
			Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Type: r.Type, RequestID: r.Subject, Reason: r.Reason, Problem: r.Problem,
		})
	}
	return out
}

func (o operator) Nodes(ctx context.Context) httpapi.Nodes {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out := httpapi.Nodes{Node: o.n.Name(), Nodes: []httpapi.Owner{}, Partitions: []httpapi.Partition{}, Alarms: o.n.Alarms()}
	for _, s := range o.n.Status(ctx) {
		p := httpapi.Partition{
			Partition: s.Partition, Owner: s.Owner, Epoch: s.Epoch, End: s.End, Lag: s.Lag, Committed: s.Committed, Open: s.Open,
			OldestWait: s.OldestWait.Seconds(), Void: s.Void,
		}
		if s.LogTime != 0 {
			p.LogTime = s.LogTime.String()
		}
		out.Partitions = append(out.Partitions, p)
		if s.Owner == "" {
			continue
		}
		at := slices.IndexFunc(out.Nodes, func(n httpapi.Owner) bool { return n.Node == s.Owner })
		if at < 0 {
			at = len(out.Nodes)
			out.Nodes = append(out.Nodes, httpapi.Owner{Node: s.Owner})
		}
		out.Nodes[at].Partitions = append(out.Nodes[at].Partitions, s.Partition)
		out.Nodes[at].Open += s.Open
	}
	slices.SortFunc(out.Nodes, func(a, b httpapi.Owner) int { return strings.Compare(a.Node, b.Node) })
	return out
}

func (e *env) nodes() *cobra.Command {
	return &cobra.Command{
		Use: "nodes", Short: "Show who owns which partition, and how far everything is", Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var n httpapi.Nodes
			if _, err := e.client().Do(cmd.Context(), http.MethodGet, "/v1/nodes", nil, nil, &n); err != nil {
				return err
			}
			return e.print(n, func(w io.Writer) {
				t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				_, _ = fmt.Fprintln(t, "PARTITION\tOWNER\tEPOCH\tLAG\tOPEN\tOLDEST WAIT\tCOMMITTED\tEND")
				for _, p := range n.Partitions {
					owner := dash(p.Owner)
					if p.Owner == n.Node {
						owner += " (this node)"
					}
					wait := "-"
					if p.OldestWait > 0 {
						wait = time.Duration(p.OldestWait * float64(time.Second)).Round(time.Millisecond).String()
					}
					_, _ = fmt.Fprintf(t, "%d\t%s\t%d\t%d\t%d\t%s\t%d\t%d\n", p.Partition, owner, p.Epoch, p.Lag, p.Open, wait, p.Committed, p.End)
				}
				_ = t.Flush()
				for _, a := range n.Alarms {
					e.say("alarm: %s", a)
				}
			})
		},
	}
}

func (e *env) log() *cobra.Command {
	var undecodable bool
	cmd := &cobra.Command{
		Use: "log --undecodable", Short: "Show records of the log that could not be read", Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !undecodable {
				return usageError{fmt.Errorf("deed log shows only what could not be read so far: write deed log --undecodable")}
			}
			var answer struct {
				Records []httpapi.Unread `json:"records"`
			}
			if _, err := e.client().Do(cmd.Context(), http.MethodGet, "/v1/log/undecodable", nil, nil, &answer); err != nil {
				return err
			}
			return e.print(answer, func(w io.Writer) {
				if len(answer.Records) == 0 {
					e.say("every record of the log could be read")
				}
				for _, r := range answer.Records {
					problem, _ := domain.CutText(r.Problem, 200)
					_, _ = fmt.Fprintf(w, "%s/%d@%d  %s  %s  %s  %s\n", r.Topic, r.Partition, r.Offset, dash(r.Type), dash(r.RequestID), r.Reason, problem)
				}
			})
		},
	}
	cmd.Flags().BoolVar(&undecodable, "undecodable", false, "those that do not decode, and those of invocations that were set aside")
	return cmd
}
