package eventstore

import (
	"deed/domain"
)

// MaxNotification is the largest value of a message that tells of a notification, in bytes: half of what brokers take by
// default, so that headers, and what a consumer adds, have room. A larger record is told by reference.
const MaxNotification = 512 << 10

// NotificationType is the type of messages that hold a notification record, or a reference to one.
const NotificationType = "deed.Notification.v1"

// Names of headers that only those messages have.
const (
	headerOutcome = "ce_outcome"
	headerTarget  = "ce_target"
)

// Notification is what a stream, a webhook topic and the topic of notifications are told: a CloudEvent in binary mode,
// whose id is the notification's and whose key is the invocation's id. It follows from the log alone, so whoever tells it
// tells the same. target may be nowhere.
func Notification(cluster string, id domain.UUID, i domain.Invocation, target domain.Target, record []byte) (Message, error) {
	value, err := domain.Referred(record, MaxNotification)
	if err != nil {
		return Message{}, err
	}
	headers := []Header{
		{headerSpecVersion, "1.0"},
		{headerID, id.String()},
		{headerSource, "/deed/" + cluster + "/" + i.Function.Project},
		{headerType, NotificationType},
		{headerSubject, i.ID.String()},
		{headerTime, i.EndedAt.String()},
	}
	if root := i.LineageRoot(); root != i.ID {
		headers = append(headers, Header{headerCorrelation, root.String()})
	}
	headers = append(headers, Header{headerOutcome, i.Outcome.Class()}, Header{headerTarget, string(target)}, Header{headerContentType, "application/json"})
	return Message{Key: []byte(i.ID.String()), Headers: headers, Value: value}, nil
}
