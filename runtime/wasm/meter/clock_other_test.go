//go:build !linux

package meter_test

import (
	"time"
)

var processStart = time.Now()

func processorTime() time.Duration { return time.Since(processStart) }
