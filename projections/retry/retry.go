// Package retry derives from the fold what an invocation's attempts lead to: another attempt, or the end. The rule is the
// domain's; this package is where it meets the log. What it returns is appended as events before anything acts on it.
package retry

import "deed/domain"

// Projection is the derivation. It has no state: the fold's is enough.
type Projection struct{}

// Derive returns what follows from the state at that time; nothing if all that can be said has been said.
func (Projection) Derive(i domain.Invocation, at domain.Instant) []domain.Event {
	events, _ := i.Decide(domain.Advance{At: at}) // Advance is never refused
	return events
}
