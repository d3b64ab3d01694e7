package kafka_test

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"deed/eventstore"
	"deed/eventstore/kafka"

	"github.com/ThreeDotsLabs/watermill/message"
)

// churn handles messages and watches what a handler must be able to rely on.
type churn struct {
	*testing.T
	mu      sync.Mutex
	next    map[string]int  // by key: the number that is to be handled next
	busy    map[string]bool // by key
	handled int
	again   int
	step    chan struct{} // told when so many more were handled
	all     chan struct{} // closed when everything was
	want    int
}

func (c *churn) handle(m *message.Message) {
	key, number, _ := strings.Cut(string(m.Payload), "/")
	n, err := strconv.Atoi(number)
	if err != nil {
		c.Errorf("%q: %v", m.Payload, err)
	}
	c.mu.Lock()
	if c.busy[key] {
		c.Errorf("%s: two handlers at a time", key)
	}
	c.busy[key] = true
	c.mu.Unlock()
	for range n % 20 {
		runtime.Gosched()
	}
	refuse := n%50 == 7 && m.Metadata.Get("refused") == ""
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy[key] = false
	switch {
	case n > c.next[key]:
		c.Errorf("%s: %d is handled, %d was not yet", key, n, c.next[key])
	case n < c.next[key]:
		c.again++
	case refuse && !c.busy[string(m.Payload)]:
		c.busy[string(m.Payload)] = true // once
		m.Nack()
		return
	default:
		c.next[key]++
		if c.handled++; c.handled%1000 == 0 {
			select {
			case c.step <- struct{}{}:
			default:
			}
		}
		if c.handled == c.want {
			close(c.all)
		}
	}
	m.Ack()
}

// TestChurn: members come and go under load. Nothing is lost, nothing handled twice, no key has two handlers or changes
// its order, and in the end everything is committed.
func TestChurn(t *testing.T) {
	t.Parallel() // it waits for groups
	const partitions, names, each = 6, 120, 250
	c, topic := connect(t, kafka.Config{Brokers: brokers(t)}), newTopic()
	l := open(t, c, topic, partitions)
	ch := &churn{T: t, next: map[string]int{}, busy: map[string]bool{}, step: make(chan struct{}, 1), all: make(chan struct{}), want: names * each}
	go func() {
		for n := range each {
			for k := range names {
				l.Append(k%partitions, []eventstore.Message{{Key: fmt.Append(nil, k), Value: fmt.Appendf(nil, "%d/%d", k, n)}}, func(_ int64, err error) {
					if err != nil {
						t.Errorf("append: %v", err)
					}
				})
			}
		}
	}()
	var handlers sync.WaitGroup
	join := func() (leave func()) {
		s, in := subscribe(t, c, topic, kafka.SubscriberConfig{Window: 32, NackDelay: time.Millisecond, CommitEvery: 50 * time.Millisecond})
		handlers.Go(func() {
			for m := range in {
				handlers.Go(func() { ch.handle(m) })
			}
		})
		return func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	members, changes := []func(){join()}, 0
	for over := false; !over; {
		select {
		case <-ch.step:
			if changes++; len(members) < 3 {
				members = append(members, join())
			} else {
				members[0]()
				members = members[1:]
			}
		case <-ch.all:
			over = true
		}
	}
	for _, leave := range members {
		leave()
	}
	handlers.Wait()
	t.Logf("%d members came or went, %d messages were handled again", changes, ch.again)
	if ch.again > 0 {
		t.Errorf("%d messages were handled again, though every member left in peace", ch.again)
	}
	for p := range partitions {
		at, err := c.Membership(topic+".group", topic).Committed(t.Context(), p)
		_, end, err2 := l.Bounds(t.Context(), p)
		if err != nil || err2 != nil || at.Offset != end {
			t.Errorf("partition %d: %d is committed, the end is %d: %v, %v", p, at.Offset, end, err, err2)
		}
	}
}
