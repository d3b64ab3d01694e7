// Package domain holds the words Deed is written in and the rules for what may happen next.
//
// The laws: Decide never acts, it returns the events that should be appended. Evolve is total and idempotent: an event
// that does not fit the state leaves the state alone. Time, identity and chance come in from outside: folding the same
// records gives the same state for ever, and so the same decisions. The package imports the standard library only, and of
// that nothing that looks at the world.
//
// Who may write is judged before Evolve, by domain/partition.
package domain
