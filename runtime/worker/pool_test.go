package worker

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// TestPoolLaws: never more than the bounds, nobody waits while there is a place, and all who leave are forgotten.
func TestPoolLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total, perKey := rapid.IntRange(1, 4).Draw(t, "total"), rapid.IntRange(1, 3).Draw(t, "perKey")
		budget := int64(rapid.IntRange(0, 6).Draw(t, "budget"))
		p := NewPool(total, perKey, budget)
		type guest struct {
			ticket *Ticket
			key    string
			weight int64
			in     bool
		}
		var guests []*guest
		limits, before := map[string]int{}, map[string]int{}
		most := func(k string) int {
			if l := limits[k]; l > 0 {
				return min(l, perKey)
			}
			return perKey
		}
		check := func() {
			in, byKey, waiting, weight := 0, map[string]int{}, map[string]bool{}, int64(0)
			for _, g := range guests {
				if g.in {
					in++
					byKey[g.key]++
					weight += g.weight
				} else {
					waiting[g.key] = true
				}
			}
			if in > total {
				t.Fatalf("%d in a pool of %d", in, total)
			}
			for k, n := range byKey {
				if n > max(most(k), before[k]) { // what ran before the limit was lowered runs on
					t.Fatalf("%d of %s, at most %d", n, k, most(k))
				}
			}
			if budget > 0 && weight > budget && in > 1 {
				t.Fatalf("%d of weight %d run, the budget is %d", in, weight, budget)
			}
			heavy := false // somebody could run but for its weight: the others may wait for it
			for _, g := range guests {
				heavy = heavy || !g.in && budget > 0 && in > 0 && weight+g.weight > budget && byKey[g.key] < most(g.key)
			}
			for k := range waiting {
				if !heavy && in < total && byKey[k] < most(k) {
					t.Fatalf("%s waits although %d of %d places and %d of its own %d are taken", k, in, total, byKey[k], most(k))
				}
			}
			before = byKey
			if p.Running() != in {
				t.Fatalf("the pool counts %d, there are %d", p.Running(), in)
			}
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if rapid.IntRange(0, 4).Draw(t, "limit") == 0 {
				k := fmt.Sprint(rapid.IntRange(0, 2).Draw(t, "key"))
				limits[k] = rapid.IntRange(0, 4).Draw(t, "its limit")
				p.Limit(k, limits[k])
			} else if len(guests) == 0 || rapid.Bool().Draw(t, "enter") {
				g := &guest{key: fmt.Sprint(rapid.IntRange(0, 2).Draw(t, "key")), weight: int64(rapid.IntRange(0, 4).Draw(t, "weight"))}
				guests = append(guests, g)
				if rapid.IntRange(0, 4).Draw(t, "with another limit") == 0 {
					limits[g.key] = rapid.IntRange(0, 4).Draw(t, "its limit")
				}
				g.ticket, g.in = p.Enter(Want{g.key, limits[g.key], g.weight, rapid.Bool().Draw(t, "urgent")}, func(*Ticket) { g.in = true })
			} else {
				i := rapid.IntRange(0, len(guests)-1).Draw(t, "who")
				g := guests[i]
				guests = append(guests[:i], guests[i+1:]...)
				p.Leave(g.ticket)
				p.Leave(g.ticket) // once or more
			}
			check()
		}
		for len(guests) > 0 {
			g := guests[0]
			guests = guests[1:]
			p.Leave(g.ticket)
			check()
		}
	})
}
