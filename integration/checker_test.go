package integration

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"testing"

	"github.com/IBM/sarama"
)

// The checker is a second, dumb reading of the protocol, written from its text and not from the code: it shares no type, no
// codec and no fold with the product. What the two disagree about is a bug in one of them.

type checked struct {
	id              string
	function        string
	retries         int
	onSuccess       string
	onFailure       string
	started, done   int
	starter         string
	ok              bool
	codeFails, lost int
	terminal        string
	terminals       int
	owed, settled   int
	cancelled       bool
	openedAt        int64
}

type report struct {
	records   map[int32]int64 // by partition
	types     map[string]int
	inv       map[string]*checked
	problems  []string
	openAt    map[uint64]int // by epoch: invocations without an outcome when the claim came into force, over all partitions
	void      int
	undecoded int
}

// readLog reads every record of the topic, from the first to the end as it is now.
func readLog(t testing.TB, broker, topic string) map[int32][]*sarama.ConsumerMessage {
	t.Helper()
	conf := sarama.NewConfig()
	conf.Version = sarama.V2_8_0_0
	client, err := sarama.NewClient([]string{broker}, conf)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		t.Fatal(err)
	}
	defer consumer.Close()
	parts, err := client.Partitions(topic)
	if err != nil {
		t.Fatal(err)
	}
	out := map[int32][]*sarama.ConsumerMessage{}
	for _, p := range parts {
		first, err := client.GetOffset(topic, p, sarama.OffsetOldest)
		if err != nil {
			t.Fatal(err)
		}
		end, err := client.GetOffset(topic, p, sarama.OffsetNewest)
		if err != nil {
			t.Fatal(err)
		}
		if first == end {
			continue
		}
		pc, err := consumer.ConsumePartition(topic, p, first)
		if err != nil {
			t.Fatal(err)
		}
		for m := range pc.Messages() {
			out[p] = append(out[p], m)
			if m.Offset == end-1 {
				break
			}
		}
		_ = pc.Close()
		if int64(len(out[p])) != end-first {
			t.Errorf("%s/%d: %d records read, %d expected", topic, p, len(out[p]), end-first)
		}
	}
	return out
}

// check judges every record and applies what counts.
func check(log map[int32][]*sarama.ConsumerMessage) *report {
	r := &report{records: map[int32]int64{}, types: map[string]int{}, inv: map[string]*checked{}, openAt: map[uint64]int{}}
	for p, ms := range log {
		r.partition(p, ms)
	}
	return r
}

