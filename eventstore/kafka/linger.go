package kafka

import "time"

// linger says whether the producer waits a moment for more records before it sends. The rule: the topic is replicated;
// acknowledgements take more than 1 ms, by the fastest of the last second or two; and at least eight calls are on their
// way, so that calls come faster than acknowledgements. Then a request waits for Config.Linger after its first record.
//
// Why: with replication 3 and 10,000 records a second, a wait of 1–2 ms made acknowledgements 2.1–2.6 times faster, for
// the brokers have fewer requests to replicate; at 500 a second it only added to them, and without replication it added at
// any rate. The fastest acknowledgement is asked because the usual one is slow under load whatever the broker is. The
// embedded broker has no replicas: there it never waits.
//
// Sarama's wait is the same for a producer's whole life, and to hold records back in front of it is of no use: it sends
// the first of those it then gets alone, and the others a round trip later. So there are two of its producers, one that
// waits and one that does not, and records go to the other one only when the one before holds none any more: what was
// appended later cannot overtake. That costs one acknowledgement's time, at most once a second.
type linger struct {
	most       time.Duration // 0: never
	on         bool          // records go to the producer that waits
	this, last time.Duration // the fastest acknowledgement in this second and in the one before; 0 if there was none
	since      time.Time     // when this second began
	paid       time.Time     // when it last would have paid
	fixed      time.Time     // until then, there is no change
	inside     int           // records that Sarama holds
}

const (
	slowAck   = time.Millisecond // an acknowledgement that a wait may make faster
	manyCalls = 8                // on their way at a time
	lingerFor = time.Second      // the rule must have failed for so long before there is no wait any more; least time between changes
	emptyIn   = 50 * time.Millisecond
)

// lingers is for how long the producers of a topic wait at most; 0 if never.
func (c *Cluster) lingers(topic string) time.Duration {
	replicas, err := c.client.Replicas(topic, 0)
	if err != nil || len(replicas) < 2 {
		return 0
	}
	return max(c.config.Linger, 0)
}

// answered takes note of an acknowledgement for what was sent then.
func (l *linger) answered(sent time.Time) {
	if l.most == 0 || sent.IsZero() {
		return
	}
	now := time.Now()
	if age := now.Sub(l.since); age >= time.Second {
		if l.last = l.this; age >= 2*time.Second {
			l.last = 0
		}
		l.this, l.since = 0, now
	}
	if took := max(now.Sub(sent), 1); l.this == 0 || took < l.this {
		l.this = took
	}
}

// wanted reports whether to wait from now on, when so many calls are on their way.
func (l *linger) wanted(now time.Time, onTheWay int) bool {
	fastest := l.this
	if fastest == 0 || l.last > 0 && l.last < fastest {
		fastest = l.last
	}
	if onTheWay >= manyCalls && fastest > slowAck {
		l.paid = now
	}
	return now.Sub(l.paid) < lingerFor
}

// choose decides which of Sarama's producers gets the queue, and returns the time if the linger is to know when records
// were sent. A change waits until the one before is empty; if that takes too long, for a broker is gone perhaps, it is
// left for later. The producer is locked.
func (p *producer) choose() (now time.Time) {
	l := &p.linger
	if l.most == 0 {
		return now
	}
	now = time.Now()
	want := l.wanted(now, p.calls-p.waiting)
	if want == l.on || now.Before(l.fixed) {
		return now
	}
	over := false
	timer := time.AfterFunc(emptyIn, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		over = true
		p.more.Signal()
	})
	for l.inside > 0 && !over {
		p.more.Wait()
	}
	timer.Stop()
	if l.inside == 0 {
		l.on = want
	}
	now = time.Now()
	l.fixed = now.Add(lingerFor)
	return now
}

// left takes note that Sarama does not hold a record any more. The producer is locked.
func (p *producer) left() {
	if p.linger.inside--; p.linger.inside == 0 {
		p.more.Signal()
	}
}
