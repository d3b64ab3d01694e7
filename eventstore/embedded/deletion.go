package embedded

import (
	"math"
	"net/url"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// What creates and removes files is announced to the syncer before it happens: the journal must know of each segment, and
// which of them may be missing. What would lose records in a way that shows only after the next start is refused.

func (r *rules) createTopics(q kmsg.Request) kmsg.Response {
	req, ok := q.(*kmsg.CreateTopicsRequest)
	if !ok {
		return nil
	}
	code := int16(0)
	var dirs []string
	roll := int64(segmentBytes)
	for _, t := range req.Topics {
		for _, c := range t.Configs {
			if forbidden(c.Name, c.Value) {
				code = invalidConfig
			}
			roll = min(roll, rollOf(c.Name, c.Value))
		}
		n := max(int(t.NumPartitions), len(t.ReplicaAssignment))
		if n < 1 {
			n = defaultPartitions
		}
		if n > maxPartitions {
			code = invalidPartitions
			continue
		}
		dirs = appendDirs(dirs, t.Topic, n)
	}
	if code == 0 && r.syncer.watch(roll, dirs...) == nil {
		return nil
	}
	resp := req.ResponseKind().(*kmsg.CreateTopicsResponse) //nolint:forcetypeassert // the request's kind
	for _, t := range req.Topics {
		a := kmsg.NewCreateTopicsResponseTopic()
		a.Topic, a.ErrorCode, a.ErrorMessage = t.Topic, code, new(reason)
		resp.Topics = append(resp.Topics, a)
	}
	return resp
}

func (r *rules) createPartitions(q kmsg.Request) kmsg.Response {
	req, ok := q.(*kmsg.CreatePartitionsRequest)
	if !ok {
		return nil
	}
	refuse := false
	var dirs []string
	for _, t := range req.Topics {
		if r.cluster.TopicInfo(t.Topic) == nil {
			continue // the broker says so
		}
		if refuse = refuse || t.Count > maxPartitions; !refuse {
			dirs = appendDirs(dirs, t.Topic, int(t.Count))
		}
	}
	if !refuse && r.syncer.watch(0, dirs...) == nil { // 0: the topic's size is not in the request
		return nil
	}
	resp := req.ResponseKind().(*kmsg.CreatePartitionsResponse) //nolint:forcetypeassert // the request's kind
	for _, t := range req.Topics {
		a := kmsg.NewCreatePartitionsResponseTopic()
		a.Topic, a.ErrorCode = t.Topic, invalidPartitions
		resp.Topics = append(resp.Topics, a)
	}
	return resp
}

// rollOf is the size of a segment that a setting asks for, in bytes; no limit if it is about something else.
func rollOf(name string, value *string) int64 {
	if name != "segment.bytes" || value == nil {
		return math.MaxInt64
	}
	n, err := strconv.ParseInt(*value, 10, 64)
	if err != nil {
		return math.MaxInt64 // the broker ignores it too
	}
	return n
}

func appendDirs(dirs []string, topic string, n int) []string {
	for p := range n {
		dirs = append(dirs, partitionDir(topic, int32(p))) //nolint:gosec // at most maxPartitions
	}
	return dirs
}

// deleteRecords lets the broker remove records, but never all that a partition has: it would begin again at offset 0 after
// the next start.
func (r *rules) deleteRecords(q kmsg.Request) kmsg.Response {
	req, ok := q.(*kmsg.DeleteRecordsRequest)
	if !ok {
		return nil
	}
	code := int16(0)
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			info := r.cluster.PartitionInfo(t.Topic, p.Partition)
			if info == nil || p.Offset <= info.LogStartOffset && p.Offset >= 0 {
				continue // the broker says what is wrong with it, or nothing is to be done
			}
			if p.Offset < 0 || p.Offset >= info.HighWatermark {
				code = offsetOutOfRange
			} else if r.syncer.trim(partitionDir(t.Topic, p.Partition), p.Offset) != nil {
				code = unknownServerError
			}
		}
	}
	if code == 0 {
		return nil
	}
	resp := req.ResponseKind().(*kmsg.DeleteRecordsResponse) //nolint:forcetypeassert // the request's kind
	for _, t := range req.Topics {
		a := kmsg.NewDeleteRecordsResponseTopic()
		a.Topic = t.Topic
		for _, p := range t.Partitions {
			b := kmsg.NewDeleteRecordsResponseTopicPartition()
			b.Partition, b.ErrorCode = p.Partition, code
			a.Partitions = append(a.Partitions, b)
		}
		resp.Topics = append(resp.Topics, a)
	}
	return resp
}

