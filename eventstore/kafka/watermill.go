package kafka

import (
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"sync"

	"deed/eventstore"

	"github.com/ThreeDotsLabs/watermill/message"
)

// headerUUID is where Watermill's own Kafka publisher puts a message's UUID.
const headerUUID = "_watermill_message_uuid"

// PublisherConfig says how Watermill messages become records.
type PublisherConfig struct {
	// Topic is the only one that may be published to, for a log is one topic.
	Topic string
	// Key of a message's record. Defaults to none.
	Key func(*message.Message) []byte
	// Partition of a message, 0 to the log's partitions less one. Defaults to a hash of the UUID.
	Partition func(*message.Message) int
}

// publisher is a message.Publisher above Append.
type publisher struct {
	log    eventstore.Log
	config PublisherConfig

	mu     sync.RWMutex // held for reading while something is published; guards closed
	closed bool
}

// NewPublisher makes a Watermill publisher of a log. Publish enqueues all messages of a call and then waits for all of
// them, so a call costs one round trip and not one for each message; those of one partition keep their order. Its error
// is ErrUnknownOutcome if that is true of any message. Close waits for calls under way and leaves the log open.
//
// The record has Watermill's header with the UUID and then the metadata in the order of its names: Watermill's own
// subscriber reads it.
func NewPublisher(log eventstore.Log, c PublisherConfig) message.Publisher {
	if c.Key == nil {
		c.Key = func(*message.Message) []byte { return nil }
	}
	if c.Partition == nil {
		c.Partition = func(m *message.Message) int {
			h := fnv.New32a()
			_, _ = h.Write([]byte(m.UUID))                   // never fails
			return int(h.Sum32() % uint32(log.Partitions())) //nolint:gosec // below 4096
		}
	}
	return &publisher{log: log, config: c}
}

// Publish implements message.Publisher.
func (p *publisher) Publish(topic string, messages ...*message.Message) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	switch {
	case p.closed:
		return fmt.Errorf("publish to %s: %w", topic, eventstore.ErrClosed)
	case topic != p.config.Topic:
		return fmt.Errorf("publish to %s: this publisher writes to %s only", topic, p.config.Topic)
	}
	records := map[int][]eventstore.Message{}
	var names []string // of the metadata of the message before, in order: most often they are this one's, too
	for _, m := range messages {
		if _, ok := m.Metadata[headerUUID]; ok {
			return fmt.Errorf("publish to %s: metadata %s is reserved for the UUID", topic, headerUUID)
		}
		headers, ok := withNames(m, names)
		if !ok {
			names = slices.Sorted(maps.Keys(m.Metadata))
			headers, _ = withNames(m, names)
		}
		at := p.config.Partition(m)
		if records[at] == nil && p.log.Partitions() == 1 {
			records[at] = make([]eventstore.Message, 0, len(messages))
		}
		records[at] = append(records[at], eventstore.Message{Key: p.config.Key(m), Headers: headers, Value: m.Payload})
	}
	answers := make(chan error, len(records))
	for at, rs := range records {
		p.log.Append(at, rs, func(_ int64, err error) { answers <- err })
	}
	var errs []error
	for range records {
		errs = append(errs, <-answers)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("publish to %s: %w", topic, err)
	}
	return nil
}

// withNames makes headers of the metadata, and reports whether these are its names.
func withNames(m *message.Message, names []string) ([]eventstore.Header, bool) {
	if len(names) != len(m.Metadata) {
		return nil, false
	}
	headers := make([]eventstore.Header, 1, 1+len(names))
	headers[0] = eventstore.Header{Key: headerUUID, Value: m.UUID}
	for _, k := range names {
		v, ok := m.Metadata[k]
		if !ok {
			return nil, false
		}
		headers = append(headers, eventstore.Header{Key: k, Value: v})
	}
	return headers, true
}

// Close implements message.Publisher.
func (p *publisher) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	return nil
}
