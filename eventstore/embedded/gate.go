package embedded

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// maxFrame is the size of the largest request that is read, in bytes.
const maxFrame = 100 << 20

// spoken are the kinds of requests that there are.
var spoken = func() (keys [kmsg.MaxKey + 1]bool) {
	for k := range keys {
		keys[k] = kmsg.RequestForKey(int16(k)) != nil //nolint:gosec // small
	}
	return keys
}()

// care is what the response to a kind of request has to wait for: nothing, if it says nothing about what was written; all, if
// files of the broker's state may have been replaced for it.
func care(key kmsg.Key) (held, all bool) {
	switch key {
	case kmsg.ApiVersions, kmsg.SASLHandshake, kmsg.SASLAuthenticate, kmsg.FindCoordinator, kmsg.Heartbeat:
		return false, false
	case kmsg.Produce, kmsg.Fetch, kmsg.ListOffsets, kmsg.Metadata, kmsg.OffsetCommit, kmsg.OffsetFetch, kmsg.JoinGroup, kmsg.SyncGroup,
		kmsg.LeaveGroup, kmsg.InitProducerID, kmsg.OffsetForLeaderEpoch, kmsg.DescribeGroups, kmsg.ListGroups, kmsg.DescribeConfigs, kmsg.DescribeCluster:
		return true, false
	default:
		return true, true
	}
}

// gate stands between the broker and its clients. A response leaves when hold says so: it is given whether the request is of
// a kind that may have replaced files of state, and its error cuts the connection.
type gate struct {
	net.Listener
	hold func(all bool) error
	shut func() error // why nothing leaves any more; nil as long as it may

	opened chan struct{} // closed when clients may come, or when none may any more
	once   sync.Once

	mu    sync.Mutex
	conns map[*conn]struct{}
	cut   bool
}

func newGate(ln net.Listener) *gate {
	return &gate{Listener: ln, opened: make(chan struct{}), conns: map[*conn]struct{}{}}
}

// open lets clients in.
func (g *gate) open() { g.once.Do(func() { close(g.opened) }) }

// Accept waits for the next client.
func (g *gate) Accept() (net.Conn, error) {
	<-g.opened
	c, err := g.Listener.Accept()
	if err != nil {
		return nil, err
	}
	held := &conn{Conn: c, gate: g, in: bufio.NewReaderSize(c, 4<<10)}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cut {
		_ = c.Close() // nobody listens
		return nil, net.ErrClosed
	}
	g.conns[held] = struct{}{}
	return held, nil
}

// Close lets nobody in any more.
func (g *gate) Close() error {
	g.open()
	return g.Listener.Close()
}

// close cuts all connections.
func (g *gate) close() {
	_ = g.Close() // it may be closed already
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cut = true
	for c := range g.conns {
		_ = c.Conn.Close() // it may be closed already
	}
}

// conn is one client. The broker reads requests from it and writes each response with one call.
type conn struct {
	net.Conn
	gate *gate
	in   *bufio.Reader
	left int // bytes of the request being read

	mu    sync.Mutex
	asked []asked // in order, not yet answered
}

type asked struct {
	correlation uint32
	key         kmsg.Key
}

// Read reads on in the request, never into the next one.
func (c *conn) Read(p []byte) (int, error) {
	if c.left == 0 {
		if err := c.begin(); err != nil {
			return 0, err
		}
	}
	n, err := c.in.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// begin looks at the head of a request: 4 bytes size, 2 key, 2 version, 4 correlation id. What is not one would make the
// broker take memory of that size, or stop.
func (c *conn) begin() error {
	head, err := c.in.Peek(12)
	if err != nil {
		return err
	}
	size, key := binary.BigEndian.Uint32(head), binary.BigEndian.Uint16(head[4:])
	if size < 8 || size > maxFrame || int(key) >= len(spoken) || !spoken[key] {
		return fmt.Errorf("no request of this protocol: %d bytes with key %d", size, key)
	}
	c.left = 4 + int(size)
	c.mu.Lock()
	c.asked = append(c.asked, asked{binary.BigEndian.Uint32(head[8:]), kmsg.Key(key)})
	c.mu.Unlock()
	return nil
}

// answered finds what a response has to wait for. Requests are answered in order; some are not, such as an append without
// acknowledgement.
func (c *conn) answered(response []byte) (held, all bool) {
	if len(response) < 8 {
		return true, true
	}
	correlation := binary.BigEndian.Uint32(response[4:])
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, a := range c.asked {
		if a.correlation == correlation {
			c.asked = append(c.asked[:0], c.asked[i+1:]...)
			return care(a.key)
		}
	}
	return true, true
}

// Write sends a response when it may leave.
func (c *conn) Write(p []byte) (int, error) {
	if held, all := c.answered(p); held {
		if err := c.gate.hold(all); err != nil {
			return 0, errors.Join(err, c.Close())
		}
	}
	if err := c.gate.shut(); err != nil {
		return 0, errors.Join(err, c.Close())
	}
	return c.Conn.Write(p)
}

// Close cuts the connection.
func (c *conn) Close() error {
	c.gate.mu.Lock()
	delete(c.gate.conns, c)
	c.gate.mu.Unlock()
	return c.Conn.Close()
}
