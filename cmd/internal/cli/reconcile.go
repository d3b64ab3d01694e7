package cli

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"deed/cmd/internal/httpapi"
)

var errDifferences = errors.New("the accounts do not agree")

func (e *env) reconcile() *cobra.Command {
	var function, since, until string
	cmd := &cobra.Command{
		Use: "reconcile", Short: "Compare what was owed with the receipts and with what the sinks hold; exit code 1 if they differ", Args: args(0, 0),
		Long: "Looks at every outcome that is selected, its receipt, and the place that was told: the object, the child invocation, the\n" +
			"message in the topic. It changes nothing. Functions whose failures nobody is told of are named, too.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{}
			if function != "" {
				q.Set("function", function)
			}
			for name, v := range map[string]string{"since": since, "until": until} {
				if err := setTime(q, name, v); err != nil {
					return err
				}
			}
			var r httpapi.Reconciliation
			if _, err := e.client().Do(cmd.Context(), http.MethodGet, "/v1/reconcile?"+q.Encode(), nil, nil, &r); err != nil {
				return interrupted(cmd.Context(), err)
			}
			if err := e.print(r, func(w io.Writer) { e.showReconciliation(w, r) }); err != nil {
				return err
			}
			if !r.Agrees {
				return errDifferences
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&function, "function", "", "of this function")
	cmd.Flags().StringVar(&since, "since", "", "of invocations accepted since: a time (RFC 3339) or an age like 10m")
	cmd.Flags().StringVar(&until, "until", "", "of invocations accepted until: a time or an age")
	return cmd
}

func (e *env) showReconciliation(w io.Writer, r httpapi.Reconciliation) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, row := range []struct {
		n     int
		words string
	}{
		{r.Ended, "invocations have ended"},
		{r.Owed, "of them owe somebody a notification"},
		{r.Delivered, "were delivered"},
		{r.Pending, "are not told yet"},
		{r.Abandoned, "were abandoned"},
		{r.Redelivered, "of those were delivered again"},
		{r.Verified, "are in their place, exactly as they were owed"},
		{r.Doubled, "stand twice in a topic, the same"},
		{len(r.Findings) + r.NotListed, "differences"},
	} {
		_, _ = fmt.Fprintf(t, "%d\t  %s\n", row.n, row.words)
	}
	_ = t.Flush()
	f := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, d := range r.Findings {
		_, _ = fmt.Fprintf(f, "%s\t%s\t%s\t%s\n", d.What, dash(d.RequestID), dash(d.Where), d.Words)
	}
	_ = f.Flush()
	if r.NotListed > 0 {
		e.say("%d more differences are not listed", r.NotListed)
	}
	if len(r.Uncovered) > 0 {
		e.say("nobody is told of failures of: %s", strings.Join(r.Uncovered, ", "))
	}
	if r.Older {
		e.say("older ones may have been selected that the read model does not have any more")
	}
}
