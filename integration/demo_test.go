package integration

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestDemo: two runs print the same table and end with 0; one that expects something wrong says so and ends with 1; none
// leaves a directory behind.
func TestDemo(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	tmp := t.TempDir()
	demo := func(args ...string) (table string, code int) {
		cmd := exec.CommandContext(ctx, filepath.Join(built(t), "deed"), append([]string{"demo"}, args...)...)
		cmd.Dir = ".."
		cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
		var said bytes.Buffer
		cmd.Stderr = &said
		out, err := cmd.Output()
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			code = exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		table, _, ok := strings.Cut(string(out), "\nA success's notification")
		if !ok {
			t.Fatalf("no table:\n%s\n%s", out, said.String())
		}
		for _, want := range []string{"A failure's notification", "RetryScheduled", "To look further"} {
			if !strings.Contains(string(out), want) {
				t.Errorf("the demo does not show %q", want)
			}
		}
		return table, code
	}
	first, code := demo()
	if code != 0 || strings.Contains(first, "WRONG") {
		t.Errorf("code %d\n%s", code, first)
	}
	if second, code := demo(); code != 0 || second != first {
		t.Errorf("code %d\n%s\nand before\n%s", code, second, first)
	}
	if broken, code := demo("--break"); code != 1 || !strings.Contains(broken, "WRONG") {
		t.Errorf("code %d\n%s", code, broken)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}
