package eventstore

import (
	"strings"

	"deed/domain"
)

// Topics are the names of a deployment's topics. The namespace is the prefix of topics and groups, so that two
// deployments can share a cluster.
type Topics struct{ Namespace string }

// DefaultNamespace is the namespace of a deployment that names none.
const DefaultNamespace = "deed"

// Invocations is the topic of everything about invocations.
func (t Topics) Invocations() string { return t.prefix() + ".invocations" }

// Functions is the topic of the registry: one partition, every change kept.
func (t Topics) Functions() string { return t.prefix() + ".functions" }

// Operations is the topic of operations on many invocations: one partition, every record kept.
func (t Topics) Operations() string { return t.prefix() + ".operations" }

// Notifications is the topic of notification records alone, with as many partitions as that of invocations.
func (t Topics) Notifications() string { return t.prefix() + ".notifications" }

// OperatorsGroup is the consumer group of which one node carries operations out.
func (t Topics) OperatorsGroup() string { return t.prefix() + ".operators" }

// OwnersGroup is the consumer group in which nodes share the partitions.
func (t Topics) OwnersGroup() string { return t.prefix() + ".owners" }

// Prefix is what the names of all topics of a deployment begin with.
func (t Topics) Prefix() string { return t.prefix() + "." }

func (t Topics) prefix() string {
	if t.Namespace == "" {
		return DefaultNamespace
	}
	return t.Namespace
}

// Names of headers on the wire, in the order in which they are written.
const (
	headerSpecVersion   = "ce_specversion"
	headerID            = "ce_id"
	headerSource        = "ce_source"
	headerType          = "ce_type"
	headerSubject       = "ce_subject"
	headerTime          = "ce_time"
	headerCausation     = "ce_causationid"
	headerCorrelation   = "ce_correlationid"
	headerOwnerEpoch    = "ce_ownerepoch"
	headerOwnerID       = "ce_ownerid"
	headerOwnerSequence = "ce_ownersequence"
	headerLogTime       = "ce_logtime"
	headerMust          = "deed_must"
	headerTrace         = "traceparent"
	headerContentType   = "content-type"
	headerWatermillUUID = "_watermill_message_uuid"
)

const typePrefix, typeVersion = "deed.", ".v1"

// TypeName is an event type's name on the wire: deed.<Event>.v1.
func TypeName(event string) string { return typePrefix + event + typeVersion }

// eventName is the reverse; what is not of this version comes back whole.
func eventName(ceType string) string {
	if rest, ok := strings.CutPrefix(ceType, typePrefix); ok {
		if name, ok := strings.CutSuffix(rest, typeVersion); ok {
			return name
		}
	}
	return ceType
}

// must lists the events that a reader who does not know them may not skip. None of version 1: every reader of this
// protocol knows them all. A newer version sets the header deed_must on events that change what later ones mean.
func source(cluster string, r *domain.Record) string {
	project := r.Project
	switch e := r.Event.(type) {
	case domain.PartitionOwned, domain.ClusterFormed, domain.KeyCreated, domain.KeyRevoked, domain.NotificationsFed:
		return "/deed/" + cluster
	case domain.InvocationRequested:
		project = e.Function.Project
	case domain.InvocationCarried:
		project = e.State.Function.Project
	case domain.StatusLogEnabled:
		project = e.Project
	case domain.OperationRequested:
		project = e.Project
	default:
		if f, ok := registryFunction(e); ok {
			project = f.Project
		}
	}
	if project == "" {
		project = domain.NativeProject
	}
	return "/deed/" + cluster + "/" + project
}
