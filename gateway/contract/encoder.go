package contract

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// Source is who speaks.
type Source struct {
	Gateway    string // the gateway's id, which is also its device id
	Facility   string // uuid
	Build      string // version of this program; "": left out
	ConfigHash string // of the configuration that decides, for the header of alerts; "": left out
}

// Record is one event, ready to be stored and sent. An Encoder reuses its slices: who keeps a record copies it.
type Record struct {
	Topic string // default name, which is the lane
	Key   []byte // of Kafka: the device's id, or facilityId/zone
	Head  []byte // the headers; see Headers
	Body  []byte // JSON
}

// reset leaves an empty record that keeps its memory.
func (r *Record) reset() {
	r.Topic, r.Key, r.Head, r.Body = "", r.Key[:0], r.Head[:0], r.Body[:0]
}

// finish closes payload and event and checks the size; a record that is too large is emptied.
func (r *Record) finish(body []byte, eventType string) error {
	body = append(body, '}', '}')
	r.Body = body
	if size := len(r.Key) + len(r.Head) + len(r.Body); size > MaxRecord {
		r.reset()
		return fmt.Errorf("%s of %d bytes: %w (%d)", eventType, size, ErrTooLarge, MaxRecord)
	}
	return nil
}

// Encoder writes one gateway's events under one configuration. It never changes: any number of goroutines may use it, each
// with a Record of its own.
type Encoder struct {
	source   Source
	facility []byte // as a JSON string
	erp, hub []byte // the source member of each envelope
	kinds    [kindCount]kind
}

// kind is what all events of one type have in common.
type kind struct {
	topic, eventType string
	body             []byte // how a body begins, up to what differs
	head             []byte // headers that are always the same
}

const (
	kindAlert = iota
	kindTelemetry
	kindStatusChanged
	kindRegistered
	kindDeviceAlertRaised
	kindDeviceAlertResolved
	kindCount
)

// NewEncoder checks who speaks: a gateway has an id, and its facility's is a uuid.
func NewEncoder(s Source) (*Encoder, error) {
	var faults []error
	if s.Gateway == "" {
		faults = append(faults, errors.New("the gateway's id is missing"))
	}
	if !isUUID(s.Facility) {
		faults = append(faults, fmt.Errorf("facility %q is no uuid", s.Facility))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("contract: %w: %w", ErrInvalid, err)
	}
	e := &Encoder{source: s, facility: appendString(nil, s.Facility)}
	e.erp = appendString([]byte(`"source":`), "glasshouse/"+s.Gateway)
	e.hub = appendString([]byte(`"source":{"type":"system","id":`), s.Gateway)
	if s.Build != "" {
		e.hub = appendString(append(e.hub, `,"version":`...), s.Build)
	}
	e.hub = append(e.hub, '}')
	e.kinds = [kindCount]kind{
		kindAlert:               e.kind(TopicEnvironment, TypeAlert, VersionERP),
		kindTelemetry:           e.kind(TopicTelemetry, TypeTelemetry, VersionHub),
		kindStatusChanged:       e.kind(TopicDeviceEvents, TypeStatusChanged, VersionHub),
		kindRegistered:          e.kind(TopicDeviceEvents, TypeRegistered, VersionHub),
		kindDeviceAlertRaised:   e.kind(TopicDeviceAlerts, TypeDeviceAlertRaised, VersionHub),
		kindDeviceAlertResolved: e.kind(TopicDeviceAlerts, TypeDeviceAlertResolved, VersionHub),
	}
	return e, nil
}

func (e *Encoder) kind(topic, eventType, version string) kind {
	head := AppendHeader(nil, HeaderEventType, eventType)
	head = AppendHeader(head, HeaderContentType, "application/json")
	head = AppendHeader(head, HeaderSchemaVersion, version)
	head = AppendHeader(head, HeaderGatewayID, e.source.Gateway)
	return kind{topic, eventType, appendString([]byte(`{"eventType":`), eventType), head}
}

// Stamp says which event it is and when; every event but telemetry has one.
type Stamp struct {
	EventID         string        // uuid; a new one for each event (NewID), the same when it is written again
	CorrelationID   string        // uuid; what a command causes repeats the command's. "": the alert's id, else EventID
	At              time.Time     // when it was decided
	ClockCorrection time.Duration // what makes At right, added to it, if the clock was set since; 0: it was right
}

