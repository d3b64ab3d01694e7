package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/cloudevents/sdk-go/v2/event"
)

// TestForeignReaders lets traffic leave every event that it can leave, and has both topics read by libraries that know
// nothing of the product: a stock Watermill subscriber, and Sarama with the CloudEvents SDK.
func TestForeignReaders(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	node := start(t, t.TempDir(), freePort(t), freePort(t), "--function-concurrency", "1")
	node.deploy("broken", "broken", "", `{"max_async_retry_attempts":1,"on_failure":"obs://results/failed"}`)
	node.deploy("told", "echo", "", "")
	node.deploy("echo", "echo", "", `{"on_success":"function:told","on_failure":"obs://results/failed"}`)
	node.deploy("flaky", "flaky", "", `{"max_async_retry_attempts":2,"on_success":"obs://results/ok"}`)
	node.deploy("slow", "spin", "timeout=2s", "")
	node.deploy("gone", "echo", "", "")
	url := "http://" + node.addr + "/v1/"
	if s := call(ctx, "DELETE", url+"functions/gone", "", nil); s != 204 && s != 0 { // 204 has no JSON
		t.Fatalf("delete: %d", s)
	}
	invoke := func(function, event string) string {
		var a struct {
			ID string `json:"request_id"`
		}
		if s := call(ctx, "POST", url+"functions/"+function+"/invocations", event, &a); s != 202 {
			t.Fatalf("invoke %s: %d", function, s)
		}
		return a.ID
	}
	// One attempt of slow runs at a time: the second waits behind the first, so it is discarded when it is cancelled, and
	// the first is stopped by force.
	running := invoke("slow", "")
	for {
		var inv struct {
			Status string `json:"status"`
		}
		if s := call(ctx, "GET", url+"invocations/"+running, "", &inv); s == 200 && inv.Status == "running" {
			break
		}
		if !await(ctx, 5*time.Millisecond) {
			t.Fatal("slow does not start")
		}
	}
	waiting := invoke("slow", "")
	for i := range 36 {
		invoke([]string{"echo", "flaky", "broken"}[i%3], fmt.Sprintf(`{"n":%d}`, i))
	}
	invoke("echo", strings.Repeat("large ", 40_000)) // stands beside the log
	invoke("echo", "\x00\xff bytes that are no text")
	if s := call(ctx, "POST", url+"invocations/"+waiting+"/cancel", `{}`, nil); s != 200 {
		t.Fatalf("cancel: %d", s)
	}
	if s := call(ctx, "POST", url+"invocations/"+running+"/cancel", `{"force":true}`, nil); s != 200 {
		t.Fatalf("cancel by force: %d", s)
	}
	node.settle(ctx)

	for topic, types := range map[string][]string{
		"deed.invocations": {
			"PartitionOwned", "InvocationRequested", "CancelRequested", "AttemptStarted", "AttemptSucceeded", "AttemptFailed",
			"RetryScheduled", "InvocationSucceeded", "InvocationFailed", "InvocationDiscarded", "NotificationOwed", "NotificationDelivered",
		},
		"deed.functions": {"ClusterFormed", "FunctionDeployed", "PolicyChanged", "FunctionDeleted"},
	} {
		ends := logEnds(t, node.broker, topic)[topic]
		total := int64(0)
		for _, end := range ends {
			total += end
		}
		for name, read := range map[string]func(*testing.T, context.Context, string, string, int64) seen{"watermill": readWatermill, "cloudevents": readCloudEvents} {
			t.Run(topic+"/"+name, func(t *testing.T) {
				s := read(t, ctx, node.broker, topic, total)
				for p, end := range ends {
					if s.records[p] != end {
						t.Errorf("partition %d: %d records read, %d are there", p, s.records[p], end)
					}
				}
				for _, kind := range types {
					if s.types["deed."+kind+".v1"] == 0 {
						t.Errorf("no %s was seen", kind)
					}
					delete(s.types, "deed."+kind+".v1")
				}
				if len(s.types) > 0 {
					t.Errorf("types that nobody expects: %v", s.types)
				}
			})
		}
	}
}

