package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"

	"deed/domain"
	"deed/domain/partition"
	"deed/eventstore"
	"deed/projections/invocations"
)

// events reads the records of an invocation back from the log, as they stand there.
func (s *Server) events(w http.ResponseWriter, r *http.Request) error {
	row, err := s.find(r)
	if err != nil {
		return err
	}
	out := []Event{}
	for _, ref := range row.Refs {
		m, _, err := s.Door.Record(r.Context(), row.Partition, ref.Offset)
		if err != nil {
			return err
		}
		out = append(out, eventOf(m, ref.Reason))
	}
	return reply(w, http.StatusOK, map[string]any{"events": out})
}

func eventOf(m eventstore.Message, reason partition.Reason) Event {
	a := eventstore.Attributes(m)
	e := Event{
		SpecVersion: a["specversion"], ID: a["id"], Source: a["source"], Type: a["type"], Subject: a["subject"], Time: a["time"],
		CausationID: a["causationid"], CorrelationID: a["correlationid"], OwnerEpoch: a["ownerepoch"], OwnerID: a["ownerid"],
		OwnerSequence: a["ownersequence"], LogTime: a["logtime"], TraceParent: a["traceparent"], DataContentType: a["datacontenttype"],
		Data: m.Value, Partition: m.Partition, Offset: m.Offset, Effective: reason == partition.Effective, Void: string(reason),
	}
	if !json.Valid(m.Value) {
		e.Data, _ = json.Marshal(string(m.Value)) // a string always encodes
	}
	return e
}

// stream sends the events of one invocation, those of the past first, until it is settled.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) error {
	watch := s.Model.Watch() // before the row is read: nothing falls in between
	defer watch.Close()
	row, err := s.find(r)
	if err != nil {
		return err
	}
	send := eventStream(w)
	last := int64(-1)
	for _, ref := range row.Refs {
		m, _, err := s.Door.Record(r.Context(), row.Partition, ref.Offset)
		if err != nil {
			return err
		}
		if err := send(eventOf(m, ref.Reason)); err != nil {
			return nil //nolint:nilerr // the client went away
		}
		last = ref.Offset
	}
	for !row.State.Settled() && row.Refused == "" {
		batch, err := watch.Next(r.Context())
		if err != nil {
			return nil //nolint:nilerr // the client went away, or is told by the end of the stream
		}
		if !s.Keyring.Good(callerOf(r).Caller) {
			return nil // revoked meanwhile
		}
		for _, j := range batch {
			if j.Message.Partition != row.Partition || j.Message.Offset <= last || !concerns(j, row.State.ID) {
				continue
			}
			if err := send(eventOf(j.Message, j.Verdict.Reason)); err != nil {
				return nil //nolint:nilerr // as above
			}
		}
		var ok bool
		if row, ok = s.Model.Get(row.State.ID); !ok {
			return nil // it has ended, and is older than what the read model keeps
		}
	}
	return nil
}

// concerns reports whether the record is of the invocation, or the child's request that settles its notification.
func concerns(j eventstore.Judged, id domain.InvocationID) bool {
	if j.Record.Subject == id {
		return true
	}
	req, ok := j.Record.Event.(domain.InvocationRequested)
	return ok && req.Parent == id
}

func (s *Server) streamAll(w http.ResponseWriter, r *http.Request) error {
	c := callerOf(r)
	watch := s.Model.Watch()
	defer watch.Close()
	send := eventStream(w)
	for {
		batch, err := watch.Next(r.Context())
		if err != nil {
			if err == invocations.ErrLagging { //nolint:errorlint // the sentinel itself
				_, _ = fmt.Fprintf(w, "event: lagging\ndata: %q\n\n", err.Error())
			}
			return nil //nolint:nilerr // the client went away
		}
		if !s.Keyring.Good(c.Caller) {
			return nil // revoked meanwhile
		}
		for _, j := range batch {
			if !s.mayRead(c, &j) {
				continue
			}
			if err := send(eventOf(j.Message, j.Verdict.Reason)); err != nil {
				return nil //nolint:nilerr // as above
			}
		}
	}
}

// mayRead reports whether the record is about an invocation of the caller's project. An operator who names no project
// reads everything, markers and strangers' records, too.
func (s *Server) mayRead(c caller, j *eventstore.Judged) bool {
	if c.Operator && !c.named {
		return true
	}
	project := j.After.Function.Project
	if project == "" { // a void record, or one that could not be folded
		if row, ok := s.Model.Get(j.Record.Subject); ok {
			project = row.State.Function.Project
		}
	}
	return project == c.project
}

// eventStream begins a stream of server-sent events.
func eventStream(w http.ResponseWriter) func(Event) error {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(w)
	_ = flush.Flush() // so that the client knows that it is connected
	return func(e Event) error {
		b, err := json.Marshal(e)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "id: %d/%d\ndata: %s\n\n", e.Partition, e.Offset, b); err != nil {
			return err
		}
		return flush.Flush()
	}
}
