package embedded

import (
	"log/slog"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

var quiet = slog.New(slog.DiscardHandler)

// TestPowerLoss cuts the power while records are appended and read, again and again, and finds all that anybody was told or
// has read. The journals are small, so that they take turns all the time, and so are
// the segments.
func TestPowerLoss(t *testing.T) {
	const partitions, cuts = 3, 6
	seed := uint64(os.Getpid())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	root := t.TempDir()
	p := newPlatter(root)
	w := &witness{all: map[spot]string{}}
	b, err := open(Config{Dir: root, Log: quiet}, p.disk(256<<10))
	if err != nil {
		t.Fatal(err)
	}
	p.watch(t, b)
	create := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "t", partitions, 1
	size := "20000"
	topic.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: "segment.bytes", Value: &size}}
	create.Topics = append(create.Topics, topic)
	if code := request(t, b.Addr(), create).(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode; code != 0 {
		t.Fatal(code)
	}
	stop := load(t, b, partitions, w, "a")
	var repairs int
	for cut := range cuts {
		if !p.reach(r.IntN(150)) {
			t.Fatal(b.why())
		}
		stated := w.statement()
		dir := p.fail(t, r)
		repairs += len(verify(t, dir, partitions, stated))
		verify(t, dir, partitions, stated) // it holds also for the start after the repair
		if t.Failed() {
			t.Fatalf("after cut %d", cut)
		}
	}
	if len(w.statement()) == 0 || repairs == 0 {
		t.Errorf("%d records were seen, %d repairs made: nothing was tested", len(w.statement()), repairs)
	}
	stop()
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if repairs := verify(t, root, partitions, w.statement()); len(repairs) > 0 {
		t.Errorf("after a clean stop: %+v", repairs)
	}
}
