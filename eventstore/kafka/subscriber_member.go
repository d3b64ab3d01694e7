package kafka

import (
	"context"
	"log/slog"
	"sync"

	"deed/eventstore"

	"github.com/ThreeDotsLabs/watermill/message"
)

// subscription is one Subscribe: a member of the group, and a window for each partition that it has. It knows nothing of
// Kafka but what the log and the membership say.
type subscription struct {
	config SubscriberConfig
	source eventstore.Log
	member eventstore.Membership
	log    *slog.Logger

	ctx   context.Context // of the subscriber; the messages' contexts come from it
	in    context.Context // ends when the group is to be left
	leave context.CancelFunc
	out   chan *message.Message
	ended chan struct{} // closed when everything is over

	mu      sync.Mutex // guards windows
	windows map[int]*window
}

func newSubscription(ctx context.Context, c SubscriberConfig, source eventstore.Log, member eventstore.Membership, log *slog.Logger) *subscription {
	s := &subscription{
		config: c, source: source, member: member, log: log, ctx: ctx, out: make(chan *message.Message), ended: make(chan struct{}), windows: map[int]*window{},
	}
	s.in, s.leave = context.WithCancel(ctx)
	return s
}

// run is a member of the group until it is told to leave, and closes the channel of messages.
func (s *subscription) run() {
	defer s.leave()
	if err := s.member.Run(s.in, s.assigned, s.revoked); err != nil {
		s.log.Warn("a subscription did not leave its group well", "error", err)
	}
	close(s.out) // every window has ended
}

func (s *subscription) assigned(p int) {
	w := newWindow(s, p)
	s.mu.Lock()
	s.windows[p] = w
	s.mu.Unlock()
	go w.run()
}

func (s *subscription) revoked(p int) {
	s.mu.Lock()
	w := s.windows[p]
	delete(s.windows, p)
	s.mu.Unlock()
	w.end()
}
