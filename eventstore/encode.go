package eventstore

import (
	"encoding/hex"
	"fmt"
	"strconv"

	"deed/domain"
)

// Encode makes the message of a record: CloudEvents 1.0 in binary content mode, and at the same time a valid stock
// Watermill message. partition names a marker's subject and is not used otherwise.
//
// The error is a *domain.Rejection if the message would be over domain.MaxRecord: an append that fails for its size
// would stop an owner, and every next owner would derive the same record.
func Encode(cluster string, partition int, r *domain.Record) (Message, error) {
	subject := r.Subject.String()
	if _, ok := r.Event.(domain.PartitionOwned); ok {
		subject = "owner/" + strconv.Itoa(partition)
	} else if f, ok := registrySubject(r.Event); ok {
		subject = f
	}
	id := r.ID.String()
	h := make([]Header, 0, 16)
	h = append(h,
		Header{headerSpecVersion, "1.0"}, Header{headerID, id}, Header{headerSource, source(cluster, r)},
		Header{headerType, TypeName(r.Event.Type())}, Header{headerSubject, subject}, Header{headerTime, r.At.String()})
	if !r.Causation.IsZero() {
		h = append(h, Header{headerCausation, r.Causation.String()})
	}
	if !r.Correlation.IsZero() && r.Correlation != r.Subject {
		h = append(h, Header{headerCorrelation, r.Correlation.String()})
	}
	if r.Stamp.IsOwner() {
		h = append(h,
			Header{headerOwnerEpoch, strconv.FormatUint(r.Stamp.Epoch, 10)}, Header{headerOwnerID, r.Stamp.Owner.String()},
			Header{headerOwnerSequence, strconv.FormatUint(r.Stamp.Seq, 10)})
	}
	if m, ok := r.Event.(domain.PartitionOwned); ok {
		h = append(h, Header{headerLogTime, strconv.FormatInt(int64(m.LogTime), 10)})
	}
	if r.Must {
		h = append(h, Header{headerMust, "1"})
	}
	if r.Trace != "" {
		h = append(h, Header{headerTrace, r.Trace})
	}
	h = append(h, Header{headerContentType, "application/json"}, Header{headerWatermillUUID, id})
	m := Message{Partition: partition, Time: r.At.Time(), Key: []byte(subject), Headers: h, Value: encodeBody(r.Event)}
	if n := Size(m); n > domain.MaxRecord {
		return Message{}, domain.Reject(domain.CodeTooLarge, fmt.Sprintf("%s of %s takes %d bytes; the limit of a record is %d", r.Event.Type(), subject, n, domain.MaxRecord), "")
	}
	return m, nil
}

// Size is what a message takes in the log: key, headers and value, in bytes.
func Size(m Message) int {
	n := len(m.Key) + len(m.Value)
	for _, h := range m.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return n
}

