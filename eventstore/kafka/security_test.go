package kafka_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"deed/eventstore"
	"deed/eventstore/kafka"
	"deed/integration/kafkatest"
)

const password = "correct horse battery"

// guarded is a broker that lets in only whom it knows, or, with denies, nobody; the zero value of an argument leaves that check
// out.
func guarded(t *testing.T, a *kafkatest.Authority, clients bool, mechanism kafka.Mechanism, denies bool) []string {
	t.Helper()
	opts := []kfake.Opt{kfake.NumBrokers(1)}
	if a != nil {
		cert, key, _, err := a.Issue("broker")
		if err != nil {
			t.Fatal(err)
		}
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		c := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
		if clients {
			pem, err := os.ReadFile(a.CA)
			if err != nil {
				t.Fatal(err)
			}
			c.ClientCAs, c.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
			c.ClientCAs.AppendCertsFromPEM(pem)
		}
		opts = append(opts, kfake.TLS(c))
	}
	if mechanism != "" {
		opts = append(opts, kfake.EnableSASL(), kfake.Superuser(string(mechanism), "deed", password))
	}
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	if mechanism != "" && denies {
		// It would hang up without a word; Apache Kafka says why.
		cluster.ControlKey(int16(kmsg.SASLAuthenticate), func(r kmsg.Request) (kmsg.Response, error, bool) {
			cluster.KeepControl()
			refusal := r.ResponseKind().(*kmsg.SASLAuthenticateResponse) //nolint:forcetypeassert // by its key
			refusal.ErrorCode, refusal.ErrorMessage = 58, new("Authentication failed: Invalid username or password")
			return refusal, nil, true
		})
	}
	return cluster.ListenAddrs()
}

func authority(t *testing.T, name string) *kafkatest.Authority {
	t.Helper()
	a, err := kafkatest.NewAuthority(t.TempDir(), name)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestSecurity: whatever the brokers ask for, everything works that works without: topics, producers, followers, groups.
func TestSecurity(t *testing.T) {
	a := authority(t, "authority")
	cert, key, _, err := a.Issue("client")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name      string
		authority *kafkatest.Authority
		clients   bool
		mechanism kafka.Mechanism
		security  kafka.Security
	}{
		{"TLS", a, false, "", kafka.Security{TLS: true, CA: a.CA}},
		{"TLS of both sides", a, true, "", kafka.Security{CA: a.CA, Cert: cert, Key: key}},
		{"PLAIN over TLS", a, false, kafka.Plain, kafka.Security{CA: a.CA, User: "deed", Password: password}},
		{"PLAIN in the clear", nil, false, kafka.Plain, kafka.Security{User: "deed", Password: password, Mechanism: kafka.Plain}},
		{"SCRAM-SHA-256", nil, false, kafka.ScramSHA256, kafka.Security{User: "deed", Password: password, Mechanism: kafka.ScramSHA256}},
		{"SCRAM-SHA-512 over TLS of both sides", a, true, kafka.ScramSHA512, kafka.Security{CA: a.CA, Cert: cert, Key: key, User: "deed", Password: password, Mechanism: kafka.ScramSHA512}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			k := connect(t, kafka.Config{Brokers: guarded(t, c.authority, c.clients, c.mechanism, false), Security: c.security, Log: quiet()})
			topic := newTopic()
			if err := k.EnsureTopic(ctx, topic, 1); err != nil {
				t.Fatal(err)
			}
			l, err := k.Log(topic)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			done := make(chan error, 1)
			l.Append(0, []eventstore.Message{{Key: []byte("k"), Value: []byte("v")}}, func(_ int64, err error) { done <- err })
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			member, leave := context.WithCancel(ctx)
			defer leave()
			m := k.Membership("group-"+topic, topic)
			err = m.Run(member, func(p int) {
				// On the group's goroutine: what is assigned is followed and committed, and that is all.
				stop := fmt.Errorf("read")
				if err := l.Follow(ctx, p, 0, func(ms []eventstore.Message) error {
					if string(ms[0].Value) != "v" {
						t.Errorf("%q", ms[0].Value)
					}
					return stop
				}); err != stop { //nolint:errorlint // the value itself
					t.Error(err)
				}
				if err := m.Commit(ctx, p, eventstore.Position{Offset: 1}); err != nil {
					t.Error(err)
				}
				leave()
			}, func(int) {})
			if err != nil {
				t.Fatal(err)
			}
			if p, err := m.Committed(ctx, 0); err != nil || p.Offset != 1 {
				t.Error(p, err)
			}
		})
	}
}

