package partition_test

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"deed/domain"
	"deed/domain/partition"

	"github.com/cockroachdb/datadriven"
)

// TestTranscripts runs the scripts in testdata: what doors and owners write, and how the fold judges it. They are golden:
// run with -rewrite to record them anew, and commit a change only if you understand it and want it.
//
// A script has blocks of lines; each is [+DURATION] WHO VERB [ID] [ARGS]. The duration moves the clock. Who is "door" or a
// claimant's name. After a record comes its line: offset, time, who, what, verdict, and the invocation as it then stands.
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		s := &script{fold: partition.Whole(), now: zero, stamps: map[string]domain.Stamp{}, ids: map[string]domain.InvocationID{}, names: map[domain.InvocationID]string{}, seen: map[string]domain.Invocation{}}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd != "log" {
				d.Fatalf(t, "%s: a block is called log", filepath.Base(path))
			}
			s.out.Reset()
			for line := range strings.Lines(d.Input) {
				if err := s.line(strings.Fields(line)); err != nil {
					d.Fatalf(t, "%s: %s: %v", d.Pos, strings.TrimSpace(line), err)
				}
			}
			return s.out.String()
		})
	})
}

// zero is when every story begins.
const zero domain.Instant = 1_767_225_600_000

type script struct {
	fold   *partition.Fold
	log    []domain.Record
	now    domain.Instant
	stamps map[string]domain.Stamp // by claimant
	ids    map[string]domain.InvocationID
	names  map[domain.InvocationID]string
	seen   map[string]domain.Invocation // what a claimant looked at, to restate it later
	out    strings.Builder
}

// args are a line's words of the form name=value, and the bare ones.
type args struct {
	bare []string
	by   map[string]string
}

func parse(words []string) args {
	a := args{by: map[string]string{}}
	for _, w := range words {
		if k, v, ok := strings.Cut(w, "="); ok {
			a.by[k] = v
		} else {
			a.bare = append(a.bare, w)
		}
	}
	return a
}

func (a args) word(n int) string {
	if n < len(a.bare) {
		return a.bare[n]
	}
	return ""
}

func (a args) number(name string, otherwise int) int {
	if n, err := strconv.Atoi(a.by[name]); err == nil {
		return n
	}
	return otherwise
}

func (s *script) line(words []string) error {
	if d, ok := strings.CutPrefix(words[0], "+"); ok {
		pause, err := time.ParseDuration(d)
		if err != nil {
			return err
		}
		s.now = s.now.Add(pause)
		words = words[1:]
	}
	if len(words) < 2 {
		return fmt.Errorf("WHO VERB is missing")
	}
	who, verb, a := words[0], words[1], parse(words[2:])
	if who == "door" {
		return s.door(verb, a)
	}
	return s.owner(who, verb, a)
}

// id is the id with that name; it is made now if the name is new.
func (s *script) id(name string) domain.InvocationID {
	if _, ok := s.ids[name]; !ok {
		sum := domain.DigestOf([]byte(name))
		s.name(name, domain.NewInvocationID(s.now, 0, [8]byte(sum[:8])))
	}
	return s.ids[name]
}

func (s *script) name(name string, id domain.InvocationID) {
	s.ids[name] = id
	if s.names[id] == "" {
		s.names[id] = name
	}
}

// copied is the record at the offset that the line names.
func (s *script) copied(a args) (domain.Record, error) {
	n := a.number("offset", -1)
	if n < 0 || n >= len(s.log) {
		return domain.Record{}, fmt.Errorf("no record has that offset")
	}
	return s.log[n], nil
}

func (s *script) request(id domain.InvocationID, a args) domain.InvocationRequested {
	r := domain.InvocationRequested{ID: id, Function: domain.NativeFunction("echo"), Version: "1", Limits: domain.DefaultLimits(), Hops: a.number("hops", 0)}
	if len(a.by) > 0 {
		age, err := time.ParseDuration(a.by["age"])
		if err != nil {
			age = domain.DefaultMaxAge
		}
		r.Policy = domain.Policy{Set: true, MaxRetries: a.number("retries", domain.DefaultMaxRetries), MaxAge: age, OnSuccess: domain.Target(a.by["success"]), OnFailure: domain.Target(a.by["failure"])}
	}
	r.Deadline = id.T0().Add(r.Policy.Age())
	return r
}

func (s *script) door(verb string, a args) error {
	if verb == "again" { // a copy of what stands at an offset
		r, err := s.copied(a)
		if err == nil {
			s.append("door", r)
		}
		return err
	}
	id := s.id(a.word(0))
	r := domain.Record{Subject: id, At: s.now}
	switch verb {
	case "request":
		r.Event = s.request(id, a)
	case "garble": // a request whose body cannot be read
		r.Type, r.Problem = "InvocationRequested", "not JSON"
	case "cancel":
		r.Event = domain.CancelRequested{Force: a.word(1) == "force"}
	default:
		return fmt.Errorf("no door does that")
	}
	s.append("door", r)
	return nil
}

