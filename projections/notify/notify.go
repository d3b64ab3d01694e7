// Package notify derives from the fold who is owed a word about an outcome, and the bytes of it.
package notify

import "deed/domain"

// Projection is the derivation. It has no state: the fold's is enough.
type Projection struct{}

// Owes reports whether an outcome owes a notification that the log does not hold yet.
func (Projection) Owes(i domain.Invocation) bool { return i.Owes() != "" && !i.Notified.Owed }

// Record is the notification record: a function of the terminal state and the two payloads, and of nothing else.
func (Projection) Record(i domain.Invocation, request, response []byte) []byte {
	return domain.NotificationRecord(i, request, response)
}

// Derive returns the NotificationOwed that carries the record; nothing if none is owed.
func (Projection) Derive(i domain.Invocation, record domain.Payload) []domain.Event {
	events, _ := i.Decide(domain.Notify{Record: record}) // Notify is never refused
	return events
}
