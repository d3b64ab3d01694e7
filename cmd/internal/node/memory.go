package node

import (
	"fmt"
	"os"
	"runtime/debug"
	gometrics "runtime/metrics"
	"strconv"
	"strings"
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

// How the memory that functions may take is shared.
func forAttempts(all int64) int64  { return max(1, all-all/4) }
func forCode(all int64) int64      { return max(1, all/8) }
func forSnapshots(all int64) int64 { return max(1, min(all/8, 512<<20)) }

// unknownMemory is taken for the machine's where nobody says how much there is.
const unknownMemory = 4 << 30

// machineMemory is how many bytes the process may have: what the machine has, or what the control group gives it if that is
// less.
func machineMemory() int64 {
	most := int64(unknownMemory)
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		var kb int64
		if _, err := fmt.Sscanf(string(b), "MemTotal: %d kB", &kb); err == nil && kb > 0 {
			most = kb << 10
		}
	}
	for _, path := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if b, err := os.ReadFile(path); err == nil { //nolint:gosec // one of those above
			if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && n > 0 {
				most = min(most, n)
			}
		}
	}
	return most
}
