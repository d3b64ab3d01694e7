package node

import (
	"context"
	"testing"
	"time"

	"deed/domain"
	"deed/eventstore"
	"deed/projections/invocations"
	"deed/runtime/wasm/wasmtest"
	"deed/runtime/worker"
)

// copied waits until deed.notifications has a message for each of them, and gives how often; it checks that those of a
// partition are in the order in which they were owed.
func copied(t *testing.T, n *Node, ids []domain.InvocationID) (times map[string]int) {
	t.Helper()
	log, err := n.cluster.Log("deed.notifications")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	seen := make(chan string, 100)
	for p := range log.Partitions() {
		start, _, err := log.Bounds(ctx, p)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			_ = log.Follow(ctx, p, start, func(ms []eventstore.Message) error {
				for _, m := range ms {
					select {
					case seen <- eventstore.Attributes(m)["subject"]:
					case <-ctx.Done():
					}
				}
				return nil
			})
		}()
	}
	missing := map[string]bool{}
	for _, id := range ids {
		missing[id.String()] = true
	}
	for len(missing) > 0 {
		select {
		case id := <-seen:
			delete(missing, id)
		case <-ctx.Done():
			t.Fatalf("%d of %d are not there", len(missing), len(ids))
		}
	}
	times = map[string]int{}
	for p := range log.Partitions() {
		at, end, err := log.Bounds(t.Context(), p)
		last := int64(-1)
		for err == nil && at < end {
			var ms []eventstore.Message
			if ms, err = log.Read(t.Context(), p, at, 100); err != nil {
				break
			}
			for _, m := range ms {
				names := eventstore.Attributes(m)
				offset, _, err := eventstore.CopiedFrom(m)
				if err != nil {
					t.Fatal(err)
				}
				if times[names["subject"]]++; offset <= last && times[names["subject"]] == 1 {
					t.Errorf("partition %d: %d comes behind %d", p, offset, last)
				}
				last = max(last, offset)
				row, ok := n.Model.Get(mustID(t, names["subject"]))
				if want, err := n.Door.Owed(t.Context(), row); !ok || err != nil || string(want) != string(m.Value) || m.Partition != row.Partition {
					t.Errorf("%v: %s, not %s", err, m.Value, want)
				}
			}
			at = ms[len(ms)-1].Offset + 1
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return times
}

func mustID(t *testing.T, s string) domain.InvocationID {
	t.Helper()
	id, err := domain.ParseInvocationID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// TestFeed: what is owed, and only that, stands in deed.notifications, once, in order, over restarts; whether the tail hands
// it over or it is read again, and whether the position is in the topic or was noted.
func TestFeed(t *testing.T) {
	for name, c := range map[string]Config{
		"fed by the tail": {},
		"read again":      {feedMost: 1},
		"noted":           {feedIdle: 5},
	} {
		t.Run(name, func(t *testing.T) {
			c.Data, c.Upkeep = t.TempDir(), worker.Upkeep{Tick: 20 * time.Millisecond, Renew: 50 * time.Millisecond}
			n, stop := runningUntil(t, c)
			told := deploy(t, n, "told", wasmtest.Echo(), domain.DefaultLimits(), domain.Policy{Set: true, MaxAge: time.Hour, OnSuccess: "obs://told/yes"})
			untold := deploy(t, n, "untold", wasmtest.Echo(), domain.DefaultLimits(), domain.Policy{})
			var ids []domain.InvocationID
			for range 3 {
				now := accept(t, n, told, 30)
				ids = append(ids, now...)
				silent := accept(t, n, untold, 30)
				settled(t, n, now)
				settled(t, n, silent)
				if times := copied(t, n, ids); len(times) != len(ids) {
					t.Errorf("%d invocations, and %d were owed a word", len(times), len(ids))
				}
				stop()
				n, stop = runningUntil(t, c)
			}
			for id, times := range copied(t, n, ids) {
				if times != 1 {
					t.Errorf("%s stands there %d times, and nothing crashed", id, times)
				}
			}
			if rows := n.Model.List(invocations.Filter{Function: told}); len(rows) != len(ids) {
				t.Errorf("%d rows", len(rows))
			}
			noted := false
			for p := range n.notices.Partitions() {
				noted = noted || n.Operations.Fed(p).Upto > 0
			}
			if noted != (c.feedIdle > 0) {
				t.Errorf("a position was noted: %t", noted)
			}
		})
	}
}
