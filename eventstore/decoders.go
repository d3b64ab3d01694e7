package eventstore

import (
	"fmt"
	"strconv"
	"time"

	"deed/domain"
)

// decoders reads the value of each event type; the table is the catalogue of what this version knows.
var decoders = map[string]func(*body, []byte) (domain.Event, error){
	"InvocationRequested": func(b *body, v []byte) (domain.Event, error) {
		e := domain.InvocationRequested{ID: b.rec.Subject}
		f := fields{
			"function":     b.version(&e.Function, &e.Version),
			"code":         b.digest(&e.Code),
			"files":        b.digest(&e.Files.Digest),
			"files_size":   b.num(&e.Files.Size),
			"limits":       b.limits(&e.Limits),
			"policy":       b.policy(&e.Policy),
			"deadline":     b.time(&e.Deadline),
			"parent":       b.id(&e.Parent),
			"sink":         b.target(&e.Sink),
			"notification": b.uuid(&e.Notification),
			"hops":         b.small(&e.Hops),
			"root":         b.id(&e.Root),
			"redrives":     b.id(&e.Redrives),
			"key":          b.str(&e.Key),
			"sync":         b.flag(&e.Sync),
			"env":          b.env(&e.Env),
		}
		err := f.payload(b, "payload", &e.Payload).read(v, "function", "code", "limits", "deadline")
		return e, orNil(err, b.childNeeds(&e), filesNeed(e.Files))
	},
	"CancelRequested": func(b *body, v []byte) (domain.Event, error) {
		var e domain.CancelRequested
		err := fields{"force": b.flag(&e.Force), "by": b.str(&e.By)}.read(v)
		return e, err
	},
	"AttemptStarted": func(b *body, v []byte) (domain.Event, error) {
		var e domain.AttemptStarted
		err := fields{"attempt": b.small(&e.Attempt), "seed": b.seed(&e.Seed)}.read(v, "attempt", "seed")
		return e, err
	},
	"AttemptSucceeded": func(b *body, v []byte) (domain.Event, error) {
		var e domain.AttemptSucceeded
		f := fields{"attempt": b.small(&e.Attempt)}
		err := f.usage(b, &e.Usage).log(b, &e.Log).payload(b, "result", &e.Result).read(v, "attempt")
		return e, err
	},
	"AttemptFailed": func(b *body, v []byte) (domain.Event, error) {
		var e domain.AttemptFailed
		var code int64
		f := fields{"attempt": b.small(&e.Attempt), "kind": b.failure(&e.Kind), "error": b.str(&e.Error), "exit_code": b.num(&code)}
		err := f.usage(b, &e.Usage).log(b, &e.Log).payload(b, "result", &e.Result).read(v, "attempt", "kind")
		e.ExitCode = uint32(code) //nolint:gosec // written from a uint32
		return e, err
	},
	"RetryScheduled": func(b *body, v []byte) (domain.Event, error) {
		var e domain.RetryScheduled
		err := fields{"attempt": b.small(&e.Attempt), "due": b.time(&e.Due)}.read(v, "attempt", "due")
		return e, err
	},
	"InvocationSucceeded": func(b *body, v []byte) (domain.Event, error) {
		var e domain.InvocationSucceeded
		err := fields{"attempts": b.small(&e.Attempts)}.read(v, "attempts")
		return e, err
	},
	"InvocationFailed": func(b *body, v []byte) (domain.Event, error) {
		var e domain.InvocationFailed
		err := fields{
			"attempts": b.small(&e.Attempts), "condition": b.condition(&e.Condition), "kind": b.failure(&e.Kind), "error": b.str(&e.Error),
		}.read(v, "attempts", "condition")
		return e, err
	},
	"InvocationDiscarded": func(b *body, v []byte) (domain.Event, error) {
		var e domain.InvocationDiscarded
		err := fields{"attempts": b.small(&e.Attempts), "condition": b.condition(&e.Condition), "reason": b.str(&e.Reason)}.read(v, "attempts", "condition")
		return e, err
	},
	"NotificationOwed": func(b *body, v []byte) (domain.Event, error) {
		var e domain.NotificationOwed
		f := fields{"sink": b.target(&e.Sink), "notification": b.uuid(&e.ID), "valid_until": b.time(&e.ValidUntil)}
		err := f.payload(b, "record", &e.Record).read(v, "sink", "notification", "valid_until")
		return e, err
	},
	"NotificationDelivered": func(b *body, v []byte) (domain.Event, error) {
		var e domain.NotificationDelivered
		err := fields{"sink": b.target(&e.Sink), "notification": b.uuid(&e.ID), "location": b.str(&e.Location)}.read(v, "sink", "notification")
		return e, err
	},
	"NotificationFailed": func(b *body, v []byte) (domain.Event, error) {
		var e domain.NotificationFailed
		err := fields{
			"sink": b.target(&e.Sink), "notification": b.uuid(&e.ID), "try": b.small(&e.Try), "due": b.time(&e.Due), "error": b.str(&e.Error),
		}.read(v, "sink", "notification", "try", "due")
		return e, err
	},
	"NotificationAbandoned": func(b *body, v []byte) (domain.Event, error) {
		var e domain.NotificationAbandoned
		err := fields{
			"sink": b.target(&e.Sink), "notification": b.uuid(&e.ID), "reason": b.str(&e.Reason), "error": b.str(&e.Error),
		}.read(v, "sink", "notification", "reason")
		return e, err
	},
	"InvocationCarried": func(b *body, v []byte) (domain.Event, error) {
		var e domain.InvocationCarried
		f := fields{"state": b.state(&e.State), "env": b.env(&e.Env)}
		f.payload(b, "payload", &e.Request).payload(b, "result", &e.Result).payload(b, "record", &e.Record)
		err := f.read(v, "state")
		return e, err
	},
	"RequestRefused": func(b *body, v []byte) (domain.Event, error) {
		var e domain.RequestRefused
		err := fields{"offset": b.num(&e.Offset), "reason": b.str(&e.Reason)}.read(v, "offset", "reason")
		return e, err
	},
	"PartitionOwned": func(b *body, v []byte) (domain.Event, error) {
		var e domain.PartitionOwned
		var kind string
		err := fields{
			"kind": b.str(&kind), "group": b.str(&e.Group), "node": b.str(&e.Node), "protocol": b.small(&e.Protocol),
			"upto": b.num(&e.Upto), "chain": b.digest(&e.Chain),
		}.read(v, "kind", "protocol")
		e.Renewal = kind == markerKind(true)
		if err == nil && kind != markerKind(e.Renewal) {
			err = fmt.Errorf("a marker is a claim or a renewal, not %q", clipped(kind))
		}
		return e, err
	},
}

