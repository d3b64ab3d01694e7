package integration

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"deed/integration/kafkatest"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"
)

const brokersPassword = "correct-horse-battery"

// guardedNode runs a node on guarded brokers: it deploys, invokes and waits for the outcome.
func guardedNode(ctx context.Context, t *testing.T, args ...string) {
	t.Helper()
	node := start(t, t.TempDir(), freePort(t), "", args...)
	node.waitReady(ctx, 200)
	node.deploy("echo", "echo", "", "")
	r := run(ctx, t, []string{"DEED_SERVER=http://" + node.addr}, "invoke", "echo", "--data", "let in", "--wait")
	if r.code != 0 || r.out != "let in" {
		t.Errorf("%+v", r)
	}
}

func authority(t *testing.T) *kafkatest.Authority {
	t.Helper()
	a, err := kafkatest.NewAuthority(t.TempDir(), "authority")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func passwordFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(path, []byte(brokersPassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestGuardedBroker: a node on a broker that speaks TLS only, asks for a certificate and for a password.
func TestGuardedBroker(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	a := authority(t)
	cert, key, _, err := a.Issue("broker")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(a.CA)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "deed", brokersPassword),
		kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13}))
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	mine, myKey, _, err := a.Issue("node")
	if err != nil {
		t.Fatal(err)
	}
	guardedNode(ctx, t, "--brokers", strings.Join(broker.ListenAddrs(), ","), "--kafka-tls", "--kafka-ca", a.CA, "--kafka-cert", mine, "--kafka-key", myKey,
		"--kafka-sasl-user", "deed", "--kafka-sasl-mechanism", "SCRAM-SHA-512", "--kafka-password-file", passwordFile(t))
}

// TestGuardedKafka: the same on Apache Kafka, with each mechanism, and what a node says that is not let in.
func TestGuardedKafka(t *testing.T) {
	if !*onKafka {
		t.Skip("Apache Kafka is not asked for: make test-kafka runs this")
	}
	if missing := kafkatest.Missing(); missing != "" {
		t.Skip("no Apache Kafka: " + missing)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	a := authority(t)
	_, _, both, err := a.Issue("broker")
	if err != nil {
		t.Fatal(err)
	}
	cert, key, _, err := a.Issue("node")
	if err != nil {
		t.Fatal(err)
	}
	plain := `org.apache.kafka.common.security.plain.PlainLoginModule required username="admin" password="` + brokersPassword +
		`" user_admin="` + brokersPassword + `" user_deed="` + brokersPassword + `";`
	cluster, err := kafkatest.Start(ctx, kafkatest.Config{Dir: t.TempDir(), Nodes: 1, Listener: "SASL_SSL", Properties: map[string]string{
		"ssl.keystore.type": "PEM", "ssl.keystore.location": both, "ssl.truststore.type": "PEM", "ssl.truststore.location": a.CA,
		"listener.name.clients.ssl.client.auth": "required", // without the listener's name it is not heeded where there is SASL
		"sasl.enabled.mechanisms":               "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512", "sasl.mechanism.inter.broker.protocol": "PLAIN",
		"listener.name.clients.plain.sasl.jaas.config":         plain,
		"listener.name.clients.scram-sha-256.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
		"listener.name.clients.scram-sha-512.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Stop()
	enrol(t, cluster.Brokers(), a.CA, cert, key)
	encrypted := []string{"--brokers", strings.Join(cluster.Brokers(), ","), "--kafka-ca", a.CA, "--kafka-cert", cert, "--kafka-key", key}
	with := func(more ...string) []string { return append(slices.Clip(encrypted), more...) }
	password := passwordFile(t)
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		t.Run(mechanism, func(t *testing.T) {
			guardedNode(ctx, t, with("--namespace", "ns-"+strings.ToLower(mechanism), "--kafka-sasl-user", "deed", "--kafka-sasl-mechanism", mechanism, "--kafka-password-file", password)...)
			r := run(ctx, t, []string{"DEED_KAFKA_PASSWORD=" + brokersPassword + "-wrong"}, append([]string{"serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0"},
				with("--kafka-sasl-user", "deed", "--kafka-sasl-mechanism", mechanism)...)...)
			if r.code != 1 || !strings.Contains(r.err, "uthentication") || strings.Contains(r.err, "horse") {
				t.Errorf("a wrong password: exit %d: %s", r.code, r.err)
			}
		})
	}
	other, err := kafkatest.NewAuthority(t.TempDir(), "other")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"another authority": {[]string{"--brokers", strings.Join(cluster.Brokers(), ","), "--kafka-ca", other.CA}, "unknown authority"},
		"no certificate":    {[]string{"--brokers", strings.Join(cluster.Brokers(), ","), "--kafka-ca", a.CA, "--kafka-sasl-user", "deed", "--kafka-password-file", password}, "certificate"},
	} {
		r := run(ctx, t, nil, append([]string{"serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0"}, c.args...)...)
		if r.code != 1 || !strings.Contains(r.err, c.says) {
			t.Errorf("%s: exit %d: %s", name, r.code, r.err)
		}
	}
}

// enrol gives the user "deed" its SCRAM passwords.
func enrol(t *testing.T, brokers []string, ca, cert, key string) {
	t.Helper()
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	c := sarama.NewConfig()
	c.Version = sarama.V2_8_0_0
	c.Net.TLS.Enable, c.Net.TLS.Config = true, &tls.Config{RootCAs: x509.NewCertPool(), Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	c.Net.TLS.Config.RootCAs.AppendCertsFromPEM(pem)
	c.Net.SASL.Enable, c.Net.SASL.User, c.Net.SASL.Password = true, "admin", brokersPassword
	admin, err := sarama.NewClusterAdmin(brokers, c)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	for _, m := range []sarama.ScramMechanismType{sarama.SCRAM_MECHANISM_SHA_256, sarama.SCRAM_MECHANISM_SHA_512} { // one a call: Kafka takes a user once
		results, err := admin.UpsertUserScramCredentials([]sarama.AlterUserScramCredentialsUpsert{
			{Name: "deed", Mechanism: m, Iterations: 4096, Salt: []byte("salt of the test"), Password: []byte(brokersPassword)},
		})
		if err != nil || len(results) != 1 || results[0].ErrorCode != sarama.ErrNoError {
			t.Fatalf("%+v: %v", results, err)
		}
	}
}
