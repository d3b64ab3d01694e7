package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"deed/eventstore"

	"github.com/ThreeDotsLabs/watermill/message"
)

// SubscriberConfig says how a group works through a topic.
type SubscriberConfig struct {
	// Group shares the partitions of the topic among the subscriptions that name it, and is where its positions are kept.
	// Required.
	Group string
	// Window is how many messages of a partition may be with handlers at a time, 1 or more; with 1 the order is that of
	// the partition. Defaults to 64.
	Window int
	// Span is how many records of a partition may be between the position and the last one that was fetched: so many at
	// most are delivered again after a crash. At least Window. It is also bounded by 16 MiB of keys and values, and not to
	// less than one record. Defaults to 64 times Window, and at least 8,192.
	Span int
	// NackDelay is how long a message that was refused waits before it is delivered again. Defaults to 100 ms.
	NackDelay time.Duration
	// DrainTimeout is how long messages that are with handlers are waited for when their partition is taken away, or when
	// the subscription ends. Defaults to 10 s; at most 25 s, for the group waits 30 s.
	DrainTimeout time.Duration
	// CommitEvery is how often positions are committed: what was acknowledged since is delivered again after a crash.
	// Defaults to 1 s.
	CommitEvery time.Duration
}

const (
	defaultWindow       = 64
	leastSpan           = 8192
	spanBytes           = 16 << 20 // of keys and values
	defaultNackDelay    = 100 * time.Millisecond
	defaultDrainTimeout = 10 * time.Second
	mostDrainTimeout    = rebalanceTimeout - 5*time.Second
	defaultCommitEvery  = time.Second
)

func (c SubscriberConfig) check() (SubscriberConfig, error) {
	if c.Window == 0 {
		c.Window = defaultWindow
	}
	if c.Span == 0 {
		c.Span = max(64*c.Window, leastSpan)
	}
	if c.NackDelay == 0 {
		c.NackDelay = defaultNackDelay
	}
	if c.DrainTimeout == 0 {
		c.DrainTimeout = defaultDrainTimeout
	}
	if c.CommitEvery == 0 {
		c.CommitEvery = defaultCommitEvery
	}
	switch {
	case c.Group == "":
		return c, errors.New("a subscriber needs a group")
	case c.Window < 1 || c.Span < c.Window:
		return c, fmt.Errorf("a window of %d in a span of %d", c.Window, c.Span)
	case c.NackDelay < 0 || c.CommitEvery < 0 || c.DrainTimeout < 0 || c.DrainTimeout > mostDrainTimeout:
		return c, fmt.Errorf("a delay of %s, commits every %s, a drain of %s, at most %s", c.NackDelay, c.CommitEvery, c.DrainTimeout, mostDrainTimeout)
	}
	return c, nil
}

// subscriber is a message.Subscriber above Membership and Follow.
type subscriber struct {
	cluster *Cluster
	config  SubscriberConfig

	mu     sync.Mutex // guards the rest
	subs   map[*subscription]struct{}
	closed bool
}

// NewSubscriber makes a Watermill subscriber for consumers that stand outside the fold: they see records one by one, at
// least once. The cluster must stay open until the subscriber is closed, which leaves it open.
//
// Each Subscribe is a member of the group. Of a partition that it gets, up to Window messages are delivered at a time:
// those with the same record key one after another, the next when the one before it was acknowledged; all others
// concurrently, and those without a key in no order. A message that is refused (Nack) is delivered again after NackDelay,
// for ever, and holds up its key and, when Span is reached, its partition, but no other partition: each has a connection
// of its own, and one that is not taken from is not read on. (Sarama's consumer makes all partitions of a broker wait for
// the slowest; pausing the slow one keeps the others going, but when all are paused it sleeps, and it has no word for
// "this many bytes".)
//
// Only the low-water mark is committed: the position before which every record was acknowledged. A group without a
// position begins with the oldest record. A position that is not in the log is never replaced by another: the partition
// stays undelivered, the error is logged, and it is looked at again every 5 s.
//
// When a partition is taken away, nothing new is begun there, and what was is waited for, for DrainTimeout: messages at
// and below the last one that was delivered, so that no gap is left which the next owner would deliver twice. Then the
// contexts of what is left are cancelled; it will be delivered again, by the next owner. If the group has put this
// member out already, nothing is waited for.
//
// Subscribe needs a topic that exists. When its ctx ends, so do the contexts of its messages at once, and the
// subscription with them; Close ends all subscriptions and lets messages end first. Both wait for what is with handlers,
// for DrainTimeout at most, commit, leave the group and close the channel.
//
// A message has the record's headers as metadata (of several with one name, the last), and the UUID that Watermill's own
// publisher, or this package's, put into a header; it is empty if there is none. RecordOf is the record itself.
func NewSubscriber(cluster *Cluster, c SubscriberConfig) (message.Subscriber, error) {
	c, err := c.check()
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	return &subscriber{cluster: cluster, config: c, subs: map[*subscription]struct{}{}}, nil
}

// Subscribe implements message.Subscriber.
func (s *subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, fmt.Errorf("subscribe to %s: %w", topic, eventstore.ErrClosed)
	}
	log, err := s.cluster.openLog(topic, 0)
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", topic, err)
	}
	sub := newSubscription(ctx, s.config, log, s.cluster.Membership(s.config.Group, topic), s.cluster.config.Log.With("topic", topic, "group", s.config.Group))
	s.subs[sub] = struct{}{}
	go func() {
		sub.run()
		if err := log.Close(); err != nil {
			sub.log.Warn("a subscription's log did not close", "error", err)
		}
		s.mu.Lock()
		delete(s.subs, sub)
		s.mu.Unlock()
		close(sub.ended)
	}()
	return sub.out, nil
}

// Close implements message.Subscriber. It may be called again; every call returns when all is over.
func (s *subscriber) Close() error {
	s.mu.Lock()
	s.closed = true
	var all []*subscription
	for sub := range s.subs {
		sub.leave()
		all = append(all, sub)
	}
	s.mu.Unlock()
	for _, sub := range all {
		<-sub.ended
	}
	return nil
}
