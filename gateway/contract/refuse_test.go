package contract

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

func TestNewEncoderRefuses(t *testing.T) {
	_, err := NewEncoder(Source{Facility: "hall"})
	if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "gateway's id is missing") || !strings.Contains(err.Error(), `facility "hall" is no uuid`) {
		t.Errorf("both faults must be told: %v", err)
	}
}

// refusal is one way to encode an event; want is in the error, or "" when it must be written.
type refusal struct {
	want   string
	encode func(*Record) error
}

// judgeAll wants each refused by name, leaving an empty record, or written and valid.
func judgeAll(t *testing.T, all []refusal) {
	t.Helper()
	for _, tt := range all {
		r := Record{Topic: "t", Key: []byte("k"), Head: []byte("h"), Body: []byte("b")}
		err := tt.encode(&r)
		if tt.want == "" {
			if err != nil {
				t.Error(err)
			} else if err := Validate(r.Topic, r.Body); err != nil {
				t.Error(err)
			}
			continue
		}
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want %q in it", err, tt.want)
		}
		if r.Topic != "" || len(r.Key)+len(r.Head)+len(r.Body) > 0 {
			t.Errorf("%s: the refused event left topic %q, body %s", tt.want, r.Topic, r.Body)
		}
	}
}

// goodStamp is a good Stamp to change.
func goodStamp() Stamp { return Stamp{EventID: eventID(1).String(), At: noon} }

// The tests below change one thing of a good event at a time.

func TestAlertRefused(t *testing.T) {
	e, nan := newEncoder(t), math.NaN()
	id := eventID(1).String()
	alert := func(change func(*Alert)) func(*Record) error {
		a := &Alert{Stamp: goodStamp(), AlertID: alertID, Severity: Warning, Quantity: Temperature, Zone: "z", SensorID: alertID, Value: 28, Min: 22, Max: 26, Triggered: noon}
		change(a)
		return func(r *Record) error { return e.Alert(r, a) }
	}
	judgeAll(t, []refusal{
		{"", alert(func(*Alert) {})},
		{"event id", alert(func(a *Alert) { a.EventID = "" })},
		{"event id", alert(func(a *Alert) { a.EventID = "{" + id[1:35] + "}" })},
		{"correlationId", alert(func(a *Alert) { a.CorrelationID = "bind_1_x" })},
		{"causationId", alert(func(a *Alert) { a.CausationID = "x" })},
		{"alertId", alert(func(a *Alert) { a.AlertID = "" })},
		{"sensorId", alert(func(a *Alert) { a.SensorID = "probe" })},
		{"affectedBatches", alert(func(a *Alert) { a.Batches = []string{batchID, ""} })},
		{"zone is missing", alert(func(a *Alert) { a.Zone = "" })},
		{"timestamp", alert(func(a *Alert) { a.At = time.Time{} })},
		{"triggeredAt", alert(func(a *Alert) { a.Triggered = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) })},
		{"currentValue is NaN", alert(func(a *Alert) { a.Value = nan })},
		{"currentValue is +Inf", alert(func(a *Alert) { a.Value = math.Inf(1) })},
		{"expectedRange.min is NaN", alert(func(a *Alert) { a.Min, a.SensorMin = nan, nan })},
		{"expectedRange.max is +Inf", alert(func(a *Alert) { a.Max, a.SensorMax = nan, math.Inf(1) })},
		{"upside down", alert(func(a *Alert) { a.Max, a.SensorMax = nan, 0 })},
		{"deviation is +Inf", alert(func(a *Alert) { a.Value, a.Min, a.Max = math.MaxFloat64, -math.MaxFloat64, -math.MaxFloat64 })},
		{`alertType "voc"`, alert(func(a *Alert) { a.Quantity = "voc" })},
		{`unit "°F"`, alert(func(a *Alert) { a.Unit = "°F" })},
		{"state 4", alert(func(a *Alert) { a.State = Resolved + 1 })},
		{"severity 0", alert(func(a *Alert) { a.Severity = Info })},
		{"severity 4", alert(func(a *Alert) { a.Severity = Emergency + 1 })},
		{"", alert(func(a *Alert) { a.State, a.Severity = Resolved, Info })},
		{"outcome 3", alert(func(a *Alert) { a.Correction.Outcome = Failed + 1 })},
	})
}

