package kafka

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"
)

// producer is one Sarama producer and what is on the way through it: records that Sarama did not take yet (queue), and
// calls that were not answered yet (lanes). Two goroutines serve it: feed hands records to Sarama, collect takes its
// answers and calls done functions.
type producer struct {
	topic   string
	timeout time.Duration
	most    int64        // bytes that may be held
	bytes   atomic.Int64 // bytes that are held: in the queue, and by Sarama, answered or not
	dial    *dialer
	client  sarama.Client
	async   sarama.AsyncProducer
	fed     chan struct{} // closed when feed has ended
	drained chan struct{} // closed when collect has ended
	ending  atomic.Bool   // Sarama need not be patient any more

	mu      sync.Mutex // guards the rest
	queue   []*record
	more    sync.Cond // told of records in the queue, of the end of a linger, and of shut
	lanes   map[int32]*lane
	linger  linger
	calls   int       // unanswered, and done functions that have not returned
	waiting int       // calls that are still in the queue
	queued  int       // bytes of them
	idle    sync.Cond // told when calls becomes 0
	closed  bool
}

func newProducer(c Config, topic string) (*producer, error) {
	p := &producer{
		topic: topic, timeout: c.AppendTimeout, most: int64(c.QueueBytes), dial: newDialer(), fed: make(chan struct{}), drained: make(chan struct{}),
		lanes: map[int32]*lane{},
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
	p.linger = newLinger(c.Linger, p.client, topic)
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

// feed hands the queue to Sarama, which blocks while it is full.
func (p *producer) feed() {
	defer close(p.fed)
	var batch []*record
	for {
		p.mu.Lock()
		for len(p.queue) == 0 && (!p.closed || p.calls > 0) {
			p.more.Wait()
		}
		now := p.await()
		batch, p.queue, p.waiting, p.queued = p.queue, batch[:0], 0, 0
		p.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		var last *call
		for i, r := range batch {
			if r.call != last { // its first record: nobody else looks yet
				last, r.call.sent = r.call, now
			}
			if r.call.over.Load() {
				p.bytes.Add(-int64(r.size))
			} else {
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
