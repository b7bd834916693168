package contract

import (
	"encoding/binary"
	"fmt"
	"iter"
	"strconv"
	"time"
)

// Headers of a record. Epoch and sequence, which only the buffer knows, are added by the uplink.
const (
	HeaderEventID         = "event-id"       // uuid; the same whenever the record is sent again
	HeaderEventType       = "event-type"     // as in the body
	HeaderCorrelationID   = "correlation-id" // as in the body
	HeaderContentType     = "content-type"   // application/json
	HeaderSchemaVersion   = "schema-version" // of the envelope: 1.0 or v1
	HeaderGatewayID       = "gateway-id"     // who wrote it
	HeaderConfigHash      = "config-hash"    // on alerts: the configuration that decided
	HeaderAlertState      = "alert-state"    // on alerts: raised, escalated, corrected, resolved
	HeaderClockCorrection = "clock-correction-ms"
	HeaderEpoch           = "epoch"    // the buffer's uuid
	HeaderSequence        = "sequence" // counts all records of an epoch from 1
	HeaderReplayed        = "replayed" // true: somebody had it sent again from the archive
)

// A head is a row of entries: a code for the name (0: the name follows, its length first), the value's length, the value.
// Lengths are uvarints. Heads lie in buffers for weeks: a code never changes its meaning.
const codeNamed = 0

// headerNames are the known names by code.
var headerNames = [...]string{
	1: HeaderEventID, 2: HeaderEventType, 3: HeaderCorrelationID, 4: HeaderContentType, 5: HeaderSchemaVersion,
	6: HeaderGatewayID, 7: HeaderConfigHash, 8: HeaderAlertState, 9: HeaderClockCorrection, 10: HeaderEpoch, 11: HeaderSequence,
}

// AppendHeader appends one header to a head. An empty name is not written: Kafka has none.
func AppendHeader(head []byte, name, value string) []byte {
	if name == "" {
		return head
	}
	return append(appendHeaderName(head, name, len(value)), value...)
}

// appendHeaderName appends an entry up to its value, which has size bytes.
func appendHeaderName(head []byte, name string, size int) []byte {
	code := headerCode(name)
	head = append(head, code)
	if code == codeNamed {
		head = append(binary.AppendUvarint(head, uint64(len(name))), name...)
	}
	return binary.AppendUvarint(head, uint64(size))
}

func headerCode(name string) byte {
	for code, known := range headerNames {
		if code != codeNamed && known == name {
			return byte(code)
		}
	}
	return codeNamed
}

// appendClockCorrection appends the header that a stamp needs which was made before the clock was set.
func appendClockCorrection(head []byte, by time.Duration) []byte {
	if by == 0 {
		return head
	}
	var digits [20]byte
	return AppendHeader(head, HeaderClockCorrection, string(strconv.AppendInt(digits[:0], by.Milliseconds(), 10)))
}

// Headers gives the names and values of a head, in order. Values are parts of head. It ends at the first entry that is not
// whole; CheckHeaders tells of it.
func Headers(head []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for rest := head; len(rest) > 0; {
			name, value, after, ok := nextHeader(rest)
			if !ok || !yield(name, value) {
				return
			}
			rest = after
		}
	}
}

// CheckHeaders tells whether a head is whole; the error says from which byte on it is not.
func CheckHeaders(head []byte) error {
	for rest := head; len(rest) > 0; {
		_, _, after, ok := nextHeader(rest)
		if !ok {
			return fmt.Errorf("headers of %d bytes: damaged from byte %d on: %w", len(head), len(head)-len(rest), ErrInvalid)
		}
		rest = after
	}
	return nil
}

// nextHeader takes one entry off a head that is not empty.
func nextHeader(head []byte) (name string, value, rest []byte, ok bool) {
	code, rest := head[0], head[1:]
	switch {
	case code == codeNamed:
		var text []byte
		if text, rest, ok = cutSized(rest); !ok || len(text) == 0 {
			return "", nil, nil, false
		}
		name = string(text)
	case int(code) < len(headerNames):
		name = headerNames[code]
	default:
		return "", nil, nil, false
	}
	value, rest, ok = cutSized(rest)
	return name, value, rest, ok
}

// cutSized takes a length and that many bytes off b.
func cutSized(b []byte) (part, rest []byte, ok bool) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return nil, nil, false
	}
	b = b[n:]
	return b[:size:size], b[size:], true
}
