package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"deed/cmd/internal/httpapi"
	"deed/domain"
	"deed/runtime/files"
)

func functionPath(name string) string { return "/v1/functions/" + url.PathEscape(name) }

func (e *env) deploy() *cobra.Command {
	var timeout time.Duration
	var memory, maxOutput, dir string
	var vars []string
	var fuel int64
	cmd := &cobra.Command{
		Use: "deploy NAME FILE.wasm", Short: "Deploy a new version of a function", Args: args(2, 2),
		RunE: func(cmd *cobra.Command, a []string) error {
			module, err := os.ReadFile(a[1])
			if err != nil {
				return fmt.Errorf("the module cannot be read: %w", err)
			}
			q := url.Values{"timeout": {timeout.String()}, "memory": {memory}, "max_output": {maxOutput}, "env": vars}
			if fuel != 0 {
				q.Set("fuel", fmt.Sprint(fuel))
			}
			media, body, with := "application/wasm", module, ""
			if cmd.Flags().Changed("dir") {
				tree, err := collect(dir)
				if err != nil {
					return err
				}
				media, body = httpapi.Multipart(module, tree.Archive())
				count, bytes := tree.Files()
				with = fmt.Sprintf("; files: %d, %s (%s)", count, size(bytes), tree.Digest())
			}
			var f httpapi.Function
			if _, err := e.client().Do(cmd.Context(), http.MethodPut, functionPath(a[0])+"?"+q.Encode(), http.Header{"Content-Type": {media}}, body, &f); err != nil {
				return err
			}
			return e.print(f, func(w io.Writer) {
				_, _ = fmt.Fprintf(w, "deployed %s version %s (%s)%s\n", f.Name, f.Version, f.Digest, with)
			})
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", domain.DefaultTimeout, "time limit of an attempt")
	cmd.Flags().StringVar(&memory, "memory", "128MiB", "memory limit")
	cmd.Flags().StringVar(&maxOutput, "max-output", "6MiB", "output limit")
	cmd.Flags().Int64Var(&fuel, "fuel", 0, "limit of what an attempt may compute, in units of fuel; 0 is none but the time")
	cmd.Flags().StringVar(&dir, "dir", "", "directory that the function finds as /, read-only")
	cmd.Flags().StringArrayVar(&vars, "env", nil, "variable NAME=VALUE of the function's environment; may be repeated")
	return cmd
}

// collect reads the directory that is to be a function's files.
func collect(dir string) (*files.Tree, error) {
	tree, err := files.Collect(os.DirFS(dir))
	if r := (*domain.Rejection)(nil); errors.As(err, &r) {
		return nil, domain.Reject(r.Code, "--dir "+dir+": "+r.Words, r.Hint)
	}
	if err != nil {
		return nil, fmt.Errorf("--dir %s: %w", dir, err)
	}
	return tree, nil
}

func (e *env) deleteFunction() *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Short: "Delete a function", Args: args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) error {
			if _, err := e.client().Do(cmd.Context(), http.MethodDelete, functionPath(a[0]), nil, nil, nil); err != nil {
				return err
			}
			return e.print(map[string]string{"deleted": a[0]}, func(io.Writer) { e.say("deleted %s; its open invocations still run", a[0]) })
		},
	}
}

func (e *env) functions() *cobra.Command {
	return &cobra.Command{
		Use: "functions", Short: "List the functions", Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var out struct {
				Functions []httpapi.Function `json:"functions"`
			}
			if _, err := e.client().Do(cmd.Context(), http.MethodGet, "/v1/functions", nil, nil, &out); err != nil {
				return err
			}
			return e.print(out, func(w io.Writer) {
				t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				_, _ = fmt.Fprintln(t, "NAME\tVERSION\tFILES\tTIMEOUT\tMEMORY\tRETRIES\tON SUCCESS\tON FAILURE")
				for _, f := range out.Functions {
					retries, ok, bad := "-", "-", "-"
					if p := f.Policy; p != nil {
						retries, ok, bad = fmt.Sprint(*p.MaxRetries), dash(p.OnSuccess), dash(p.OnFailure)
					}
					filed := "-"
					if f.Files != "" {
						filed = size(f.FilesSize)
					}
					_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", f.Name, f.Version, filed, time.Duration(f.TimeoutMS)*time.Millisecond, size(f.Memory), retries, ok, bad)
				}
				_ = t.Flush()
			})
		},
	}
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func size(n int64) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%dMiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%dKiB", n>>10)
	}
	return fmt.Sprintf("%dB", n)
}

func (e *env) policy() *cobra.Command {
	cmd := &cobra.Command{Use: "policy", Short: "Set, show or unset a function's asynchronous policy"}
	var retries int
	var age time.Duration
	var onSuccess, onFailure string
	set := &cobra.Command{
		Use: "set NAME", Short: "Set the policy; what is not given has its default", Args: args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) error {
			if age%time.Second != 0 {
				return usageError{fmt.Errorf("--max-age %s is not whole seconds", age)}
			}
			seconds := int64(age / time.Second)
			body, err := json.Marshal(httpapi.Policy{MaxRetries: &retries, MaxAge: &seconds, OnSuccess: onSuccess, OnFailure: onFailure})
			if err != nil {
				return err
			}
			var f httpapi.Function
			if _, err := e.client().Do(cmd.Context(), http.MethodPut, functionPath(a[0])+"/policy", nil, body, &f); err != nil {
				return err
			}
			for _, w := range f.Warnings {
				e.say("warning: %s", w)
			}
			return e.print(f.Policy, func(w io.Writer) { printPolicy(w, f.Policy) })
		},
	}
	set.Flags().IntVar(&retries, "max-retries", domain.DefaultMaxRetries, "how often a failed invocation is tried again: 0 to 3")
	set.Flags().DurationVar(&age, "max-age", domain.DefaultMaxAge, "how long a request is valid: 1s to 86400s")
	set.Flags().StringVar(&onSuccess, "on-success", "", "told of successes: function:NAME, obs://bucket/prefix or dis:TOPIC")
	set.Flags().StringVar(&onFailure, "on-failure", "", "told of failures: function:NAME, obs://bucket/prefix or dis:TOPIC")
	show := &cobra.Command{
		Use: "show NAME", Short: "Show the policy", Args: args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) error {
			var p httpapi.Policy
			if _, err := e.client().Do(cmd.Context(), http.MethodGet, functionPath(a[0])+"/policy", nil, nil, &p); err != nil {
				return err
			}
			return e.print(p, func(w io.Writer) { printPolicy(w, &p) })
		},
	}
	unset := &cobra.Command{
		Use: "unset NAME", Short: "Unset the policy", Args: args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) error {
			if _, err := e.client().Do(cmd.Context(), http.MethodDelete, functionPath(a[0])+"/policy", nil, nil, nil); err != nil {
				return err
			}
			return e.print(map[string]string{"unset": a[0]}, func(io.Writer) { e.say("%s has no policy any more", a[0]) })
		},
	}
	cmd.AddCommand(set, show, unset)
	return cmd
}

func printPolicy(w io.Writer, p *httpapi.Policy) {
	_, _ = fmt.Fprintf(w, "max retries  %d\nmax age      %ds\non success   %s\non failure   %s\n", *p.MaxRetries, *p.MaxAge, dash(p.OnSuccess), dash(p.OnFailure))
}

func (e *env) version() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version of this program", Args: args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			v := httpapi.Version{Version: Version(), Protocol: domain.Protocol}
			return e.print(v, func(w io.Writer) { _, _ = fmt.Fprintf(w, "deed %s, log protocol %d\n", v.Version, v.Protocol) })
		},
	}
}
