package node

import (
	"context"
	"time"
)

// committedAt is a position that the owners had committed when the node looked.
type committedAt struct {
	offset int64
	at     time.Time
}

// trimEvery is how often a node looks whether something may be removed.
const trimEvery = time.Minute

// watchTrim removes what is older than the retention. It is off unless a retention is set, and nothing sets one yet: the read
// model keeps no state of its own, and would lose what is removed.
func (n *Node) watchTrim() {
	n.every(trimEvery, func() bool {
		if err := n.trim(n.run); err != nil && n.run.Err() == nil {
			n.config.Logger.Warn("old records cannot be removed; trying again", "error", err)
		}
		return true
	})
}

// trim removes, of the partitions that this node acts on, what lies before the latest committed marker that is older than the
// retention. Only a marker that was committed is a good beginning for whoever starts at the log's beginning then; any other
// one may have a copy of a request behind it that he would admit. What the tails of this node have not read stays.
func (n *Node) trim(ctx context.Context) error {
	n.trimming.Lock()
	defer n.trimming.Unlock()
	if n.positions == nil {
		n.positions = map[int][]committedAt{}
	}
	var failed error
	n.eachPart(func(p int, part *part) {
		at, err := n.group.Committed(ctx, p)
		if err != nil {
			failed = err
			return
		}
		now := n.now()
		list := n.positions[p]
		if at.Offset >= 0 && (len(list) == 0 || list[len(list)-1].offset < at.Offset) {
			list = append(list, committedAt{at.Offset, now})
		}
		old := -1
		for i, c := range list {
			if now.Sub(c.at) >= n.config.retain {
				old = i
			}
		}
		if old >= 0 {
			if part.owner.Acting() && list[old].offset <= n.Model.Next(p) && !n.Model.Partial(p) {
				if err := n.Door.Log.Trim(ctx, p, list[old].offset); err != nil {
					failed = err
					return
				}
			}
			list = list[old+1:]
		}
		n.positions[p] = list
	})
	return failed
}
