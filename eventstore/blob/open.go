package blob

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
)

// ErrOtherCluster says that the store belongs to another cluster.
var ErrOtherCluster = errors.New("the store belongs to another cluster")

// Open opens the store at a URL: file:///dir, a directory that every node of the cluster reaches.
func Open(_ context.Context, address string) (*Store, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("blob store %q: %w", address, err)
	}
	switch u.Scheme {
	case "file":
		if u.Host != "" || !filepath.IsAbs(u.Path) {
			return nil, fmt.Errorf("blob store %q: write file:///absolute/directory", address)
		}
		return OpenDir(filepath.FromSlash(u.Path))
	default:
		return nil, fmt.Errorf("blob store %q: a store is file:///dir", address)
	}
}

// clusterKey is the object that names the cluster to which a store belongs.
const clusterKey = "cluster"

// Belong makes the store the cluster's if it is nobody's yet. The error is ErrOtherCluster if it is another one's.
func (s *Store) Belong(ctx context.Context, cluster string) error {
	created, err := s.bucket.WriteIfAbsent(ctx, clusterKey, []byte(cluster+"\n"))
	if err != nil || created {
		return err
	}
	have, err := s.bucket.Read(ctx, clusterKey)
	if err != nil {
		return err
	}
	if string(have) != cluster+"\n" {
		return fmt.Errorf("%w: it is of cluster %q, this is %q", ErrOtherCluster, string(trimNewline(have)), cluster)
	}
	return nil
}

func trimNewline(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\n' {
		return b[:n-1]
	}
	return b
}
