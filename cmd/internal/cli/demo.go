package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"deed/cmd/internal/door"
	"deed/cmd/internal/httpapi"
	"deed/cmd/internal/node"
	"deed/domain"
	"deed/projections/invocations"
)

// cast is what the demo plays: functions, how often each is invoked, and what must come of it by its definition.
type cast struct {
	example  string
	count    int
	limits   func(*domain.Limits)
	retries  int
	expected tally
}

// tally is a line of the table: what must come of every invocation of a function.
type tally struct {
	Outcome  domain.Outcome
	Kind     domain.FailureKind
	Attempts int // of each invocation
}

func demoCast() []cast {
	return []cast{
		{"echo", 120, nil, 2, tally{domain.Succeeded, "", 1}},
		{"flaky", 60, nil, 2, tally{domain.Succeeded, "", 2}},
		{"broken", 40, nil, 2, tally{domain.Failed, domain.FailedExit, 3}},
		{"spin", 10, func(l *domain.Limits) { l.Timeout = 300 * time.Millisecond }, 0, tally{domain.Failed, domain.FailedTimeout, 1}},
		{"greedy", 10, func(l *domain.Limits) { l.Memory = 32 << 20 }, 0, tally{domain.Failed, domain.FailedMemory, 1}},
	}
}

func (e *env) demo() *cobra.Command {
	var breakIt bool
	var keep string
	cmd := &cobra.Command{
		Use: "demo", Short: "Show the whole product on a small scale, in a temporary directory", Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir := keep
			if dir == "" {
				tmp, err := os.MkdirTemp("", "deed-demo-")
				if err != nil {
					return fmt.Errorf("temporary directory: %w", err)
				}
				defer func() { _ = os.RemoveAll(tmp) }()
				dir = tmp
			}
			return interrupted(cmd.Context(), e.play(cmd.Context(), dir, keep, breakIt))
		},
	}
	cmd.Flags().StringVar(&keep, "keep", "", "use this directory and keep it, to look at with deed serve --data")
	cmd.Flags().BoolVar(&breakIt, "break", false, "expect something wrong")
	_ = cmd.Flags().MarkHidden("break") // exists
	return cmd
}

func (e *env) play(ctx context.Context, dir, keep string, breakIt bool) (err error) {
	e.say("starting a node on an embedded Kafka broker in %s", dir)
	silent := slog.New(slog.NewTextHandler(e.err, &slog.HandlerOptions{Level: slog.LevelError}))
	n, err := node.Open(ctx, node.Config{Data: filepath.Join(dir, "data"), Listen: "127.0.0.1:0", Logger: silent})
	if err != nil {
		return err
	}
	s := serveNode(n, silent)
	run, stop := context.WithCancel(context.Background())
	owners := make(chan error, 1)
	go func() { owners <- n.Run(run) }()
	defer func() {
		stop()
		_ = s.http.Close()
		err = errors.Join(err, <-owners, n.Close())
	}()
	cast := demoCast()
	e.say("building the functions of examples/ for WebAssembly (the first time this compiles Go's library for it)")
	modules, err := buildExamples(ctx, filepath.Join(dir, "wasm"), cast)
	if err != nil {
		return err
	}
	e.say("deploying them")
	for i, c := range cast {
		limits := domain.DefaultLimits()
		if c.limits != nil {
			c.limits(&limits)
		}
		f := domain.NativeFunction(c.example)
		if _, err := n.Door.Deploy(ctx, f, door.Code{Module: modules[i]}, limits, nil); err != nil {
			return fmt.Errorf("deploy %s: %w", c.example, err)
		}
		p := domain.Policy{Set: true, MaxRetries: c.retries, MaxAge: 10 * time.Minute, OnSuccess: "obs://results/ok", OnFailure: "obs://results/failed"}
		if _, err := n.Door.SetPolicy(ctx, f, p); err != nil {
			return fmt.Errorf("policy of %s: %w", c.example, err)
		}
	}
	if breakIt {
		cast[0].expected.Attempts++
	}
	ids, err := e.invokeAll(ctx, n, s, cast)
	if err != nil {
		return err
	}
	return e.showAll(ctx, n, cast, ids, keep)
}

// buildExamples compiles the examples with the stock Go toolchain.
func buildExamples(ctx context.Context, dir string, cast []cast) ([][]byte, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("build the examples: %w", err)
	}
	modules := make([][]byte, len(cast))
	for i, c := range cast {
		out := filepath.Join(dir, c.example+".wasm")
		build := exec.CommandContext(ctx, "go", "build", "-o", out, "deed/examples/"+c.example) //nolint:gosec // names of ours
		build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
		build.WaitDelay = time.Second
		if b, err := build.CombinedOutput(); err != nil {
			return nil, domain.Reject(domain.CodeInvalid, fmt.Sprintf("building the example %s: %v\n%s", c.example, err, b), "run the demo in a clone of the project, with Go on the path: go run ./cmd/deed demo")
		}
		b, err := os.ReadFile(out) //nolint:gosec // just built
		if err != nil {
			return nil, fmt.Errorf("build the examples: %w", err)
		}
		modules[i] = b
	}
	return modules, nil
}