func (s *script) owner(who, verb string, a args) error {
	stamp := s.stamps[who]
	switch verb {
	case "claim":
		sum := domain.DigestOf([]byte(who + a.by["epoch"]))
		stamp = domain.Stamp{Epoch: uint64(a.number("epoch", 1)), Owner: domain.OwnerID(sum[:16])}
		s.stamps[who] = stamp
		s.append(who, domain.Record{At: s.now, Stamp: stamp, Event: domain.PartitionOwned{LogTime: s.fold.LogTime(), Node: who, Protocol: a.number("protocol", domain.Protocol)}})
		return nil
	case "renew":
		s.own(who, domain.InvocationID{}, domain.PartitionOwned{Renewal: true, LogTime: max(s.now, s.fold.LogTime()), Node: who, Protocol: domain.Protocol})
		return nil
	case "again":
		r, err := s.copied(a)
		if err == nil {
			s.append(who, r)
		}
		return err
	case "drop": // an append that never landed, and the owner carries on
		stamp.Seq++
		s.stamps[who] = stamp
		fmt.Fprintf(&s.out, "%20s: number %d is lost on its way\n", who, stamp.Seq)
		return nil
	case "future": // what a newer version wrote
		stamp.Seq++
		s.append(who, domain.Record{Type: "AttemptPaused", Must: a.word(0) == "must", At: s.now, Stamp: stamp})
		if a.word(0) != "must" {
			s.stamps[who] = stamp
		}
		return nil
	}
	id := s.id(a.word(0))
	var i domain.Invocation
	if e := s.fold.Get(id); e != nil {
		i = e.Invocation
	}
	at := max(s.now, i.At)
	n := a.number("attempt", i.Started)
	sink := i.Owes()
	switch verb {
	case "start":
		s.own(who, id, domain.AttemptStarted{Attempt: a.number("attempt", i.Started+1)})
	case "succeed":
		s.own(who, id, domain.AttemptSucceeded{Attempt: n})
	case "fail":
		s.own(who, id, domain.AttemptFailed{Attempt: n, Kind: domain.FailureKind(a.word(1)), Error: "words"})
	case "lose":
		s.own(who, id, domain.AttemptFailed{Attempt: n, Kind: domain.FailedLost, Error: "its worker died"})
	case "end":
		ends := map[string]domain.Event{
			"succeeded": domain.InvocationSucceeded{Attempts: i.Done}, "failed": domain.InvocationFailed{Attempts: i.Done, Condition: domain.ConditionOf(i.Kind)},
			"discarded": domain.InvocationDiscarded{Attempts: i.Done, Condition: domain.Throttled},
		}
		s.own(who, id, ends[a.word(1)])
	case "deliver":
		s.own(who, id, domain.NotificationDelivered{Sink: sink, ID: i.Notified.ID})
	case "miss": // a delivery fails
		s.own(who, id, domain.NotificationFailed{Sink: sink, ID: i.Notified.ID, Try: i.Notified.Tries + 1, Due: at.Add(domain.Backoff(i.Notified.ID, i.Notified.Tries+1))})
	case "abandon":
		s.own(who, id, domain.NotificationAbandoned{Sink: sink, ID: i.Notified.ID, Reason: a.word(1)})
	case "child": // opens the child, and is the receipt
		s.name(a.word(1), domain.ChildID(id, i.EndedAt, i.Notified.ID))
		r := s.request(s.ids[a.word(1)], a)
		r.Parent, r.Root, r.Hops, r.Sink, r.Notification = id, i.LineageRoot(), i.Hops+1, sink, i.Notified.ID
		s.own(who, r.ID, r)
	case "look":
		s.seen[who+"/"+a.word(0)] = i
		fmt.Fprintf(&s.out, "%20s: looks at %s\n", who, s.names[id])
	case "restate":
		if was, ok := s.seen[who+"/"+a.word(0)]; ok {
			i = was
		}
		s.own(who, id, domain.InvocationCarried{State: i})
	case "refuse":
		s.own(who, id, domain.RequestRefused{})
	case "derive": // whatever follows
		s.decide(who, i, domain.Advance{At: at}, "nothing follows")
	case "begin":
		s.decide(who, i, domain.Begin{At: at}, "")
	case "owe":
		s.decide(who, i, domain.Notify{Record: domain.Bytes(domain.NotificationRecord(i, nil, nil))}, "nobody is to be told")
	default:
		return fmt.Errorf("no owner does that")
	}
	return nil
}

