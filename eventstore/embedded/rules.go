package embedded

import (
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Error codes of the protocol.
const (
	offsetOutOfRange       = 1
	unknownTopic           = 3
	invalidPartitions      = 37
	unknownServerError     = -1
	electionNotNeeded      = 84
	unknownTopicID         = 100
	invalidConfig          = 40
	transactionsNotAllowed = 53 // TRANSACTIONAL_ID_AUTHORIZATION_FAILED: clients give up at once and say so
)

const reason = "the embedded broker keeps every record: cleanup.policy is delete, retention.ms and retention.bytes are -1, and segment.bytes stays as it was made"

// allowed are the settings that others than these would lose records with.
var allowed = map[string]string{
	"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1", "log.retention.ms": "-1", "log.retention.bytes": "-1",
}

// fixed are the settings that a topic is made with and keeps: the syncer relies on them.
var fixed = map[string]bool{"segment.bytes": true, "log.segment.bytes": true}

const (
	defaultPartitions = 10 // of a topic for which no number is given
	maxPartitions     = 1000
)

func forbidden(name string, value *string) bool {
	want, ruled := allowed[name]
	return ruled && value != nil && *value != want
}

// rules are what the broker is asked before it does something. While they are asked it does nothing else.
type rules struct {
	cluster *kfake.Cluster
	syncer  *syncer
	fail    func(error)
}

// enforce makes the broker refuse what it does not do well. A request with one forbidden setting is refused whole.
func (r *rules) enforce() {
	rule := func(key kmsg.Key, f func(kmsg.Request) kmsg.Response) {
		r.cluster.ControlKey(int16(key), func(req kmsg.Request) (kmsg.Response, error, bool) { //nolint:revive // the broker's signature
			r.cluster.KeepControl()
			resp := f(req)
			return resp, nil, resp != nil
		})
	}
	rule(kmsg.InitProducerID, noTransactions)
	rule(kmsg.CreateTopics, r.createTopics)
	rule(kmsg.CreatePartitions, r.createPartitions)
	rule(kmsg.AlterConfigs, alterConfigs)
	rule(kmsg.IncrementalAlterConfigs, incrementalAlterConfigs)
	rule(kmsg.DeleteRecords, r.deleteRecords)
	rule(kmsg.DeleteTopics, r.deleteTopics)
	rule(kmsg.OffsetCommit, r.offsetCommit)
	rule(kmsg.ElectLeaders, electLeaders)
}

func noTransactions(r kmsg.Request) kmsg.Response {
	req, ok := r.(*kmsg.InitProducerIDRequest)
	if !ok || req.TransactionalID == nil {
		return nil
	}
	resp := req.ResponseKind().(*kmsg.InitProducerIDResponse) //nolint:forcetypeassert // the request's kind
	resp.ErrorCode, resp.ProducerID, resp.ProducerEpoch = transactionsNotAllowed, -1, -1
	return resp
}

func alterConfigs(r kmsg.Request) kmsg.Response {
	req, ok := r.(*kmsg.AlterConfigsRequest)
	refuse := false
	for i := 0; ok && i < len(req.Resources); i++ {
		// Of the broker it replaces all settings, and without ours records expire.
		refuse = refuse || req.Resources[i].ResourceType == kmsg.ConfigResourceTypeBroker
		for _, c := range req.Resources[i].Configs {
			refuse = refuse || fixed[c.Name] || forbidden(c.Name, c.Value)
		}
	}
	if !refuse {
		return nil
	}
	resp := req.ResponseKind().(*kmsg.AlterConfigsResponse) //nolint:forcetypeassert // the request's kind
	for _, t := range req.Resources {
		a := kmsg.NewAlterConfigsResponseResource()
		a.ResourceType, a.ResourceName, a.ErrorCode, a.ErrorMessage = t.ResourceType, t.ResourceName, invalidConfig, new(reason)
		resp.Resources = append(resp.Resources, a)
	}
	return resp
}

func incrementalAlterConfigs(r kmsg.Request) kmsg.Response {
	req, ok := r.(*kmsg.IncrementalAlterConfigsRequest)
	refuse := false
	for i := 0; ok && i < len(req.Resources); i++ {
		for _, c := range req.Resources[i].Configs {
			_, ruled := allowed[c.Name]
			refuse = refuse || fixed[c.Name] || forbidden(c.Name, c.Value) || (ruled && c.Op != kmsg.IncrementalAlterConfigOpSet)
		}
	}
	if !refuse {
		return nil
	}
	resp := req.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse) //nolint:forcetypeassert // the request's kind
	for _, t := range req.Resources {
		a := kmsg.NewIncrementalAlterConfigsResponseResource()
		a.ResourceType, a.ResourceName, a.ErrorCode, a.ErrorMessage = t.ResourceType, t.ResourceName, invalidConfig, new(reason)
		resp.Resources = append(resp.Resources, a)
	}
	return resp
}
