package kafka

import (
	"time"

	"github.com/IBM/sarama"
)

// linger says whether the producer waits a moment for more records before it sends. The rule: the topic is replicated;
// acknowledgements take more than 1 ms, by the fastest of the last second or two; and at least eight calls are on their
// way, so that calls come faster than acknowledgements. Then it waits for Config.Linger, or until a request is full.
//
// Why: with replication 3 and 10,000 records a second, a wait of 1–2 ms makes acknowledgements 2.1–2.6 times faster, for
// the brokers have fewer requests to replicate; at 500 a second it only adds to them, and without replication it adds at
// any rate. The fastest acknowledgement is asked because the usual one is slow under load whatever the broker is.
// Sarama's own Flush.Frequency is one wait for all times. The embedded broker has no replicas: there it never waits.
type linger struct {
	most       time.Duration // 0: never
	this, last time.Duration // the fastest acknowledgement in this second and in the one before; 0 if there was none
	since      time.Time     // when this second began
}

const (
	slowAck   = time.Millisecond // an acknowledgement that a wait may make faster
	manyCalls = 8                // on their way at a time
	fullQueue = 512 << 10        // bytes that are sent without a wait
)

func newLinger(most time.Duration, client sarama.Client, topic string) linger {
	replicas, err := client.Replicas(topic, 0)
	if err != nil || len(replicas) < 2 || most < 0 {
		return linger{}
	}
	return linger{most: most}
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

// pays reports whether to wait when so many calls are on their way.
func (l *linger) pays(onTheWay int) bool {
	fastest := l.this
	if fastest == 0 || l.last > 0 && l.last < fastest {
		fastest = l.last
	}
	return l.most > 0 && onTheWay >= manyCalls && fastest > slowAck
}

// await waits for more records if that pays, and returns the time if the linger is to know when they were sent. The
// producer is locked, and its queue is not empty but when it is closed.
func (p *producer) await() (now time.Time) {
	if p.linger.most == 0 {
		return now
	}
	if p.linger.pays(p.calls - p.waiting) {
		over := false
		timer := time.AfterFunc(p.linger.most, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			over = true
			p.more.Signal()
		})
		for !over && !p.closed && p.queued < fullQueue {
			p.more.Wait()
		}
		timer.Stop()
	}
	return time.Now()
}
