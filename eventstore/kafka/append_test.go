package kafka_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"deed/eventstore"
	"deed/eventstore/kafka"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fake is a broker whose answers a test can change.
func fake(t testing.TB, topics ...string) *kfake.Cluster {
	t.Helper()
	b, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, topics...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

type answer struct {
	offset int64
	err    error
}

func unknown(err error) bool { return errors.Is(err, eventstore.ErrUnknownOutcome) }

// TestRefused: what certainly does not stand in the log is not called unknown, and disturbs nobody.
func TestRefused(t *testing.T) {
	l := open(t, connect(t, kafka.Config{Brokers: brokers(t)}), newTopic(), 1)
	answers := make(chan answer, 1)
	for name, c := range map[string]struct {
		partition int
		record    eventstore.Message
	}{
		"partition": {1, eventstore.Message{Value: []byte("x")}},
		"negative":  {-1, eventstore.Message{Value: []byte("x")}},
		"size":      {0, eventstore.Message{Value: make([]byte, kafka.MaxRecord)}},
		"time":      {0, eventstore.Message{Value: []byte("x"), Time: time.Unix(-5, 0)}},
	} {
		appendAll(t, l, 0, "before")
		l.Append(c.partition, []eventstore.Message{{Value: []byte("first of the call")}, c.record}, func(o int64, err error) { answers <- answer{o, err} })
		if a := <-answers; a.err == nil || unknown(a.err) || a.offset != -1 {
			t.Errorf("%s: %+v, want a definite error", name, a)
		}
		appendAll(t, l, 0, "behind")
	}
	l.Append(0, nil, func(o int64, err error) { answers <- answer{o, err} })
	if a := <-answers; a.err != nil || a.offset != -1 {
		t.Errorf("an append of nothing: %+v", a)
	}
	if _, end, err := l.Bounds(t.Context(), 0); err != nil || end != 8 {
		t.Errorf("the log ends at %d, %v, want 8", end, err)
	}
}

// refuseProduce answers the next produce request with an error code.
func refuseProduce(b *kfake.Cluster, code int16) {
	b.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) { //nolint:revive // the broker's signature
		req := r.(*kmsg.ProduceRequest)
		resp := req.ResponseKind().(*kmsg.ProduceResponse)
		for _, topic := range req.Topics {
			rt := kmsg.NewProduceResponseTopic()
			rt.Topic = topic.Topic
			for _, p := range topic.Partitions {
				rp := kmsg.NewProduceResponseTopicPartition()
				rp.Partition, rp.ErrorCode, rp.BaseOffset = p.Partition, code, -1
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil, true
	})
}

// TestBrokerRefuses: a refusal for what the record is, is definite; any other may follow a try that succeeded. A
// recognised repetition is a success without an offset.
func TestBrokerRefuses(t *testing.T) {
	b := fake(t, "t")
	c := connect(t, kafka.Config{Brokers: b.ListenAddrs()})
	answers := make(chan answer, 1)
	one := func(l *kafka.Log) answer {
		l.Append(0, []eventstore.Message{{Value: []byte("x")}}, func(o int64, err error) { answers <- answer{o, err} })
		return <-answers
	}
	l := open(t, c, "t", 1)
	if a := one(l); a.err != nil || a.offset != 0 {
		t.Fatalf("%+v", a)
	}
	for code, want := range map[sarama.KError]bool{sarama.ErrMessageSizeTooLarge: false, sarama.ErrInvalidTimestamp: false, sarama.ErrTopicAuthorizationFailed: true} {
		refuseProduce(b, int16(code))
		if a := one(l); a.err == nil || unknown(a.err) != want || !errors.Is(a.err, code) {
			t.Errorf("%v: %v, unknown should be %v", code, a.err, want)
		}
	}
	if a := one(l); a.err != nil || a.offset != 1 {
		t.Errorf("after refusals: %+v", a)
	}
	for _, code := range []sarama.KError{sarama.ErrDuplicateSequenceNumber, sarama.ErrNoError} {
		l := open(t, c, "t", 1) // anew, for its sequence is behind what it was told
		refuseProduce(b, int16(code))
		if a := one(l); a.err != nil || a.offset != -1 {
			t.Errorf("%v: a repetition: %+v, want offset -1", code, a)
		}
	}
}

// TestUnanswered: an append that nobody answers is unknown, so are those behind it, and Close does not wait for ever.
func TestUnanswered(t *testing.T) {
	b := fake(t, "t")
	l := open(t, connect(t, kafka.Config{Brokers: b.ListenAddrs(), AppendTimeout: 300 * time.Millisecond}), "t", 1)
	appendAll(t, l, 0, "a")
	seen := make(chan struct{})
	b.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) { //nolint:revive // the broker's signature
		close(seen)
		return nil, nil, true // heard, and never answered
	})
	answers := make(chan answer, 3)
	done := func(o int64, err error) { answers <- answer{o, err} }
	l.Append(0, []eventstore.Message{{Value: []byte("b")}}, done)
	<-seen
	l.Append(0, []eventstore.Message{{Value: []byte("c")}}, done)
	l.Append(0, []eventstore.Message{{Value: []byte("d")}}, done)
	for range 3 {
		if a := <-answers; !unknown(a.err) || a.offset != -1 {
			t.Errorf("%+v, want an unknown outcome", a)
		}
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// TestCloseWithoutBroker: what is on the way becomes unknown, and Close returns.
func TestCloseWithoutBroker(t *testing.T) {
	b := broker(t)
	l := open(t, connect(t, kafka.Config{Brokers: []string{b.Addr()}, AppendTimeout: 300 * time.Millisecond}), "t", 1)
	appendAll(t, l, 0, "a")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	answers := make(chan answer, 100)
	for range 100 {
		l.Append(0, []eventstore.Message{{Value: []byte("b")}}, func(o int64, err error) { answers <- answer{o, err} })
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if len(answers) != 100 {
		t.Fatalf("%d answers after Close, want 100", len(answers))
	}
	for range 100 {
		if a := <-answers; !unknown(a.err) {
			t.Fatalf("%+v, want an unknown outcome", a)
		}
	}
	if _, _, err := l.Bounds(t.Context(), 0); !errors.Is(err, eventstore.ErrClosed) {
		t.Errorf("bounds of a closed log: %v", err)
	}
	if _, err := l.Read(t.Context(), 0, 0, 1); !errors.Is(err, eventstore.ErrClosed) {
		t.Errorf("read of a closed log: %v", err)
	}
	if err := l.Follow(t.Context(), 0, 0, func([]eventstore.Message) error { return nil }); !errors.Is(err, eventstore.ErrClosed) {
		t.Errorf("follow of a closed log: %v", err)
	}
}

// TestAppendFromDone: done functions may append, however full everything is.
func TestAppendFromDone(t *testing.T) {
	l := open(t, connect(t, kafka.Config{Brokers: brokers(t)}), newTopic(), 1)
	const n = 5000
	all := make(chan error, 2*n)
	for i := range n {
		l.Append(0, []eventstore.Message{{Value: fmt.Append(nil, i)}}, func(_ int64, err error) {
			all <- err
			l.Append(0, []eventstore.Message{{Value: []byte("again")}}, func(_ int64, err error) { all <- err })
		})
	}
	for range 2 * n {
		if err := <-all; err != nil {
			t.Fatal(err)
		}
	}
}

// TestFull: what is unanswered is bounded. What is refused certainly does not stand in the log, and when there is room
// again appends are taken again.
func TestFull(t *testing.T) {
	b := fake(t, "t")
	l := open(t, connect(t, kafka.Config{Brokers: b.ListenAddrs(), QueueBytes: 100 << 10}), "t", 1)
	answers := make(chan answer, 100)
	one := func(size int) {
		l.Append(0, []eventstore.Message{{Value: make([]byte, size)}}, func(o int64, err error) { answers <- answer{o, err} })
	}
	one(200 << 10)
	if a := <-answers; a.err != nil {
		t.Fatalf("a large one alone: %v", a.err)
	}
	held, free := make(chan struct{}, 100), make(chan struct{})
	b.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) { //nolint:revive // the broker's signature
		held <- struct{}{}
		<-free
		return nil, nil, false
	})
	one(10 << 10)
	<-held
	for range 99 {
		one(10 << 10)
	}
	refused := 0
	for range 100 - 9 {
		if a := <-answers; !errors.Is(a.err, eventstore.ErrFull) || unknown(a.err) || a.offset != -1 {
			t.Fatalf("%+v, want ErrFull", a)
		}
		refused++
	}
	close(free)
	for range 9 {
		if a := <-answers; a.err != nil {
			t.Errorf("what was taken: %v", a.err)
		}
	}
	one(90 << 10)
	if a := <-answers; a.err != nil || a.offset != 10 {
		t.Errorf("after that: %+v, want offset 10", a)
	}
}
