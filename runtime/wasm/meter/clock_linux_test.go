package meter_test

import (
	"time"

	"golang.org/x/sys/unix"
)

// processorTime is what the thread has used of its processor: on a busy machine, the time on the clock says nothing.
func processorTime() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts)
	return time.Duration(ts.Nano())
}
