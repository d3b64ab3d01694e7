package kafka

import (
	"context"
	"sync"
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
	var ended *item
	for i := w.turn(nil); i != nil; i = w.turn(ended) {
		ended = nil
		d := &delivery{Context: w.alive, record: &i.record}
		m := toMessage(&i.record)
		m.SetContext(d)
		select {
		case w.out <- m:
			if w.answer(d, m) {
				ended = i
			} else {
				w.again(i)
			}
		case <-w.alive.Done():
		}
		d.end(context.Canceled)
	}
}

// answer waits for the handler, or until the window is given up, and reports whether the message was acknowledged.
func (w *window) answer(d *delivery, m *message.Message) bool {
	select {
	case <-m.Acked():
		return true
	case <-m.Nacked():
		return false
	case <-w.alive.Done():
		d.end(w.alive.Err())
	}
	select {
	case <-m.Acked():
		return true
	case <-m.Nacked():
	case <-w.given.Done():
	}
	return false
}

// delivery is the context of a message: the window's, until the message is answered. It is not one of package context's
// because those that come from one parent share its lock; the worker waits for the parent anyhow.
type delivery struct {
	context.Context
	record *eventstore.Message

	mu   sync.Mutex // guards the rest
	done chan struct{}
	err  error
}

func (d *delivery) Value(key any) any {
	if key == (recordKey{}) {
		return d.record
	}
	return d.Context.Value(key)
}

func (d *delivery) Done() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.done == nil {
		if d.done = make(chan struct{}); d.err != nil {
			close(d.done)
		}
	}
	return d.done
}

func (d *delivery) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}

func (d *delivery) end(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return
	}
	if d.err = err; d.done != nil {
		close(d.done)
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
