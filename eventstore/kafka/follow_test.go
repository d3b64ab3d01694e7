package kafka_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"deed/eventstore"
	"deed/eventstore/embedded"
	"deed/eventstore/kafka"

	"github.com/IBM/sarama"
)

// TestBrokerComesBack: a follower, an append made in the meantime and a read outlast a restart of the broker.
func TestBrokerComesBack(t *testing.T) {
	dir := t.TempDir()
	b, err := embedded.Open(embedded.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	l := open(t, connect(t, kafka.Config{Brokers: []string{b.Addr()}}), "t", 1)
	ctx, cancel := context.WithCancel(t.Context())
	got, ended := follow(ctx, l, 0, 0)
	expect := func(want string) {
		t.Helper()
		select {
		case m := <-got:
			if string(m.Value) != want {
				t.Fatalf("got %q, want %q", m.Value, want)
			}
		case err := <-ended:
			t.Fatal("follow ended:", err)
		}
	}
	for round := range 3 {
		appendAll(t, l, 0, fmt.Sprint(round, "a"))
		expect(fmt.Sprint(round, "a"))
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		acked := make(chan error, 1)
		l.Append(0, []eventstore.Message{{Value: fmt.Append(nil, round, "b")}}, func(_ int64, err error) { acked <- err })
		if b, err = embedded.Open(embedded.Config{Dir: dir, Listen: b.Addr()}); err != nil {
			t.Fatal(err)
		}
		expect(fmt.Sprint(round, "b"))
		if err := <-acked; err != nil {
			t.Fatal(err)
		}
		if all, err := l.Read(t.Context(), 0, int64(2*round), 10); err != nil || len(all) == 0 {
			t.Fatal(all, err)
		}
		if _, end, err := l.Bounds(t.Context(), 0); err != nil || end != int64(2*round+2) {
			t.Fatal(end, err)
		}
	}
	cancel()
	if err := <-ended; err != context.Canceled { //nolint:errorlint // the cause itself
		t.Error("follow ended with", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// TestNoBroker: with nobody to talk to, everything still ends with its context.
func TestNoBroker(t *testing.T) {
	b := broker(t)
	c := connect(t, kafka.Config{Brokers: []string{b.Addr()}})
	l := open(t, c, "t", 1)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, ended := follow(ctx, l, 0, 0)
	results := make(chan error, 4)
	go func() { _, err := l.Read(ctx, 0, 0, 1); results <- err }()
	go func() { _, _, err := l.Bounds(ctx, 0); results <- err }()
	go func() { results <- c.EnsureTopic(ctx, "other", 1) }()
	go func() { _, err := kafka.Open(ctx, kafka.Config{Brokers: []string{b.Addr()}}); results <- err }()
	cancel()
	for range 4 {
		if err := <-results; err == nil {
			t.Error("no error without a broker")
		}
	}
	if err := <-ended; err != context.Canceled { //nolint:errorlint // the cause itself
		t.Error("follow ended with", err)
	}
}

// TestStepsOverMarkers: a transactional stranger's control records are gaps to us, also right where a read begins.
func TestStepsOverMarkers(t *testing.T) {
	addrs, topic := fake(t).ListenAddrs(), newTopic() // the embedded broker has no transactions
	if os.Getenv("DEED_TEST_BROKERS") != "" {
		addrs = brokers(t)
	}
	l := open(t, connect(t, kafka.Config{Brokers: addrs}), topic, 1)
	conf := sarama.NewConfig()
	conf.Producer.Idempotent, conf.Producer.RequiredAcks, conf.Net.MaxOpenRequests = true, sarama.WaitForAll, 1
	conf.Producer.Return.Successes, conf.Producer.Transaction.ID = true, topic
	p, err := sarama.NewSyncProducer(addrs, conf)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []string{"one", "two"} { // offsets 0 and 2; markers are 1 and 3
		if err := p.BeginTxn(); err != nil {
			t.Fatal(err)
		}
		if _, _, err := p.SendMessage(&sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(v)}); err != nil {
			t.Fatal(err)
		}
		if err := p.CommitTxn(); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	for end := int64(0); end < 4; { // a coordinator writes the last marker when it has answered
		if _, end, err = l.Bounds(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	}
	appendAll(t, l, 0, "three")
	want := map[int64]string{0: "one", 2: "two", 4: "three"}
	got, _ := follow(t.Context(), l, 0, 0)
	for range want {
		if m := <-got; want[m.Offset] != string(m.Value) {
			t.Errorf("followed %q at %d", m.Value, m.Offset)
		}
	}
	for from, first := range []int64{0, 2, 2, 4, 4} {
		if r, err := l.Read(t.Context(), 0, int64(from), 1); err != nil || len(r) != 1 || r[0].Offset != first {
			t.Errorf("read at %d: %v, %v; want the record at %d", from, r, err, first)
		}
	}
	if r, err := l.Read(t.Context(), 0, 5, 1); err != nil || len(r) != 0 {
		t.Errorf("read at the end: %v, %v", r, err)
	}
}

// TestOtherFormats: compressed batches of strangers are read.
func TestOtherFormats(t *testing.T) {
	addrs, topic := brokers(t), newTopic()
	l := open(t, connect(t, kafka.Config{Brokers: addrs}), topic, 1)
	for _, codec := range []sarama.CompressionCodec{sarama.CompressionGZIP, sarama.CompressionSnappy, sarama.CompressionLZ4, sarama.CompressionZSTD} {
		conf := sarama.NewConfig()
		conf.Producer.Return.Successes, conf.Producer.Compression = true, codec
		p, err := sarama.NewSyncProducer(addrs, conf)
		if err != nil {
			t.Fatal(err)
		}
		_, offset, err := p.SendMessage(&sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(codec.String())})
		if err != nil {
			t.Fatal(err)
		}
		if r, err := l.Read(t.Context(), 0, offset, 1); err != nil || len(r) != 1 || string(r[0].Value) != codec.String() {
			t.Errorf("%s: %v, %v", codec, r, err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
