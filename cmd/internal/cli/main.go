// Package cli is the command line. Data goes to stdout, words to stderr; exit codes are 0 done, 1 the thing failed,
// 2 usage, 3 no server.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"deed/cmd/internal/access"
	"deed/cmd/internal/httpapi"
	"deed/domain"
)

// Exit codes.
const (
	exitDone = iota
	exitFailed
	exitUsage
	exitUnreachable
)

// env is what a command works with.
type env struct {
	in       io.Reader
	out, err io.Writer
	server   string
	project  string
	json     bool

	credentials access.Credentials // of the environment; zero: none
}

// quietError is a failure of which everything has been said.
type quietError struct{ code int }

func (quietError) Error() string { return "" }

// usageError is a mistake in how the command was written.
type usageError struct{ error }

// Main runs a command line and returns the exit code.
func Main(args []string, in io.Reader, out, errOut io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	e := &env{in: in, out: out, err: errOut}
	root := e.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	return e.report(root.ExecuteContext(ctx))
}

// report says what went wrong, with a hint where there is one, and chooses the exit code.
func (e *env) report(err error) int {
	var quiet quietError
	var usage usageError
	var problem *httpapi.Problem
	var rejection *domain.Rejection
	var unreachable *httpapi.UnreachableError
	hint, code := "", exitFailed
	words := ""
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &quiet):
		return quiet.code
	case errors.As(err, &problem):
		words, hint = problem.Title, problem.Hint
		if problem.Detail != "" {
			words += " (" + problem.Detail + ")"
		}
	case errors.As(err, &rejection):
		words, hint = rejection.Words, rejection.Hint
	case errors.As(err, &unreachable):
		words, hint, code = unreachable.Error(), "deed serve starts one; --server or DEED_SERVER names another", exitUnreachable
	case errors.As(err, &usage), strings.HasPrefix(err.Error(), "unknown command"):
		words, hint, code = err.Error(), "deed help shows how commands are written", exitUsage
	default:
		words = err.Error()
	}
	_, _ = fmt.Fprintln(e.err, "error: "+words)
	if hint != "" {
		_, _ = fmt.Fprintln(e.err, "hint: "+hint)
	}
	return code
}

func (e *env) root() *cobra.Command {
	c := &cobra.Command{
		Use:           "deed",
		Short:         "Run WebAssembly functions asynchronously, and keep the record of what became of each request",
		SilenceErrors: true, SilenceUsage: true,
	}
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	server := os.Getenv("DEED_SERVER")
	if server == "" {
		server = "http://127.0.0.1:3333"
	}
	c.PersistentFlags().StringVar(&e.server, "server", server, "address of the server (DEED_SERVER)")
	c.PersistentFlags().StringVar(&e.project, "project", os.Getenv("DEED_PROJECT"), "project of the functions (DEED_PROJECT; default: the key's only one, or \"default\")")
	e.credentials = access.Credentials{Access: os.Getenv("DEED_ACCESS_KEY"), Secret: os.Getenv("DEED_SECRET_KEY")}
	c.PersistentFlags().BoolVar(&e.json, "json", false, "print JSON")
	c.AddCommand(
		e.demo(), e.serve(), e.deploy(), e.deleteFunction(), e.functions(), e.policy(), e.invoke(), e.get(), e.list(),
		e.history(), e.watch(), e.cancel(), e.redrive(), e.operations(), e.notifications(), e.reconcile(), e.nodes(), e.keys(), e.log(), e.version(),
	)
	return c
}

// args checks the number of arguments as a usage error.
func args(low, high int) cobra.PositionalArgs {
	return func(c *cobra.Command, a []string) error {
		if len(a) < low || len(a) > high {
			return usageError{fmt.Errorf("%s: %d arguments given; write: %s", c.CommandPath(), len(a), c.UseLine())}
		}
		return nil
	}
}

func (e *env) client() *httpapi.Client {
	base := e.server
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	return &httpapi.Client{Base: base, Project: e.project, Credentials: e.credentials}
}

// print writes v as JSON with --json, else what human makes of it.
func (e *env) print(v any, human func(w io.Writer)) error {
	if !e.json {
		human(e.out)
		return nil
	}
	enc := json.NewEncoder(e.out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func (e *env) say(format string, a ...any) { _, _ = fmt.Fprintf(e.err, format+"\n", a...) }
