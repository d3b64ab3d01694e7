package kafka

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"deed/eventstore"

	"github.com/IBM/sarama"
)

// record is a record on its way; it lies in one piece of memory with what Sarama wants to know of it.
type record struct {
	sarama.ProducerMessage
	call       *call
	key, value text
	size       int // in bytes, of what is held for it
}

// recordOverhead is about what a record holds beside its bytes.
const recordOverhead = 512

// text is bytes as Sarama wants them, without an allocation.
type text []byte

func (t *text) Encode() ([]byte, error) { return *t, nil }
func (t *text) Length() int             { return len(*t) }

// lane holds the unanswered calls of a partition in the order in which they were made.
type lane struct {
	calls []*call
	known int64 // the last offset that was acknowledged; -1 if none
	again int64 // how many acknowledgements without an offset came in a row
}

// call is one Append. All but over and sent is touched by collect only, once it is in its lane.
type call struct {
	done     func(int64, error)
	deadline time.Time
	sent     time.Time // when it was handed to Sarama, if the linger wants to know; set by feed, before that
	left     int       // records without an answer
	landed   bool      // some record was acknowledged
	first    int64     // offset of the first record
	err      error
	over     atomic.Bool // answered: records still in the queue need not be sent
}

func (p *producer) append(partition int32, records []eventstore.Message, done func(int64, error)) {
	c := &call{done: done, deadline: time.Now().Add(p.timeout), left: len(records), first: -1}
	out, size, err := p.records(partition, records, c)
	p.mu.Lock()
	switch held := p.bytes.Load(); {
	case err != nil:
	case p.closed:
		err = eventstore.ErrClosed
	case held > 0 && held+int64(size) > p.most:
		err = fmt.Errorf("%w: %d, and %d more would be above %d", eventstore.ErrFull, held, size, p.most)
	}
	if err != nil || len(records) == 0 {
		if err != nil {
			err = fmt.Errorf("append to %s/%d: %w", p.topic, partition, err)
		}
		p.calls++
		p.mu.Unlock()
		go p.answer(c, -1, err) // never on the caller's goroutine: it may hold what done needs
		return
	}
	l := p.lanes[partition]
	if l == nil {
		l = &lane{known: -1}
		p.lanes[partition] = l
	}
	l.calls = append(l.calls, c)
	p.calls++
	p.waiting++
	p.bytes.Add(int64(size))
	for i := range out {
		p.queue = append(p.queue, &out[i])
	}
	p.mu.Unlock()
	p.more.Signal()
}

// refuse answers a call that is not even one of the producer's.
func (p *producer) refuse(done func(int64, error), err error) {
	p.mu.Lock()
	p.calls++
	p.mu.Unlock()
	go p.answer(&call{done: done}, -1, err)
}

// records puts messages into Sarama's form, and says how many bytes they hold; headers of a call share two pieces of
// memory.
func (p *producer) records(partition int32, in []eventstore.Message, c *call) (out []record, held int, err error) {
	headers, size := 0, 0
	for i := range in {
		headers += len(in[i].Headers)
		for _, h := range in[i].Headers {
			size += len(h.Key) + len(h.Value)
		}
	}
	room, heads := make([]byte, 0, size), make([]sarama.RecordHeader, 0, headers)
	put := func(s string) []byte {
		room = append(room, s...)
		return room[len(room)-len(s) : len(room) : len(room)]
	}
	out = make([]record, len(in))
	for i := range in {
		m, r := &in[i], &out[i]
		from := len(heads)
		for _, h := range m.Headers {
			heads = append(heads, sarama.RecordHeader{Key: put(h.Key), Value: put(h.Value)})
		}
		r.call, r.key, r.value = c, m.Key, m.Value
		r.ProducerMessage = sarama.ProducerMessage{
			Topic: p.topic, Partition: partition, Timestamp: m.Time, Headers: heads[from:len(heads):len(heads)],
			Offset: -1, // stays when a broker recognises a repetition
		}
		r.Metadata = r
		if m.Key != nil {
			r.Key = &r.key
		}
		if m.Value != nil {
			r.Value = &r.value
		}
		bytes := r.ByteSize(2)
		if bytes > MaxRecord {
			return nil, 0, fmt.Errorf("a record of %d bytes, at most %d", bytes, MaxRecord)
		}
		if !m.Time.IsZero() && m.Time.Before(time.Unix(0, 0)) {
			return nil, 0, fmt.Errorf("a record of the time %s, before 1970", m.Time) // Sarama would fail others with it
		}
		r.size = bytes + recordOverhead
		held += r.size
	}
	return out, held, nil
}

