package contract

import (
	"bytes"
	"encoding/json"
	"flag"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	facility = "7c1e0b1a-3c1e-4c52-9d2f-0d6a6b9d3c14"
	alertID  = "5f0c9d5e-7d0c-5f0e-8f56-0a2d5c1b9e01"
	batchID  = "b4a0c2de-0d2b-4f4e-9d39-7c0b54c7a1f0"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)

// eventID is the uuid of the n-th event of a test.
func eventID(n byte) ID { return ID{0x01, 0x9a, 0x24, 0x2b, 0x21, 0xfb, 0x76, 0xae, 0xac, 0x2c, 15: n} }

func newEncoder(t testing.TB) *Encoder {
	t.Helper()
	e, err := NewEncoder(Source{Gateway: "gh-riga-01", Facility: facility, Build: "1.2.0", ConfigHash: "0123456789ab"})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// golden are the events of testdata by the name of their file.
func golden() map[string]func(*Encoder, *Record) error {
	stamp := func(n byte) Stamp {
		return Stamp{EventID: eventID(n).String(), At: noon.Add(time.Duration(n) * time.Minute)}
	}
	alert := func(n byte, change func(*Alert)) func(*Encoder, *Record) error {
		a := &Alert{Stamp: stamp(n), AlertID: alertID, Severity: Warning, Quantity: Temperature, Zone: "veg-1",
			SensorID: SensorID("gh-riga-01", "veg1-climate", "temperature"), Value: 28.4, Min: 22, Max: 26, Triggered: noon,
			Correction: Correction{Attempted: true, Actions: []string{Action("exhaust-fan", 1, false)}}}
		if n > 0 {
			a.CausationID = eventID(n - 1).String()
		}
		change(a)
		return func(e *Encoder, r *Record) error { return e.Alert(r, a) }
	}
	telemetry := func(t Telemetry) func(*Encoder, *Record) error {
		t.EventID, t.Received = eventID(9), noon
		return func(e *Encoder, r *Record) error { return e.Telemetry(r, &t) }
	}
	number := func(v float64) *float64 { return &v }
	return map[string]func(*Encoder, *Record) error{
		"alert-raised":    alert(0, func(*Alert) {}),
		"alert-escalated": alert(1, func(a *Alert) { a.State, a.Severity, a.Value = Escalated, Critical, 30.25 }),
		"alert-corrected": alert(2, func(a *Alert) {
			a.State, a.Value, a.Correction.Outcome, a.Batches = Corrected, 25.7, Succeeded, []string{batchID}
		}),
		"alert-resolved": alert(3, func(a *Alert) { a.State, a.Value, a.Correction.Outcome = Resolved, 25.5, Succeeded }),
		"alert-one-sided": alert(0, func(a *Alert) {
			a.Quantity, a.Value, a.Min, a.Max, a.SensorMin, a.SensorMax = CO2, 390.5, 800, math.NaN(), 0, 5000
			a.Correction, a.ClockCorrection = Correction{}, 1500*time.Millisecond
		}),
		"telemetry-modbus": telemetry(Telemetry{DeviceID: "veg1-climate", Protocol: "modbus", Zone: "veg-1", Values: []Value{
			{Name: "temperature", Quantity: Temperature, Unit: "°C", Value: 24.1, Quality: Good},
			{Name: "humidity", Quantity: Humidity, Unit: "%", Value: 61, Quality: Good}}}),
		"telemetry-mqtt": telemetry(Telemetry{DeviceID: "air-7", Source: noon.Add(-time.Second), MQTT: MQTT{Topic: "devices/air-7/telemetry", QoS: 1}, Values: []Value{
			{Quantity: Temperature, Value: 24.1, Quality: Good}, {Name: "leaf", Quantity: Temperature, Unit: "°C", Value: 22.75, Quality: Good},
			{Quantity: "pressure", Unit: "kPa", Value: 101.3, Quality: Good}, {Quantity: CO2, Value: 812, Quality: Good},
			{Quantity: "batteryLevel", Unit: "%", Value: 87, Quality: Good}, {Name: "door", Discrete: true, Value: 1, Quality: Good}}}),
		"telemetry-bad": telemetry(Telemetry{DeviceID: "veg1-climate", Protocol: "modbus", Zone: "veg-1", Values: []Value{
			{Quantity: Temperature, Value: math.NaN(), Reason: "out of range"}, {Name: "spare", Quantity: Temperature, Value: 23.5, Quality: Good},
			{Quantity: Humidity, Value: 61, Quality: Uncertain, Reason: "stuck"}, {Name: "lamp", Discrete: true}}}),
		"telemetry-heartbeat": telemetry(Telemetry{DeviceID: "gh-riga-01", Type: Status, Values: []Value{
			{Quantity: "uptime", Value: 86400, Quality: Good}, {Quantity: "memoryUsage", Unit: "B", Value: 31457280, Quality: Good},
			{Quantity: "cpuUsage", Value: 1.5, Quality: Good}, {Name: "buffer.waiting", Unit: "records", Value: 12, Quality: Good}},
			Facts: []Fact{{"version", "1.2.0"}, {"mode", "control"}}}),
		"status-changed": func(e *Encoder, r *Record) error {
			return e.StatusChanged(r, &StatusChanged{Stamp: stamp(4), DeviceID: "air-7", Previous: Online, Current: Offline,
				Reason: "nothing heard for 2m0s", LastSeen: noon, BatteryLevel: number(12), Temperature: number(24.1)})
		},
		"registered": func(e *Encoder, r *Record) error {
			return e.Registered(r, &Registered{Stamp: stamp(5), DeviceID: "veg1-climate", Manufacturer: "Sainlogic", Model: "XY-MD02",
				Serial: "A-17", Capabilities: []string{"temperature", "humidity"}, Metadata: []Fact{{"profile", "xy-md02"}}})
		},
		"device-alert-raised": func(e *Encoder, r *Record) error {
			return e.DeviceAlertRaised(r, &DeviceAlertRaised{Stamp: stamp(6), DeviceID: "veg1-climate", AlertID: alertID, Type: "connectivity",
				Severity: Critical, Title: "veg1-climate is offline", Description: "nothing heard for 2m0s; check its power and line",
				Raised: noon, Trigger: number(121), Threshold: number(120), Zone: "veg-1", Metadata: []Fact{{"bus", "north"}}})
		},
		"device-alert-resolved": func(e *Encoder, r *Record) error {
			return e.DeviceAlertResolved(r, &DeviceAlertResolved{Stamp: stamp(7), DeviceID: "veg1-climate", AlertID: alertID, Reason: "heard again"})
		},
	}
}

// file is what a golden file holds.
type file struct {
	Topic   string          `json:"topic"`
	Key     string          `json:"key"`
	Headers []string        `json:"headers"` // "name: value"
	Body    json.RawMessage `json:"body"`
}

func toFile(r *Record) file {
	f := file{Topic: r.Topic, Key: string(r.Key), Body: r.Body}
	for name, value := range Headers(r.Head) {
		f.Headers = append(f.Headers, name+": "+string(value))
	}
	return f
}

func TestGolden(t *testing.T) {
	e := newEncoder(t)
	for name, encode := range golden() {
		t.Run(name, func(t *testing.T) {
			var r Record
			if err := encode(e, &r); err != nil {
				t.Fatal(err)
			}
			if err := Validate(r.Topic, r.Body); err != nil {
				t.Error(err)
			}
			var got bytes.Buffer
			encoder := json.NewEncoder(&got)
			encoder.SetEscapeHTML(false)
			encoder.SetIndent("", "  ")
			if err := encoder.Encode(toFile(&r)); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", name+".json")
			if *update {
				if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("%s differs (go test -update writes it anew):\n%s", path, got.Bytes())
			}
		})
	}
}

// TestGoldenFilesAreTested finds files that no event writes any more.
func TestGoldenFilesAreTested(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(golden()) {
		t.Errorf("%d files for %d events: %v", len(files), len(golden()), files)
	}
}

// TestRecordIsReused proves that a record holds nothing of the event before.
func TestRecordIsReused(t *testing.T) {
	e := newEncoder(t)
	var reused Record
	for name, encode := range golden() {
		var fresh Record
		if err := encode(e, &fresh); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := encode(e, &reused); err != nil {
				t.Fatal(err)
			}
			if reused.Topic != fresh.Topic || !bytes.Equal(reused.Key, fresh.Key) || !bytes.Equal(reused.Head, fresh.Head) || !bytes.Equal(reused.Body, fresh.Body) {
				t.Errorf("%s: a used record gives other bytes than a new one", name)
			}
		}
	}
}
