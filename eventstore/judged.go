package eventstore

import (
	"deed/domain"
	"deed/domain/partition"
)

// Judged is a record together with how the fold of its partition judged it. It is what everybody downstream of a
// partition's one fold is fed, in batches.
type Judged struct {
	Message Message
	Record  domain.Record // decoded without payloads and logs
	Verdict partition.Verdict
	After   domain.Invocation // the invocation's state behind the record; zero if the record is void or a marker
}
