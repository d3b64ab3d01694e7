package domain

// Record is an event as it stands in the log: who wrote it, when, about what.
type Record struct {
	ID          UUID         // ce_id, deterministic but for cancels and registry changes
	Type        string       // the event's name; kept when Event is nil
	Subject     InvocationID // zero for markers and for the registry
	At          Instant      // ce_time, stamped by the writer
	Stamp       Stamp        // zero for a door's record
	Causation   UUID         // ce_id of the record that led to this one; zero if none
	Correlation InvocationID // root of the lineage; zero if it is the subject
	Trace       string       // W3C traceparent; "" if none
	Project     string       // of the function, for ce_source; not read back. "" is the default project
	Must        bool         // a reader that does not know the type must not skip it
	Event       Event        // nil if the record cannot be decoded or its type is unknown
	Problem     string       // why Event is nil
}

// Stamp is the claim under which an owner writes, and the record's number within it.
type Stamp struct {
	Epoch uint64
	Owner OwnerID
	Seq   uint64
}

// IsOwner reports whether an owner wrote the record; else a door did.
func (s Stamp) IsOwner() bool { return s != Stamp{} }

// Protocol is the version of the log protocol that this code speaks.
const Protocol = 1

// Payload is an event, a result or a notification record: the bytes themselves or, over MaxInline encoded, where they
// are in the blob store.
type Payload struct {
	Inline []byte
	Stored bool   // the bytes are in the blob store under Digest
	Digest Digest // if Stored
	Size   int64  // bytes; of an inline payload len(Inline)
}

// Bytes makes an inline payload.
func Bytes(b []byte) Payload { return Payload{Inline: b, Size: int64(len(b))} }

// Bounds of what stands in a record (protocol 2.1), in bytes after encoding as JSON.
const (
	MaxInline = 64 << 10  // a payload that encodes to more goes to the blob store
	MaxError  = 4 << 10   // an error text
	MaxLog    = 16 << 10  // an attempt's log
	MaxRecord = 512 << 10 // key, headers and value together
)
