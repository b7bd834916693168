package contract

import (
	"math"
	"strconv"
	"time"
)

// State is where an alert's life has come to, in the order of the rules' phases.
type State uint8

// States of an alert.
const (
	Raised State = iota
	Escalated
	Corrected // the outcome of its correction became known, or changed
	Resolved
)

// String is the word of the alert-state header; "" for a number that names no state.
func (s State) String() string {
	switch s {
	case Raised:
		return "raised"
	case Escalated:
		return "escalated"
	case Corrected:
		return "corrected"
	case Resolved:
		return "resolved"
	}
	return ""
}

// Severity of an alert, in the order of the rules' severities.
type Severity uint8

// Severities, mildest first. Info only resolves.
const (
	Info Severity = iota
	Warning
	Critical
	Emergency
)

// String is the platform's word for the climate's alerts; "" for a number that names no severity.
func (s Severity) String() string {
	switch s {
	case Info:
		return "info"
	case Warning:
		return "warning"
	case Critical:
		return "critical"
	case Emergency:
		return "emergency"
	}
	return ""
}

// Device is the platform's word for alerts of devices: low, medium, high, critical; "" for a number that names none.
func (s Severity) Device() string {
	switch s {
	case Info:
		return "low"
	case Warning:
		return "medium"
	case Critical:
		return "high"
	case Emergency:
		return "critical"
	}
	return ""
}

// Outcome is whether a correction worked, in the order of the rules' truths.
type Outcome uint8

// Outcomes.
const (
	Unknown   Outcome = iota
	Succeeded         // the value is back in range with the correction verified
	Failed            // its time is up, or an actuator refused
)

// Correction is what was done about a breach.
type Correction struct {
	Attempted bool // its actions ran; otherwise Outcome and Actions are not told
	Outcome   Outcome
	Actions   []string // as Action writes them
}

// Action is how an alert names a correction's action: "exhaust-fan=on", or "vent=40" for an analog output.
func Action(output string, value float64, analog bool) string {
	if analog {
		return output + "=" + string(appendNumber(nil, value))
	}
	if value != 0 {
		return output + "=on"
	}
	return output + "=off"
}

// Alert is one event in the life of a breach of a zone's climate.
type Alert struct {
	Stamp
	AlertID     string // uuid; the same from raised to resolved
	CausationID string // uuid of the alert's event before; "" when raised
	State       State
	Severity    Severity // Warning and up; a Resolved alert is told as info whatever it says
	Quantity    string   // one of AlertQuantities
	Unit        string   // one of Units; "": the usual one
	Zone        string
	SensorID    string  // uuid
	Value       float64 // in Unit, finite

	// Min and Max are the range in force, in Unit. Where it is open (NaN) the sensor's physical limit takes its place: the
	// platform knows ranges with two ends only.
	Min, Max             float64
	SensorMin, SensorMax float64

	Triggered  time.Time // when the breach began; the same from raised to resolved
	Correction Correction
	Batches    []string // uuids of the batches in the zone; empty: not told
}

// expected is the range as it is told: both ends are numbers.
func (a *Alert) expected() (low, high float64) {
	low, high = a.Min, a.Max
	if math.IsNaN(low) {
		low = a.SensorMin
	}
	if math.IsNaN(high) {
		high = a.SensorMax
	}
	return low, high
}

// deviation is by how much the value lies above the range, or, negative, below it; 0 within it and once resolved. Digits
// that the subtraction made up are rounded away: 28.4 over 26 is 2.4.
func (a *Alert) deviation(low, high float64) float64 {
	d := 0.0
	switch {
	case a.State == Resolved:
		return 0
	case a.Value > high:
		d = a.Value - high
	case a.Value < low:
		d = a.Value - low
	}
	const digits = 1e9
	if rounded := math.Round(d*digits) / digits; rounded != 0 && math.Abs(d) < 1e6 {
		return rounded
	}
	return d
}

