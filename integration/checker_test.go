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
	deadline        string
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
	force           bool
	broken          bool
	openedAt        int64
	at              int64 // acceptance time, from the id
}

// settledNow reports whether nothing is left to be done about it.
func (i *checked) settledNow() bool {
	return i.terminal != "" && (i.target() == "" || i.settled > 0)
}

type report struct {
	records   map[int32]int64 // by partition
	types     map[string]int
	inv       map[string]*checked
	problems  []string
	verdicts  map[int32]map[int64]bool   // what counts, by partition and offset
	markers   map[int32]map[int64]string // effective markers and their ce_id
	epochs    map[int32]uint64
	renewals  int
	carried   int
	late      int            // requests outside the admission window
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

// admissionWindow is W of the protocol, in ms.
const admissionWindow = 120_000

func newReport() *report {
	return &report{
		records: map[int32]int64{}, types: map[string]int{}, inv: map[string]*checked{}, openAt: map[uint64]int{},
		verdicts: map[int32]map[int64]bool{}, markers: map[int32]map[int64]string{}, epochs: map[int32]uint64{},
	}
}

// check judges every record from the log's beginning and applies what counts.
func check(log map[int32][]*sarama.ConsumerMessage) *report {
	r := newReport()
	for p, ms := range log {
		r.partition(p, ms, false)
	}
	return r
}

// checkFrom judges as a reader does who begins at some offset of a partition and believes the marker there.
func checkFrom(p int32, ms []*sarama.ConsumerMessage, from int64) *report {
	r := newReport()
	for n, m := range ms {
		if m.Offset == from {
			r.partition(p, ms[n:], true)
		}
	}
	return r
}

// checker is one partition being read.
type checker struct {
	r        *report
	p        int32
	middle   bool // began in the middle: what is unknown was settled before
	adopt    bool
	epoch    uint64
	owner    string
	seq      uint64
	logTime  int64
	mine     map[string]*checked
	problems func(format string, a ...any)
}

func (r *report) partition(p int32, ms []*sarama.ConsumerMessage, middle bool) {
	j := &checker{r: r, p: p, middle: middle, adopt: middle, mine: map[string]*checked{}}
	r.verdicts[p], r.markers[p] = map[int64]bool{}, map[int64]string{}
	for _, m := range ms {
		r.records[p]++
		j.problems = func(format string, a ...any) {
			if !middle {
				r.problems = append(r.problems, fmt.Sprintf("%d/%d: ", p, m.Offset)+fmt.Sprintf(format, a...))
			}
		}
		counts := j.record(m)
		r.verdicts[p][m.Offset] = counts
		if !counts {
			r.void++
		}
	}
	r.epochs[p] = j.epoch
}

// record is one record as the text of the protocol reads it.
type record struct {
	kind, subject string
	h             map[string]string
	body          map[string]any
}

func (r record) num(k string) int    { f, _ := r.body[k].(float64); return int(f) }
func (r record) str(k string) string { s, _ := r.body[k].(string); return s }

// record reports whether the record counts.
func (j *checker) record(m *sarama.ConsumerMessage) bool {
	h := map[string]string{}
	for _, kv := range m.Headers {
		h[string(kv.Key)] = string(kv.Value)
	}
	r := record{kind: h["ce_type"], subject: h["ce_subject"], h: h}
	j.r.types[r.kind]++
	if h["ce_specversion"] != "1.0" || h["ce_id"] == "" || h["_watermill_message_uuid"] != h["ce_id"] || json.Unmarshal(m.Value, &r.body) != nil {
		j.r.undecoded++
		if r.kind == "deed.InvocationRequested.v1" && len(r.subject) == 36 && j.mine[r.subject] == nil && j.logTime <= acceptedAt(r.subject)+admissionWindow {
			i := &checked{id: r.subject, openedAt: m.Offset, at: acceptedAt(r.subject), broken: true}
			j.mine[r.subject], j.r.inv[r.subject] = i, i
			return true
		}
		return false
	}
	epoch, _ := strconv.ParseUint(h["ce_ownerepoch"], 10, 64)
	seq, _ := strconv.ParseUint(h["ce_ownersequence"], 10, 64)
	byOwner := h["ce_ownerid"] != ""
	if r.kind == "deed.PartitionOwned.v1" && r.str("kind") == "claim" || j.adopt {
		if !j.adopt && epoch <= j.epoch {
			return false
		}
		if j.adopt && r.kind != "deed.PartitionOwned.v1" {
			j.r.problems = append(j.r.problems, fmt.Sprintf("%d/%d: a reader is to begin at %s", j.p, m.Offset, r.kind))
		}
		if !j.adopt {
			for _, i := range j.mine {
				if i.terminal == "" {
					j.r.openAt[epoch]++
				}
			}
		}
		j.adopt, j.epoch, j.owner, j.seq = false, epoch, h["ce_ownerid"], seq
		j.marker(m, r)
		return true
	}
	if byOwner {
		if epoch != j.epoch || h["ce_ownerid"] != j.owner || seq != j.seq+1 {
			return false
		}
		j.seq = seq
	}
	switch r.kind {
	case "deed.PartitionOwned.v1":
		j.r.renewals++
		j.marker(m, r)
		return true
	case "deed.InvocationRequested.v1":
		return j.request(m, r, byOwner)
	case "deed.InvocationCarried.v1":
		return j.carry(m, r)
	case "deed.RequestRefused.v1":
		return true
	}
	i := j.mine[r.subject]
	if i == nil {
		if !j.middle && r.kind != "deed.CancelRequested.v1" {
			j.problems("%s of an unknown invocation %s", r.kind, r.subject)
		}
		return false
	}
	return j.about(i, r)
}

func (j *checker) marker(m *sarama.ConsumerMessage, r record) {
	at, _ := strconv.ParseInt(r.h["ce_logtime"], 10, 64)
	if at >= j.logTime {
		j.r.markers[j.p][m.Offset] = r.h["ce_id"]
	}
	j.logTime = max(j.logTime, at)
}

func (j *checker) request(m *sarama.ConsumerMessage, r record, byOwner bool) bool {
	if int(slotOf(r.subject)) != int(j.p) {
		j.problems("request %s stands in the wrong partition", r.subject)
	}
	if byOwner {
		if parent := j.mine[r.str("parent")]; parent != nil {
			if parent.owed == 0 || parent.settled > 0 {
				j.problems("a child of %s, which owes nothing", parent.id)
				return false
			}
			parent.settled++
		}
	}
	if j.mine[r.subject] != nil {
		return false
	}
	if !byOwner && j.logTime > acceptedAt(r.subject)+admissionWindow {
		j.r.late++
		return false
	}
	i := &checked{id: r.subject, function: r.str("function"), deadline: r.str("deadline"), openedAt: m.Offset, at: acceptedAt(r.subject)}
	i.policy(r.body)
	j.mine[r.subject], j.r.inv[r.subject] = i, i
	return true
}

func (i *checked) policy(body map[string]any) {
	if policy, ok := body["policy"].(map[string]any); ok {
		f, _ := policy["max_async_retry_attempts"].(float64)
		i.retries = int(f)
		i.onSuccess, _ = policy["on_success"].(string)
		i.onFailure, _ = policy["on_failure"].(string)
	}
}

// carry compares the restatement with what this reader knows; one that began in the middle learns it from there.
func (j *checker) carry(m *sarama.ConsumerMessage, r record) bool {
	state, _ := r.body["state"].(map[string]any)
	s := record{body: state}
	flag := func(k string) bool { b, _ := state[k].(bool); return b }
	c := &checked{
		id: r.subject, function: s.str("function"), deadline: s.str("deadline"), started: s.num("started"), done: s.num("done"), starter: s.str("by"),
		ok: flag("success"), codeFails: s.num("code_failures"), lost: s.num("lost"), cancelled: flag("cancel"), force: flag("force"), broken: flag("broken"),
		openedAt: m.Offset, at: acceptedAt(r.subject),
	}
	c.policy(state)
	if o := s.str("outcome"); o != "" {
		c.terminal, c.terminals = map[string]string{
			"succeeded": "deed.InvocationSucceeded.v1", "failed": "deed.InvocationFailed.v1", "discarded": "deed.InvocationDiscarded.v1",
		}[o], 1
	}
	if state["notified"] != nil {
		c.owed = 1
	}
	i := j.mine[r.subject]
	if i != nil && i.settledNow() {
		j.problems("%s is settled and restated", r.subject)
		return false
	}
	j.r.carried++
	if i == nil {
		if !j.middle {
			j.problems("%s is restated and was never opened", r.subject)
		}
		j.mine[r.subject], j.r.inv[r.subject] = c, c
		return true
	}
	if i.started != c.started || i.done != c.done || i.ok != c.ok || i.codeFails != c.codeFails || i.lost != c.lost || i.terminal != c.terminal || i.owed != c.owed ||
		i.retries != c.retries || i.onSuccess != c.onSuccess || i.onFailure != c.onFailure || i.deadline != c.deadline || c.cancelled && !i.cancelled {
		j.problems("the restatement says %+v, and it stands %+v", *c, *i)
	}
	i.started, i.done, i.ok, i.codeFails, i.lost, i.terminal, i.owed = c.started, c.done, c.ok, c.codeFails, c.lost, c.terminal, c.owed
	i.starter = c.starter
	return true
}

// about applies a record that concerns a known invocation.
func (j *checker) about(i *checked, r record) bool {
	bad := func(format string, a ...any) bool { j.problems(format, a...); return false }
	switch r.kind {
	case "deed.CancelRequested.v1":
		force, _ := r.body["force"].(bool)
		if i.terminal != "" || i.cancelled && (i.force || !force) {
			return false
		}
		i.cancelled, i.force = true, i.force || force
	case "deed.AttemptStarted.v1":
		if i.cancelled && i.terminal == "" {
			return false // a cancel landed first
		}
		if i.terminal != "" || i.started > i.done || i.ok || r.num("attempt") != i.started+1 || i.codeFails > i.retries || i.lost > 3 || r.h["ce_time"] > i.deadline {
			return bad("AttemptStarted at %s does not fit: %+v", r.h["ce_time"], *i)
		}
		i.started, i.starter = i.started+1, j.owner
		if i.started > 1+i.retries+3 {
			bad("%d attempts, at most %d", i.started, 1+i.retries+3)
		}
	case "deed.AttemptSucceeded.v1", "deed.AttemptFailed.v1":
		if i.started <= i.done || r.num("attempt") != i.started || i.terminal != "" {
			return bad("an outcome of an attempt that does not run: %+v", *i)
		}
		failure := r.str("kind")
		if failure != "lost" && i.starter != j.owner {
			bad("the outcome of an attempt that another owner started is not lost, but %q", failure)
		}
		i.done++
		switch {
		case r.kind == "deed.AttemptSucceeded.v1":
			i.ok = true
		case failure == "lost" || failure == "platform":
			i.lost++
		default:
			i.codeFails++
		}
		if enc := r.str("result_base64"); enc != "" {
			if _, err := base64.StdEncoding.DecodeString(enc); err != nil {
				bad("result: %v", err)
			}
		}
	case "deed.RetryScheduled.v1":
		if i.terminal != "" || i.ok || i.started != i.done {
			return bad("a retry that does not fit: %+v", *i)
		}
	case "deed.InvocationSucceeded.v1", "deed.InvocationFailed.v1", "deed.InvocationDiscarded.v1":
		if i.terminal != "" || i.started > i.done || i.ok != (r.kind == "deed.InvocationSucceeded.v1") {
			return bad("an outcome that does not fit: %s after %+v", r.kind, *i)
		}
		i.terminal = r.kind
		i.terminals++
	case "deed.NotificationOwed.v1":
		if i.terminal == "" || i.owed > 0 || i.target() != r.str("sink") {
			return bad("a notification that is not owed: %+v", *i)
		}
		i.owed++
	case "deed.NotificationDelivered.v1", "deed.NotificationAbandoned.v1":
		if i.owed == 0 || i.settled > 0 {
			return bad("a receipt that does not fit: %+v", *i)
		}
		i.settled++
	case "deed.NotificationFailed.v1":
		if i.owed == 0 || i.settled > 0 {
			return bad("a failed delivery that does not fit: %+v", *i)
		}
	default:
		return bad("unknown type %s", r.kind)
	}
	return true
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

// acceptedAt reads the acceptance time out of an id: its first 48 bits, in ms.
func acceptedAt(id string) int64 {
	n, _ := strconv.ParseInt(id[0:8]+id[9:13], 16, 64)
	return n
}

// positions are what the group of owners has committed, by partition.
func positions(t testing.TB, broker, group, topic string, partitions int) map[int32]*sarama.OffsetFetchResponseBlock {
	t.Helper()
	conf := sarama.NewConfig()
	conf.Version = sarama.V2_8_0_0
	admin, err := sarama.NewClusterAdmin([]string{broker}, conf)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	var all []int32
	for p := range partitions {
		all = append(all, int32(p))
	}
	got, err := admin.ListConsumerGroupOffsets(group, map[string][]int32{topic: all})
	if err != nil {
		t.Fatal(err)
	}
	return got.Blocks[topic]
}

// checkPositions holds the committed offsets against the log: each stands on an effective marker that it names, and a reader
// that begins there knows what is open, and who owns, as the reader of the whole log does.
func (r *report) checkPositions(t testing.TB, log map[int32][]*sarama.ConsumerMessage, at map[int32]*sarama.OffsetFetchResponseBlock) (moved int) {
	t.Helper()
	for p, b := range at {
		if b.Offset < 0 {
			continue
		}
		if id := r.markers[p][b.Offset]; id == "" || id != b.Metadata {
			t.Errorf("partition %d: offset %d was committed with %q; the marker there is %q", p, b.Offset, b.Metadata, id)
			continue
		}
		if b.Offset > 1 {
			moved++
		}
		middle := checkFrom(p, log[p], b.Offset)
		for id, i := range middle.inv {
			if full := r.inv[id]; full == nil || full.terminal != i.terminal || full.settledNow() != i.settledNow() {
				t.Errorf("partition %d: %s is %+v for a reader from %d, %+v for one from 0", p, id, i, b.Offset, full)
			}
		}
		for id, i := range r.inv {
			if int32(slotOf(id)) != p || i.settledNow() {
				continue // what is settled, a reader from the middle need not know
			}
			m := middle.inv[id]
			if m == nil || m.started != i.started || m.done != i.done || m.terminal != i.terminal || m.cancelled != i.cancelled || m.lost != i.lost || m.codeFails != i.codeFails {
				t.Errorf("partition %d: %s is %+v for a reader from %d, %+v for one from 0", p, id, m, b.Offset, i)
			}
		}
		if middle.epochs[p] != r.epochs[p] {
			t.Errorf("partition %d: epoch %d for a reader from %d, %d for one from 0", p, middle.epochs[p], b.Offset, r.epochs[p])
		}
		for _, problem := range middle.problems {
			t.Error(problem)
		}
	}
	return moved
}