func (p *producer) landed(r *record) {
	c := r.call
	p.bytes.Add(-int64(r.size))
	p.mu.Lock()
	p.left()
	l := p.lanes[r.Partition]
	offset := l.offset(r.Offset)
	if c.over.Load() {
		p.mu.Unlock()
		return
	}
	if c.left--; !c.landed {
		c.first, c.landed = offset, true // Sarama answers in order
		p.linger.answered(c.sent)
	}
	if c.left == 0 && c.err != nil {
		p.mu.Unlock()
		p.fail(r.Partition, c)
		return
	}
	var ready []*call
	for len(l.calls) > 0 && l.calls[0].left == 0 {
		ready = append(ready, l.pop())
	}
	p.mu.Unlock()
	for _, c := range ready {
		p.answer(c, c.first, nil)
	}
}

// offset is what an acknowledgement says, or -1. A broker that recognises a batch and no longer knows its offset says
// -1, from which Sarama counts on: -1, 0, 1.
func (l *lane) offset(said int64) int64 {
	if said == -1 || said <= l.known {
		l.again++
		return -1
	}
	if l.again > 0 && said == l.again-1 {
		l.again++
		return -1
	}
	l.known, l.again = said, 0
	return said
}

func (l *lane) pop() *call {
	c := l.calls[0]
	l.calls[0] = nil
	if l.calls = l.calls[1:]; len(l.calls) == 0 {
		l.calls = nil
	}
	return c
}

func (p *producer) failed(r *record, err error) {
	c := r.call
	p.let(r)
	if c.over.Load() {
		return
	}
	c.left--
	if !definite(err) {
		err = fmt.Errorf("%w: %w", eventstore.ErrUnknownOutcome, err)
	}
	if c.err == nil || errors.Is(err, eventstore.ErrUnknownOutcome) {
		c.err = err
	}
	if errors.Is(c.err, eventstore.ErrUnknownOutcome) || c.left == 0 {
		p.fail(r.Partition, c)
	}
}

// expire fails the lanes whose first call has waited for too long.
func (p *producer) expire(now time.Time) {
	p.mu.Lock()
	late := map[int32]*call{}
	for partition, l := range p.lanes {
		if len(l.calls) > 0 && (now.After(l.calls[0].deadline) || p.hopeless.Load()) {
			late[partition] = l.calls[0]
		}
	}
	p.mu.Unlock()
	for partition, c := range late {
		c.err = fmt.Errorf("%w: no answer in %s", eventstore.ErrUnknownOutcome, p.timeout)
		p.fail(partition, c)
	}
}

// fail answers a call that has an error, and those behind it: a success behind a failure would hide a gap.
func (p *producer) fail(partition int32, c *call) {
	p.mu.Lock()
	l := p.lanes[partition]
	at := 0
	for l.calls[at] != c {
		at++
	}
	behind := append([]*call(nil), l.calls[at+1:]...)
	clear(l.calls[at:])
	l.calls = l.calls[:at:at]
	c.over.Store(true)
	for _, b := range behind {
		b.over.Store(true)
	}
	p.mu.Unlock()
	if c.landed && !errors.Is(c.err, eventstore.ErrUnknownOutcome) {
		c.err = fmt.Errorf("%w: a part of the call stands in the log: %w", eventstore.ErrUnknownOutcome, c.err)
	}
	p.answer(c, -1, fmt.Errorf("append to %s/%d: %w", p.topic, partition, c.err))
	for _, b := range behind {
		p.answer(b, -1, fmt.Errorf("append to %s/%d: %w: the append before it failed: %w", p.topic, partition, eventstore.ErrUnknownOutcome, c.err))
	}
}

func (p *producer) answer(c *call, offset int64, err error) {
	c.done(offset, err)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calls--; p.calls == 0 {
		p.idle.Broadcast()
		p.more.Signal()
	}
}
