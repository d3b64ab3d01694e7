package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"testing"

	"deed/eventstore/embedded"
	"deed/eventstore/kafka"

	"github.com/ThreeDotsLabs/watermill/message"
)

// TestRun: it writes the ends and nothing else, in order for each invocation, and goes on where it stopped.
func TestRun(t *testing.T) {
	b, err := embedded.Open(embedded.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	brokers := []string{b.Addr()}
	cluster, err := kafka.Open(t.Context(), kafka.Config{Brokers: brokers})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cluster.Close() }()
	const topic = "deed.invocations"
	if err := cluster.EnsureTopic(t.Context(), topic, 4); err != nil {
		t.Fatal(err)
	}
	log, err := cluster.Log(topic)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	publisher := kafka.NewPublisher(log, kafka.PublisherConfig{
		Topic: topic, Key: func(m *message.Message) []byte { return []byte(m.Metadata["ce_subject"]) },
		Partition: func(m *message.Message) int { return len(m.Metadata["ce_subject"]) % 4 },
	})
	publish := func(subject string, events ...string) {
		t.Helper()
		var messages []*message.Message
		for i, e := range events {
			m := message.NewMessage(fmt.Sprint(subject, "-", i), []byte("{}"))
			m.Metadata = message.Metadata{"ce_type": "deed." + e + ".v1", "ce_subject": subject, "ce_time": "2026-01-02T03:04:05.678Z"}
			messages = append(messages, m)
		}
		if err := publisher.Publish(topic, messages...); err != nil {
			t.Fatal(err)
		}
	}

	for round := range 2 {
		r, w := io.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- run(ctx, brokers, topic, "g", w) }()
		want := map[string]string{}
		for i, end := range []string{"InvocationSucceeded", "InvocationFailed", "InvocationDiscarded"} {
			subject := fmt.Sprintf("%d%0*d", round, i+1, 0)
			publish(subject, "InvocationRequested", "AttemptStarted", end, "NotificationOwed")
			want[subject] = "deed." + end + ".v1"
		}
		for lines := bufio.NewScanner(r); len(want) > 0; {
			if !lines.Scan() {
				t.Fatal("no more lines")
			}
			var l line
			if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
				t.Fatal(err)
			}
			if want[l.Invocation] != l.Event || l.Time != "2026-01-02T03:04:05.678Z" || l.Partition != len(l.Invocation)%4 || l.Offset != int64(4*round+2) {
				t.Errorf("round %d: %+v", round, l)
			}
			delete(want, l.Invocation)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		_ = w.Close()
		if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
			t.Errorf("round %d: %q was written besides, %v", round, rest, err)
		}
	}
}
