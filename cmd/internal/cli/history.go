package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"deed/cmd/internal/httpapi"
)

func (e *env) history() *cobra.Command {
	return &cobra.Command{
		Use: "history ID", Short: "Show the events of an invocation, as they stand in the log", Args: args(1, 1),
		RunE: func(cmd *cobra.Command, a []string) error {
			path, err := id(a[0])
			if err != nil {
				return err
			}
			var out struct {
				Events []httpapi.Event `json:"events"`
			}
			if _, err := e.client().Do(cmd.Context(), http.MethodGet, path+"/events", nil, nil, &out); err != nil {
				return err
			}
			return e.print(out, func(w io.Writer) { printTimeline(w, out.Events) })
		},
	}
}

// printTimeline writes an event a line: where it stands, when, what, and what it says; logs of attempts below theirs.
func printTimeline(w io.Writer, events []httpapi.Event) {
	var first time.Time
	for _, ev := range events {
		at, _ := time.Parse(time.RFC3339Nano, ev.Time)
		if first.IsZero() {
			first = at
		}
		_, _ = fmt.Fprintf(w, "%d/%-6d %s %+9.3fs  %-22s %s\n", ev.Partition, ev.Offset, at.Format("15:04:05.000"), at.Sub(first).Seconds(), eventName(ev), describe(ev))
		var data map[string]any
		if json.Unmarshal(ev.Data, &data) == nil {
			if log, ok := data["log"].(string); ok {
				for line := range strings.SplitSeq(strings.TrimRight(log, "\n"), "\n") {
					_, _ = fmt.Fprintf(w, "%36s| %s\n", "", line)
				}
			}
		}
	}
}

func eventName(ev httpapi.Event) string {
	return strings.TrimSuffix(strings.TrimPrefix(ev.Type, "deed."), ".v1")
}

// describe says in a few words what an event holds.
func describe(ev httpapi.Event) string {
	var d map[string]any
	if json.Unmarshal(ev.Data, &d) != nil {
		return "(undecodable)"
	}
	var parts []string
	if !ev.Effective {
		parts = append(parts, "[void: "+ev.Void+"]")
	}
	for _, k := range []string{"attempt", "attempts", "function", "files", "kind", "exit_code", "condition", "due", "deadline", "redrives", "sink", "location", "reason", "error", "force", "payload", "result", "payload_size", "result_size"} {
		v, ok := d[k]
		if !ok || v == "" {
			continue
		}
		text := fmt.Sprint(v)
		if r := []rune(text); len(r) > 100 {
			text = string(r[:100]) + "…"
		}
		if k == "payload" || k == "result" {
			text = fmt.Sprintf("%q", text)
		}
		parts = append(parts, k+"="+text)
	}
	if us, ok := d["duration_us"].(float64); ok {
		parts = append(parts, "took="+(time.Duration(us)*time.Microsecond).String())
	}
	return strings.Join(parts, " ")
}

func (e *env) watch() *cobra.Command {
	return &cobra.Command{
		Use: "watch [ID]", Short: "Print events as they happen: of one invocation up to its end, or all", Args: args(0, 1),
		RunE: func(cmd *cobra.Command, a []string) error {
			path := "/v1/stream"
			if len(a) == 1 {
				p, err := id(a[0])
				if err != nil {
					return err
				}
				path = p + "/stream"
			}
			enc := json.NewEncoder(e.out)
			enc.SetEscapeHTML(false)
			err := e.client().Stream(cmd.Context(), path, func(ev httpapi.Event) error {
				if e.json {
					return enc.Encode(ev)
				}
				at, _ := time.Parse(time.RFC3339Nano, ev.Time)
				_, err := fmt.Fprintf(e.out, "%d/%-6d %s  %s  %-22s %s\n", ev.Partition, ev.Offset, at.Format("15:04:05.000"), ev.Subject, eventName(ev), describe(ev))
				return err
			})
			if cmd.Context().Err() != nil {
				return nil // Ctrl-C is how one ends it
			}
			return err
		},
	}
}
