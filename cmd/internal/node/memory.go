package node

import (
	"os"
	"runtime/debug"
	gometrics "runtime/metrics"
	"time"
)

// Collecting garbage at the language's default, when the heap has doubled, takes a fifth of the processor of a node whose heap
// is small. So a small heap may grow by more: by up to headroom bytes, but not beyond five times its size.
const (
	headroom   = 128 << 20
	mostGrowth = 400 // per cent
	tuneEvery  = 5 * time.Second
)

// tuneMemory keeps the collector's goal fitting for the heap while the node runs. A goal that was given from outside stays.
func (n *Node) tuneMemory() {
	if os.Getenv("GOGC") != "" {
		return
	}
	live := []gometrics.Sample{{Name: "/gc/heap/live:bytes"}}
	tune := func() bool {
		gometrics.Read(live)
		growth := mostGrowth
		if heap := live[0].Value.Uint64(); heap > 0 {
			growth = int(max(100, min(mostGrowth, headroom*100/heap))) //nolint:gosec // at most mostGrowth
		}
		debug.SetGCPercent(growth)
		return true
	}
	tune()
	n.every(tuneEvery, tune)
}
