package node

import (
	"context"
	"sync"
)

// operate shares in the group of which one member carries operations out: the one that has the topic's only partition. Two at
// once, while one does not know yet that it is not the one any more, would do no harm: a step takes effect once.
func (n *Node) operate(ctx context.Context) {
	var mu sync.Mutex
	var stop context.CancelFunc
	var ended chan struct{}
	end := func() {
		mu.Lock()
		defer mu.Unlock()
		if stop != nil {
			stop()
			<-ended
			stop = nil
		}
	}
	defer end()
	topics := n.topics()
	err := n.cluster.Membership(topics.OperatorsGroup(), topics.Operations()).Run(ctx, func(int) {
		end()
		mu.Lock()
		defer mu.Unlock()
		var acting context.Context
		acting, stop = context.WithCancel(ctx)
		done := make(chan struct{})
		ended = done
		go func() {
			defer close(done)
			n.Redriver.Run(acting)
		}()
	}, func(int) { end() })
	if err != nil && ctx.Err() == nil {
		n.config.Logger.Error("this node carries out no operations", "error", err)
	}
}
