package node

import (
	"context"
	"fmt"
	"time"

	"deed/runtime/worker"
)

// skewed is told by an owner that this node's clock is wrong. The node gives all partitions up and is not ready; after a
// minute it takes its place in the group again, and the owners' claims compare anew (a claim moves no log time).
func (n *Node) skewed(ahead time.Duration) {
	n.skew.Store(int64(ahead))
	select {
	case n.skews <- ahead:
	default:
	}
}

// clockPause is how long a node whose clock was found wrong stays out of the group.
const clockPause = time.Minute

// Run shares in the partitions until ctx ends, then drains: nothing is begun any more, running attempts may end within the
// grace period, the group is left.
func (n *Node) Run(ctx context.Context) error {
	for {
		term, leave := context.WithCancel(ctx)
		watched := make(chan bool, 1)
		go func() {
			select {
			case <-n.skews:
				leave()
				watched <- true
			case <-term.Done():
				watched <- false
			}
		}()
		err := n.group.Run(term, n.assigned, n.revoked)
		leave()
		if out := <-watched; !out || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(clockPause):
		}
		n.skew.Store(0)
	}
}

// clockTrouble is why the node's clock keeps it from serving; nil if it does not.
func (n *Node) clockTrouble() error {
	if ahead := time.Duration(n.skew.Load()); ahead != 0 {
		return fmt.Errorf("the clock of this node is %s ahead of the broker's (negative: behind); allowed are %s", ahead.Round(time.Second), worker.MaxSkew)
	}
	return nil
}