// TestStrangers: who is not known is told so at once, in words without the password.
func TestStrangers(t *testing.T) {
	a, other := authority(t, "authority"), authority(t, "other")
	cert, key, _, err := other.Issue("client")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name      string
		authority *kafkatest.Authority
		clients   bool
		mechanism kafka.Mechanism
		security  kafka.Security
		says      string
	}{
		{"another authority", a, false, "", kafka.Security{CA: other.CA}, "unknown authority"},
		{"the system's authorities", a, false, "", kafka.Security{TLS: true}, "unknown authority"},
		{"no certificate of the client", a, true, "", kafka.Security{CA: a.CA}, "certificate"},
		{"a client's certificate of another authority", a, true, "", kafka.Security{CA: a.CA, Cert: cert, Key: key}, "certificate"},
		{"PLAIN, wrong password", nil, false, kafka.Plain, kafka.Security{User: "deed", Password: password + "!"}, "SASL"},
		{"SCRAM, wrong password", a, false, kafka.ScramSHA256, kafka.Security{CA: a.CA, User: "deed", Password: password + "!", Mechanism: kafka.ScramSHA256}, "SASL"},
		{"SCRAM, unknown user", nil, false, kafka.ScramSHA512, kafka.Security{User: "nobody", Password: password, Mechanism: kafka.ScramSHA512}, "SASL"},
		{"a mechanism that the broker has not", nil, false, kafka.Plain, kafka.Security{User: "deed", Password: password, Mechanism: "GSSAPI"}, "is not one of"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			var said strings.Builder
			k, err := kafka.Open(ctx, kafka.Config{Brokers: guarded(t, c.authority, c.clients, c.mechanism, true), Security: c.security, Log: slog.New(slog.NewTextHandler(&said, nil))})
			if err == nil {
				_ = k.Close()
				t.Fatal("let in")
			}
			if ctx.Err() != nil {
				t.Error("tried until the end of patience")
			}
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("%q is not said: %v", c.says, err)
			}
			if strings.Contains(err.Error()+said.String(), "battery") {
				t.Errorf("the password is said: %v %s", err, said.String())
			}
		})
	}
}

// TestClearAndEncrypted: a client cannot know that the other side speaks TLS and it does not; that it tries on is said, once,
// with what it met.
func TestClearAndEncrypted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	said := 0
	log := slog.New(slog.NewTextHandler(writerFunc(func(b []byte) {
		if strings.Contains(string(b), "trying on") {
			said++
			cancel()
		}
	}), nil))
	if _, err := kafka.Open(ctx, kafka.Config{Brokers: guarded(t, authority(t, "a"), false, "", false), Log: log}); err == nil || said != 1 {
		t.Errorf("said %d times: %v", said, err)
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(b []byte) (int, error) { f(b); return len(b), nil }

// TestFilesOfSecurity: what cannot be read, or is not what it should be, is named before anything is connected.
func TestFilesOfSecurity(t *testing.T) {
	a := authority(t, "a")
	cert, key, _, err := a.Issue("client")
	if err != nil {
		t.Fatal(err)
	}
	_, otherKey, _, err := a.Issue("other")
	if err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(t.TempDir(), "missing.pem")
	for says, s := range map[string]kafka.Security{
		"missing.pem: no such file":   {CA: missing},
		"no certificate in PEM":       {CA: key},
		"go together":                 {Cert: cert},
		"private key does not match":  {Cert: cert, Key: otherKey},
		missing + ": open " + missing: {Cert: cert, Key: missing},
	} {
		if _, err := kafka.Open(t.Context(), kafka.Config{Brokers: []string{"127.0.0.1:1"}, Security: s}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v, want %s", s, err, says)
		}
	}
}

// TestSecretIsNotShown, however it is printed.
func TestSecretIsNotShown(t *testing.T) {
	s := kafka.Security{User: "deed", Password: password}
	var text, structured strings.Builder
	slog.New(slog.NewTextHandler(&text, nil)).Info("x", "security", s, "password", s.Password)
	slog.New(slog.NewJSONHandler(&structured, nil)).Info("x", "security", s, "password", s.Password)
	j, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{
		fmt.Sprint(s), fmt.Sprintf("%v %+v %#v", s, s, s), fmt.Sprintf("%s %q %x %d %v", s.Password, s.Password, s.Password, s.Password, &s.Password),
		text.String(), structured.String(), string(j), fmt.Errorf("%v", s.Password).Error(),
	} {
		if strings.Contains(out, "battery") || strings.Contains(out, fmt.Sprintf("%x", "battery")) {
			t.Error(out)
		}
	}
}
