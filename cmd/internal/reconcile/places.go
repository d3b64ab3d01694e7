package reconcile

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"strings"
	"time"

	"deed/domain"
	"deed/eventstore"
	"deed/runtime/sink/object"
)

// verify compares what stands at a place of its own: an object, or a child.
func (c *run) verify(ctx context.Context, a account) error {
	target := a.invocation.Notified.Sink
	if _, _, ok := target.Function(a.invocation.Function); ok {
		return c.child(ctx, a)
	}
	name, prefix, ok := target.Object()
	if !ok {
		return nil // topics are read as a whole
	}
	want, ok, err := c.expected(ctx, a)
	if !ok {
		return err
	}
	bucket, err := c.Places.Bucket(ctx, a.invocation.Function, name)
	if err != nil {
		c.find(a, Unreached, name, err.Error())
		return nil
	}
	key := object.Key(prefix, a.invocation)
	got, err := bucket.Read(ctx, key)
	switch {
	case err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil && c.Places.Absent(err):
		c.find(a, Missing, name+"/"+key, "there is a receipt, and no object")
	case err != nil:
		c.find(a, Unreached, name+"/"+key, err.Error())
	case !bytes.Equal(got, want):
		c.find(a, Different, name+"/"+key, fmt.Sprintf("the object has %d bytes of %s, the record %d of %s", len(got), domain.DigestOf(got), len(want), domain.DigestOf(want)))
	default:
		c.verified()
	}
	return nil
}

// child looks the invocation up that a function was told by.
func (c *run) child(ctx context.Context, a account) error {
	id := domain.ChildID(a.invocation.ID, a.invocation.EndedAt, a.invocation.Notified.ID)
	if text, ok := strings.CutPrefix(a.place, "invocation "); ok {
		var err error
		if id, err = domain.ParseInvocationID(text); err != nil {
			c.find(a, Unreached, a.place, err.Error())
			return nil
		}
	}
	row, err := c.Door.Find(ctx, id)
	switch {
	case err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil && id.T0() <= c.Rows.Dropped(domain.FunctionID{}):
		c.find(a, Unreached, "invocation "+id.String(), "the read model may have dropped it")
	case err != nil:
		c.find(a, Missing, "invocation "+id.String(), err.Error())
	case row.State.Parent != a.invocation.ID && row.State.Redrives != a.invocation.ID:
		c.find(a, Different, "invocation "+id.String(), "it has another parent")
	default:
		c.verified()
	}
	return nil
}

// objects looks through the buckets for what nobody owes: below the prefixes that are told of, in the form of our keys.
func (c *run) objects(ctx context.Context, told []account) error {
	type place struct{ bucket, prefix string }
	owes := map[place]domain.FunctionID{}
	for _, a := range told {
		if bucket, prefix, ok := a.invocation.Notified.Sink.Object(); ok {
			owes[place{bucket, prefix}] = a.invocation.Function
		}
	}
	for _, f := range c.Registry.List(c.Project) {
		for _, t := range []domain.Target{f.Policy().OnSuccess, f.Policy().OnFailure} {
			if bucket, prefix, ok := t.Object(); ok && c.selects(f.ID) {
				owes[place{bucket, prefix}] = f.ID
			}
		}
	}
	for p, f := range owes {
		bucket, err := c.Places.Bucket(ctx, f, p.bucket)
		if err == nil {
			under := c.Project + "/"
			if c.Function != (domain.FunctionID{}) {
				under += c.Function.Package + "/" + c.Function.Name + "/"
			}
			err = bucket.List(ctx, path.Join(p.prefix, under)+"/", func(key string, _ int64) error {
				c.looked(p.bucket, p.prefix, key)
				return ctx.Err()
			})
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			c.add(Finding{What: Unreached, Where: p.bucket + "/" + p.prefix, Words: err.Error()})
		}
	}
	return nil
}

func (c *run) selects(f domain.FunctionID) bool {
	return c.Function == (domain.FunctionID{}) || f.Package == c.Function.Package && f.Name == c.Function.Name
}

// looked judges an object by its key. What is not in the form of our keys is somebody else's, and what may be of an
// invocation that the read model has dropped cannot be judged.
func (c *run) looked(bucket, prefix, key string) {
	name := path.Base(key)
	text, ok := strings.CutSuffix(name, ".json")
	if !ok {
		return
	}
	text, class, ok := cutLast(text, "-")
	id, err := domain.ParseInvocationID(text)
	if !ok || err != nil || class != "success" && class != "failure" {
		return
	}
	if !c.inTime(id) || id.T0() <= c.Rows.Dropped(domain.FunctionID{}) {
		return
	}
	row, known := c.Rows.Get(id)
	where := bucket + "/" + key
	extra := func(words string) {
		c.add(Finding{Invocation: id, Target: domain.Target("obs://" + bucket), What: Extra, Where: where, Words: words})
	}
	switch {
	case !known || !row.State.Known:
		extra("there is no such invocation")
	case row.State.Outcome == domain.Open:
		extra("the invocation has no outcome yet")
	case object.Key(prefix, row.State) != key:
		extra("the invocation's outcome has another key: " + object.Key(prefix, row.State))
	default:
		if b, p, ok := row.State.Owes().Object(); !ok || b != bucket || p != prefix {
			extra(fmt.Sprintf("its outcome is owed to %s", orNobody(row.State.Owes())))
		}
	}
}

