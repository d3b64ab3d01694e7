package node

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"deed/eventstore/embedded"
)

// openBroker starts the embedded broker. That it fails stops the node: what it did not make durable is not acknowledged.
func (n *Node) openBroker() error {
	c := n.config
	durability := embedded.Fsync
	if c.Durability == "process" {
		durability = embedded.Process
	}
	b, err := embedded.Open(embedded.Config{Dir: filepath.Join(c.Data, "log"), Listen: c.KafkaListen, Durability: durability, Log: c.Logger})
	if err != nil {
		return err
	}
	n.broker = b
	n.readers.Go(func() {
		select {
		case err := <-b.Failed():
			n.logsMu.Lock()
			logs := slices.Clone(n.logs)
			n.logsMu.Unlock()
			for _, l := range logs {
				if l, ok := l.(interface{ Abandon() }); ok {
					l.Abandon()
				}
			}
			select {
			case n.failed <- err:
			default:
			}
		case <-n.run.Done():
		}
	})
	n.readers.Go(n.watchSize)
	return nil
}

// largeLog is when to say that the embedded broker's log is large: it is read into memory after an unclean stop, and nothing
// is removed from it.
const largeLog = 2 << 30

// watchSize warns once when the log has become large.
func (n *Node) watchSize() {
	n.every(time.Minute, func() bool {
		if size, err := n.broker.Size(); err == nil && size >= largeLog {
			n.config.Logger.Warn("the embedded log is large, and nothing is removed from it: a cluster of Kafka brokers is for such (--brokers)", "bytes", size)
			return false
		}
		return true
	})
}

// How often the brokers are looked for, and how long an answer may take.
const (
	brokersEvery  = 5 * time.Second
	brokersWithin = 4 * time.Second
)

// watchBrokers keeps the node from being ready while no partition can be asked: what it accepted would not be acknowledged.
func (n *Node) watchBrokers() {
	n.every(brokersEvery, func() bool {
		ctx, cancel := context.WithTimeout(n.run, brokersWithin)
		_, _, err := n.Door.Log.Bounds(ctx, n.nextSlot())
		cancel()
		switch {
		case n.run.Err() != nil:
		case err == nil:
			n.brokerTrouble.Store(nil)
		default:
			err = fmt.Errorf("the brokers cannot be reached: %w", err)
			n.brokerTrouble.Store(&err)
		}
		return true
	})
}
