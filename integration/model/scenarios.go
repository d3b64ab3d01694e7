package main

import (
	"deed/integration/model/keys"
	p "deed/integration/model/partition"
)

// scenarios lists every run. A negative one (fails: true) lets loose the same faults as the family's positive one and
// takes one rule away, or puts the draft's rule in its place: the checker must find a counterexample, or it proves nothing.
func scenarios() []scenario {
	type cfg = *p.Config
	and := func(base, change func(cfg)) func(cfg) { return func(c cfg) { base(c); change(c) } }

	// Zombies, crashes at every step, duplicate appends, generations that repeat or start over.
	fence := func(c cfg) { c.Rebalances, c.Crashes, c.Dups, c.MayFail = 1, 1, 1, true }
	fenceCarry := func(c cfg) { c.Rebalances, c.Carries, c.Dups, c.MayFail, c.MaxCode = 1, 1, 1, true, 1 }
	// Restart from the middle of the log: commits, renewed markers, log time.
	restart := func(c cfg) { c.Rebalances, c.Renews, c.Ticks = 1, 1, 2 }
	// Copies of a request that land after everything is over.
	late := func(c cfg) { c.Rebalances, c.Renews, c.Ticks, c.LateReq = 1, 1, 2, 1 }
	// Invocations restated by the owner while doors write cancels.
	carry := func(c cfg) {
		c.Rebalances, c.Carries, c.Cancels, c.Renews = 1, 2, 1, 1
	}
	// A child invocation by the function sink.
	child := func(c cfg) { c.Crashes, c.Dups, c.WithChild = 1, 1, true }
	childRestart := func(c cfg) { c.Renews, c.Ticks, c.WithChild = 1, 2, true }
	// Appends given up by the producer; records overtaking each other.
	loss := func(c cfg) { c.Losses, c.Crashes, c.Renews, c.MayFail = 1, 1, 1, true }

	// A bounded log, for a draft whose owner appends in vain for ever.
	short := func(c cfg) { c.Rebalances, c.MaxLog = 2, 15 }

	return []scenario{
		part("fence", "the corrected protocol under zombies, crashes, duplicate appends", false, fence),
		part("fence-carry", "the same with a carried record and a second attempt", false, fenceCarry),
		part("fence-three", "two rebalances and a crash: up to four owners", false, and(fence, func(c cfg) { c.Rebalances, c.Dups, c.MayFail = 2, 0, false })),
		part("fence-lag", "in small, owners read record by record (checks the model's own reduction)", false, and(fence, func(c cfg) {
			c.Lag, c.Crashes, c.MayFail = true, 0, false
		})),
		part("fence/none", "no fence at all: a zombie's carried record lands late", true, and(fenceCarry, func(c cfg) { c.Fence, c.Seq = p.ByNothing, false })),
		part("fence/generation-same", "draft: fence by group generation; a static member rejoins with the same one", true, and(fenceCarry, func(c cfg) { c.Fence, c.Seq, c.GenSame = p.ByGeneration, false, true })),
		part("fence-short", "two rebalances and a log that ends at 15 records", false, short),
		part("fence/generation-reset", "draft: fence by group generation; the group is lost and starts at 1", true, func(c cfg) { short(c); c.Fence, c.Seq, c.GenReset = p.ByGeneration, false, true }),
		part("fence/latest-marker", "every claim counts in log order; the retry of an old owner's claim revives it", true, and(fenceCarry, func(c cfg) { c.Fence = p.ByLogOrder })),
		part("fence-none-no-carry", "no fence and no carried records: the fold's own checks hold (why the fence matters: carry)", false, and(fence, func(c cfg) { c.Fence, c.Seq = p.ByNothing, false })),
		part("fence-claim-early", "claiming before the end of the log is reached is safe, only a claim may be void (record by record)", false, func(c cfg) { c.Rebalances, c.Lag, c.FoldFirst = 1, true, false }),
		part("fence/no-barrier", "the owner acts before it has read its own claim back", true, and(fenceCarry, func(c cfg) { c.Barrier = false })),
		part("fence/start-acked", "run once AttemptStarted is acknowledged, not once it is folded", true, and(fence, func(c cfg) { c.Await, c.Lag, c.Crashes, c.Dups, c.MayFail = p.AwaitAck, true, 0, 0, false })),
		part("fence/start-not-awaited", "run without waiting for AttemptStarted", true, and(fence, func(c cfg) { c.Await = p.AwaitNone })),
		part("speculate", "first attempt of a live request runs at once, its outcome waits for the fold", false, and(fence, func(c cfg) { c.Await = p.Speculative })),

		part("restart", "commits at markers, new owners fold from the middle", false, restart),
		part("restart-crash", "the same with a crash instead of a rebalance", false, func(c cfg) { c.Crashes, c.Renews, c.Ticks = 1, 1, 2 }),
		part("restart/any-marker", "a reader may start at a claim stamped behind the log time", true, and(restart, func(c cfg) { c.AnyMarker = true })),
		part("restart/any-offset-accept", "draft: commit the low-water offset itself; before the first marker every owner is believed", true, and(restart, func(c cfg) { c.MarkerStart, c.Lag, c.BlindAccept = false, false, true })),
		part("restart/any-offset-ignore", "draft: the same; before the first marker no owner is believed", true, and(restart, func(c cfg) { c.MarkerStart, c.BlindAccept = false, false })),
		part("restart/closed-at-terminal", "draft: an invocation stops holding the mark at its terminal fact, notified or not", true, and(restart, func(c cfg) { c.ForgetUnsettled = true })),

		part("late", "duplicates of the request at any time, forgotten invocations", false, late),
		part("late-renew", "the same, markers renewed instead of a rebalance, two copies", false, func(c cfg) { c.Renews, c.Ticks, c.LateReq = 2, 3, 2 }),
		part("late-claims", "claims move the log time, too", false, and(late, func(c cfg) { c.ClaimKeepsTime = false })),
		part("late/no-guard", "forget as soon as settled", true, and(late, func(c cfg) { c.Guard = false })),
		part("late-two", "a second invocation holds the mark back at a marker that copies of the first one's request stand behind", false, func(c cfg) {
			c.Renews, c.Ticks, c.LateReq, c.Invs = 1, 2, 1, 2
		}),
		part("late/copies-ignored", "the same, and that marker is committed all the same", true, func(c cfg) {
			c.Renews, c.Ticks, c.LateReq, c.Invs, c.CopiesBlock = 1, 2, 1, 2, false
		}),
		part("late/guard-only", "draft: a guard window, but a request is always admissible", true, and(late, func(c cfg) { c.Window = 0 })),
		part("late/trim-anywhere", "the log is cut at any marker below the committed one", true, func(c cfg) { c.Renews, c.Ticks, c.LateReq, c.TrimAnywhere = 2, 2, 1, true }),
		part("late-skew", "owner clock ahead of the door's by no more than the window", false, and(late, func(c cfg) { c.Skew = 1 })),
		part("late/skew-beyond", "owner clock ahead by more than the window: an acknowledged request is refused", true, and(late, func(c cfg) { c.Skew = 2 })),

		part("carry", "carried records, cancels, commits past the request", false, carry),
		part("carry/overwrites", "draft: a carried record replaces the state, cancel included", true, and(carry, func(c cfg) { c.CarryOR, c.CarryFrom = false, false })),
		part("carry/always-moves", "a carried record that did not know of a cancel moves the mark past it", true, and(carry, func(c cfg) { c.CarryFrom = false })),
		part("carry/overlapping", "draft: carry while an own append for the invocation is under way", true, func(c cfg) { c.Carries, c.OneAtATime = 1, false }),

		part("child", "function sink as a fenced record in the parent's partition", false, child),
		part("child-restart", "the same with log time and commits instead of a crash", false, childRestart),
		part("child/unfenced", "draft: the child's request is an ordinary append, the receipt a second one", true, and(childRestart, func(c cfg) { c.ChildDoor = true })),

		part("child/unfenced-no-window", "the same without an admission window: the crashed owner's copy reopens the child", true, and(childRestart, func(c cfg) { c.ChildDoor, c.Window, c.Crashes = true, 0, 1 })),

		part("loss", "appends with unknown outcome: stop, next owner folds again", false, loss),
		part("loss/carry-on", "the owner carries on after an append it gave up", true, and(loss, func(c cfg) { c.StopOnLoss, c.Seq = false, false })),
		part("reorder", "copies of owners' records land at any later time; sequence numbers on", false, and(carry, func(c cfg) { c.LateOwn, c.Cancels, c.Carries = 1, 0, 1 })),
		part("reorder/no-seq", "the same without sequence numbers", true, and(carry, func(c cfg) { c.LateOwn, c.Cancels, c.Carries, c.Seq = 1, 0, 1, false })),
		part("reorder-child", "copies of the child record land late; sequence numbers on", false, and(childRestart, func(c cfg) { c.LateOwn = 1 })),
		part("reorder-child/no-seq", "the same without sequence numbers", true, and(childRestart, func(c cfg) { c.LateOwn, c.Seq = 1, false })),

		key("keys", "two doors, one idempotency key, crashes between every two steps", false, func(*keys.Config) {}),
		key("keys/no-store", "every door makes its own id", true, func(c *keys.Config) { c.NoStore = true }),
		key("keys/no-wait", "an old pending row is replaced at once", true, func(c *keys.Config) { c.NoWait = true }),
		key("keys/no-position", "the read model is asked without looking how far it has read", true, func(c *keys.Config) { c.NoPosition = true }),
		key("keys/ack-late", "the door passes on any acknowledgement, however late", true, func(c *keys.Config) { c.AckLate = true }),

		part("deep-fence", "two rebalances, a crash, a duplicate, failing attempts, a retry", false, func(c cfg) {
			c.Rebalances, c.Crashes, c.Dups, c.MayFail, c.MaxCode = 2, 1, 1, true, 1
		}),
		part("deep-restart", "a rebalance and a crash, renewed markers, log time", false, func(c cfg) { c.Rebalances, c.Crashes, c.Renews, c.Ticks = 1, 1, 2, 2 }),
		part("deep-late", "a rebalance, renewed markers, two late copies", false, func(c cfg) { c.Rebalances, c.Renews, c.Ticks, c.LateReq = 1, 2, 3, 2 }),
		part("deep-carry", "carried records, a cancel, a crash, failing attempts, log time", false, func(c cfg) {
			c.Crashes, c.Carries, c.Cancels, c.Renews, c.Ticks, c.MayFail = 1, 2, 1, 1, 2, true
		}),
		part("deep-speculate", "speculation with two rebalances and a crash", false, func(c cfg) { c.Await, c.Rebalances, c.Crashes, c.MayFail, c.MaxCode = p.Speculative, 2, 1, true, 1 }),
		part("deep-child", "a child by a function sink with a crash, commits and log time", false, func(c cfg) { c.Crashes, c.Renews, c.Ticks, c.WithChild = 1, 1, 2, true }),
		part("deep-two", "two invocations side by side, a crash, a cancel", false, func(c cfg) { c.Invs, c.Crashes, c.Cancels = 2, 1, 1 }),
	}
}
