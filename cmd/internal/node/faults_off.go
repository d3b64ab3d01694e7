//go:build !faults

package node

import (
	"time"

	"deed/runtime/worker"
)

// wallClock is the machine's. Builds with the tag faults can shift it.
func wallClock() time.Time { return time.Now() }

// point is where builds with the tag faults can be killed.
var point func(label string)

func upkeep(u worker.Upkeep) worker.Upkeep { return u }

func faulty(s worker.Sink) worker.Sink { return s }
