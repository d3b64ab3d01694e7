package node

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestKeysAndSecrets: a node that has keys stays closed to whoever has not its sealing key, and nothing that it stores has a
// secret in it.
func TestKeysAndSecrets(t *testing.T) {
	data := t.TempDir()
	open := func(c Config) (*Node, error) {
		c.Data, c.Durability = data, "process"
		if c.Listen == "" {
			c.Listen = "127.0.0.1:0"
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		return Open(ctx, c)
	}
	if n, err := open(Config{Listen: "0.0.0.0:0"}); err == nil {
		_ = n.Close()
		t.Fatal("without keys a node serves others than its machine")
	}
	n, err := open(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if n.Registry.Keyed() {
		t.Error("there is a key")
	}
	op, err := n.AccessKeys().Create(t.Context(), nil, true, "ops")
	if err != nil {
		t.Fatal(err)
	}
	one, err := n.AccessKeys().Create(t.Context(), []string{"p1"}, false, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []struct {
		projects []string
		operator bool
		note     string
	}{{[]string{"p1"}, true, ""}, {nil, false, ""}, {[]string{"a b"}, false, ""}, {nil, true, strings.Repeat("n", 201)}} {
		if _, err := n.AccessKeys().Create(t.Context(), bad.projects, bad.operator, bad.note); err == nil {
			t.Errorf("%+v is made", bad)
		}
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	seal := filepath.Join(data, "seal.key")
	key, err := os.ReadFile(seal) //nolint:gosec // a test's own file
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{op.Secret, one.Secret} {
		if err := filepath.WalkDir(data, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(path) //nolint:gosec // as above
			if strings.Contains(string(b), secret) || path != seal && strings.Contains(string(b), strings.TrimSpace(string(key))) {
				t.Errorf("%s holds a secret", path)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	if n, err = open(Config{Listen: "0.0.0.0:0"}); err != nil {
		t.Fatalf("with keys a node may serve others: %v", err)
	}
	if k, ok := n.Registry.Key(one.Access); !ok || !k.May("p1") {
		t.Errorf("%+v", k)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(seal, []byte(strings.Repeat("ab", 32)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := open(Config{}); err == nil || !strings.Contains(err.Error(), "cannot be checked") {
		if err == nil {
			_ = n.Close()
		}
		t.Errorf("with another sealing key: %v", err)
	}
	t.Setenv(sealKeyVariable, strings.TrimSpace(string(key)))
	if n, err = open(Config{}); err != nil {
		t.Fatalf("with the key in the environment: %v", err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}
