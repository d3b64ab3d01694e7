package node

import (
	"context"
	"errors"
	"testing"
	"time"

	"deed/domain"
	"deed/eventstore"
	"deed/projections"
)

// TestNewerLogIsRefused: a node of this version does not fold a log that a newer one wrote.
func TestNewerLogIsRefused(t *testing.T) {
	data := t.TempDir()
	n, err := Open(t.Context(), Config{Data: data, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := eventstore.Encode("c", 1, &domain.Record{
		ID: domain.UUID{1}, At: 1, Stamp: domain.Stamp{Epoch: 9, Owner: domain.OwnerID{2}},
		Event: domain.PartitionOwned{Protocol: domain.Protocol + 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	n.Door.Log.Append(1, []eventstore.Message{m}, func(_ int64, err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-n.Failed():
		if !errors.Is(err, projections.ErrStopped) {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the running node goes on")
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if n, err := Open(ctx, Config{Data: data, Listen: "127.0.0.1:0"}); !errors.Is(err, projections.ErrStopped) {
		t.Errorf("opened: %v %v", n, err)
	}
}
