package contract

import (
	"slices"
	"time"
)

// Words of the platform for what a device is.
const (
	Online      = "online"
	Offline     = "offline"
	InError     = "error"
	Asleep      = "sleep"
	Maintenance = "maintenance"
)

// StatusChanged tells that a device came, went, or is otherwise than before.
type StatusChanged struct {
	Stamp
	DeviceID string
	Previous string // one of the five words; the first change comes from Offline
	Current  string
	Changed  time.Time // zero: At
	Reason   string    // "": not told
	// What was last known of the device; nil and zero: not told.
	LastSeen                                  time.Time
	BatteryLevel, SignalStrength, Temperature *float64 // %, dBm, °C
}

// StatusChanged writes device.status.changed. On an error, which names every fault, dst is empty.
func (e *Encoder) StatusChanged(dst *Record, s *StatusChanged) error {
	changed := orAt(s.Changed, s.At)
	if err := s.check(dst, changed); err != nil {
		return err
	}
	e.beginHub(dst, kindStatusChanged, s.DeviceID, &s.Stamp, orElse(s.CorrelationID, s.EventID))
	b := appendString(append(dst.Body, `,"previousStatus":`...), s.Previous)
	b = appendString(append(b, `,"currentStatus":`...), s.Current)
	b = appendTime(append(b, `,"changedAt":`...), changed)
	b = appendOptional(b, `,"reason":`, s.Reason)
	if !s.LastSeen.IsZero() || s.BatteryLevel != nil || s.SignalStrength != nil || s.Temperature != nil {
		b = append(b, `,"metadata":{`...)
		if !s.LastSeen.IsZero() {
			b = appendTime(append(b, `"lastSeen":`...), s.LastSeen)
		}
		b = appendOptionalNumber(b, `"batteryLevel":`, s.BatteryLevel)
		b = appendOptionalNumber(b, `"signalStrength":`, s.SignalStrength)
		b = append(appendOptionalNumber(b, `"temperature":`, s.Temperature), '}')
	}
	return dst.finish(b, TypeStatusChanged)
}

func (s *StatusChanged) check(dst *Record, changed time.Time) error {
	var c check
	c.stamp(&s.Stamp)
	c.device(s.DeviceID)
	c.word("previousStatus", s.Previous, Online, Offline, InError, Asleep, Maintenance)
	c.word("currentStatus", s.Current, Online, Offline, InError, Asleep, Maintenance)
	c.time("changedAt", changed)
	if !s.LastSeen.IsZero() {
		c.time("lastSeen", s.LastSeen)
	}
	c.optionalNumber("batteryLevel", s.BatteryLevel)
	if level := s.BatteryLevel; level != nil && (*level < 0 || *level > 100) {
		c.fault("batteryLevel %v %% is not 0 to 100", *level)
	}
	c.optionalNumber("signalStrength", s.SignalStrength)
	c.optionalNumber("temperature", s.Temperature)
	return c.err(dst, TypeStatusChanged, s.EventID)
}

// Registered tells the platform of a device.
type Registered struct {
	Stamp
	DeviceID     string
	Manufacturer string // "": unknown, as with the next two
	Model        string
	Firmware     string
	Hardware     string // "": not told
	Serial       string // "": not told
	Capabilities []string
	By           string    // manufacturer, system or admin; "": system
	Registered   time.Time // zero: At
	Metadata     []Fact    // anything else of ours
}

// Registered writes device.registered. On an error, which names every fault, dst is empty.
func (e *Encoder) Registered(dst *Record, r *Registered) error {
	registered, by := orAt(r.Registered, r.At), orElse(r.By, "system")
	if err := r.check(dst, registered, by); err != nil {
		return err
	}
	const unknown = "unknown"
	e.beginHub(dst, kindRegistered, r.DeviceID, &r.Stamp, orElse(r.CorrelationID, r.EventID))
	b := appendString(append(dst.Body, `,"manufacturerId":`...), orElse(r.Manufacturer, unknown))
	b = appendString(append(b, `,"model":`...), orElse(r.Model, unknown))
	b = appendString(append(b, `,"firmwareVersion":`...), orElse(r.Firmware, unknown))
	b = appendOptional(b, `,"hardwareRevision":`, r.Hardware)
	b = appendOptional(b, `,"serialNumber":`, r.Serial)
	b = appendStrings(append(b, `,"capabilities":`...), r.Capabilities)
	b = appendString(append(b, `,"registeredBy":`...), by)
	b = appendTime(append(b, `,"registeredAt":`...), registered)
	b = appendMetadata(b, nil, r.Metadata)
	return dst.finish(b, TypeRegistered)
}

func (r *Registered) check(dst *Record, registered time.Time, by string) error {
	var c check
	c.stamp(&r.Stamp)
	c.device(r.DeviceID)
	c.word("registeredBy", by, "manufacturer", "system", "admin")
	c.time("registeredAt", registered)
	c.facts(r.Metadata)
	return c.err(dst, TypeRegistered, r.EventID)
}

