package embedded_test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"deed/eventstore"
	"deed/eventstore/embedded"
	"deed/eventstore/kafka"
	"deed/eventstore/storetest"

	"github.com/IBM/sarama"
)

func open(t testing.TB, c embedded.Config) *embedded.Broker {
	t.Helper()
	b, err := embedded.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// TestRefusals: every mistake of the operator is one sentence.
func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	b := open(t, embedded.Config{Dir: dir})
	for name, c := range map[string]struct {
		config embedded.Config
		want   string
	}{
		"no directory":   {embedded.Config{}, "no directory given"},
		"directory used": {embedded.Config{Dir: dir}, "is in use by another broker"},
		"port used":      {embedded.Config{Dir: t.TempDir(), Listen: b.Addr()}, "port " + b.Addr() + " is in use"},
		"everywhere":     {embedded.Config{Dir: t.TempDir(), Listen: ":9092"}, "not a loopback address"},
		"any address":    {embedded.Config{Dir: t.TempDir(), Listen: "0.0.0.0:9092"}, "not a loopback address"},
		"a name":         {embedded.Config{Dir: t.TempDir(), Listen: "example.org:9092"}, "not a loopback address"},
		"no port":        {embedded.Config{Dir: t.TempDir(), Listen: "127.0.0.1"}, "is not host:port"},
	} {
		other, err := embedded.Open(c.config)
		if err == nil {
			_ = other.Close()
			t.Errorf("%s: no error", name)
		} else if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %q, want one line with %q", name, err, c.want)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(b.Addr())
	open(t, embedded.Config{Dir: dir, Listen: "localhost:" + port}) // both are free again
}

// TestLog: eventstore/kafka keeps its contract on it, durable or not.
func TestLog(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			b := open(t, embedded.Config{Dir: t.TempDir(), Durability: mode.durability})
			c, err := kafka.Open(t.Context(), kafka.Config{Brokers: []string{b.Addr()}, Producers: 2})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
			topics, names := 0, map[eventstore.Log]string{}
			storetest.Exercise(t, func(t *testing.T) eventstore.Log {
				topics++
				topic := fmt.Sprintf("t%d", topics)
				if err := c.EnsureTopic(t.Context(), topic, 3); err != nil {
					t.Fatal(err)
				}
				l, err := c.Log(topic)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = l.Close() })
				names[l] = topic
				return l
			}, func(l eventstore.Log, n int) error { return c.GrowTopic(t.Context(), names[l], n) })
		})
	}
}

// TestSize is about as much as was appended.
func TestSize(t *testing.T) {
	b := open(t, embedded.Config{Dir: t.TempDir()})
	if n, err := b.Size(); n != 0 || err != nil {
		t.Errorf("%d bytes at first, %v", n, err)
	}
	c, err := kafka.Open(t.Context(), kafka.Config{Brokers: []string{b.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.EnsureTopic(t.Context(), "t", 2); err != nil {
		t.Fatal(err)
	}
	l, err := c.Log("t")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	done := make(chan error, 1)
	l.Append(1, []eventstore.Message{{Value: make([]byte, 100_000)}}, func(_ int64, err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n, err := b.Size(); n < 100_000 || n > 101_000 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// TestRules: the broker refuses what it would do badly, whoever asks.
func TestRules(t *testing.T) {
	b := open(t, embedded.Config{Dir: t.TempDir()})
	conf := sarama.NewConfig()
	conf.Version = sarama.V2_8_0_0
	admin, err := sarama.NewClusterAdmin([]string{b.Addr()}, conf)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	create := func(name string, settings map[string]string) error {
		d := &sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: 1, ConfigEntries: map[string]*string{}}
		for k, v := range settings {
			d.ConfigEntries[k] = &v
		}
		return admin.CreateTopic(name, d, false)
	}
	for range 2 { // a rule is for ever
		for _, settings := range []map[string]string{{"cleanup.policy": "compact"}, {"cleanup.policy": "compact,delete"}, {"retention.ms": "1000"}, {"retention.bytes": "1"}} {
			if err := create("bad", settings); err == nil {
				t.Errorf("a topic with %v was made", settings)
			}
		}
	}
	if err := create("good", map[string]string{"cleanup.policy": "delete", "retention.ms": "-1"}); err != nil {
		t.Fatal(err)
	}
	compact := "compact"
	if err := admin.AlterConfig(sarama.TopicResource, "good", map[string]*string{"cleanup.policy": &compact}, false); err == nil {
		t.Error("a topic became compacted")
	}
	if err := admin.IncrementalAlterConfig(sarama.TopicResource, "good", map[string]sarama.IncrementalAlterConfigsEntry{
		"cleanup.policy": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &compact},
	}, false); err == nil {
		t.Error("a topic became compacted")
	}
	conf.Producer.Idempotent, conf.Producer.RequiredAcks, conf.Net.MaxOpenRequests = true, sarama.WaitForAll, 1
	conf.Producer.Return.Successes, conf.Producer.Transaction.ID = true, "x"
	if p, err := sarama.NewSyncProducer([]string{b.Addr()}, conf); err == nil {
		_ = p.Close()
		t.Error("a transactional producer was let in")
	}
}