func TestTelemetryRefused(t *testing.T) {
	e, nan := newEncoder(t), math.NaN()
	telemetry := func(change func(*Telemetry)) func(*Record) error {
		tel := &Telemetry{EventID: eventID(1), DeviceID: "d", Received: noon, Values: []Value{{Quantity: Temperature, Value: 21, Quality: Good}}}
		change(tel)
		return func(r *Record) error { return e.Telemetry(r, tel) }
	}
	judgeAll(t, []refusal{
		{"", telemetry(func(*Telemetry) {})},
		{"", telemetry(func(t *Telemetry) { t.Values = nil })},
		{"no event id", telemetry(func(t *Telemetry) { t.EventID = ID{} })},
		{"no deviceId", telemetry(func(t *Telemetry) { t.DeviceID = "" })},
		{"receivedAt", telemetry(func(t *Telemetry) { t.Received = time.Unix(-1, 0) })},
		{"source's time", telemetry(func(t *Telemetry) { t.Source = time.Unix(253402300800, 0) })},
		{"type 4", telemetry(func(t *Telemetry) { t.Type = Location + 1 })},
		{"no QoS 3", telemetry(func(t *Telemetry) { t.MQTT = MQTT{Topic: "t", QoS: 3} })},
		{"value temperature is not Bad and no number", telemetry(func(t *Telemetry) { t.Values[0].Value = nan })},
		{"value co2 is not Bad and no number", telemetry(func(t *Telemetry) {
			t.Values = append(t.Values, Value{Quantity: CO2, Value: math.Inf(-1), Quality: Uncertain})
		})},
		{"", telemetry(func(t *Telemetry) { t.Values[0].Value, t.Values[0].Quality = nan, Bad })},
		{"neither name nor quantity", telemetry(func(t *Telemetry) { t.Values[0].Quantity = "" })},
		{"no UTF-8", telemetry(func(t *Telemetry) { t.Values[0].Name = "\xff" })},
		{"quality 3", telemetry(func(t *Telemetry) { t.Values[0].Quality = Good + 1 })},
		{`fact "zone"`, telemetry(func(t *Telemetry) { t.Facts = []Fact{{"zone", "x"}} })},
		{`fact "a"`, telemetry(func(t *Telemetry) { t.Facts = []Fact{{"a", "x"}, {"a", "y"}} })},
		{`fact "\xff"`, telemetry(func(t *Telemetry) { t.Facts = []Fact{{"\xff", "x"}} })},
	})
}

func TestStatusChangedRefused(t *testing.T) {
	e, nan, big := newEncoder(t), math.NaN(), 101.0
	status := func(change func(*StatusChanged)) func(*Record) error {
		s := &StatusChanged{Stamp: goodStamp(), DeviceID: "d", Previous: Offline, Current: Online}
		change(s)
		return func(r *Record) error { return e.StatusChanged(r, s) }
	}
	judgeAll(t, []refusal{
		{"", status(func(*StatusChanged) {})},
		{"deviceId is missing", status(func(s *StatusChanged) { s.DeviceID = "" })},
		{`previousStatus ""`, status(func(s *StatusChanged) { s.Previous = "" })},
		{`currentStatus "Online"`, status(func(s *StatusChanged) { s.Current = "Online" })},
		{"changedAt", status(func(s *StatusChanged) { s.Changed = time.Unix(-1, 0) })},
		{"lastSeen", status(func(s *StatusChanged) { s.LastSeen = time.Unix(-1, 0) })},
		{"batteryLevel", status(func(s *StatusChanged) { s.BatteryLevel = &big })},
		{"batteryLevel", status(func(s *StatusChanged) { s.BatteryLevel = &nan })},
		{"signalStrength", status(func(s *StatusChanged) { s.SignalStrength = &nan })},
		{"temperature", status(func(s *StatusChanged) { s.Temperature = &nan })},
	})
}

func TestRegisteredRefused(t *testing.T) {
	e := newEncoder(t)
	registered := func(change func(*Registered)) func(*Record) error {
		s := &Registered{Stamp: goodStamp(), DeviceID: "d"}
		change(s)
		return func(r *Record) error { return e.Registered(r, s) }
	}
	judgeAll(t, []refusal{
		{"", registered(func(*Registered) {})},
		{"deviceId is missing", registered(func(r *Registered) { r.DeviceID = "" })},
		{`registeredBy "me"`, registered(func(r *Registered) { r.By = "me" })},
		{"registeredAt", registered(func(r *Registered) { r.Registered = time.Unix(-1, 0) })},
		{`fact ""`, registered(func(r *Registered) { r.Metadata = []Fact{{}} })},
	})
}

