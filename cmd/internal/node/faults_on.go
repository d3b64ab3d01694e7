//go:build faults

package node

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"deed/runtime/worker"
)

// This file is only in builds that the fault tests make. DEED_CLOCK_FILE names a file that holds a duration, by which the
// node's clock is ahead; it is read again every 100 ms. DEED_KILL_AT is LABEL or LABEL:N: the process kills itself with
// SIGKILL when it comes to that point for the Nth time. DEED_UPKEEP is how often an owner renews and after which age it
// restates, like 1s,3s. DEED_SINK is fail:N, hang:N or after:N: the first N deliveries fail, hang until they are given up,
// or fail after they were made.

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

func wallClock() time.Time { return time.Now().Round(0).Add(time.Duration(clockAhead().Load())) }

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

func upkeep(u worker.Upkeep) worker.Upkeep {
	renew, carry, ok := strings.Cut(os.Getenv("DEED_UPKEEP"), ",")
	if !ok {
		return u
	}
	u.Tick = 100 * time.Millisecond
	u.Renew, _ = time.ParseDuration(renew)
	u.CarryAfter, _ = time.ParseDuration(carry)
	return u
}

func faulty(s worker.Sink) worker.Sink {
	how, n, ok := strings.Cut(os.Getenv("DEED_SINK"), ":")
	if !ok {
		return s
	}
	times, _ := strconv.ParseInt(n, 10, 64)
	return &faultySink{s, how, times, new(atomic.Int64)}
}

type faultySink struct {
	worker.Sink
	how   string
	times int64
	calls *atomic.Int64
}

var errPlanted = errors.New("planted")

func (s *faultySink) Deliver(ctx context.Context, n worker.Notification) (string, error) {
	if s.calls.Add(1) > s.times {
		return s.Sink.Deliver(ctx, n)
	}
	switch s.how {
	case "hang":
		<-ctx.Done()
		return "", context.Cause(ctx)
	case "after":
		if _, err := s.Sink.Deliver(ctx, n); err != nil {
			return "", err
		}
	}
	return "", errPlanted
}
