package node

import (
	"context"
	"fmt"
	"time"
)

// How often the blob store is looked at, and how long a look may take.
const (
	blobEvery  = 5 * time.Second
	blobWithin = 10 * time.Second
)

// watchBlobs keeps the node from being ready while its blob store cannot be reached, or is another cluster's.
func (n *Node) watchBlobs() {
	n.every(blobEvery, func() bool {
		ctx, cancel := context.WithTimeout(n.run, blobWithin)
		err := n.blobs.Check(ctx, n.Registry.Cluster().String())
		cancel()
		switch {
		case n.run.Err() != nil:
		case err == nil:
			n.blobTrouble.Store(nil)
		default:
			err = fmt.Errorf("blob store %s: %w", n.config.Blob, err)
			if n.blobTrouble.Swap(&err) == nil {
				n.config.Logger.Error("the blob store cannot be used: the node is not ready", "error", err)
			}
		}
		return true
	})
}