// deleteTopics deletes in the broker's place, so that the topic is gone, or the broker, once it was said that it would be.
func (r *rules) deleteTopics(q kmsg.Request) kmsg.Response {
	req, ok := q.(*kmsg.DeleteTopicsRequest)
	if !ok || req.Version > req.MaxVersion() {
		return nil
	}
	topics := req.Topics
	for _, name := range req.TopicNames {
		topics = append(topics, kmsg.DeleteTopicsRequestTopic{Topic: &name})
	}
	resp := req.ResponseKind().(*kmsg.DeleteTopicsResponse) //nolint:forcetypeassert // the request's kind
	for _, t := range topics {
		a := kmsg.NewDeleteTopicsResponseTopic()
		a.Topic, a.TopicID = t.Topic, t.TopicID
		a.ErrorCode = unknownTopic
		info := r.cluster.TopicIDInfo(t.TopicID)
		if t.Topic != nil {
			info = r.cluster.TopicInfo(*t.Topic)
		} else {
			a.ErrorCode = unknownTopicID
		}
		if info != nil {
			a.Topic, a.TopicID, a.ErrorCode = &info.Topic, info.TopicID, r.deleteTopic(info.Topic)
		}
		resp.Topics = append(resp.Topics, a)
	}
	return resp
}

func (r *rules) deleteTopic(topic string) int16 {
	if err := r.syncer.drop(url.PathEscape(topic)); err != nil {
		return unknownServerError
	}
	if err := r.cluster.DeleteTopic(topic); err != nil {
		r.fail(err)
		return unknownServerError
	}
	return 0
}

// offsetCommit refuses an offset behind the end of a partition, for the next start would refuse it (recovery.offsets).
func (r *rules) offsetCommit(q kmsg.Request) kmsg.Response {
	req, ok := q.(*kmsg.OffsetCommitRequest)
	if !ok {
		return nil
	}
	refuse := false
	for _, t := range req.Topics {
		name := t.Topic
		if info := r.cluster.TopicIDInfo(t.TopicID); info != nil {
			name = info.Topic
		}
		for _, p := range t.Partitions {
			info := r.cluster.PartitionInfo(name, p.Partition)
			refuse = refuse || (info != nil && p.Offset > info.HighWatermark)
		}
	}
	if !refuse {
		return nil
	}
	resp := req.ResponseKind().(*kmsg.OffsetCommitResponse) //nolint:forcetypeassert // the request's kind
	for _, t := range req.Topics {
		a := kmsg.NewOffsetCommitResponseTopic()
		a.Topic, a.TopicID = t.Topic, t.TopicID
		for _, p := range t.Partitions {
			b := kmsg.NewOffsetCommitResponseTopicPartition()
			b.Partition, b.ErrorCode = p.Partition, offsetOutOfRange
			a.Partitions = append(a.Partitions, b)
		}
		resp.Topics = append(resp.Topics, a)
	}
	return resp
}

func electLeaders(q kmsg.Request) kmsg.Response {
	req, ok := q.(*kmsg.ElectLeadersRequest)
	if !ok {
		return nil
	}
	resp := req.ResponseKind().(*kmsg.ElectLeadersResponse) //nolint:forcetypeassert // the request's kind
	resp.ErrorCode = electionNotNeeded
	return resp
}
