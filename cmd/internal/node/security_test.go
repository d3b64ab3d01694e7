package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"deed/eventstore/kafka"
)

// TestSecured: where the password comes from, and which settings do not fit together.
func TestSecured(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("of the file\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(passwordEnv, "of the environment")
	brokers := []string{"127.0.0.1:1"}
	for _, c := range []struct {
		config   Config
		password kafka.Secret
		says     string
	}{
		{Config{}, "", ""},
		{Config{Brokers: brokers}, "", ""},
		{Config{Brokers: brokers, Security: kafka.Security{TLS: true}}, "", ""},
		{Config{Brokers: brokers, Security: kafka.Security{User: "deed"}}, "of the environment", ""},
		{Config{Brokers: brokers, Security: kafka.Security{User: "deed"}, KafkaPasswordFile: file}, "of the file", ""},
		{Config{Brokers: brokers, Security: kafka.Security{User: "deed"}, KafkaPasswordFile: file + "!"}, "", "no such file"},
		{Config{Brokers: brokers, KafkaPasswordFile: file}, "", "--kafka-sasl-user"},
		{Config{Brokers: brokers, Security: kafka.Security{Mechanism: kafka.Plain}}, "", "--kafka-sasl-user"},
		{Config{Security: kafka.Security{TLS: true}}, "", "--brokers"},
		{Config{Security: kafka.Security{User: "deed"}}, "", "--brokers"},
	} {
		s, err := c.config.secured()
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v, want %q", c.config, err, c.says)
		}
		if err == nil && s.Password != c.password {
			t.Errorf("%+v: another password", c.config)
		}
	}
	t.Setenv(passwordEnv, "")
	if _, err := (Config{Brokers: brokers, Security: kafka.Security{User: "deed"}}).secured(); err == nil || !strings.Contains(err.Error(), passwordEnv) {
		t.Error(err)
	}
	for s, want := range map[kafka.Security]bool{
		{}:                                  false,
		{User: "a"}:                         true,
		{User: "a", Mechanism: kafka.Plain}: true,
		{User: "a", Mechanism: kafka.ScramSHA512}: false,
		{User: "a", TLS: true}:                    false,
		{User: "a", CA: "x"}:                      false,
	} {
		if bare(s) != want {
			t.Errorf("%+v", s)
		}
	}
}
