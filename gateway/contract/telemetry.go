package contract

import (
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"
)

// Quality says how far a value may be trusted. The same scale and numbers as the drivers', which this package does not
// import; the zero value is Bad.
type Quality uint8

// Qualities.
const (
	Bad Quality = iota
	Uncertain
	Good
)

// TelemetryType says what a telemetry event is about.
type TelemetryType uint8

// Types of telemetry.
const (
	Sensors TelemetryType = iota // values of points
	Status                       // how the device itself does; the gateway's own each minute
	Diagnostics
	Location
)

// String is the platform's word; "" for a number that names no type.
func (t TelemetryType) String() string {
	switch t {
	case Sensors:
		return "sensors"
	case Status:
		return "status"
	case Diagnostics:
		return "diagnostics"
	case Location:
		return "location"
	}
	return ""
}

// Telemetry is what a device said at one time: a message of its own, or one poll.
type Telemetry struct {
	EventID         ID // also its correlationId
	DeviceID        string
	Type            TelemetryType
	Received        time.Time     // arrival here
	Source          time.Time     // the source's own time; zero: Received
	ClockCorrection time.Duration // see Stamp
	Values          []Value
	MQTT            MQTT   // how it came, if it came by MQTT
	Protocol        string // how it came otherwise: "modbus"; "": not told
	Zone            string // "": in none
	Facts           []Fact // anything else of ours, under data.custom
}

// Value is one value of a point.
type Value struct {
	Name     string  // the point within its device; "": Quantity
	Quantity string  // temperature, co2, …
	Unit     string  // "": the usual unit of the quantity
	Value    float64 // in Unit; 0 is off for a Discrete one
	Discrete bool    // on or off
	Extra    bool    // the device has a more important point of this quantity, so this one never stands for it
	Quality  Quality // a Bad value is left out and named under custom.bad, an Uncertain one is written and named too
	Reason   string  // why its quality is not Good
}

// id is what the platform calls it.
func (v *Value) id() string { return orElse(v.Name, v.Quantity) }

// MQTT is how a message came. The zero value: not by MQTT.
type MQTT struct {
	Topic  string // never empty for a message
	QoS    byte   // 0, 1 or 2
	Retain bool
}

// Telemetry writes device.telemetry.received. Values are placed by quantity: what the platform has a member of data for
// (temperature, humidity, pressure, batteryLevel, …) goes there, the first of its quantity in order; every other number
// becomes an entry of analogInputs with its unit, every Discrete one of discreteInputs. It allocates nothing once dst has
// grown; on an error dst is empty.
func (e *Encoder) Telemetry(dst *Record, t *Telemetry) error {
	if err := t.check(); err != nil {
		dst.reset()
		return err
	}
	id := t.EventID.text()
	k := &e.kinds[kindTelemetry]
	dst.Topic = k.topic
	dst.Key = append(dst.Key[:0], t.DeviceID...)
	head := append(appendHeaderName(dst.Head[:0], HeaderEventID, len(id)), id[:]...)
	head = append(appendHeaderName(head, HeaderCorrelationID, len(id)), id[:]...)
	head = append(head, k.head...)
	dst.Head = appendClockCorrection(head, t.ClockCorrection)

	source := t.Source
	if source.IsZero() {
		source = t.Received
	}
	b := dst.Body[:0]
	b = append(b, k.body...)
	b = append(append(b, `,"correlationId":"`...), id[:]...)
	b = appendTime(append(b, `","timestamp":`...), source)
	b = appendString(append(b, `,"source":{"type":"device","id":`...), t.DeviceID)
	b = append(b, `},"__version":"`+VersionHub+`","payload":{"deviceId":`...)
	b = appendString(b, t.DeviceID)
	b = appendTime(append(b, `,"receivedAt":`...), t.Received)
	b = append(append(b, `,"telemetryType":"`...), t.Type.String()...)
	b = e.appendData(append(b, `","data":{`...), t)
	if t.MQTT.Topic != "" {
		b = append(b, `,"metadata":{"protocol":"mqtt","qos":`...)
		b = append(b, '0'+t.MQTT.QoS)
		b = strconv.AppendBool(append(b, `,"retain":`...), t.MQTT.Retain)
		b = appendString(append(b, `,"topic":`...), t.MQTT.Topic)
		b = append(b, '}')
	}
	return dst.finish(b, TypeTelemetry)
}

// check finds what cannot be written and names one fault: telemetry is judged thousands of times a second.
func (t *Telemetry) check() error {
	var fault string
	switch {
	case t.EventID == ID{}:
		fault = "has no event id"
	case t.DeviceID == "":
		fault = "has no deviceId"
	case !validTime(t.Received):
		fault = "receivedAt is no time from 1970 to 9999"
	case !t.Source.IsZero() && !validTime(t.Source):
		fault = "the source's time lies not between 1970 and 9999"
	case t.Type.String() == "":
		fault = "type " + strconv.Itoa(int(t.Type)) + " is none"
	case t.MQTT.QoS > 2:
		fault = "MQTT has no QoS " + strconv.Itoa(int(t.MQTT.QoS))
	}
	for i := range t.Values {
		if why := t.Values[i].fault(); why != "" {
			fault = why
		}
	}
	if len(t.Facts) > 0 {
		var c check
		c.facts(t.Facts, "protocol", "facilityId", "zone", "bad", "uncertain")
		if len(c.faults) > 0 {
			fault = c.faults[0].Error()
		}
	}
	if fault == "" {
		return nil
	}
	return fmt.Errorf("%s of device %q: %s: %w", TypeTelemetry, t.DeviceID, fault, ErrInvalid)
}

// fault says why a value cannot be written; "" when it can.
func (v *Value) fault() string {
	id := v.id()
	switch {
	case id == "":
		return "a value has neither name nor quantity"
	case !utf8.ValidString(id):
		return "a value's name " + strconv.Quote(id) + " is no UTF-8"
	case v.Quality > Good:
		return "value " + id + " has quality " + strconv.Itoa(int(v.Quality)) + ", which is none"
	case v.Quality != Bad && !finite(v.Value):
		return "value " + id + " is not Bad and no number"
	}
	return ""
}
