package integration

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestReadmeSession runs the README's terminal session as it stands there, against a node of its own.
func TestReadmeSession(t *testing.T) {
	b, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	block, ok, closed := "", false, true
	for rest := string(b); !strings.Contains(block, " deploy ") && closed; {
		_, rest, ok = strings.Cut(rest, "```console\n")
		block, rest, closed = strings.Cut(rest, "```")
	}
	if !ok || !closed {
		t.Fatal("the README has no session")
	}
	var script strings.Builder
	script.WriteString("set -eu\n")
	lines := 0
	for line := range strings.Lines(block) {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			lines++
			command = strings.ReplaceAll(command, "$(bin/", "$( bin/")
			if strings.HasPrefix(command, "bin/") {
				command = " " + command
			}
			script.WriteString("echo '# " + strings.ReplaceAll(strings.TrimSpace(command), "'", `'\''`) + "'\n" + command)
		}
	}
	if lines < 6 {
		t.Fatalf("%d commands", lines)
	}
	node := start(t, t.TempDir(), freePort(t), freePort(t))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	dir := built(t)
	// The binary that the harness built; and nothing is left in the tree.
	cmd := exec.CommandContext(ctx, "bash", "-c", strings.ReplaceAll(script.String(), " bin/", " "+dir+"/"))
	cmd.Dir = ".." // a clone of the project, as the README supposes
	cmd.Env = append(os.Environ(), "DEED_SERVER=http://"+node.addr)
	said, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	for _, want := range []string{"InvocationSucceeded", "NotificationDelivered", "succeeded"} {
		if !strings.Contains(string(said), want) {
			t.Errorf("the session does not show %q:\n%s", want, said)
		}
	}
}
