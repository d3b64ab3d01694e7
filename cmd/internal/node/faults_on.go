//go:build faults

package node

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// This file is only in builds that the fault tests make. DEED_CLOCK_FILE names a file that holds a duration, by which the
// node's clock is ahead; it is read again every 100 ms. DEED_KILL_AT is LABEL or LABEL:N: the process kills itself with
// SIGKILL when it comes to that point for the Nth time.

var clockAhead = sync.OnceValue(func() *atomic.Int64 {
	var ahead atomic.Int64
	path := os.Getenv("DEED_CLOCK_FILE")
	if path == "" {
		return &ahead
	}
	read := func() {
		b, err := os.ReadFile(path)
		if err != nil {
			return
		}
		if d, err := time.ParseDuration(strings.TrimSpace(string(b))); err == nil {
			ahead.Store(int64(d))
		}
	}
	read()
	go func() {
		for range time.Tick(100 * time.Millisecond) {
			read()
		}
	}()
	return &ahead
})

func (n *Node) now() time.Time { return time.Now().Add(time.Duration(clockAhead().Load())) }

var point = killer(os.Getenv("DEED_KILL_AT"))

func killer(at string) func(string) {
	if at == "" {
		return nil
	}
	label, nth, _ := strings.Cut(at, ":")
	n, err := strconv.ParseInt(nth, 10, 64)
	if err != nil {
		n = 1
	}
	var seen atomic.Int64
	return func(at string) {
		if at == label && seen.Add(1) == n {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // nothing more happens here
		}
	}
}
