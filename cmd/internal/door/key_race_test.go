package door

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"deed/domain"

	"pgregory.net/rapid"
)

// TestKeyRaces draws what happens to one key: calls at two doors whose clocks differ, several at once; appends that are
// refused, lost, acknowledged to nobody, or under way for long; crashes of a door around each write to the key store; time; markers. Whatever
// happens, the log has at most one invocation of the key, and a client was told no other; and when all is well again the next
// call is accepted, or the one after it. So the rules are tested against the model in integration/model/keys, which has them in the small.
func TestKeyRaces(t *testing.T) {
	store := newWorld(t).store // one file for all: each round has a key of its own
	rounds := 0
	rapid.Check(t, func(r *rapid.T) {
		rounds++
		key := fmt.Sprint("k", rounds)
		w := worldOn(t, store)
		ahead := time.Duration(rapid.IntRange(-25, 25).Draw(r, "seconds that door 1 is ahead")) * time.Second
		slow := &late{Log: w.log}
		doors := make([]*Door, 2)
		begin := func(i int) {
			doors[i] = w.door(t)
			doors[i].Log = slow
			doors[i].keyWait = 5 * time.Millisecond
			if i == 1 {
				doors[i].Now = func() time.Time { return w.clock().Add(ahead) }
			}
		}
		begin(0)
		begin(1)
		var mu sync.Mutex
		told := map[domain.InvocationID]bool{}
		step := map[string]func(*rapid.T){
			"call": func(r *rapid.T) {
				var wg sync.WaitGroup
				for range rapid.IntRange(1, 3).Draw(r, "calls") {
					d := doors[rapid.IntRange(0, 1).Draw(r, "door")]
					wg.Go(func() {
						if a, err := call(t, d, key, "x"); err == nil {
							mu.Lock()
							told[a.ID] = true
							mu.Unlock()
						}
					})
				}
				wg.Wait()
			},
			"fault": func(r *rapid.T) {
				rapid.SampledFrom([]func(){
					func() { w.log.Fail(nil) }, func() { w.log.Lose(nil) }, func() { w.log.FailAfterPersisting(nil) }, slow.holdNext, slow.holdNext,
				}).Draw(r, "kind")()
			},
			"crash": func(r *rapid.T) {
				i := rapid.IntRange(0, 1).Draw(r, "door")
				op := rapid.SampledFrom([]string{"claim", "replace", "accept"}).Draw(r, "op")
				c := &crash{Store: w.store}
				if rapid.Bool().Draw(r, "before") {
					c.before = op
				} else {
					c.after = op
				}
				doors[i].Keys = c
				if a, err := call(t, doors[i], key, "x"); err == nil {
					told[a.ID] = true
				}
				begin(i)
			},
			"time": func(r *rapid.T) {
				w.pass(time.Duration(rapid.SampledFrom([]int{1, 20, 31, 60, 125, 200}).Draw(r, "seconds")) * time.Second)
			},
			"arrival": func(r *rapid.T) { slow.arrive(rapid.IntRange(0, 9).Draw(r, "which")) },
			"marker":  func(*rapid.T) { w.mark() },
			"": func(r *rapid.T) {
				if ids, copies := w.effective(key); len(ids) > 1 {
					r.Fatalf("%d invocations (%d records): %v", len(ids), copies, ids)
				} else {
					mu.Lock()
					defer mu.Unlock()
					for id := range told {
						if len(ids) == 0 || id != ids[0] {
							r.Fatalf("a client was told %s, the log has %v", id, ids)
						}
					}
				}
			},
		}
		r.Repeat(step)

		calm := w.door(t)
		calm.Log = w.log.Log
		a, err := call(t, calm, key, "x")
		if _, ok := errors.AsType[*Unacknowledged](err); ok { // the last milliseconds of an earlier call's 30 s
			w.pass(time.Second)
			a, err = call(t, calm, key, "x")
		}
		if err != nil {
			r.Fatalf("when all is well again: %v", err)
		}
		told[a.ID] = true
		step[""](r)
	})
}