// encodeBody writes the event's value. Members that the fold needs come first, payloads last.
func encodeBody(e domain.Event) []byte {
	o := newObject(make([]byte, 0, 256))
	switch e := e.(type) {
	case domain.InvocationRequested:
		o.b = make([]byte, 0, 512+domain.EncodedLen(e.Payload.Inline))
		o.b = append(o.b, '{')
		o.str("function", e.Function.Version(e.Version))
		o.str("code", e.Code.String())
		o.files(e.Files)
		o.raw("limits", encodeLimits(e.Limits))
		if e.Policy.Set {
			o.raw("policy", encodePolicy(e.Policy))
		}
		o.time("deadline", e.Deadline)
		if !e.Parent.IsZero() {
			o.str("parent", e.Parent.String())
			o.str("sink", string(e.Sink))
			o.str("notification", e.Notification.String())
			o.num("hops", int64(e.Hops))
		}
		if !e.Root.IsZero() {
			o.str("root", e.Root.String())
		}
		if !e.Redrives.IsZero() {
			o.str("redrives", e.Redrives.String())
		}
		o.opt("key", e.Key)
		o.flag("sync", e.Sync)
		if len(e.Env) > 0 {
			o.raw("env", encodeEnv(e.Env))
		}
		o.payload("payload", e.Payload)
	case domain.CancelRequested:
		o.flag("force", e.Force)
		o.opt("by", e.By)
	case domain.AttemptStarted:
		o.num("attempt", int64(e.Attempt))
		o.str("seed", hex.EncodeToString(e.Seed[:]))
	case domain.AttemptSucceeded:
		o.num("attempt", int64(e.Attempt))
		o.usage(e.Usage)
		o.log(e.Log)
		o.payload("result", e.Result)
	case domain.AttemptFailed:
		o.num("attempt", int64(e.Attempt))
		o.str("kind", string(e.Kind))
		o.opt("error", e.Error)
		if e.ExitCode != 0 {
			o.num("exit_code", int64(e.ExitCode))
		}
		o.usage(e.Usage)
		o.log(e.Log)
		o.payload("result", e.Result)
	case domain.RetryScheduled:
		o.num("attempt", int64(e.Attempt))
		o.time("due", e.Due)
	case domain.InvocationSucceeded:
		o.num("attempts", int64(e.Attempts))
	case domain.InvocationFailed:
		o.num("attempts", int64(e.Attempts))
		o.str("condition", string(e.Condition))
		o.opt("kind", string(e.Kind))
		o.opt("error", e.Error)
	case domain.InvocationDiscarded:
		o.num("attempts", int64(e.Attempts))
		o.str("condition", string(e.Condition))
		o.opt("reason", e.Reason)
	case domain.NotificationOwed:
		o.str("sink", string(e.Sink))
		o.str("notification", e.ID.String())
		o.time("valid_until", e.ValidUntil)
		o.payload("record", e.Record)
	case domain.NotificationDelivered:
		o.str("sink", string(e.Sink))
		o.str("notification", e.ID.String())
		o.opt("location", e.Location)
	case domain.NotificationFailed:
		o.str("sink", string(e.Sink))
		o.str("notification", e.ID.String())
		o.num("try", int64(e.Try))
		o.time("due", e.Due)
		o.opt("error", e.Error)
	case domain.NotificationAbandoned:
		o.str("sink", string(e.Sink))
		o.str("notification", e.ID.String())
		o.str("reason", e.Reason)
		o.opt("error", e.Error)
	case domain.InvocationCarried:
		o.raw("state", encodeState(e.State))
		if len(e.Env) > 0 {
			o.raw("env", encodeEnv(e.Env))
		}
		o.payload("payload", e.Request)
		o.payload("result", e.Result)
		o.payload("record", e.Record)
	case domain.RequestRefused:
		o.num("offset", e.Offset)
		o.str("reason", e.Reason)
	case domain.PartitionOwned:
		o.str("kind", markerKind(e.Renewal))
		o.opt("group", e.Group)
		o.opt("node", e.Node)
		o.num("protocol", int64(e.Protocol))
		if e.Renewal {
			o.num("upto", e.Upto)
			o.str("chain", e.Chain.String())
		}
	default:
		o.registry(e)
	}
	return o.end()
}

func markerKind(renewal bool) string {
	if renewal {
		return "renewal"
	}
	return "claim"
}

func (o *object) usage(u domain.Usage) {
	o.num("duration_us", u.Duration.Microseconds())
	if u.PeakMemory > 0 {
		o.num("peak_memory", u.PeakMemory)
	}
	if u.Costs > 0 {
		o.num("fuel", u.Fuel)
		o.num("fuel_costs", int64(u.Costs))
	}
	if u.Output != (domain.Digest{}) {
		o.str("output_digest", u.Output.String())
	}
}

func (o *object) log(l domain.AttemptLog) {
	o.opt("log", l.Text)
	o.flag("log_cut", l.Cut)
}

// files writes which files a function has, if it has any.
func (o *object) files(f domain.Files) {
	if !f.None() {
		o.str("files", f.Digest.String())
		o.num("files_size", f.Size)
	}
}

func encodeLimits(l domain.Limits) []byte {
	o := newObject(make([]byte, 0, 80))
	o.num("timeout_ms", l.Timeout.Milliseconds())
	o.num("memory", l.Memory)
	o.num("max_output", l.MaxOutput)
	if l.Fuel > 0 {
		o.num("fuel", l.Fuel)
	}
	return o.end()
}

func encodePolicy(p domain.Policy) []byte {
	o := newObject(make([]byte, 0, 160))
	o.num("max_async_retry_attempts", int64(p.MaxRetries))
	o.num("max_async_event_age_in_seconds", int64(p.MaxAge.Seconds()))
	o.opt("on_success", string(p.OnSuccess))
	o.opt("on_failure", string(p.OnFailure))
	return o.end()
}

// encodeEnv keeps the order in which the variables were given: the guest sees them so.
func encodeEnv(env []domain.EnvVar) []byte {
	o := newObject(nil)
	for _, v := range env {
		o.key("")
		o.b = o.b[:len(o.b)-3]
		o.b = append(appendString(o.b, v.Name), ':')
		o.b = appendString(o.b, v.Value)
	}
	return o.end()
}
