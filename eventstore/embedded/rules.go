package embedded

import (
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Error codes of the protocol.
const (
	invalidConfig          = 40
	transactionsNotAllowed = 53 // TRANSACTIONAL_ID_AUTHORIZATION_FAILED: clients give up at once and say so
)

const reason = "the embedded broker keeps every record: cleanup.policy is delete, retention.ms and retention.bytes are -1"

// allowed are the settings of a topic that others than these would lose records with.
var allowed = map[string]string{"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}

func forbidden(name string, value *string) bool {
	want, ruled := allowed[name]
	return ruled && value != nil && *value != want
}

// enforce makes the broker refuse what it does not do well. A request with one forbidden setting is refused whole.
func enforce(c *kfake.Cluster) {
	rule := func(key kmsg.Key, f func(kmsg.Request) kmsg.Response) {
		c.ControlKey(int16(key), func(r kmsg.Request) (kmsg.Response, error, bool) { //nolint:revive // the broker's signature
			c.KeepControl()
			resp := f(r)
			return resp, nil, resp != nil
		})
	}
	rule(kmsg.InitProducerID, noTransactions)
	rule(kmsg.CreateTopics, createTopics)
	rule(kmsg.AlterConfigs, alterConfigs)
	rule(kmsg.IncrementalAlterConfigs, incrementalAlterConfigs)
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

func createTopics(r kmsg.Request) kmsg.Response {
	req, ok := r.(*kmsg.CreateTopicsRequest)
	refuse := false
	for i := 0; ok && i < len(req.Topics); i++ {
		for _, c := range req.Topics[i].Configs {
			refuse = refuse || forbidden(c.Name, c.Value)
		}
	}
	if !refuse {
		return nil
	}
	resp := req.ResponseKind().(*kmsg.CreateTopicsResponse) //nolint:forcetypeassert // the request's kind
	for _, t := range req.Topics {
		a := kmsg.NewCreateTopicsResponseTopic()
		a.Topic, a.ErrorCode, a.ErrorMessage = t.Topic, invalidConfig, new(reason)
		resp.Topics = append(resp.Topics, a)
	}
	return resp
}

func alterConfigs(r kmsg.Request) kmsg.Response {
	req, ok := r.(*kmsg.AlterConfigsRequest)
	refuse := false
	for i := 0; ok && i < len(req.Resources); i++ {
		for _, c := range req.Resources[i].Configs {
			refuse = refuse || forbidden(c.Name, c.Value)
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
			refuse = refuse || forbidden(c.Name, c.Value)
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