// decide appends what the command leads to, or says why nothing.
func (s *script) decide(who string, i domain.Invocation, c domain.Command, nothing string) {
	events, err := i.Decide(c)
	if err != nil {
		fmt.Fprintf(&s.out, "%20s: refused: %s\n", who, strings.ReplaceAll(err.Error(), i.ID.String(), s.names[i.ID]))
	} else if len(events) == 0 {
		fmt.Fprintf(&s.out, "%20s: %s\n", who, nothing)
	}
	for _, e := range events {
		s.own(who, i.ID, e)
	}
}

// own appends an owner's record: its next.
func (s *script) own(who string, id domain.InvocationID, e domain.Event) {
	stamp := s.stamps[who]
	stamp.Seq++
	s.stamps[who] = stamp
	at := s.now
	if i := s.fold.Get(id); i != nil {
		at = max(at, i.At)
	}
	s.append(who, domain.Record{Subject: id, At: at, Stamp: stamp, Event: e})
}

func (s *script) append(who string, r domain.Record) {
	if r.Event != nil {
		r.Type = r.Event.Type()
	}
	offset := int64(len(s.log))
	s.log = append(s.log, r)
	v := s.fold.Apply(offset, &r)
	stop := ""
	if v.Stop() {
		stop = ", and reads no further"
	}
	line := fmt.Sprintf("%3d %10s  %-5s %-50s %-26s %s", offset, s.clock(r.At), who, s.what(&r), v.String()+stop, s.state(r.Subject))
	if q, ok := r.Event.(domain.InvocationRequested); ok && v.Effective() && !q.Parent.IsZero() {
		line += "; " + s.state(q.Parent)
	}
	s.out.WriteString(strings.TrimRight(line, " ") + "\n")
}

func (s *script) clock(i domain.Instant) string { return "+" + i.Sub(zero).String() }

// what is the record in words.
func (s *script) what(r *domain.Record) string {
	number := ""
	if r.Stamp.IsOwner() {
		number = fmt.Sprintf("[%d.%d] ", r.Stamp.Epoch, r.Stamp.Seq)
	}
	words := r.Type
	switch e := r.Event.(type) {
	case domain.PartitionOwned:
		if words = "claim"; e.Renewal {
			words = "renewal"
		}
	case domain.CancelRequested:
		if e.Force {
			words += " by force"
		}
	case domain.AttemptStarted:
		words += fmt.Sprint(" ", e.Attempt)
	case domain.AttemptSucceeded:
		words += fmt.Sprint(" ", e.Attempt)
	case domain.AttemptFailed:
		words += fmt.Sprint(" ", e.Attempt, " ", e.Kind)
	case domain.RetryScheduled:
		words += fmt.Sprint(" ", e.Attempt, " at ", s.clock(e.Due))
	case domain.InvocationFailed:
		words += " " + string(e.Condition)
	case domain.InvocationDiscarded:
		words += " " + string(e.Condition)
	case domain.NotificationOwed:
		words += " " + string(e.Sink)
	case domain.NotificationAbandoned:
		words += " " + e.Reason
	case domain.InvocationRequested:
		if !e.Parent.IsZero() {
			words += " of a child"
		}
	case nil:
		words += " (unread)"
	}
	return number + words
}

// state is the invocation in one line.
func (s *script) state(id domain.InvocationID) string {
	name := s.names[id]
	if name == "" {
		return ""
	}
	e := s.fold.Get(id)
	if e == nil {
		answer := ""
		s.fold.Refused(func(refused domain.InvocationID, _ int64) {
			if refused == id {
				answer = ", to be refused"
			}
		})
		return name + " unknown" + answer
	}
	parts := []string{name + " " + string(e.Status())}
	add := func(when bool, format string, a ...any) {
		if when {
			parts = append(parts, fmt.Sprintf(format, a...))
		}
	}
	add(e.Cond != "", "%s", e.Cond)
	add(e.Hops > 0, "hop %d", e.Hops)
	add(e.Started > 0, "attempts %d/%d", e.Done, e.Started)
	add(e.Lost > 0, "lost %d", e.Lost)
	add(e.Success && e.Open(), "succeeded")
	add(e.Retry > 0 && e.Open(), "retry at %s", s.clock(e.Due))
	add(e.Cancel && !e.Force, "cancel asked")
	add(e.Force, "cancel forced")
	add(e.From != e.First, "from offset %d", e.From)
	add(e.Notified.Owed && !e.Notified.Settled, "owes a word to %s", e.Notified.Sink)
	add(e.Notified.Tries > 0 && !e.Notified.Settled, "%d tried, next %s", e.Notified.Tries, s.clock(e.Notified.Due))
	add(e.Notified.Abandoned, "given up")
	add(e.Settled(), "settled")
	return strings.Join(parts, ", ")
}
