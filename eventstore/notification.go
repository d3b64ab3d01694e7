package eventstore

import (
	"fmt"
	"strconv"

	"deed/domain"
)

// MaxNotification is the largest value of a message that tells of a notification, in bytes: half of what brokers take by
// default, so that headers, and what a consumer adds, have room. A larger record is told by reference.
const MaxNotification = 512 << 10

// NotificationType is the type of messages that hold a notification record, or a reference to one.
const NotificationType = "deed.Notification.v1"

// Names of headers that only those messages have; of the last two only those of the topic of notifications.
const (
	headerOutcome   = "ce_outcome"
	headerTarget    = "ce_target"
	headerLogOffset = "ce_logoffset"
	headerMarker    = "deed_marker"
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

// Copied makes a notification one of the topic of notifications: it names the record that owes it, in the partition of the
// same number, and a marker from which a fold knows all that is not settled there (-1: the log's beginning).
func Copied(m Message, id domain.UUID, offset, marker int64) Message {
	m.Headers = append(m.Headers, Header{headerLogOffset, strconv.FormatInt(offset, 10)}, Header{headerMarker, strconv.FormatInt(marker, 10)}, Header{headerWatermillUUID, id.String()})
	return m
}

// CopiedFrom is the reverse.
func CopiedFrom(m Message) (offset, marker int64, err error) {
	names := Attributes(m)
	if offset, err = strconv.ParseInt(names["logoffset"], 10, 64); err == nil {
		marker, err = strconv.ParseInt(names[headerMarker], 10, 64)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("a message at offset %d of partition %d does not say what it was made of: %w", m.Offset, m.Partition, err)
	}
	return offset, marker, nil
}
