// Command deedmodel checks the protocol of one partition of the invocation log.
//
//	go run .            every scenario, a line each
//	go run . -run deep  the large scopes (minutes each)
//	go run . -run NAME  the scenarios whose name contains NAME, with the counterexample if there is one
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"deed/integration/model/keys"
	"deed/integration/model/mc"
	"deed/integration/model/partition"
)

// scenario is one run: a model, and whether it must hold or must break.
type scenario struct {
	name  string
	about string
	fails bool
	run   func(maxStates int, limit time.Duration) mc.Result
}

func main() {
	only := flag.String("run", "", "run only scenarios whose name contains this, and print counterexamples")
	maxStates := flag.Int("states", 20_000_000, "stop after this many states")
	limit := flag.Duration("time", 8*time.Minute, "stop a scenario after this long")
	list := flag.Bool("list", false, "list the scenarios")
	flag.Parse()
	bad := 0
	for _, s := range scenarios() {
		if !strings.Contains(s.name, *only) || strings.HasPrefix(s.name, "deep-") && !strings.HasPrefix(*only, "deep") {
			continue
		}
		if *list {
			fmt.Printf("%-34s %s\n", s.name, s.about)
			continue
		}
		r := s.run(*maxStates, *limit)
		verdict := "HOLDS"
		switch {
		case r.Err != nil:
			verdict = "BREAKS"
		case !r.Complete:
			verdict = "HOLDS so far (not exhausted)"
		}
		note := ""
		if (r.Err != nil) != s.fails {
			note, bad = "   <-- UNEXPECTED", bad+1
		}
		fmt.Printf("%-34s %-7s states=%d steps=%d depth=%d %v%s\n", s.name, verdict, r.States, r.Steps, r.Depth, r.Took, note)
		if r.Err != nil {
			fmt.Printf("      %v\n", r.Err)
			if *only != "" {
				for k, l := range r.Trace {
					fmt.Printf("      %2d  %s\n", k+1, l)
				}
			}
		}
	}
	if bad > 0 {
		fmt.Println(bad, "unexpected")
		os.Exit(1)
	}
}

// full is the corrected protocol: every rule on, no fault let loose.
func full() partition.Config {
	return partition.Config{
		Rules:     partition.Rules{Fence: partition.ByEpoch, Seq: true, Window: 1, MaxCode: 0, MaxLost: 1, CarryOR: true, CarryFrom: true, StartGuard: true},
		Await:     partition.AwaitFold,
		FoldFirst: true, Barrier: true, StopOnNewer: true, MarkerStart: true, Guard: true, CopiesBlock: true, ClaimKeepsTime: true, OneAtATime: true, StopOnLoss: true,
		Invs: 1, MaxLog: 60, GuardFor: 1,
	}
}

func part(name, about string, fails bool, change func(*partition.Config)) scenario {
	return scenario{name, about, fails, func(n int, d time.Duration) mc.Result {
		c := full()
		change(&c)
		return mc.Run[*partition.State](&partition.World{C: c}, n, d)
	}}
}

func key(name, about string, fails bool, change func(*keys.Config)) scenario {
	return scenario{name, about, fails, func(n int, d time.Duration) mc.Result {
		c := keys.Config{Calls: 3, Crashes: 2, Copies: 1, Ticks: 5}
		change(&c)
		return mc.Run[*keys.State](&keys.World{C: c}, n, d)
	}}
}
