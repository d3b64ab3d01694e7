package kafka

import (
	"context"
	"time"

	"deed/eventstore"

	"github.com/ThreeDotsLabs/watermill/message"
)

type recordKey struct{}

// RecordOf is the record that a message of NewSubscriber was made of; its bytes must not be modified. The context of a
// message knows it, so a context that a handler derived from it will do. It reports whether there is one.
func RecordOf(ctx context.Context) (eventstore.Message, bool) {
	r, ok := ctx.Value(recordKey{}).(*eventstore.Message)
	if !ok {
		return eventstore.Message{}, false
	}
	return *r, true
}

// deliver is a worker: it hands out one message after another and waits for the answer to each.
func (w *window) deliver() {
	for i := w.pick(); i != nil; i = w.pick() {
		ctx, cancel := context.WithCancel(context.WithValue(w.alive, recordKey{}, &i.record))
		m := toMessage(&i.record)
		m.SetContext(ctx)
		select {
		case w.out <- m:
			w.answer(i, m)
		case <-w.alive.Done():
		}
		cancel()
	}
}

// answer waits for the handler, or until the window is given up.
func (w *window) answer(i *item, m *message.Message) {
	select {
	case <-m.Acked():
		w.done(i)
	case <-m.Nacked():
		w.again(i)
	case <-w.given.Done():
	}
}

// again makes an item that was refused ready after a while.
func (w *window) again(i *item) {
	time.AfterFunc(w.config.NackDelay, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if !w.over {
			w.hand(i)
		}
	})
}

// toMessage is a record as Watermill's own subscriber would show it, anew for each delivery: a message is answered once.
func toMessage(r *eventstore.Message) *message.Message {
	m := message.NewMessage("", r.Value)
	m.Metadata = make(message.Metadata, len(r.Headers))
	for _, h := range r.Headers {
		if h.Key == headerUUID {
			m.UUID = h.Value
		} else {
			m.Metadata[h.Key] = h.Value
		}
	}
	return m
}
