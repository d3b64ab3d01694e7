package kafka

import (
	"context"
	"sync"

	"deed/eventstore"
)

// window is a partition that is being worked through: records that were fetched and are not yet below the low-water mark
// (span), those that may be delivered now (ready), and those that wait for one with the same key (behind it, by next).
type window struct {
	*subscription
	partition int

	fetching context.Context // ends when nothing more is to be fetched
	stop     context.CancelFunc
	fetched  chan struct{}   // closed when fetching has ended
	alive    context.Context // of the messages: ends with the subscriber's, and when they are given up
	given    context.Context // ends when answers are not waited for any more
	kill     context.CancelFunc
	workers  sync.WaitGroup

	mu       sync.Mutex       // guards the rest
	span     []*item          // in the order of offsets
	bytes    int              // of keys and values in it
	ready    []*item          // in the order in which they became ready
	last     map[string]*item // by key: the last one that was fetched and has not ended
	work     sync.Cond        // told of items that are ready, and of changes of state
	room     sync.Cond        // told of items that left the span, and of changes of state
	idle     int              // workers that wait and that nobody has woken
	running  int              // workers that have not ended
	begun    int64            // the highest offset that was handed to a worker; -1 if none
	mark     int64            // the low-water mark; -1 as long as it is not known
	written  int64            // the mark that was committed
	draining bool             // nothing above begun is handed out
	over     bool             // nothing is handed out
}

// item is a record in a window.
type item struct {
	record eventstore.Message
	key    string
	next   *item // the one with the same key that waits for this one
	ended  bool  // acknowledged
}

func (i *item) size() int { return len(i.record.Key) + len(i.record.Value) }

func (w *window) full() bool { return len(w.span) >= w.config.Span || w.bytes >= spanBytes }

func newWindow(s *subscription, partition int) *window {
	w := &window{subscription: s, partition: partition, fetched: make(chan struct{}), last: map[string]*item{}, begun: -1, mark: -1, written: -1}
	w.work.L, w.room.L = &w.mu, &w.mu
	w.fetching, w.stop = context.WithCancel(s.in)
	w.given, w.kill = context.WithCancel(context.WithoutCancel(s.ctx))
	alive, cancel := context.WithCancel(s.ctx)
	w.alive = alive
	context.AfterFunc(w.given, cancel)
	context.AfterFunc(w.fetching, func() { // whoever waits for room, waits no longer
		w.mu.Lock()
		defer w.mu.Unlock()
		w.room.Broadcast()
	})
	context.AfterFunc(w.alive, w.stopHanding)
	return w
}

// take puts records into the window, waiting for room, and returns how many it has put there: all, but if the window ends.
func (w *window) take(batch []eventstore.Message) int {
	items := make([]item, len(batch)) // they live about as long as the batch
	w.mu.Lock()
	defer w.mu.Unlock()
	for n := range batch {
		for w.full() && w.fetching.Err() == nil {
			w.room.Wait()
		}
		if w.fetching.Err() != nil || w.over {
			return n
		}
		i := &items[n]
		i.record = batch[n]
		w.span = append(w.span, i)
		w.bytes += i.size()
		if i.record.Key == nil { // no key is not a key
			w.hand(i)
			continue
		}
		i.key = string(i.record.Key)
		before := w.last[i.key]
		if w.last[i.key] = i; before != nil {
			before.next = i
		} else {
			w.hand(i)
		}
	}
	return len(batch)
}

// hand makes an item ready and sees to it that somebody works on it. The window is locked.
func (w *window) hand(i *item) {
	w.ready = append(w.ready, i)
	switch {
	case w.idle > 0:
		w.idle--
		w.work.Signal()
	case w.running < w.config.Window:
		w.running++
		w.workers.Go(w.deliver)
	}
}

// stopHanding makes the workers end when they have got the answers that they wait for.
func (w *window) stopHanding() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	w.work.Broadcast()
	w.room.Broadcast()
}

// turn takes note that a worker's item was acknowledged, if it has one, and waits for the next; nil when there will be none.
func (w *window) turn(ended *item) *item {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ended != nil {
		w.acknowledged(ended)
	}
	for !w.over {
		for len(w.ready) > 0 {
			i := w.ready[0]
			w.ready[0] = nil
			w.ready = w.ready[1:]
			if w.draining && i.record.Offset > w.begun {
				continue // the next owner's
			}
			w.begun = max(w.begun, i.record.Offset)
			return i
		}
		w.idle++
		w.work.Wait()
	}
	w.running--
	w.room.Broadcast()
	return nil
}

// acknowledged moves the low-water mark, and makes ready what waited for the item. The window is locked.
func (w *window) acknowledged(i *item) {
	i.ended = true
	if i.next != nil {
		w.hand(i.next)
	} else if i.record.Key != nil {
		delete(w.last, i.key)
	}
	n := 0
	for n < len(w.span) && w.span[n].ended {
		w.mark = w.span[n].record.Offset + 1
		w.bytes -= w.span[n].size()
		w.span[n] = nil
		n++
	}
	if n > 0 {
		w.span = w.span[n:]
		w.room.Broadcast()
	}
}
