package embedded

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"

	"deed/eventstore/kafka"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestDeletion: topics and records can be deleted, and what is deleted is not missed at the next start; but never all records
// of a partition.
func TestDeletion(t *testing.T) {
	dir, stated := written(t, Fsync, 2, 2500, "65536")
	b, err := Open(Config{Dir: dir, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	info := b.cluster.PartitionInfo("t", 1)
	ask := func(offset int64) int16 {
		req := kmsg.NewPtrDeleteRecordsRequest()
		topic := kmsg.NewDeleteRecordsRequestTopic()
		topic.Topic = "t"
		topic.Partitions = []kmsg.DeleteRecordsRequestTopicPartition{{Partition: 1, Offset: offset}}
		req.Topics = append(req.Topics, topic)
		return request(t, b.Addr(), req).(*kmsg.DeleteRecordsResponse).Topics[0].Partitions[0].ErrorCode
	}
	for _, all := range []int64{-1, info.HighWatermark} {
		if code := ask(all); code != offsetOutOfRange {
			t.Errorf("all records could be deleted: %d", code)
		}
	}
	bound := info.HighWatermark - 10
	if code := ask(bound); code != 0 {
		t.Errorf("error %d", code)
	}
	commit := kmsg.NewPtrOffsetCommitRequest()
	commit.Group = "g"
	topic := kmsg.NewOffsetCommitRequestTopic()
	topic.Topic = "t"
	topic.Partitions = []kmsg.OffsetCommitRequestTopicPartition{{Partition: 1, Offset: info.HighWatermark + 1}}
	commit.Topics = append(commit.Topics, topic)
	if code := request(t, b.Addr(), commit).(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode; code != offsetOutOfRange {
		t.Errorf("an offset behind the end was committed: %d", code)
	}
	killed := copyDir(t, dir)
	for at := range stated {
		if at.partition == 1 && at.offset < bound {
			delete(stated, at)
		}
	}
	verify(t, killed, 2, stated)

	remove := kmsg.NewPtrDeleteTopicsRequest()
	gone := kmsg.NewDeleteTopicsRequestTopic()
	name := "t"
	gone.Topic = &name
	remove.Topics = append(remove.Topics, gone)
	remove.TopicNames = []string{name}
	if code := request(t, b.Addr(), remove).(*kmsg.DeleteTopicsResponse).Topics[0].ErrorCode; code != 0 {
		t.Errorf("error %d", code)
	}
	verify(t, empty(t, copyDir(t, dir)), 1, nil)
	w, done := wants(50)
	stop := load(t, b, 2, w, "again") // a topic of the same name
	<-done
	stop()
	verify(t, copyDir(t, dir), 2, w.statement())
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	verify(t, dir, 2, w.statement())
}

// empty makes the topic anew where it was deleted.
func empty(t *testing.T, dir string) string {
	t.Helper()
	b, err := Open(Config{Dir: dir, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	c, err := kafka.Open(t.Context(), kafka.Config{Brokers: []string{b.Addr()}, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.EnsureTopic(t.Context(), "t", 1); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Close(), b.Close()); err != nil {
		t.Fatal(err)
	}
	return dir
}

// request sends one request and gives the answer.
func request(t *testing.T, addr string, req kmsg.Request) kmsg.Response {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	req.SetVersion(2)
	if _, err := c.Write(kmsg.NewRequestFormatter().AppendRequest(nil, req, 7)); err != nil {
		t.Fatal(err)
	}
	size := make([]byte, 4)
	if _, err := io.ReadFull(c, size); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint32(size))
	if _, err := io.ReadFull(c, body); err != nil {
		t.Fatal(err)
	}
	resp := req.ResponseKind()
	skip := 4
	if resp.IsFlexible() {
		skip++
	}
	if err := resp.ReadFrom(body[skip:]); err != nil {
		t.Fatal(err)
	}
	return resp
}
