package invocations

import (
	"slices"
	"testing"

	"deed/domain"

	"pgregory.net/rapid"
)

// TestOrder: the chunks hold what one sorted slice would, wherever rows come and go.
func TestOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var o order
		var want []*Row // oldest first
		made := byte(0)
		find := func(id domain.InvocationID) (int, bool) {
			return slices.BinarySearchFunc(want, id, func(r *Row, id domain.InvocationID) int {
				return slices.Compare(r.State.ID[:], id[:])
			})
		}
		add := func(t0 int, n byte) {
			r := &Row{State: domain.Invocation{ID: domain.NewInvocationID(domain.Instant(t0), 0, [8]byte{0, n})}}
			if i, known := find(r.State.ID); !known {
				want = slices.Insert(want, i, r)
				o.insert(r)
			}
		}
		for range rapid.IntRange(0, 12).Draw(t, "steps") {
			t0 := rapid.IntRange(1, 5000).Draw(t, "t0")
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0: // a run
				for i := range rapid.IntRange(1, 1500).Draw(t, "run") {
					add(t0+i, 0)
				}
			case 1: // some of one time
				for range rapid.IntRange(1, 20).Draw(t, "some") {
					made++
					add(t0, made)
				}
			case 2: // the oldest go
				for range min(len(want), rapid.IntRange(1, 1500).Draw(t, "oldest")) {
					o.remove(want[0])
					want = slices.Delete(want, 0, 1)
				}
			case 3: // every second one goes
				for i := 0; i < len(want); i++ {
					o.remove(want[i])
					want = slices.Delete(want, i, i+1)
				}
			}
			until := domain.Instant(rapid.IntRange(0, 6000).Draw(t, "until"))
			var got []*Row
			for at := o.newest(until); at.row() != nil; at.next() {
				got = append(got, at.row())
			}
			n := len(want)
			if until != 0 {
				n, _ = find(domain.NewInvocationID(until+1, 0, [8]byte{}))
			}
			slices.Reverse(got)
			if !slices.Equal(got, want[:n]) {
				t.Fatalf("%d rows until %d, want %d", len(got), until, n)
			}
			id := domain.NewInvocationID(until, 0, [8]byte{})
			i, _ := find(id)
			if got := o.ceil(id); i == len(want) && got != nil || i < len(want) && got != want[i] {
				t.Fatalf("ceil of %s is %v", id, got)
			}
			if i+1 < len(want) && o.after(want[i]) != want[i+1] {
				t.Fatalf("after %s is %v", id, o.after(want[i]))
			}
			for i, c := range o.chunks {
				if len(c) == 0 || len(c) > chunk || i > 0 && len(c)+len(o.chunks[i-1]) <= chunk/2 {
					t.Fatalf("chunk %d of %d has %d rows", i, len(o.chunks), len(c))
				}
			}
		}
	})
}