// DeviceAlertRaised tells of a fault of a device, or of the gateway, which is one too: not of the climate.
type DeviceAlertRaised struct {
	Stamp
	DeviceID    string // the gateway's own id for what is no single device's
	AlertID     string // uuid; the same when it is resolved
	Type        string // threshold, connectivity, battery, error, security or maintenance
	Severity    Severity
	Title       string
	Description string
	Raised      time.Time // zero: At
	Trigger     *float64  // the value that broke Threshold; nil: not told
	Threshold   *float64  // nil: not told
	Zone        string    // "": in none
	Metadata    []Fact    // anything else of ours
}

// DeviceAlertRaised writes device.alert.raised. On an error, which names every fault, dst is empty.
func (e *Encoder) DeviceAlertRaised(dst *Record, a *DeviceAlertRaised) error {
	raised := orAt(a.Raised, a.At)
	if err := a.check(dst, raised); err != nil {
		return err
	}
	e.beginHub(dst, kindDeviceAlertRaised, a.DeviceID, &a.Stamp, orElse(a.CorrelationID, a.AlertID))
	e.alertHeaders(dst, Raised)
	b := appendString(append(dst.Body, `,"alertId":`...), a.AlertID)
	b = appendString(append(b, `,"alertType":`...), a.Type)
	b = appendString(append(b, `,"severity":`...), a.Severity.Device())
	b = appendString(append(b, `,"title":`...), a.Title)
	b = appendString(append(b, `,"description":`...), a.Description)
	b = appendTime(append(b, `,"raisedAt":`...), raised)
	b = appendOptionalNumber(b, `"triggerValue":`, a.Trigger)
	b = appendOptionalNumber(b, `"thresholdValue":`, a.Threshold)
	var zone []byte
	if a.Zone != "" {
		zone = append(append(zone, `"facilityId":`...), e.facility...)
		zone = appendString(append(zone, `,"zone":`...), a.Zone)
	}
	b = appendMetadata(b, zone, a.Metadata)
	return dst.finish(b, TypeDeviceAlertRaised)
}

func (a *DeviceAlertRaised) check(dst *Record, raised time.Time) error {
	var c check
	c.stamp(&a.Stamp)
	c.device(a.DeviceID)
	c.uuid("alertId", a.AlertID)
	c.word("alertType", a.Type, "threshold", "connectivity", "battery", "error", "security", "maintenance")
	if a.Severity.Device() == "" {
		c.fault("severity %d is none", a.Severity)
	}
	c.time("raisedAt", raised)
	c.optionalNumber("triggerValue", a.Trigger)
	c.optionalNumber("thresholdValue", a.Threshold)
	c.facts(a.Metadata, "facilityId", "zone")
	return c.err(dst, TypeDeviceAlertRaised, a.AlertID)
}

// DeviceAlertResolved ends a DeviceAlertRaised.
type DeviceAlertResolved struct {
	Stamp
	DeviceID string
	AlertID  string    // uuid
	Resolved time.Time // zero: At
	By       string    // system, user or device; "": system
	Reason   string    // "": not told
	UserID   string    // uuid; "": not told
}

// DeviceAlertResolved writes device.alert.resolved. On an error, which names every fault, dst is empty.
func (e *Encoder) DeviceAlertResolved(dst *Record, a *DeviceAlertResolved) error {
	resolved, by := orAt(a.Resolved, a.At), orElse(a.By, "system")
	var c check
	c.stamp(&a.Stamp)
	c.device(a.DeviceID)
	c.uuid("alertId", a.AlertID)
	c.time("resolvedAt", resolved)
	c.word("resolvedBy", by, "system", "user", "device")
	c.optionalUUID("userId", a.UserID)
	if err := c.err(dst, TypeDeviceAlertResolved, a.AlertID); err != nil {
		return err
	}
	e.beginHub(dst, kindDeviceAlertResolved, a.DeviceID, &a.Stamp, orElse(a.CorrelationID, a.AlertID))
	e.alertHeaders(dst, Resolved)
	b := appendString(append(dst.Body, `,"alertId":`...), a.AlertID)
	b = appendTime(append(b, `,"resolvedAt":`...), resolved)
	b = appendString(append(b, `,"resolvedBy":`...), by)
	b = appendOptional(b, `,"resolutionReason":`, a.Reason)
	b = appendOptional(b, `,"userId":`, a.UserID)
	return dst.finish(b, TypeDeviceAlertResolved)
}

// word refuses what is none of the allowed words.
func (c *check) word(field, word string, allowed ...string) {
	if !slices.Contains(allowed, word) {
		c.fault("%s %q is none of %v", field, word, allowed)
	}
}

// orAt is t, or otherwise when t is zero.
func orAt(t, otherwise time.Time) time.Time {
	if t.IsZero() {
		return otherwise
	}
	return t
}

// appendOptional appends a member, which brings its comma, unless its text is empty.
func appendOptional(b []byte, member, text string) []byte {
	if text == "" {
		return b
	}
	return appendString(append(b, member...), text)
}

// appendOptionalNumber appends a member unless v is nil.
func appendOptionalNumber(b []byte, member string, v *float64) []byte {
	if v == nil {
		return b
	}
	return appendNumber(append(comma(b), member...), *v)
}

// appendMetadata appends the open metadata object, first what is encoded already; nothing when it would be empty.
func appendMetadata(b, encoded []byte, facts []Fact) []byte {
	if len(encoded) == 0 && len(facts) == 0 {
		return b
	}
	b = append(append(b, `,"metadata":{`...), encoded...)
	return append(appendFacts(b, facts), '}')
}