// invokeAll sends the requests over HTTP, mixed, and waits until every invocation is settled.
func (e *env) invokeAll(ctx context.Context, n *node.Node, s *server, cast []cast) (map[string][]string, error) {
	total := 0
	for _, c := range cast {
		total += c.count
	}
	e.say("invoking them %d times, asynchronously, and waiting for every outcome and its notification", total)
	client := &httpapi.Client{Base: "http://" + n.Addr(), HTTP: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}}
	bar := progressbar.NewOptions(total, progressbar.OptionSetWriter(e.err), progressbar.OptionSetDescription("settled"),
		progressbar.OptionShowCount(), progressbar.OptionThrottle(50*time.Millisecond), progressbar.OptionOnCompletion(func() { _, _ = fmt.Fprintln(e.err) }))
	ids := map[string][]string{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	var failed error
	for _, c := range cast {
		work := make(chan int)
		go func() {
			defer close(work)
			for i := range c.count {
				work <- i
			}
		}()
		for range 4 {
			wg.Go(func() {
				for i := range work {
					id, _, err := client.Invoke(ctx, c.example, fmt.Appendf(nil, `{"n":%d}`, i), 0)
					mu.Lock()
					if err != nil {
						failed = errors.Join(failed, err)
					}
					ids[c.example] = append(ids[c.example], id)
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	if failed != nil {
		return nil, failed
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() { // a node that fails must not leave us waiting
		select {
		case err := <-n.Failed():
			cancel(err)
		case err := <-s.failed:
			cancel(err)
		case <-ctx.Done():
		}
	}()
	err := n.Model.Until(ctx, func() bool {
		settled := 0
		for _, row := range n.Model.List(invocations.Filter{}) {
			if row.State.Settled() {
				settled++
			}
		}
		_ = bar.Set(settled)
		return settled >= total
	})
	return ids, err
}

// showAll prints what was found, and fails unless it is what the functions' definitions foretold.
func (e *env) showAll(ctx context.Context, n *node.Node, cast []cast, ids map[string][]string, keep string) error {
	w := e.out
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "\nFUNCTION\tOUTCOME\tFAILURE KIND\tINVOCATIONS\tATTEMPTS\tEXPECTED")
	wrong := 0
	for _, c := range cast {
		found := map[tally]int{}
		for _, id := range ids[c.example] {
			parsed, err := domain.ParseInvocationID(id)
			if err != nil {
				return err
			}
			row, _ := n.Model.Get(parsed)
			found[tally{row.State.Outcome, row.State.Kind, row.State.Done}]++
		}
		var kinds []tally
		for k := range found {
			kinds = append(kinds, k)
		}
		sort.Slice(kinds, func(i, j int) bool { return fmt.Sprint(kinds[i]) < fmt.Sprint(kinds[j]) })
		for _, k := range kinds {
			verdict := "as expected"
			if k != c.expected || found[k] != c.count {
				wrong++
				verdict = fmt.Sprintf("WRONG: expected %d × %s %s after %d attempts", c.count, c.expected.Outcome, dash(string(c.expected.Kind)), c.expected.Attempts)
			}
			_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%s\n", c.example, k.Outcome, dash(string(k.Kind)), found[k], found[k]*k.Attempts, verdict)
		}
	}
	_ = t.Flush()
	for _, show := range []struct{ what, function string }{{"A success", "flaky"}, {"A failure", "broken"}} {
		if err := e.showObject(ctx, n, show.what, ids[show.function][0]); err != nil {
			return err
		}
	}
	story := ids["flaky"][0]
	_, _ = fmt.Fprintf(w, "\nThe timeline of %s, retried once (partition/offset, time, event):\n", story)
	if err := e.showTimeline(ctx, n, w, story); err != nil {
		return err
	}
	if keep != "" {
		_, _ = fmt.Fprintf(w, "\nTo look further: deed serve --data %s, and in a second terminal: deed history %s\n", filepath.Join(keep, "data"), story)
	} else {
		_, _ = fmt.Fprintf(w, "\nTo look further: deed demo --keep DIR, then deed serve --data DIR/data, and in a second terminal: deed list; deed history ID\n")
	}
	if wrong > 0 {
		return fmt.Errorf("%d lines of the table are not what the functions' definitions say", wrong)
	}
	return nil
}

func (e *env) showObject(ctx context.Context, n *node.Node, what, id string) error {
	events, err := e.eventsOf(ctx, n, id)
	if err != nil {
		return err
	}
	for _, ev := range events {
		if eventName(ev) != "NotificationDelivered" {
			continue
		}
		_, path, ok := strings.Cut(string(ev.Data), `"location":"`)
		if !ok {
			continue
		}
		path, _, _ = strings.Cut(path, `"`)
		b, err := os.ReadFile(path) //nolint:gosec // an object of this demo
		if err != nil {
			return fmt.Errorf("notification object: %w", err)
		}
		_, _ = fmt.Fprintf(e.out, "\n%s's notification, %s:\n%s\n", what, path, b)
		return nil
	}
	return fmt.Errorf("request %s has no delivered notification", id)
}

func (e *env) eventsOf(ctx context.Context, n *node.Node, id string) ([]httpapi.Event, error) {
	var out struct {
		Events []httpapi.Event `json:"events"`
	}
	client := &httpapi.Client{Base: "http://" + n.Addr()}
	_, err := client.Do(ctx, http.MethodGet, "/v1/invocations/"+id+"/events", nil, nil, &out)
	return out.Events, err
}

func (e *env) showTimeline(ctx context.Context, n *node.Node, w io.Writer, id string) error {
	events, err := e.eventsOf(ctx, n, id)
	if err != nil {
		return err
	}
	printTimeline(w, events)
	return nil
}
