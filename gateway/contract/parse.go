package contract

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Envelope is what is around a payload. The platform has two, told apart by their source: a string in the ERP's, an object
// in the hub's.
type Envelope struct {
	Hub           bool // the IoT hub's envelope, else the ERP's
	EventType     string
	EventID       string // the ERP's only
	CorrelationID string // as it stands: the hub's producers do not always write a uuid
	CausationID   string // the ERP's only; "": none
	Version       string // the default of the envelope when it is absent
	Source        string // who speaks: the text of the ERP's, the id of the hub's
	SourceType    string // the hub's only: device, backend, user or system
	At            time.Time
	Payload       json.RawMessage // a JSON object
}

// Parse reads an envelope and leaves its payload alone. It refuses (ErrInvalid) what is no JSON object, lacks a member that
// the envelope must have, or has one of the wrong type, null among them; and versions it does not know (ErrVersion). Unknown
// members are passed over. Names of members are told apart by case, and the last of two counts, as for the platform.
func Parse(body []byte) (Envelope, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return Envelope{}, fmt.Errorf("envelope: %w: %w", ErrInvalid, err)
	}
	r := reader{members: members}
	e := Envelope{EventType: r.text("eventType", true), CorrelationID: r.text("correlationId", true)}
	source := members["source"]
	e.Hub = len(source) > 0 && source[0] == '{'
	if e.Hub {
		r.hub(&e, source)
	} else {
		r.erp(&e)
	}
	e.Payload = members["payload"]
	if len(e.Payload) == 0 || e.Payload[0] != '{' {
		r.fault("payload is no object")
	}
	if r.err != nil {
		return Envelope{}, r.err
	}
	return e, nil
}

// reader takes members out of an object and keeps the first fault.
type reader struct {
	members map[string]json.RawMessage
	err     error
}

func (r *reader) fault(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("envelope: %w: %s", ErrInvalid, fmt.Sprintf(format, args...))
	}
}

// text takes a string. A needed one must be there and not empty; absent, the others are "".
func (r *reader) text(name string, needed bool) string {
	raw, ok := r.members[name]
	if !ok && !needed {
		return ""
	}
	var s string
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		r.fault("%s is missing or no string", name)
		return ""
	}
	if needed && s == "" {
		r.fault("%s is empty", name)
	}
	return s
}

// erp reads the rest of the ERP's envelope. A higher minor version is read as the one we know.
func (r *reader) erp(e *Envelope) {
	e.EventID = r.text("eventId", true)
	e.CausationID = r.text("causationId", false)
	e.Source = r.text("source", true)
	if e.Version = r.text("eventVersion", false); e.Version == "" {
		if _, there := r.members["eventVersion"]; there {
			r.fault("eventVersion is empty")
		}
		e.Version = VersionERP
	}
	major, minor, ok := strings.Cut(e.Version, ".")
	switch {
	case !ok || !isDigits(major) || !isDigits(minor):
		r.fault("eventVersion %.40q is not of the form 1.0", e.Version)
	case strings.TrimLeft(major, "0") != "1" && r.err == nil:
		r.err = fmt.Errorf("envelope: eventVersion %.40s: %w", e.Version, ErrVersion)
	}
	e.At = r.time("timestamp")
}

// hub reads the rest of the hub's envelope.
func (r *reader) hub(e *Envelope, source json.RawMessage) {
	var inner reader
	if err := json.Unmarshal(source, &inner.members); err != nil {
		r.fault("source: %v", err)
	}
	e.SourceType, e.Source = inner.text("type", true), inner.text("id", false)
	if inner.err != nil {
		r.fault("source: type is missing or no string, or id is no string")
	}
	if e.Version = r.text("__version", false); e.Version == "" {
		if _, there := r.members["__version"]; there && r.err == nil {
			r.err = fmt.Errorf("envelope: empty __version: %w", ErrVersion)
		}
		e.Version = VersionHub
	}
	if e.Version != VersionHub && r.err == nil {
		r.err = fmt.Errorf("envelope: __version %.40q: %w", e.Version, ErrVersion)
	}
	if raw := r.members["timestamp"]; len(raw) > 0 && raw[0] != '"' {
		e.At = r.millis(raw)
		return
	}
	e.At = r.time("timestamp")
}

// time takes an ISO time in UTC with Z.
func (r *reader) time(name string) time.Time {
	s := r.text(name, true)
	if r.err != nil {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || !isISO(s) {
		r.fault("%s %.40q is no ISO time in UTC with Z", name, s)
	}
	return t
}

// isISO tells whether s has the one form the platform takes, 2026-03-01T12:00:00Z with or without decimals; time.Parse is
// laxer about digits and takes a comma.
func isISO(s string) bool {
	const form = "0000-00-00T00:00:00"
	if len(s) <= len(form) || s[len(s)-1] != 'Z' {
		return false
	}
	for i := range len(form) {
		if isDigit := s[i] >= '0' && s[i] <= '9'; form[i] == '0' != isDigit || !isDigit && s[i] != form[i] {
			return false
		}
	}
	decimals := s[len(form) : len(s)-1]
	return decimals == "" || decimals[0] == '.' && isDigits(decimals[1:])
}

// millis reads unix milliseconds: a positive integer, up to the year 9999.
func (r *reader) millis(raw json.RawMessage) time.Time {
	ms, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || ms <= 0 || ms != math.Trunc(ms) || ms >= 253402300800000 {
		r.fault("timestamp %.40s is neither an ISO time nor unix milliseconds", raw)
		return time.Time{}
	}
	return time.UnixMilli(int64(ms)).UTC()
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
