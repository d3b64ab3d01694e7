package kafka

import (
	"context"
	"errors"
	"net"
	"sync"
)

// dialer is how a Sarama client connects. It keeps the connections, so that all that happens on them can be ended at
// once: Sarama's own ways to close wait for answers.
type dialer struct {
	mu    sync.Mutex
	abort context.CancelFunc // ends the dials under way
	ctx   context.Context    // of the dials under way
	conns []net.Conn
	shut  bool
}

// keptConns is more than a client has: one or two to each broker. Older ones were closed by Sarama when it lost them.
const keptConns = 256

func newDialer() *dialer {
	d := &dialer{}
	d.ctx, d.abort = context.WithCancel(context.Background())
	return d
}

// Dial implements proxy.Dialer.
func (d *dialer) Dial(network, addr string) (net.Conn, error) {
	d.mu.Lock()
	ctx, shut := d.ctx, d.shut
	d.mu.Unlock()
	if shut {
		return nil, net.ErrClosed
	}
	c, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shut {
		return nil, errors.Join(net.ErrClosed, c.Close())
	}
	if len(d.conns) == keptConns {
		d.conns = append(d.conns[:0], d.conns[keptConns/2:]...)
	}
	d.conns = append(d.conns, c)
	return c, nil
}

// interrupt ends the dials under way.
func (d *dialer) interrupt() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.abort()
	d.ctx, d.abort = context.WithCancel(context.Background())
}

// cut closes all connections and refuses new ones.
func (d *dialer) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shut = true
	d.abort()
	for _, c := range d.conns {
		_ = c.Close()
	}
	d.conns = nil
}
