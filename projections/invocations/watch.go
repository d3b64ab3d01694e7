package invocations

import (
	"context"
	"errors"
	"sync"

	"deed/eventstore"
)

// Watch is a queue of judged records, filled from the moment it was made.
type Watch struct {
	model *Model
	mu    sync.Mutex
	queue []eventstore.Judged
	lost  bool
	more  chan struct{}
}

// maxQueue is how many records a watcher may lag behind before it is told so.
const maxQueue = 100_000

// ErrLagging says that a watcher was too slow and has missed records.
var ErrLagging = errors.New("the watcher was too slow: records were missed; begin again")

// Watch begins to collect records; Close it.
func (m *Model) Watch() *Watch {
	w := &Watch{model: m, more: make(chan struct{}, 1)}
	m.mu.Lock()
	m.watchers[w] = struct{}{}
	m.mu.Unlock()
	return w
}

func (w *Watch) offer(batch []eventstore.Judged) {
	w.mu.Lock()
	if len(w.queue)+len(batch) > maxQueue {
		w.lost = true
	} else {
		w.queue = append(w.queue, batch...)
	}
	w.mu.Unlock()
	select {
	case w.more <- struct{}{}:
	default:
	}
}

// Next returns what was collected, waiting for at least one record.
func (w *Watch) Next(ctx context.Context) ([]eventstore.Judged, error) {
	for {
		w.mu.Lock()
		batch, lost := w.queue, w.lost
		w.queue = nil
		w.mu.Unlock()
		if len(batch) > 0 {
			return batch, nil
		}
		if lost {
			return nil, ErrLagging
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-w.more:
		}
	}
}

// Close ends the watch.
func (w *Watch) Close() {
	w.model.mu.Lock()
	delete(w.model.watchers, w)
	w.model.mu.Unlock()
}
