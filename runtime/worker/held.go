package worker

import (
	"bytes"
	"strings"

	"deed/domain"
	"deed/eventstore"
)

func (o *Owner) alive(id domain.InvocationID) *live {
	l := o.live[id]
	if l == nil {
		l = &live{}
		o.live[id] = l
	}
	return l
}

// hold keeps a request's record until its run, within bounds; what is not held is read again.
func (o *Owner) hold(id domain.InvocationID, m *eventstore.Message) {
	if o.held+len(m.Value) > heldBytes {
		return
	}
	l := o.alive(id)
	if l.request == nil {
		l.request = m
		o.held += len(m.Value)
	}
}

func (o *Owner) release(l *live) {
	if l.request != nil {
		o.held -= len(l.request.Value)
		l.request = nil
	}
	if l.kept != nil {
		o.held -= l.kept.size()
		l.kept = nil
	}
}

// keep takes out of a held record what the run needs: the record's memory is that of everything that was read with it, and
// this one waits.
func (o *Owner) keep(l *live) {
	if l.request == nil {
		return
	}
	p, ok := fromRequest(eventstore.Decode(*l.request))
	o.release(l)
	if !ok || p.Payload.Stored {
		return
	}
	k := &prepared{event: bytes.Clone(p.Payload.Inline)}
	for _, v := range p.Env {
		k.env = append(k.env, domain.EnvVar{Name: strings.Clone(v.Name), Value: strings.Clone(v.Value)})
	}
	if o.held+k.size() <= heldBytes {
		l.kept = k
		o.held += k.size()
	}
}

// size is what it holds, in bytes.
func (p *prepared) size() int {
	n := len(p.event)
	for _, v := range p.env {
		n += len(v.Name) + len(v.Value)
	}
	return n
}

func (o *Owner) leaveRuns(l *live) {
	if l.ticket != nil {
		o.d.Runs.Leave(l.ticket)
	}
	l.ticket, l.granted, l.prepared = nil, false, nil
}