// begin starts a record of an event with a stamp, with its headers and, in the hub's envelope, its body up to the payload's
// first member.
func (e *Encoder) begin(dst *Record, number int, key string, s *Stamp, correlation string) {
	k := &e.kinds[number]
	dst.Topic = k.topic
	dst.Key = append(dst.Key[:0], key...)
	dst.Head = AppendHeader(dst.Head[:0], HeaderEventID, s.EventID)
	dst.Head = AppendHeader(dst.Head, HeaderCorrelationID, correlation)
	dst.Head = append(dst.Head, k.head...)
	dst.Head = appendClockCorrection(dst.Head, s.ClockCorrection)
	dst.Body = append(dst.Body[:0], k.body...)
}

// beginHub goes on in the hub's envelope, up to the payload's first member.
func (e *Encoder) beginHub(dst *Record, number int, device string, s *Stamp, correlation string) {
	e.begin(dst, number, device, s, correlation)
	b := appendString(append(dst.Body, `,"correlationId":`...), correlation)
	b = appendTime(append(b, `,"timestamp":`...), s.At)
	b = append(append(b, ','), e.hub...)
	b = append(b, `,"__version":"`+VersionHub+`","payload":{"deviceId":`...)
	dst.Body = appendString(b, device)
}

// alertHeaders adds what alerts have besides.
func (e *Encoder) alertHeaders(dst *Record, state State) {
	dst.Head = AppendHeader(dst.Head, HeaderAlertState, state.String())
	if e.source.ConfigHash != "" {
		dst.Head = AppendHeader(dst.Head, HeaderConfigHash, e.source.ConfigHash)
	}
}

// Fact is one name and its text, for the objects that the platform leaves open.
type Fact struct{ Name, Text string }

// appendFacts appends them as members of an object.
func appendFacts(b []byte, facts []Fact) []byte {
	for _, f := range facts {
		b = append(appendString(comma(b), f.Name), ':')
		b = appendString(b, f.Text)
	}
	return b
}

// check collects the faults of one event.
type check struct {
	faults []error
}

func (c *check) fault(format string, args ...any) {
	c.faults = append(c.faults, fmt.Errorf(format, args...))
}

func (c *check) uuid(field, s string) {
	if !isUUID(s) {
		c.fault("%s %q is no uuid", field, s)
	}
}

// optionalUUID lets "" pass.
func (c *check) optionalUUID(field, s string) {
	if s != "" {
		c.uuid(field, s)
	}
}

func (c *check) number(field string, v float64) {
	if !finite(v) {
		c.fault("%s is %v, which is no number", field, v)
	}
}

// optionalNumber lets nil pass.
func (c *check) optionalNumber(field string, v *float64) {
	if v != nil {
		c.number(field, *v)
	}
}

func (c *check) time(field string, t time.Time) {
	if !validTime(t) {
		c.fault("%s %v is no time from 1970 to 9999", field, t)
	}
}

func (c *check) device(id string) {
	if id == "" {
		c.fault("deviceId is missing")
	}
}

func (c *check) stamp(s *Stamp) {
	c.uuid("event id", s.EventID)
	c.optionalUUID("correlationId", s.CorrelationID)
	c.time("timestamp", s.At)
}

// facts refuses names that are empty, there twice, or taken. Two names that are no UTF-8 could become the same one.
func (c *check) facts(facts []Fact, taken ...string) {
	names := make(map[string]bool, len(facts)+len(taken))
	for _, name := range taken {
		names[name] = true
	}
	for _, f := range facts {
		if f.Name == "" || names[f.Name] || !utf8.ValidString(f.Name) {
			c.fault("fact %q is empty, there twice, taken, or no UTF-8", f.Name)
		}
		names[f.Name] = true
	}
}

// err empties the record when there are faults, and names the event.
func (c *check) err(dst *Record, eventType, id string) error {
	if len(c.faults) == 0 {
		return nil
	}
	dst.reset()
	return fmt.Errorf("%s %s: %w: %w", eventType, id, ErrInvalid, errors.Join(c.faults...))
}

// orElse is s, or otherwise when s is empty.
func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