func (r *report) partition(p int32, ms []*sarama.ConsumerMessage) {
	var epoch, seq uint64
	var owner string
	mine := map[string]*checked{}
	for _, m := range ms {
		r.records[p]++
		h := map[string]string{}
		for _, kv := range m.Headers {
			h[string(kv.Key)] = string(kv.Value)
		}
		bad := func(format string, a ...any) {
			r.problems = append(r.problems, fmt.Sprintf("%d/%d: ", p, m.Offset)+fmt.Sprintf(format, a...))
		}
		var body map[string]any
		if h["ce_specversion"] != "1.0" || h["ce_id"] == "" || h["_watermill_message_uuid"] != h["ce_id"] || json.Unmarshal(m.Value, &body) != nil {
			r.undecoded++
			bad("undecodable: %v %q", h, m.Value)
			continue
		}
		kind, subject := h["ce_type"], h["ce_subject"]
		r.types[kind]++
		num := func(k string) int { f, _ := body[k].(float64); return int(f) }
		str := func(k string) string { s, _ := body[k].(string); return s }
		e, _ := strconv.ParseUint(h["ce_ownerepoch"], 10, 64)
		s, _ := strconv.ParseUint(h["ce_ownersequence"], 10, 64)
		byOwner := h["ce_ownerid"] != ""
		if kind == "deed.PartitionOwned.v1" {
			if e <= epoch {
				r.void++
				continue
			}
			for _, i := range mine {
				if i.terminal == "" {
					r.openAt[e]++
				}
			}
			epoch, owner, seq = e, h["ce_ownerid"], s
			continue
		}
		if byOwner {
			if e != epoch || h["ce_ownerid"] != owner || s != seq+1 {
				r.void++
				continue
			}
			seq = s
		}
		i := mine[subject]
		if kind == "deed.InvocationRequested.v1" {
			if i != nil {
				r.void++
				continue
			}
			i = &checked{id: subject, function: str("function"), openedAt: m.Offset}
			if policy, ok := body["policy"].(map[string]any); ok {
				f, _ := policy["max_async_retry_attempts"].(float64)
				i.retries = int(f)
				i.onSuccess, _ = policy["on_success"].(string)
				i.onFailure, _ = policy["on_failure"].(string)
			}
			if int(slotOf(subject)) != int(p) {
				bad("request %s stands in the wrong partition", subject)
			}
			if parent := mine[str("parent")]; byOwner && parent != nil {
				if parent.owed == 0 || parent.settled > 0 {
					r.void++
					continue
				}
				parent.settled++
			}
			mine[subject], r.inv[subject] = i, i
			continue
		}
		if i == nil {
			bad("%s of an unknown invocation %s", kind, subject)
			continue
		}
		switch kind {
		case "deed.CancelRequested.v1":
			i.cancelled = i.cancelled || i.terminal == ""
		case "deed.AttemptStarted.v1":
			if i.terminal != "" || i.started > i.done || i.ok || i.cancelled || num("attempt") != i.started+1 || i.codeFails > i.retries || i.lost > 3 {
				r.void++
				bad("AttemptStarted does not fit: %+v", *i)
				continue
			}
			i.started, i.starter = i.started+1, owner
		case "deed.AttemptSucceeded.v1", "deed.AttemptFailed.v1":
			if i.started <= i.done || num("attempt") != i.started {
				bad("an outcome of an attempt that does not run: %+v", *i)
				continue
			}
			failure := str("kind")
			if failure != "lost" && i.starter != owner {
				bad("the outcome of an attempt that another owner started is not lost, but %q", failure)
			}
			i.done++
			switch {
			case kind == "deed.AttemptSucceeded.v1":
				i.ok = true
			case failure == "lost" || failure == "platform":
				i.lost++
			default:
				i.codeFails++
			}
			if enc := str("result_base64"); enc != "" {
				if _, err := base64.StdEncoding.DecodeString(enc); err != nil {
					bad("result: %v", err)
				}
			}
		case "deed.RetryScheduled.v1":
			if i.terminal != "" || i.ok || i.started != i.done {
				bad("a retry that does not fit: %+v", *i)
			}
		case "deed.InvocationSucceeded.v1", "deed.InvocationFailed.v1", "deed.InvocationDiscarded.v1":
			if i.terminal != "" || i.started > i.done || i.ok != (kind == "deed.InvocationSucceeded.v1") {
				bad("an outcome that does not fit: %s after %+v", kind, *i)
				continue
			}
			i.terminal = kind
			i.terminals++
		case "deed.NotificationOwed.v1":
			if i.terminal == "" || i.owed > 0 || i.target() != str("sink") {
				bad("a notification that is not owed: %+v", *i)
				continue
			}
			i.owed++
		case "deed.NotificationDelivered.v1", "deed.NotificationAbandoned.v1":
			if i.owed == 0 || i.settled > 0 {
				bad("a receipt that does not fit: %+v", *i)
				continue
			}
			i.settled++
		case "deed.NotificationFailed.v1", "deed.RequestRefused.v1", "deed.InvocationCarried.v1":
		default:
			bad("unknown type %s", kind)
		}
		if i.started > 1+i.retries+3 {
			bad("%d attempts, at most %d", i.started, 1+i.retries+3)
		}
	}
}

func (i *checked) target() string {
	if i.terminal == "deed.InvocationSucceeded.v1" {
		return i.onSuccess
	}
	return i.onFailure
}

// slotOf reads the partition out of an id: the twelve bits behind the version digit.
func slotOf(id string) uint64 {
	n, _ := strconv.ParseUint(id[15:18], 16, 64)
	return n
}
