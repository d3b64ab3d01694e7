// Package object is the object-store sink: one object per outcome, written if absent, under a key that is derived from the
// invocation. Whoever delivers writes the same bytes to the same place.
package object

import (
	"bytes"
	"context"
	"fmt"

	"deed/domain"
	"deed/runtime/worker"
)

// Bucket holds objects. WriteIfAbsent is durable when it returns; it reports false if the key was there already.
type Bucket interface {
	WriteIfAbsent(ctx context.Context, key string, data []byte) (created bool, err error)
	Read(ctx context.Context, key string) ([]byte, error)
	Path(key string) string
}

// Sink writes to buckets, which Open finds by name.
type Sink struct {
	Open func(bucket string) (Bucket, error)
}

// Key is <prefix>/<project>/<package>/<function>/<yyyy>/<mm>/<dd>/<request id>-<success|failure>.json, the day being the
// outcome's, in UTC.
func Key(prefix string, i domain.Invocation) string {
	key := fmt.Sprintf("%s/%s/%s/%s/%s-%s.json", i.Function.Project, i.Function.Package, i.Function.Name,
		i.EndedAt.Time().Format("2006/01/02"), i.ID, i.Outcome.Class())
	if prefix == "" {
		return key
	}
	return prefix + "/" + key
}

// Deliver implements worker.Sink. An object that is there already is compared: equal bytes are a delivery that was made
// before its receipt was written; different ones are a conflict, which no repetition mends.
func (s *Sink) Deliver(ctx context.Context, n worker.Notification) (string, error) {
	name, prefix, ok := n.Target.Object()
	if !ok {
		return "", &worker.GiveUp{Reason: "target", Err: fmt.Errorf("%s is not an object store", n.Target)}
	}
	bucket, err := s.Open(name)
	if err != nil {
		return "", fmt.Errorf("open bucket %s: %w", name, err)
	}
	key := Key(prefix, n.Invocation)
	created, err := bucket.WriteIfAbsent(ctx, key, n.Record)
	if err != nil {
		return "", fmt.Errorf("write object %s: %w", key, err)
	}
	if !created {
		there, err := bucket.Read(ctx, key)
		if err != nil {
			return "", fmt.Errorf("compare object %s: %w", key, err)
		}
		if !bytes.Equal(there, n.Record) {
			return "", &worker.GiveUp{Reason: "conflict", Err: fmt.Errorf("object %s exists with other content (%s, not %s)", key, domain.DigestOf(there), domain.DigestOf(n.Record))}
		}
	}
	return bucket.Path(key), nil
}