// Alert writes environment.alert. On an error, which names every fault, dst is empty.
func (e *Encoder) Alert(dst *Record, a *Alert) error {
	low, high := a.expected()
	deviation := a.deviation(low, high)
	severity, unit := a.Severity, orElse(a.Unit, usualUnit(a.Quantity))
	if a.State == Resolved {
		severity = Info
	}
	if err := a.check(dst, low, high, deviation, unit); err != nil {
		return err
	}
	correlation := orElse(a.CorrelationID, a.AlertID)
	e.begin(dst, kindAlert, e.source.Facility+"/"+a.Zone, &a.Stamp, correlation)
	e.alertHeaders(dst, a.State)

	b := appendString(append(dst.Body, `,"eventId":`...), a.EventID)
	b = append(b, `,"eventVersion":"`+VersionERP+`"`...)
	b = appendTime(append(b, `,"timestamp":`...), a.At)
	b = appendString(append(b, `,"correlationId":`...), correlation)
	if a.CausationID != "" {
		b = appendString(append(b, `,"causationId":`...), a.CausationID)
	}
	b = append(append(b, ','), e.erp...)
	b = appendString(append(b, `,"payload":{"alertId":`...), a.AlertID)
	b = append(append(b, `,"facilityId":`...), e.facility...)
	b = appendString(append(b, `,"zone":`...), a.Zone)
	b = appendString(append(b, `,"alertType":`...), a.Quantity)
	b = appendString(append(b, `,"severity":`...), severity.String())
	b = appendNumber(append(b, `,"currentValue":`...), a.Value)
	b = appendNumber(append(b, `,"expectedRange":{"min":`...), low)
	b = appendNumber(append(b, `,"max":`...), high)
	b = appendString(append(b, `,"unit":`...), unit)
	b = appendNumber(append(b, `},"deviation":`...), deviation)
	b = appendString(append(b, `,"sensorId":`...), a.SensorID)
	b = appendTime(append(b, `,"triggeredAt":`...), a.Triggered)
	b = a.Correction.append(append(b, `,"autoCorrection":`...))
	if len(a.Batches) > 0 {
		b = appendStrings(append(b, `,"affectedBatches":`...), a.Batches)
	}
	return dst.finish(b, TypeAlert)
}

func (c *Correction) append(b []byte) []byte {
	if !c.Attempted {
		return append(b, `{"attempted":false}`...)
	}
	b = append(b, `{"attempted":true`...)
	if c.Outcome != Unknown {
		b = strconv.AppendBool(append(b, `,"successful":`...), c.Outcome == Succeeded)
	}
	if len(c.Actions) > 0 {
		b = appendStrings(append(b, `,"actions":`...), c.Actions)
	}
	return append(b, '}')
}

func (a *Alert) check(dst *Record, low, high, deviation float64, unit string) error {
	var c check
	c.stamp(&a.Stamp)
	c.uuid("alertId", a.AlertID)
	c.optionalUUID("causationId", a.CausationID)
	c.uuid("sensorId", a.SensorID)
	if a.Zone == "" {
		c.fault("zone is missing")
	}
	c.time("triggeredAt", a.Triggered)
	c.number("currentValue", a.Value)
	c.number("expectedRange.min", low)
	c.number("expectedRange.max", high)
	if low > high {
		c.fault("expectedRange %v..%v is upside down; are the sensor's limits those of its range?", low, high)
	}
	if len(c.faults) == 0 {
		c.number("deviation", deviation)
	}
	switch {
	case Units(a.Quantity) == nil:
		c.fault("alertType %q is none the platform knows", a.Quantity)
	case !AlertUnit(a.Quantity, unit):
		c.fault("unit %q is none of %s", unit, a.Quantity)
	}
	if a.State.String() == "" {
		c.fault("state %s is none", strconv.Itoa(int(a.State)))
	}
	if a.State != Resolved && (a.Severity == Info || a.Severity.String() == "") {
		c.fault("severity %d of a breach: only warning, critical and emergency are", a.Severity)
	}
	if a.Correction.Outcome > Failed {
		c.fault("outcome %d is none", a.Correction.Outcome)
	}
	for _, id := range a.Batches {
		c.uuid("affectedBatches", id)
	}
	return c.err(dst, TypeAlert, a.AlertID)
}
