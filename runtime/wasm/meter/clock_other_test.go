//go:build !linux

package meter_test

import "time"

var started = time.Now()

// processorTime is the time on the clock, where there is nothing better.
func processorTime() time.Duration { return time.Since(started) }
