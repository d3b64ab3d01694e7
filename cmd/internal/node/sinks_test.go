package node

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"deed/domain"
	"deed/eventstore"
	"deed/eventstore/kafka"
	"deed/runtime/sink/stream"
	"deed/runtime/wasm/wasmtest"
)

// TestStreams: outcomes stand in a Kafka topic once their receipts say so, one for each invocation, where they say; the
// system's own topics are no streams.
func TestStreams(t *testing.T) {
	n := running(t, Config{})
	f := deploy(t, n, "echo", wasmtest.Echo(), domain.DefaultLimits(), domain.Policy{Set: true, MaxAge: time.Hour, OnSuccess: "dis:orders.shipped"})
	ids := accept(t, n, f, 20)
	if err := n.Model.Until(t.Context(), func() bool {
		for _, id := range ids {
			if row, ok := n.Model.Get(id); !ok || !row.State.Settled() {
				return false
			}
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	log, err := n.cluster.Log("orders.shipped")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	told := map[string]string{} // by invocation: where
	for p := range log.Partitions() {
		_, end, err := log.Bounds(t.Context(), p)
		if err != nil || end == 0 {
			continue
		}
		ms, err := log.Read(t.Context(), p, 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range ms {
			var body domain.NotificationBody
			if err := json.Unmarshal(m.Value, &body); err != nil || body.RequestContext.RequestID != string(m.Key) || body.RequestContext.FunctionURN != f.Version("1") {
				t.Errorf("%v: %s", err, m.Value)
			}
			if told[string(m.Key)] != "" {
				t.Errorf("%s was told twice, and nothing failed", m.Key)
			}
			told[string(m.Key)] = stream.Location("orders.shipped", m.Partition, m.Offset)
		}
	}
	for _, id := range ids {
		row, ok := n.Model.Get(id)
		if !ok || told[id.String()] == "" || row.State.Notified.Abandoned {
			t.Errorf("%s: known %t, %q, %+v", id, ok, told[id.String()], row.State.Notified)
		}
	}
	if len(told) != len(ids) {
		t.Errorf("%d were told of %d", len(told), len(ids))
	}
	for _, own := range []domain.Target{"dis:deed.invocations", "dis:deed.x", "dis:__consumer_offsets", "dis:a/b", "dis:"} {
		_, err := n.Door.SetPolicy(t.Context(), f, domain.Policy{Set: true, MaxAge: time.Hour, OnFailure: own})
		var r *domain.Rejection
		if !errors.As(err, &r) || r.Code != domain.CodeInvalid {
			t.Errorf("%s: %v", own, err)
		}
	}
}

// TestStreamIsNotMade: of somebody else's broker no topic is made; its name and the reason are in the history.
func TestStreamIsNotMade(t *testing.T) {
	n := running(t, Config{})
	n.streams.made["nowhere"] = true // as on a cluster
	f := deploy(t, n, "echo", wasmtest.Echo(), domain.DefaultLimits(), domain.Policy{Set: true, MaxAge: time.Hour, OnSuccess: "dis:nowhere"})
	id := accept(t, n, f, 1)[0]
	if err := n.Model.Until(t.Context(), func() bool {
		row, ok := n.Model.Get(id)
		return ok && row.State.Notified.Tries > 0
	}); err != nil {
		t.Fatal(err)
	}
	found := false
	all, err := events(t, n, id)
	for _, e := range all {
		if failed, ok := e.(domain.NotificationFailed); ok {
			found = strings.Contains(failed.Error, "nowhere") && strings.Contains(failed.Error, kafka.ErrNoTopic.Error())
		}
	}
	if err != nil || !found {
		t.Errorf("%v: %+v", err, all)
	}
}

// events are those of an invocation.
func events(t *testing.T, n *Node, id domain.InvocationID) (out []domain.Event, err error) {
	t.Helper()
	log := n.Door.Log
	start, end, err := log.Bounds(t.Context(), id.Slot())
	for err == nil && start < end {
		var ms []eventstore.Message
		if ms, err = log.Read(t.Context(), id.Slot(), start, 100); err != nil {
			break
		}
		for _, m := range ms {
			if r := eventstore.Decode(m); r.Subject == id {
				out = append(out, r.Event)
			}
			start = m.Offset + 1
		}
	}
	return out, err
}
