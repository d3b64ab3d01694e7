package stream_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"deed/domain"
	"deed/eventstore"
	"deed/eventstore/embedded"
	"deed/eventstore/kafka"
	"deed/runtime/sink/sinktest"
	"deed/runtime/sink/stream"
	"deed/runtime/worker"
)

// faulty is a cluster that fails in the ways of the suite.
type faulty struct {
	stream.Topics
	way sinktest.Way
}

var errPlanted = errors.New("planted")

func (f *faulty) Publish(ctx context.Context, topic, uuid string, m eventstore.Message) (int, int64, error) {
	switch f.way {
	case sinktest.Failing:
		return 0, 0, errPlanted
	case sinktest.FailsAfter:
		if _, _, err := f.Topics.Publish(ctx, topic, uuid, m); err != nil {
			return 0, 0, err
		}
		return 0, 0, errPlanted
	case sinktest.Slow:
		<-ctx.Done()
		return 0, 0, context.Cause(ctx)
	case sinktest.Gone:
		topic = "gone"
	default:
	}
	return f.Topics.Publish(ctx, topic, uuid, m)
}

func open(t *testing.T) (w sinktest.World, log *kafka.Log) {
	t.Helper()
	broker, err := embedded.Open(embedded.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := kafka.Open(t.Context(), kafka.Config{Brokers: []string{broker.Addr()}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := cluster.EnsureTopic(t.Context(), "orders", 3); err != nil {
		t.Fatal(err)
	}
	if log, err = cluster.Log("orders"); err != nil {
		t.Fatal(err)
	}
	streams, err := cluster.OpenStreams()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(streams.Close(), log.Close(), cluster.Close(), broker.Close()); err != nil {
			t.Error(err)
		}
	})
	f := &faulty{Topics: streams}
	w = sinktest.World{
		Sink:   &stream.Sink{Cluster: "c", Open: func(context.Context, domain.FunctionID, string) (stream.Topics, error) { return f, nil }},
		Target: "dis:orders",
		Held: func(t *testing.T, n worker.Notification) (held [][]byte) {
			for _, m := range all(t, log) {
				if eventstore.Attributes(m)["id"] == n.ID.String() {
					held = append(held, m.Value)
				}
			}
			return held
		},
		Break: map[sinktest.Way]func(*testing.T) func(){},
	}
	for _, way := range []sinktest.Way{sinktest.Failing, sinktest.FailsAfter, sinktest.Slow, sinktest.Gone} {
		w.Break[way] = func(*testing.T) func() {
			f.way = way
			return func() { f.way = "" }
		}
	}
	return w, log
}

// all is what the topic holds.
func all(t *testing.T, log *kafka.Log) (out []eventstore.Message) {
	t.Helper()
	for p := range log.Partitions() {
		start, end, err := log.Bounds(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		for start < end {
			ms, err := log.Read(t.Context(), p, start, 100)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, ms...)
			start = ms[len(ms)-1].Offset + 1
		}
	}
	return out
}

func TestSuite(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.World { w, _ := open(t); return w })
}

// TestMessage: what a consumer of a stream sees, and where the receipt says that it stands.
func TestMessage(t *testing.T) {
	w, log := open(t)
	n := sinktest.Notification(1, w.Target)
	where, err := w.Sink.Deliver(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	m := all(t, log)[0]
	if where != stream.Location("orders", m.Partition, m.Offset) {
		t.Errorf("it stands at %d:%d, and the receipt says %s", m.Partition, m.Offset, where)
	}
	if string(m.Key) != n.Invocation.ID.String() {
		t.Errorf("key %s", m.Key)
	}
	var got []string
	for _, h := range m.Headers {
		got = append(got, h.Key+"="+h.Value)
	}
	id := n.ID.String()
	want := []string{
		"_watermill_message_uuid=" + id, "ce_specversion=1.0", "ce_id=" + id, "ce_source=/deed/c/default", "ce_type=deed.Notification.v1",
		"ce_subject=" + n.Invocation.ID.String(), "ce_time=" + n.Invocation.EndedAt.String(), "ce_outcome=success", "ce_target=dis:orders", "content-type=application/json",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("headers\n%s\nnot\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestTooLarge: what no message can carry is told by reference.
func TestTooLarge(t *testing.T) {
	w, log := open(t)
	n := sinktest.Notification(1, w.Target)
	n.Record = domain.NotificationRecord(n.Invocation, nil, make([]byte, 3<<20))
	if _, err := w.Sink.Deliver(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	want, err := domain.Referred(n.Record, eventstore.MaxNotification)
	if got := all(t, log)[0].Value; err != nil || string(got) != string(want) || !strings.Contains(string(got), domain.DigestOf(n.Record).String()) {
		t.Errorf("%v\n%.300s", err, got)
	}
}

// TestKeys: what is told of one invocation stands in one partition, and partitions are used.
func TestKeys(t *testing.T) {
	w, log := open(t)
	for n := range byte(30) {
		if _, err := w.Sink.Deliver(t.Context(), sinktest.Notification(n, w.Target)); err != nil {
			t.Fatal(err)
		}
	}
	used := map[int]bool{}
	for _, m := range all(t, log) {
		used[m.Partition] = true
	}
	if len(used) != 3 {
		t.Errorf("%d of 3 partitions are used", len(used))
	}
}

// TestGoneIsNamed: the error of a topic that is not there says so, and comes within the time that a delivery has.
func TestGoneIsNamed(t *testing.T) {
	w, _ := open(t)
	n := sinktest.Notification(1, "dis:nowhere")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := w.Sink.Deliver(ctx, n); !errors.Is(err, kafka.ErrNoTopic) || !strings.Contains(err.Error(), "nowhere") {
		t.Error(err)
	}
}