func TestDeviceAlertRaisedRefused(t *testing.T) {
	e, nan := newEncoder(t), math.NaN()
	raised := func(change func(*DeviceAlertRaised)) func(*Record) error {
		a := &DeviceAlertRaised{Stamp: goodStamp(), DeviceID: "d", AlertID: alertID, Type: "error"}
		change(a)
		return func(r *Record) error { return e.DeviceAlertRaised(r, a) }
	}
	judgeAll(t, []refusal{
		{"", raised(func(*DeviceAlertRaised) {})},
		{"alertId", raised(func(a *DeviceAlertRaised) { a.AlertID = "1" })},
		{`alertType "offline"`, raised(func(a *DeviceAlertRaised) { a.Type = "offline" })},
		{"severity 4", raised(func(a *DeviceAlertRaised) { a.Severity = 4 })},
		{"raisedAt", raised(func(a *DeviceAlertRaised) { a.Raised = time.Unix(-1, 0) })},
		{"triggerValue", raised(func(a *DeviceAlertRaised) { a.Trigger = &nan })},
		{"thresholdValue", raised(func(a *DeviceAlertRaised) { a.Threshold = &nan })},
		{`fact "facilityId"`, raised(func(a *DeviceAlertRaised) { a.Metadata = []Fact{{"facilityId", ""}} })},
	})
}

func TestDeviceAlertResolvedRefused(t *testing.T) {
	e := newEncoder(t)
	resolved := func(change func(*DeviceAlertResolved)) func(*Record) error {
		a := &DeviceAlertResolved{Stamp: goodStamp(), DeviceID: "d", AlertID: alertID}
		change(a)
		return func(r *Record) error { return e.DeviceAlertResolved(r, a) }
	}
	judgeAll(t, []refusal{
		{"", resolved(func(*DeviceAlertResolved) {})},
		{"alertId", resolved(func(a *DeviceAlertResolved) { a.AlertID = "" })},
		{`resolvedBy "me"`, resolved(func(a *DeviceAlertResolved) { a.By = "me" })},
		{"resolvedAt", resolved(func(a *DeviceAlertResolved) { a.Resolved = time.Unix(-1, 0) })},
		{"userId", resolved(func(a *DeviceAlertResolved) { a.UserID = "me" })},
	})
}

// TestAllFaultsAreTold wants one error for the whole event.
func TestAllFaultsAreTold(t *testing.T) {
	err := newEncoder(t).Alert(&Record{}, &Alert{Value: math.NaN()})
	for _, want := range []string{"event id", "alertId", "sensorId", "zone", "timestamp", "triggeredAt", "currentValue", "alertType", "severity"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not in %v", want, err)
		}
	}
}

func TestTooLarge(t *testing.T) {
	e := newEncoder(t)
	long := strings.Repeat("a", MaxRecord)
	for name, encode := range map[string]func(*Record) error{
		"alert": func(r *Record) error {
			return e.Alert(r, &Alert{Stamp: Stamp{EventID: alertID, At: noon}, AlertID: alertID, Severity: Warning, Quantity: CO2, Zone: "z", SensorID: alertID, Triggered: noon,
				Correction: Correction{Attempted: true, Actions: []string{long}}})
		},
		"telemetry": func(r *Record) error {
			return e.Telemetry(r, &Telemetry{EventID: eventID(1), DeviceID: "d", Received: noon, Facts: []Fact{{"a", long}}})
		},
		"device alert": func(r *Record) error {
			return e.DeviceAlertRaised(r, &DeviceAlertRaised{Stamp: Stamp{EventID: alertID, At: noon}, DeviceID: "d", AlertID: alertID, Type: "error", Description: long})
		},
	} {
		var r Record
		if err := encode(&r); !errors.Is(err, ErrTooLarge) || len(r.Body) > 0 {
			t.Errorf("%s of 1 MiB: %v, %d bytes", name, err, len(r.Body))
		}
	}
}
