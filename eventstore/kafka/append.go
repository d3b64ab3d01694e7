package kafka

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"deed/eventstore"

	"github.com/IBM/sarama"
)

// producer is one Sarama producer and what is on the way through it: records that Sarama did not take yet (queue), and
// calls that were not answered yet (lanes). Two goroutines serve it: feed hands records to Sarama, collect takes its
// answers and calls done functions.
type producer struct {
	topic   string
	timeout time.Duration
	dial    *dialer
	client  sarama.Client
	async   sarama.AsyncProducer
	fed     chan struct{} // closed when feed has ended
	drained chan struct{} // closed when collect has ended
	ending  atomic.Bool   // Sarama need not be patient any more

	mu     sync.Mutex // guards the rest
	queue  []*record
	more   sync.Cond // told of records in the queue, and of shut
	lanes  map[int32]*lane
	calls  int       // unanswered, and done functions that have not returned
	idle   sync.Cond // told when calls becomes 0
	closed bool
}

// record is a record on its way; it lies in one piece of memory with what Sarama wants to know of it.
type record struct {
	sarama.ProducerMessage
	call       *call
	key, value text
}

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

// call is one Append. All but over is touched by collect only, once it is in its lane.
type call struct {
	done     func(int64, error)
	deadline time.Time
	left     int   // records without an answer
	landed   bool  // some record was acknowledged
	first    int64 // offset of the first record
	err      error
	over     atomic.Bool // answered: records still in the queue need not be sent
}

func newProducer(c Config, topic string) (*producer, error) {
	p := &producer{
		topic: topic, timeout: c.AppendTimeout, dial: newDialer(), fed: make(chan struct{}), drained: make(chan struct{}), lanes: map[int32]*lane{},
	}
	p.more.L, p.idle.L = &p.mu, &p.mu
	var err error
	// A client per producer: producers that share one share its connections, too.
	if p.client, err = sarama.NewClient(c.Brokers, c.producer(p.dial, p.backoff)); err != nil {
		return nil, err
	}
	if p.async, err = sarama.NewAsyncProducerFromClient(p.client); err != nil {
		return nil, errors.Join(err, p.client.Close())
	}
	go p.feed()
	go p.collect()
	return p, nil
}

// backoff is how long Sarama waits before it tries again, and for each record that it gives up.
func (p *producer) backoff(int, int) time.Duration {
	if p.ending.Load() {
		return 0
	}
	return retryBackoff
}

func (p *producer) append(partition int32, records []eventstore.Message, done func(int64, error)) {
	c := &call{done: done, deadline: time.Now().Add(p.timeout), left: len(records), first: -1}
	out, err := p.records(partition, records, c)
	p.mu.Lock()
	if err == nil && p.closed {
		err = eventstore.ErrClosed
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

// records puts messages into Sarama's form; headers of a call share two pieces of memory.
func (p *producer) records(partition int32, in []eventstore.Message, c *call) ([]record, error) {
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
	out := make([]record, len(in))
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
		if size := r.ByteSize(2); size > MaxRecord {
			return nil, fmt.Errorf("a record of %d bytes, at most %d", size, MaxRecord)
		}
		if !m.Time.IsZero() && m.Time.Before(time.Unix(0, 0)) {
			return nil, fmt.Errorf("a record of the time %s, before 1970", m.Time) // Sarama would fail others with it
		}
	}
	return out, nil
}

// feed hands the queue to Sarama, which blocks while it is full.
func (p *producer) feed() {
	defer close(p.fed)
	var batch []*record
	for {
		p.mu.Lock()
		for len(p.queue) == 0 && (!p.closed || p.calls > 0) {
			p.more.Wait()
		}
		batch, p.queue = p.queue, batch[:0]
		p.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		for i, r := range batch {
			if !r.call.over.Load() {
				p.async.Input() <- &r.ProducerMessage
			}
			batch[i] = nil
		}
	}
}

// collect takes the answers. It is the only goroutine that answers calls that were enqueued.
func (p *producer) collect() {
	defer close(p.drained)
	tick := time.NewTicker(max(p.timeout/16, time.Millisecond))
	defer tick.Stop()
	landed, failed := p.async.Successes(), p.async.Errors()
	for landed != nil || failed != nil {
		select {
		case m, ok := <-landed:
			if !ok {
				landed = nil
				continue
			}
			p.landed(m.Metadata.(*record)) //nolint:forcetypeassert // see records
		case e, ok := <-failed:
			if !ok {
				failed = nil
				continue
			}
			p.failed(e.Msg.Metadata.(*record), e.Err) //nolint:forcetypeassert // see records
		case now := <-tick.C:
			p.expire(now)
		}
	}
}

func (p *producer) landed(r *record) {
	c := r.call
	p.mu.Lock()
	l := p.lanes[r.Partition]
	offset := l.offset(r.Offset)
	if c.over.Load() {
		p.mu.Unlock()
		return
	}
	if c.left--; !c.landed {
		c.first, c.landed = offset, true // Sarama answers in order
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
		if len(l.calls) > 0 && now.After(l.calls[0].deadline) {
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

// shut makes further appends fail.
func (p *producer) shut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.more.Signal()
}

// flush waits until every call has been answered and its done function has returned; shut must have been called.
func (p *producer) flush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.calls > 0 {
		p.idle.Wait()
	}
}

// end makes Sarama stop. Nothing that it still holds is waited for by anybody: cutting its connections loses nothing.
func (p *producer) end() {
	p.ending.Store(true)
	p.dial.cut()
	_ = p.client.Close() // says only that it is closed already
	go func() {
		<-p.fed
		p.async.AsyncClose()
	}()
}

// ended reports whether Sarama stopped before the time was over.
func (p *producer) ended(over <-chan time.Time) bool {
	select {
	case <-p.drained:
		return true
	case <-over:
		return false
	}
}
