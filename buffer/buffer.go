package buffer

// Lane names the queue of one topic.
type Lane string

// Record is one event as it will be sent. The bytes are opaque to the buffer and stored as they are.
type Record struct {
	Lane Lane
	At   int64  // wall time of the event, unix ms
	Key  []byte // the Kafka key
	Head []byte // the headers, encoded by who made the record
	Body []byte
}

// Entry is a stored record.
type Entry struct {
	Record
	Sequence uint64 // counts all records of one epoch from 1
}

// Notes are durable keyed values, written in the same transaction as records. A nil value deletes its key.
type Notes map[string][]byte
