package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"deed/eventstore"

	"github.com/IBM/sarama"
)

// membership is a consumer group used as a signal of ownership and a place for positions: the claimed partitions are
// paused at once and nothing is fetched through it. A generation is not a fence; the log decides who owns.
type membership struct {
	cluster *Cluster
	group   string
	topic   string

	mu      sync.Mutex                  // guards the rest
	session sarama.ConsumerGroupSession // the last one; nil before the first and after Run
	held    map[int]bool                // from the call of assigned to the return of revoked
}

// Membership is a place in a group that shares the partitions of a topic, cooperatively: a member that keeps a partition
// in a rebalance is not disturbed. A member that died keeps its partitions for Config.Session; one that leaves gives them up at
// once. Revoked may block for 30 s, then the group goes on without the member.
func (c *Cluster) Membership(group, topic string) eventstore.Membership {
	return &membership{cluster: c, group: group, topic: topic, held: map[int]bool{}}
}

const (
	heartbeat        = time.Second
	rebalanceTimeout = 30 * time.Second
	rejoinBackoff    = 100 * time.Millisecond
	heartbeatRetries = 40              // of 50 ms: a coordinator that moves does not cost the partitions
	growthNoticed    = 2 * time.Second // the group's leader asks for new partitions so often
)

func (m *membership) config(d *dialer) *sarama.Config {
	s := m.cluster.config.sarama(d)
	s.Metadata.Retry.Max = heartbeatRetries
	s.Net.ReadTimeout = rebalanceTimeout + fetchTimeout // a join is answered when the slowest member has joined
	s.Consumer.Offsets.Initial = sarama.OffsetNewest
	s.Consumer.Offsets.AutoCommit.Enable = false
	// Where Sarama would begin to fetch does not matter, and a position that is not in the log any more is for the owner
	// to judge: a claim that fails for it would end the session, again and again, and the owner would never hear of it.
	s.Consumer.Group.ResetInvalidOffsets = true
	s.Metadata.Full, s.Metadata.RefreshFrequency = false, growthNoticed
	s.Consumer.Group.Session.Timeout = m.cluster.config.Session
	s.Consumer.Group.Heartbeat.Interval = min(heartbeat, m.cluster.config.Session/4)
	s.Consumer.Group.Rebalance.Retry.Backoff = rejoinBackoff
	s.Consumer.Group.Rebalance.Timeout = rebalanceTimeout
	s.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategyCooperativeSticky()}
	return s
}

// Run implements eventstore.Membership. Trouble with the cluster is logged and tried again; the error is one of leaving,
// which the group then notices by itself, Config.Session later.
func (m *membership) Run(ctx context.Context, assigned, revoked func(int)) error {
	// A client of its own: leaving must not wait for, nor be waited for by, anybody's long poll.
	d := newDialer()
	defer d.cut()
	var client sarama.Client
	for client == nil {
		var err error
		if client, err = sarama.NewClient(m.cluster.config.Brokers, m.config(d)); err != nil {
			if configuration(err) {
				return fmt.Errorf("join group %s: %w", m.group, err)
			}
			m.cluster.config.Log.Warn("cannot join the group yet", "group", m.group, "error", err)
			if wait(ctx, rejoinBackoff) != nil {
				return nil
			}
		}
	}
	group, err := sarama.NewConsumerGroupFromClient(m.group, client)
	if err != nil {
		return errors.Join(fmt.Errorf("join group %s: %w", m.group, err), client.Close())
	}
	watched := make(chan struct{})
	go func() { // ends when the group is closed
		defer close(watched)
		for err := range group.Errors() {
			m.cluster.config.Log.Warn("group", "group", m.group, "error", err)
		}
	}()
	h := &claims{membership: m, consumer: group, assigned: assigned, revoked: revoked, ctx: ctx}
	// The session outlives ctx until every partition was let go of: ended in the middle of a rebalance it would forget its
	// generation, and what is committed last would not count.
	session, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	defer context.AfterFunc(ctx, func() { h.leave(end) })()
	for ctx.Err() == nil {
		if err := group.Consume(session, []string{m.topic}, h); err != nil && ctx.Err() == nil {
			m.cluster.config.Log.Warn("group session ended", "group", m.group, "error", err)
			_ = wait(ctx, rejoinBackoff)
		}
	}
	if err = group.Close(); err != nil {
		err = fmt.Errorf("leave group %s: %w", m.group, err)
	}
	<-watched
	m.joined(nil)
	return errors.Join(err, client.Close())
}

func (m *membership) joined(s sarama.ConsumerGroupSession) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.session = s
}

func (m *membership) hold(partition int, held bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held[partition] = held; !held {
		delete(m.held, partition)
	}
}

// claims are the partitions of a member.
type claims struct {
	*membership
	consumer          sarama.ConsumerGroup
	assigned, revoked func(int)
	ctx               context.Context // Run's

	let  sync.Mutex // guards the rest
	have int        // partitions of which revoked has not returned
	end  func()     // nil until the member leaves; to be called when it has nothing any more
}

func (h *claims) Setup(s sarama.ConsumerGroupSession) error {
	h.joined(s)
	return nil
}

func (h *claims) Cleanup(sarama.ConsumerGroupSession) error { return nil }

// ConsumeClaim holds a partition from its assignment to its revocation, or until the member leaves. Sarama takes the end
// of a claim for the end of the session, so it then waits for that.
func (h *claims) ConsumeClaim(s sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
	p := int(c.Partition())
	h.consumer.Pause(map[string][]int32{h.topic: {c.Partition()}})
	if h.take() {
		h.hold(p, true)
		h.assigned(p)
		drain(s, c, h.ctx.Done())
		h.revoked(p)
		h.hold(p, false)
		h.give()
	}
	drain(s, c, nil)
	return nil
}

// drain waits for the end of a claim. Messages is drained always: one claim that does not would starve all others of its
// broker.
func drain(s sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim, over <-chan struct{}) {
	for {
		select {
		case _, ok := <-c.Messages():
			if !ok {
				return
			}
		case <-s.Context().Done():
			return
		case <-over:
			return
		}
	}
}

// take reports whether the member still takes partitions.
func (h *claims) take() bool {
	h.let.Lock()
	defer h.let.Unlock()
	if h.end != nil {
		return false
	}
	h.have++
	return true
}

func (h *claims) give() {
	h.let.Lock()
	defer h.let.Unlock()
	if h.have--; h.have == 0 && h.end != nil {
		h.end()
	}
}

// leave makes the member take nothing more, and calls end when it has nothing any more.
func (h *claims) leave(end func()) {
	h.let.Lock()
	defer h.let.Unlock()
	if h.end = end; h.have == 0 {
		end()
	}
}
