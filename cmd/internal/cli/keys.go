package cli

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"deed/cmd/internal/access"
	"deed/cmd/internal/httpapi"
)

func (e *env) keys() *cobra.Command {
	var root string
	cmd := &cobra.Command{
		Use: "keys", Short: "Make, list and revoke access keys", Args: args(0, 0),
		Long: "Access keys say who is calling. Without any, the server serves its own machine only, and everybody there.\n" +
			"The first key must be an operator's; from then on nobody comes in without one. Commands sign with the key in\n" +
			"DEED_ACCESS_KEY and DEED_SECRET_KEY.",
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if root == "" {
				return nil
			}
			s, err := access.LoadSealer(root)
			if err != nil {
				return fmt.Errorf("--root: %w", err)
			}
			e.credentials = access.RootCredentials(s)
			return nil
		},
	}
	cmd.PersistentFlags().StringVar(&root, "root", "", "file of the server's sealing key (seal.key): come in with it when no operator's key is at hand")
	cmd.AddCommand(e.createKey(), e.listKeys(), e.revokeKey())
	return cmd
}

func (e *env) createKey() *cobra.Command {
	var in httpapi.NewKey
	cmd := &cobra.Command{
		Use: "create (--operator | --project NAME…)", Short: "Make an access key; its secret is shown this once", Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if in.Operator == (len(in.Projects) > 0) {
				return usageError{fmt.Errorf("deed keys create: write --operator, or --project NAME for each project that the key may touch")}
			}
			var k httpapi.Key
			if err := e.client().Send(cmd.Context(), http.MethodPost, "/v1/keys", in, &k); err != nil {
				return err
			}
			return e.print(k, func(w io.Writer) {
				_, _ = fmt.Fprintf(w, "export DEED_ACCESS_KEY=%s\nexport DEED_SECRET_KEY=%s\n", k.AccessKey, k.SecretKey)
				e.say("the secret is not shown again; who cannot sign sends %q", "Authorization: Bearer $DEED_ACCESS_KEY.$DEED_SECRET_KEY")
			})
		},
	}
	cmd.Flags().BoolVar(&in.Operator, "operator", false, "it may touch every project, and the cluster itself")
	cmd.Flags().StringArrayVar(&in.Projects, "project", nil, "a project that it may touch; may be repeated")
	cmd.Flags().StringVar(&in.Note, "note", "", "whose it is")
	return cmd
}

func (e *env) listKeys() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the access keys, the revoked ones too", Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var out struct {
				Keys []httpapi.Key `json:"keys"`
			}
			if _, err := e.client().Do(cmd.Context(), http.MethodGet, "/v1/keys", nil, nil, &out); err != nil {
				return err
			}
			return e.print(out, func(w io.Writer) {
				t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				_, _ = fmt.Fprintln(t, "ACCESS KEY\tMAY TOUCH\tCREATED\tREVOKED\tNOTE")
				for _, k := range out.Keys {
					may := strings.Join(k.Projects, ", ")
					if k.Operator {
						may = "everything"
					}
					_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", k.AccessKey, may, k.CreatedAt, k.RevokedAt, k.Note)
				}
				_ = t.Flush()
			})
		},
	}
}

func (e *env) revokeKey() *cobra.Command {
	return &cobra.Command{
		Use: "revoke ACCESS_KEY", Short: "Let nobody in with a key any more", Args: args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) error {
			if _, err := e.client().Do(cmd.Context(), http.MethodDelete, "/v1/keys/"+url.PathEscape(a[0]), nil, nil, nil); err != nil {
				return err
			}
			return e.print(map[string]string{"revoked": a[0]}, func(io.Writer) { e.say("revoked %s", a[0]) })
		},
	}
}
