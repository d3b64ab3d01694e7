package integration

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// TestImportArrows repeats the rules that matter most, so that go test guards them where no linter is installed. An entry
// forbids a package (and what is below) everywhere, or below some path, but for the places that may.
func TestImportArrows(t *testing.T) {
	rules := []struct{ in, forbidden, but, why string }{
		{"deed/domain", "github.com/", "", "domain imports nothing but the standard library"},
		{"deed/domain", "golang.org/", "", "domain imports nothing but the standard library"},
		{"deed/domain", "os", "", "the domain does not look at the world"},
		{"deed/domain", "context", "", "a decision cannot be cancelled"},
		{"deed/domain", "deed/eventstore", "", "domain knows nobody"},
		{"deed/eventstore", "deed/projections", "", "the event store does not derive"},
		{"deed/eventstore", "deed/runtime", "", "the event store does not act"},
		{"deed/projections", "deed/runtime", "", "projections derive; they do not act"},
		{"deed/runtime", "deed/projections", "", "runtime declares the small interface it needs"},
		{"deed", "deed/cmd", "deed/cmd", "nothing imports cmd"},
		{"deed", "deed/integration", "deed/integration", "nothing imports integration"},
		{"deed", "deed/eventstore/storetest", "", "test helpers stay out of the binary"},
		{"deed", "github.com/tetratelabs/wazero", "deed/runtime/wasm", "only runtime/wasm speaks to wazero"},
		{"deed", "github.com/IBM/sarama", "deed/eventstore/kafka", "only eventstore/kafka speaks to Sarama"},
		{"deed", "github.com/ThreeDotsLabs", "deed/eventstore/kafka", "only eventstore/kafka speaks to Watermill"},
		{"deed", "github.com/twmb/franz-go", "deed/eventstore/embedded", "only eventstore/embedded runs the broker"},
		{"deed", "modernc.org/sqlite", "deed/eventstore/keys", "only eventstore/keys opens SQLite"},
		{"deed", "gocloud.dev", "deed/eventstore/blob", "only eventstore/blob speaks to object stores"},
		{"deed", "github.com/aws", "deed/eventstore/blob", "only eventstore/blob speaks to object stores"},
		{"deed", "github.com/prometheus", "deed/cmd/internal/node", "only the node has figures for Prometheus"},
	}
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", "deed/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	below := func(path, root string) bool {
		return path == strings.TrimSuffix(root, "/") || strings.HasPrefix(path, strings.TrimSuffix(root, "/")+"/")
	}
	seen := 0
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		seen++
		for _, r := range rules {
			if !below(p.ImportPath, r.in) || r.but != "" && below(p.ImportPath, r.but) {
				continue
			}
			if p.ImportPath == "deed/examples/consumer" && r.forbidden == "github.com/ThreeDotsLabs" {
				continue // it shows how, and is no part of the product
			}
			for _, i := range p.Imports {
				if below(i, r.forbidden) {
					t.Errorf("%s imports %s: %s", p.ImportPath, i, r.why)
				}
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d packages were seen", seen)
	}
}