// seen is what a foreign reader found.
type seen struct {
	records map[int32]int64
	types   map[string]int
}

func readWatermill(t *testing.T, ctx context.Context, broker, topic string, total int64) seen {
	conf := kafka.DefaultSaramaSubscriberConfig()
	conf.Consumer.Offsets.Initial = sarama.OffsetOldest
	sub, err := kafka.NewSubscriber(kafka.SubscriberConfig{
		Brokers: []string{broker}, Unmarshaler: kafka.DefaultMarshaler{}, OverwriteSaramaConfig: conf,
	}, watermill.NopLogger{})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	messages, err := sub.Subscribe(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	s := seen{map[int32]int64{}, map[string]int{}}
	next := map[int32]int64{}
	for range total {
		m, ok := <-messages
		if !ok {
			t.Fatalf("the stream ended after %v of %d records: %v", s.records, total, ctx.Err())
		}
		p, ok1 := kafka.MessagePartitionFromCtx(m.Context())
		o, ok2 := kafka.MessagePartitionOffsetFromCtx(m.Context())
		if !ok1 || !ok2 || o != next[p] {
			t.Errorf("%d/%d comes where %d is due", p, o, next[p])
		}
		next[p]++
		s.records[p]++
		s.types[m.Metadata.Get("ce_type")]++
		if m.UUID == "" || m.UUID != m.Metadata.Get("ce_id") {
			t.Errorf("%d/%d: UUID %q, ce_id %q", p, o, m.UUID, m.Metadata.Get("ce_id"))
		}
		if !json.Valid(m.Payload) {
			t.Errorf("%d/%d: %q is not JSON", p, o, m.Payload)
		}
		m.Ack()
	}
	return s
}

func readCloudEvents(t *testing.T, _ context.Context, broker, topic string, _ int64) seen {
	s := seen{map[int32]int64{}, map[string]int{}}
	ids := map[string]bool{}
	for p, ms := range readLog(t, broker, topic) {
		for _, m := range ms {
			e := event.New()
			for _, h := range m.Headers {
				name, ok := strings.CutPrefix(string(h.Key), "ce_")
				value := string(h.Value)
				switch {
				case string(h.Key) == "content-type":
					e.SetDataContentType(value)
				case !ok: // no attribute
				case name == "specversion":
					e.SetSpecVersion(value)
				case name == "id":
					e.SetID(value)
				case name == "source":
					e.SetSource(value)
				case name == "type":
					e.SetType(value)
				case name == "subject":
					e.SetSubject(value)
				case name == "dataschema":
					e.SetDataSchema(value)
				case name == "time":
					at, err := time.Parse(time.RFC3339Nano, value)
					if err != nil {
						t.Errorf("%d/%d: %v", p, m.Offset, err)
					}
					e.SetTime(at)
				default:
					e.SetExtension(name, value)
				}
			}
			e.DataEncoded = m.Value
			if err := e.Validate(); err != nil {
				t.Errorf("%d/%d: %v", p, m.Offset, err)
			}
			var data map[string]any
			if err := e.DataAs(&data); err != nil { // by its content type
				t.Errorf("%d/%d as %q: %v", p, m.Offset, e.DataContentType(), err)
			}
			if e.Time().IsZero() {
				t.Errorf("%d/%d has no time", p, m.Offset)
			}
			// Source and id name an event; a registry and a log that did not say one twice have no doubles here.
			if key := e.Source() + " " + e.ID(); ids[key] {
				t.Errorf("%d/%d: %s stands twice", p, m.Offset, key)
			} else {
				ids[key] = true
			}
			if _, err := json.Marshal(e); err != nil { // in structured mode it is an event, too
				t.Errorf("%d/%d: %v", p, m.Offset, err)
			}
			s.records[p]++
			s.types[e.Type()]++
		}
	}
	return s
}