func orNil(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// childNeeds is checked after reading: an owner's request names its parent, a door's does not.
func (b *body) childNeeds(e *domain.InvocationRequested) error {
	if b.rec.Stamp.IsOwner() == e.Parent.IsZero() {
		return fmt.Errorf("a request of an owner names a parent, one of a door does not")
	}
	if e.Hops > domain.MaxHops {
		return fmt.Errorf("hops %d is over %d", e.Hops, domain.MaxHops)
	}
	return nil
}

// filesNeed is checked after reading: files have both a digest and a size, or there are none.
func filesNeed(f domain.Files) error {
	if !f.None() && (f.Digest.IsZero() || f.Size <= 0) {
		return fmt.Errorf("files of %d bytes with the digest %s", f.Size, f.Digest)
	}
	return nil
}

func (b *body) version(f *domain.FunctionID, version *string) func([]byte) error {
	return func(v []byte) error {
		s, err := unquote(v)
		if err == nil {
			*f, *version, err = domain.ParseFunctionURN(string(s))
		}
		return err
	}
}

func (b *body) target(dst *domain.Target) func([]byte) error {
	return func(v []byte) error {
		s, err := unquote(v)
		*dst = domain.Target(s)
		return err
	}
}

func (b *body) failure(dst *domain.FailureKind) func([]byte) error {
	return func(v []byte) error {
		s, err := unquote(v)
		*dst = domain.FailureKind(s)
		return err
	}
}

func (b *body) condition(dst *domain.Condition) func([]byte) error {
	return func(v []byte) error {
		s, err := unquote(v)
		*dst = domain.Condition(s)
		return err
	}
}

func (b *body) limits(dst *domain.Limits) func([]byte) error {
	return func(v []byte) error {
		var ms int64
		err := fields{"timeout_ms": b.num(&ms), "memory": b.num(&dst.Memory), "max_output": b.num(&dst.MaxOutput), "fuel": b.num(&dst.Fuel)}.read(v, "timeout_ms", "memory", "max_output")
		dst.Timeout = time.Duration(ms) * time.Millisecond
		if err == nil {
			err = dst.Check()
		}
		return err
	}
}

func (b *body) policy(dst *domain.Policy) func([]byte) error {
	return func(v []byte) error {
		var seconds int64
		dst.Set = true
		err := fields{
			"max_async_retry_attempts": b.small(&dst.MaxRetries), "max_async_event_age_in_seconds": b.num(&seconds),
			"on_success": b.target(&dst.OnSuccess), "on_failure": b.target(&dst.OnFailure),
		}.read(v, "max_async_retry_attempts", "max_async_event_age_in_seconds")
		dst.MaxAge = time.Duration(min(max(seconds, 0), 1<<32)) * time.Second
		if err == nil {
			err = dst.Check()
		}
		return err
	}
}

// env reads the variables in their order. A lean reader steps over them: no decision rests on them.
func (b *body) env(dst *[]domain.EnvVar) func([]byte) error {
	return func(v []byte) error {
		if b.lean {
			return nil
		}
		return eachMember(v, func(name, value []byte) error {
			n, err := unquote([]byte(`"` + string(name) + `"`))
			if err != nil {
				return err
			}
			s, err := unquote(value)
			*dst = append(*dst, domain.EnvVar{Name: string(n), Value: string(s)})
			return err
		})
	}
}

// encodeState writes a whole state, for InvocationCarried. What is zero is left out.
func encodeState(i domain.Invocation) []byte {
	o := newObject(make([]byte, 0, 512))
	o.str("id", i.ID.String())
	o.str("function", i.Function.Version(i.Version))
	o.str("code", i.Code.String())
	o.files(i.Files)
	o.raw("limits", encodeLimits(i.Limits))
	if i.Policy.Set {
		o.raw("policy", encodePolicy(i.Policy))
	}
	o.time("deadline", i.Deadline)
	if !i.Parent.IsZero() {
		o.str("parent", i.Parent.String())
	}
	if !i.Root.IsZero() {
		o.str("root", i.Root.String())
	}
	o.num("hops", int64(i.Hops))
	if !i.Redrives.IsZero() {
		o.str("redrives", i.Redrives.String())
	}
	o.flag("sync", i.Sync)
	o.flag("broken", i.Broken)
	o.time("at", i.At)
	o.flag("cancel", i.Cancel)
	o.flag("force", i.Force)
	o.num("started", int64(i.Started))
	if i.By != (domain.OwnerID{}) {
		o.str("by", i.By.String())
	}
	o.num("done", int64(i.Done))
	o.flag("success", i.Success)
	o.num("code_failures", int64(i.CodeFails))
	o.num("lost", int64(i.Lost))
	o.opt("kind", string(i.Kind))
	o.opt("error", i.Error)
	if i.Retry != 0 {
		o.num("retry", int64(i.Retry))
		o.time("due", i.Due)
	}
	if i.Outcome != domain.Open {
		o.str("outcome", string(i.Outcome))
		o.opt("condition", string(i.Cond))
		o.opt("reason", i.Reason)
		o.time("ended_at", i.EndedAt)
	}
	if n := i.Notified; n.Owed {
		p := newObject(nil)
		p.str("sink", string(n.Sink))
		p.str("notification", n.ID.String())
		p.time("valid_until", n.ValidUntil)
		p.num("tries", int64(n.Tries))
		if n.Due != 0 {
			p.time("due", n.Due)
		}
		o.raw("notified", p.end())
	}
	return o.end()
}

func (b *body) state(i *domain.Invocation) func([]byte) error {
	return func(v []byte) error {
		var by domain.UUID
		var outcome string
		i.Known = true
		err := fields{
			"id": b.id(&i.ID), "function": b.version(&i.Function, &i.Version), "code": b.digest(&i.Code), "files": b.digest(&i.Files.Digest), "files_size": b.num(&i.Files.Size), "limits": b.limits(&i.Limits),
			"policy": b.policy(&i.Policy), "deadline": b.time(&i.Deadline), "parent": b.id(&i.Parent), "root": b.id(&i.Root), "redrives": b.id(&i.Redrives),
			"hops": b.small(&i.Hops), "sync": b.flag(&i.Sync), "broken": b.flag(&i.Broken), "at": b.time(&i.At), "cancel": b.flag(&i.Cancel), "force": b.flag(&i.Force),
			"started": b.small(&i.Started), "by": b.uuid(&by), "done": b.small(&i.Done), "success": b.flag(&i.Success),
			"code_failures": b.small(&i.CodeFails), "lost": b.small(&i.Lost), "kind": b.failure(&i.Kind), "error": b.str(&i.Error),
			"retry": b.small(&i.Retry), "due": b.time(&i.Due), "outcome": b.str(&outcome), "condition": b.condition(&i.Cond),
			"reason": b.str(&i.Reason), "ended_at": b.time(&i.EndedAt), "notified": b.notified(&i.Notified),
		}.read(v, "id", "function", "code", "limits", "deadline", "at")
		err = orNil(err, filesNeed(i.Files))
		i.By, i.Outcome = domain.OwnerID(by), domain.Outcome(outcome)
		switch i.Outcome {
		case domain.Open, domain.Succeeded, domain.Failed, domain.Discarded:
		default:
			err = orNil(err, fmt.Errorf("outcome %s is none of ours", strconv.Quote(clipped(outcome))))
		}
		return err
	}
}

func (b *body) notified(n *domain.Notification) func([]byte) error {
	return func(v []byte) error {
		n.Owed = true
		return fields{
			"sink": b.target(&n.Sink), "notification": b.uuid(&n.ID), "valid_until": b.time(&n.ValidUntil),
			"tries": b.small(&n.Tries), "due": b.time(&n.Due),
		}.read(v, "sink", "notification")
	}
}
