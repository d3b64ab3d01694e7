package kafka

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"
)

// pipe is a producer of Sarama's. It has a client of its own: those that share one share its connections, too.
type pipe struct {
	client sarama.Client
	async  sarama.AsyncProducer
}

// producer is one Sarama producer, or two that take turns (linger), and what is on the way through it: records that Sarama did not take yet (queue), and
// calls that were not answered yet (lanes). Two goroutines serve it: feed hands records to Sarama, collect takes its
// answers and calls done functions.
type producer struct {
	topic    string
	timeout  time.Duration
	most     int64        // bytes that may be held
	bytes    atomic.Int64 // bytes that are held: in the queue, and by Sarama, answered or not
	dial     *dialer
	pipes    []pipe        // one; two if there may be a linger, of which the second waits
	fed      chan struct{} // closed when feed has ended
	drained  chan struct{} // closed when collect has ended
	ending   atomic.Bool   // Sarama need not be patient any more
	hopeless atomic.Bool   // nobody will answer: whatever is unanswered is so for good

	mu      sync.Mutex // guards the rest
	queue   []*record
	more    sync.Cond // told of records in the queue, of the end of a linger, and of shut
	lanes   map[int32]*lane
	linger  linger
	calls   int       // unanswered, and done functions that have not returned
	waiting int       // calls that are still in the queue
	idle    sync.Cond // told when calls becomes 0
	closed  bool
}

func newProducer(c Config, topic string, most time.Duration) (*producer, error) {
	p := &producer{
		topic: topic, timeout: c.AppendTimeout, most: int64(c.QueueBytes), dial: newDialer(), fed: make(chan struct{}), drained: make(chan struct{}),
		lanes: map[int32]*lane{}, linger: linger{most: most},
	}
	p.more.L, p.idle.L = &p.mu, &p.mu
	waits := []time.Duration{0}
	if most > 0 {
		waits = append(waits, most)
	}
	for _, wait := range waits {
		pipe, err := p.open(c, wait)
		if err != nil {
			for _, other := range p.pipes {
				err = errors.Join(err, other.async.Close(), other.client.Close())
			}
			return nil, err
		}
		p.pipes = append(p.pipes, pipe)
	}
	go p.feed()
	go p.collect()
	return p, nil
}

func (p *producer) open(c Config, wait time.Duration) (pipe, error) {
	conf := c.producer(p.dial, p.backoff)
	conf.Producer.Flush.Frequency = wait
	client, err := sarama.NewClient(c.Brokers, conf)
	if err != nil {
		return pipe{}, err
	}
	async, err := sarama.NewAsyncProducerFromClient(client)
	if err != nil {
		return pipe{}, errors.Join(err, client.Close())
	}
	return pipe{client, async}, nil
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
		now := p.choose()
		batch, p.queue, p.waiting = p.queue, batch[:0], 0
		p.linger.inside += len(batch)
		input := p.pipes[0].async.Input()
		if p.linger.on {
			input = p.pipes[1].async.Input()
		}
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
				p.let(r)
			} else {
				input <- &r.ProducerMessage
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
	var landed [2]<-chan *sarama.ProducerMessage
	var failed [2]<-chan *sarama.ProducerError
	for i, pipe := range p.pipes {
		landed[i], failed[i] = pipe.async.Successes(), pipe.async.Errors()
	}
	land := func(i int, m *sarama.ProducerMessage, ok bool) {
		if !ok {
			landed[i] = nil
			return
		}
		p.landed(m.Metadata.(*record)) //nolint:forcetypeassert // see records
	}
	fail := func(i int, e *sarama.ProducerError, ok bool) {
		if !ok {
			failed[i] = nil
			return
		}
		p.failed(e.Msg.Metadata.(*record), e.Err) //nolint:forcetypeassert // see records
	}
	for landed[0] != nil || failed[0] != nil || landed[1] != nil || failed[1] != nil {
		select {
		case m, ok := <-landed[0]:
			land(0, m, ok)
		case e, ok := <-failed[0]:
			fail(0, e, ok)
		case m, ok := <-landed[1]:
			land(1, m, ok)
		case e, ok := <-failed[1]:
			fail(1, e, ok)
		case now := <-tick.C:
			p.expire(now)
		}
	}
}

// let takes note that a record is not held any more.
func (p *producer) let(r *record) {
	p.bytes.Add(-int64(r.size))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left()
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
	for _, pipe := range p.pipes {
		_ = pipe.client.Close() // says only that it is closed already
	}
	go func() {
		<-p.fed
		for _, pipe := range p.pipes {
			pipe.async.AsyncClose()
		}
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