func (c *run) inTime(id domain.InvocationID) bool {
	return id.T0() >= c.Since && (c.Until == 0 || id.T0() <= c.Until)
}

func orNobody(t domain.Target) string {
	if t == "" {
		return "nobody"
	}
	return string(t)
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// topic reads a topic, from the first outcome on that is to be there, and compares what it holds.
func (c *run) topic(ctx context.Context, target domain.Target, accounts []account) error {
	unreached := func(err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		c.add(Finding{Target: target, What: Unreached, Where: string(target), Words: err.Error()})
		return nil
	}
	log, err := c.Places.Topic(ctx, accounts[0].invocation.Function, target)
	if err != nil {
		return unreached(err)
	}
	defer log.Close() //nolint:errcheck // it was only read
	want := map[string]account{}
	first := accounts[0].invocation.EndedAt
	for _, a := range accounts {
		want[a.invocation.Notified.ID.String()] = a
		first = min(first, a.invocation.EndedAt)
	}
	type message struct {
		digest  domain.Digest
		differs bool // from another one with its id
		where   string
	}
	held := map[string]message{}
	read := func(m eventstore.Message) {
		at := eventstore.Attributes(m)
		if at["type"] != eventstore.NotificationType || at["target"] != string(target) || !strings.HasSuffix(at["source"], "/"+c.Project) {
			return
		}
		id := at["id"]
		where := fmt.Sprintf("%s:%d:%d", target, m.Partition, m.Offset)
		if _, ok := want[id]; !ok {
			c.stray(at["subject"], target, where)
			return
		}
		now := message{digest: domain.DigestOf(m.Value), where: where}
		if before, twice := held[id]; twice {
			c.report.Doubled++
			now.differs = before.differs || before.digest != now.digest
		}
		held[id] = now
	}
	if err := scan(ctx, log, first, read); err != nil {
		return unreached(err)
	}
	return c.each(ctx, accounts, func(ctx context.Context, a account) error {
		record, ok, err := c.expected(ctx, a)
		if !ok {
			return err
		}
		value, err := domain.Referred(record, eventstore.MaxNotification)
		if err != nil {
			return err
		}
		got, there := held[a.invocation.Notified.ID.String()]
		switch {
		case !there:
			c.find(a, Missing, string(target), "there is a receipt, and no message: it may be older than what the topic keeps")
		case got.differs:
			c.find(a, Different, got.where, "it stands there twice, and is not the same")
		case got.digest != domain.DigestOf(value):
			c.find(a, Different, got.where, "the message is not the record")
		default:
			c.verified()
		}
		return nil
	})
}

// stray judges a message that is not among those selected.
func (c *run) stray(subject string, target domain.Target, where string) {
	id, err := domain.ParseInvocationID(subject)
	if err != nil || !c.inTime(id) || id.T0() <= c.Rows.Dropped(domain.FunctionID{}) {
		return
	}
	row, known := c.Rows.Get(id)
	if known && row.State.Known && (!c.selects(row.State.Function) || row.State.Owes() == target) {
		return // another function's, or told and its receipt is still to come
	}
	words := "there is no such invocation"
	if known && row.State.Known {
		words = fmt.Sprintf("its outcome is owed to %s", orNobody(row.State.Owes()))
	}
	c.add(Finding{Invocation: id, Target: target, What: Extra, Where: where, Words: words})
}

// early is how much before an outcome its message may be said to have been written: clocks differ.
const early = 5 * time.Minute

// scan reads what a topic holds now, from about a time on.
func scan(ctx context.Context, log Topic, since domain.Instant, fn func(eventstore.Message)) error {
	for p := range log.Partitions() {
		_, end, err := log.Bounds(ctx, p)
		if err != nil {
			return err
		}
		at, err := log.OffsetAt(ctx, p, since.Time().Add(-early))
		for err == nil && at < end {
			var ms []eventstore.Message
			if ms, err = log.Read(ctx, p, at, 1000); err != nil || len(ms) == 0 {
				break
			}
			for _, m := range ms {
				fn(m)
			}
			at = ms[len(ms)-1].Offset + 1
		}
		if err != nil {
			return err
		}
	}
	return nil
}
