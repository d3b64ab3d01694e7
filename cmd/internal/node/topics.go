package node

import (
	"context"
	"errors"
	"fmt"
)

// examine refuses topics of a cluster whose settings can lose what was acknowledged, naming the setting, and warns of those
// that weaken a promise.
func (n *Node) examine(ctx context.Context, topics ...string) error {
	if n.broker != nil {
		return nil // the embedded broker refuses such settings itself
	}
	var breaks []error
	for _, topic := range topics {
		found, err := n.cluster.Examine(ctx, topic)
		if err != nil {
			return err
		}
		for _, f := range found {
			if f.Breaks && !n.config.AllowWeak {
				breaks = append(breaks, errors.New(f.String()))
				continue
			}
			n.config.Logger.Warn("a setting weakens what is promised", "topic", f.Topic, "setting", f.Setting, "value", f.Value, "words", f.Words)
		}
	}
	if len(breaks) > 0 {
		return fmt.Errorf("the cluster's settings would break promises (--allow-weak-topics starts all the same): %w", errors.Join(breaks...))
	}
	return nil
}
