package kafka

import (
	"context"
	"errors"
	"fmt"

	"deed/eventstore"

	"github.com/IBM/sarama"
)

// place is a member as its coordinator knows it. A generation that is over does not mean that the member is not one any
// more: with cooperative rebalances it stays one, and keeps its partitions, through many.
type place struct {
	member     string
	generation int32
}

// errRejoining says that the group is between two generations, or that this process has not heard of the next one yet.
var errRejoining = errors.New("the group is rebalancing")

// coordinated asks the group's coordinator until it answers, ctx ends or there is no hope; ask may still run when it has
// returned, if ctx has ended. It goes through the cluster's
// own client: on the member's connection it would wait behind a join, which is answered when the slowest member has joined.
func (m *membership) coordinated(ctx context.Context, ask func(*sarama.Broker) error) error {
	for {
		err := m.try(ctx, ask)
		switch {
		case err == nil, errors.Is(err, eventstore.ErrNotMember), refused(err), hopelessForGroups(err):
			return err
		case wait(ctx, retryBackoff) != nil:
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}

func (m *membership) try(ctx context.Context, ask func(*sarama.Broker) error) error {
	client := m.cluster.client
	return within(ctx, func() error {
		b, err := client.Coordinator(m.group)
		if err != nil {
			return err
		}
		err = ask(b)
		var code sarama.KError
		switch {
		case errors.Is(err, sarama.ErrNotCoordinatorForConsumer), errors.Is(err, sarama.ErrConsumerCoordinatorNotAvailable):
			_ = client.RefreshCoordinator(m.group) // if that fails, so will the next try
		case err != nil && !errors.As(err, &code) && !errors.Is(err, errRejoining) && !errors.Is(err, eventstore.ErrNotMember):
			_ = b.Close() // broken; it is opened anew by the next try
			_ = client.RefreshCoordinator(m.group)
		}
		return err
	})
}

// hopelessForGroups reports whether trying again is of no use for a request to a coordinator.
func hopelessForGroups(err error) bool {
	return errors.Is(err, sarama.ErrGroupAuthorizationFailed) || errors.Is(err, sarama.ErrInvalidGroupId) || errors.Is(err, sarama.ErrOffsetMetadataTooLarge) ||
		errors.Is(err, sarama.ErrInvalidCommitOffsetSize)
}

// Committed implements eventstore.Membership. It tries until ctx ends, or until the cluster refuses.
func (m *membership) Committed(ctx context.Context, partition int) (eventstore.Position, error) {
	p := int32(partition)                      //nolint:gosec // below 4096
	found := make(chan eventstore.Position, 1) // and not a variable: when ctx ends the question goes on
	err := m.coordinated(ctx, func(b *sarama.Broker) error {
		resp, err := b.FetchOffset(sarama.NewOffsetFetchRequest(sarama.V2_8_0_0, m.group, map[string][]int32{m.topic: {p}}))
		if err != nil {
			return err
		}
		block := resp.GetBlock(m.topic, p)
		switch {
		case errors.Is(resp.Err, sarama.ErrGroupIDNotFound): // the embedded broker's answer; others say -1
			found <- eventstore.Position{Offset: -1}
			return nil
		case !errors.Is(resp.Err, sarama.ErrNoError):
			return resp.Err
		case block == nil:
			return sarama.ErrIncompleteResponse
		case !errors.Is(block.Err, sarama.ErrNoError):
			return block.Err
		}
		found <- eventstore.Position{Offset: max(block.Offset, -1), Metadata: block.Metadata}
		return nil
	})
	if err != nil {
		return eventstore.Position{}, fmt.Errorf("committed of %s in %s/%d: %w", m.group, m.topic, partition, err)
	}
	return <-found, nil
}

// Commit implements eventstore.Membership. It tries until ctx ends, through rebalances and moves of the coordinator,
// unless the cluster refuses. No retention is asked for: while the group has members a position does not expire, and
// after the last one left it does by the brokers' offsets.retention.minutes, 7 days by default.
func (m *membership) Commit(ctx context.Context, partition int, p eventstore.Position) error {
	_, err := m.where(partition)
	if err == nil && p.Offset < 0 {
		err = errors.New("below 0")
	}
	if err == nil {
		err = m.coordinated(ctx, func(b *sarama.Broker) error { return m.commit(b, partition, p) })
	}
	if err != nil {
		return fmt.Errorf("commit of %s in %s/%d at %d: %w", m.group, m.topic, partition, p.Offset, err)
	}
	return nil
}

func (m *membership) commit(b *sarama.Broker, partition int, p eventstore.Position) error {
	at, err := m.where(partition)
	if err != nil {
		return err
	}
	req := &sarama.OffsetCommitRequest{Version: 7, ConsumerGroup: m.group, ConsumerID: at.member, ConsumerGroupGeneration: at.generation}
	req.AddBlockWithLeaderEpoch(m.topic, int32(partition), p.Offset, -1, 0, p.Metadata) //nolint:gosec // below 4096
	resp, err := b.CommitOffset(req)
	if err != nil {
		return err
	}
	code, ok := resp.Errors[m.topic][int32(partition)] //nolint:gosec // below 4096
	if !ok {
		return sarama.ErrIncompleteResponse
	}
	return m.judge(code, at)
}

// Holds implements eventstore.Membership, by a heartbeat. It tries until ctx ends, or until the cluster refuses.
func (m *membership) Holds(ctx context.Context, partition int) (bool, error) {
	if _, err := m.where(partition); err != nil {
		return false, nil //nolint:nilerr // the answer; nobody need be asked
	}
	err := m.coordinated(ctx, func(b *sarama.Broker) error {
		at, err := m.where(partition)
		if err != nil {
			return err
		}
		resp, err := b.Heartbeat(&sarama.HeartbeatRequest{Version: 3, GroupId: m.group, MemberId: at.member, GenerationId: at.generation})
		switch {
		case err != nil:
			return err
		case errors.Is(resp.Err, sarama.ErrRebalanceInProgress):
			return nil // said to members only, and a rebalance takes nothing away before revoked has returned
		}
		return m.judge(resp.Err, at)
	})
	switch {
	case errors.Is(err, eventstore.ErrNotMember):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("ask whether %s has %s/%d: %w", m.group, m.topic, partition, err)
	}
	_, err = m.where(partition) // it may have gone while the coordinator was asked
	return err == nil, nil
}

// where is this member now, as the holder of a partition.
func (m *membership) where(partition int) (place, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.held[partition] || m.session == nil {
		return place{}, fmt.Errorf("partition %d: %w", partition, eventstore.ErrNotMember)
	}
	return place{m.session.MemberID(), m.session.GenerationID()}, nil // of now: they change under a claim that stays
}

// judge says what a coordinator's answer to a member means.
func (m *membership) judge(code sarama.KError, asked place) error {
	switch code {
	case sarama.ErrNoError:
		return nil
	case sarama.ErrRebalanceInProgress:
		return errRejoining
	case sarama.ErrFencedInstancedId:
		return fmt.Errorf("%w: %w", eventstore.ErrNotMember, code)
	case sarama.ErrUnknownMemberId, sarama.ErrIllegalGeneration:
	default:
		return code
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.session != nil {
		if now := (place{m.session.MemberID(), m.session.GenerationID()}); now != asked {
			return errRejoining // it has joined again in the meantime
		}
		if code == sarama.ErrIllegalGeneration && !putOut(m.session) {
			// The coordinator has a generation more than we have heard of: its answer to our join is on the way, also when
			// the session is about to end. If it is not, the next heartbeat says so.
			return errRejoining
		}
	}
	return fmt.Errorf("%w: %w", eventstore.ErrNotMember, code)
}

// putOut reports whether the session ended because the group does not count this member as one any more.
func putOut(s sarama.ConsumerGroupSession) bool {
	cause := context.Cause(s.Context())
	return errors.Is(cause, sarama.ErrUnknownMemberId) || errors.Is(cause, sarama.ErrIllegalGeneration) || errors.Is(cause, sarama.ErrFencedInstancedId) ||
		errors.Is(cause, sarama.ErrSessionHeartbeatFailed)
}
