package contract

import (
	"bytes"
	"encoding/json"
	"strconv"
	"testing"
	"time"
)

// sample is one MQTT message as a device of the platform sends it.
func sample() *Telemetry {
	return &Telemetry{EventID: eventID(9), DeviceID: "veg1-climate", Received: noon, Source: noon.Add(-40 * time.Millisecond),
		MQTT: MQTT{Topic: "devices/veg1-climate/telemetry", QoS: 1}, Zone: "veg-1", Values: []Value{
			{Name: "temperature", Quantity: Temperature, Unit: "°C", Value: 24.37, Quality: Good},
			{Name: "humidity", Quantity: Humidity, Unit: "%", Value: 61.2, Quality: Good},
			{Name: "co2", Quantity: CO2, Unit: "ppm", Value: 812, Quality: Good}}}
}

func TestTelemetryAllocatesNothing(t *testing.T) {
	e, r := newEncoder(t), Record{}
	modbus := &Telemetry{EventID: eventID(9), DeviceID: "veg1-climate", Received: noon, Protocol: "modbus", Zone: "veg-1", ClockCorrection: time.Hour,
		Facts:  []Fact{{"a", "b"}}[:0],
		Values: []Value{{Quantity: Temperature, Reason: "stale"}, {Quantity: Humidity, Value: 61.234567, Quality: Uncertain}, {Name: "fan", Discrete: true, Value: 1, Quality: Good}}}
	for _, tel := range []*Telemetry{sample(), modbus} {
		allocs := testing.AllocsPerRun(100, func() {
			if err := e.Telemetry(&r, tel); err != nil {
				t.Fatal(err)
			}
		})
		if allocs != 0 {
			t.Errorf("%v allocations for %s", allocs, r.Body)
		}
	}
}

// byHand is the yardstick: the same bytes appended without a thought, no text escaped, no number checked.
func byHand(r *Record, t *Telemetry, gateway string) {
	text := t.EventID.text()
	id := text[:]
	r.Topic = TopicTelemetry
	r.Key = append(r.Key[:0], t.DeviceID...)
	r.Head = append(append(r.Head[:0], 1, 36), id...)
	r.Head = append(append(r.Head, 3, 36), id...)
	r.Head = append(append(r.Head, 2, 25), TypeTelemetry...)
	r.Head = append(append(r.Head, 4, 16), "application/json"...)
	r.Head = append(r.Head, 5, 2, 'v', '1', 6, byte(len(gateway)))
	r.Head = append(r.Head, gateway...)
	b := append(append(r.Body[:0], `{"eventType":"device.telemetry.received","correlationId":"`...), id...)
	b = t.Source.UTC().AppendFormat(append(b, `","timestamp":"`...), "2006-01-02T15:04:05.000Z")
	b = append(append(b, `","source":{"type":"device","id":"`...), t.DeviceID...)
	b = append(append(b, `"},"__version":"v1","payload":{"deviceId":"`...), t.DeviceID...)
	b = t.Received.UTC().AppendFormat(append(b, `","receivedAt":"`...), "2006-01-02T15:04:05.000Z")
	b = strconv.AppendFloat(append(b, `","telemetryType":"sensors","data":{"temperature":`...), t.Values[0].Value, 'f', -1, 64)
	b = strconv.AppendFloat(append(b, `,"humidity":`...), t.Values[1].Value, 'f', -1, 64)
	b = strconv.AppendFloat(append(b, `,"analogInputs":[{"id":"co2","value":`...), t.Values[2].Value, 'f', -1, 64)
	b = append(append(b, `,"unit":"ppm"}],"custom":{"facilityId":"`...), facility...)
	b = append(append(b, `","zone":"`...), t.Zone...)
	b = append(append(b, `"}},"metadata":{"protocol":"mqtt","qos":1,"retain":false,"topic":"`...), t.MQTT.Topic...)
	b = append(b, `"}}}`...)
	r.Body = b
}

// The same event for encoding/json.
type (
	jsonEvent struct {
		EventType     string      `json:"eventType"`
		CorrelationID string      `json:"correlationId"`
		Timestamp     time.Time   `json:"timestamp"`
		Source        jsonSource  `json:"source"`
		Version       string      `json:"__version"`
		Payload       jsonPayload `json:"payload"`
	}
	jsonSource struct {
		Type string `json:"type"`
		ID   string `json:"id"`
	}
	jsonPayload struct {
		DeviceID      string       `json:"deviceId"`
		ReceivedAt    time.Time    `json:"receivedAt"`
		TelemetryType string       `json:"telemetryType"`
		Data          jsonData     `json:"data"`
		Metadata      jsonMetadata `json:"metadata"`
	}
	jsonData struct {
		Temperature  float64           `json:"temperature"`
		Humidity     float64           `json:"humidity"`
		AnalogInputs []jsonAnalog      `json:"analogInputs"`
		Custom       map[string]string `json:"custom"`
	}
	jsonAnalog struct {
		ID    string  `json:"id"`
		Value float64 `json:"value"`
		Unit  string  `json:"unit"`
	}
	jsonMetadata struct {
		Protocol string `json:"protocol"`
		QoS      byte   `json:"qos"`
		Retain   bool   `json:"retain"`
		Topic    string `json:"topic"`
	}
)

func byEncodingJSON(t *Telemetry) ([]byte, error) {
	v := t.Values
	return json.Marshal(&jsonEvent{TypeTelemetry, t.EventID.String(), t.Source.Truncate(time.Millisecond), jsonSource{"device", t.DeviceID}, "v1",
		jsonPayload{t.DeviceID, t.Received.Truncate(time.Millisecond), "sensors",
			jsonData{v[0].Value, v[1].Value, []jsonAnalog{{v[2].Name, v[2].Value, v[2].Unit}}, map[string]string{"facilityId": facility, "zone": t.Zone}},
			jsonMetadata{"mqtt", t.MQTT.QoS, t.MQTT.Retain, t.MQTT.Topic}}})
}

// TestYardsticksWriteTheSame keeps the comparison honest.
func TestYardsticksWriteTheSame(t *testing.T) {
	e, tel := newEncoder(t), sample()
	var ours, hand Record
	if err := e.Telemetry(&ours, tel); err != nil {
		t.Fatal(err)
	}
	byHand(&hand, tel, "gh-riga-01")
	if !bytes.Equal(ours.Body, hand.Body) || !bytes.Equal(ours.Head, hand.Head) || !bytes.Equal(ours.Key, hand.Key) {
		t.Errorf("by hand\n%s %q\nours\n%s %q", hand.Body, hand.Head, ours.Body, ours.Head)
	}
	text, err := byEncodingJSON(tel)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(ours.Body, text) {
		t.Errorf("encoding/json\n%s\nours\n%s", text, ours.Body)
	}
}

// BenchmarkTelemetry encodes one telemetry event (goals: at most 1 µs, 0 allocations), beside the same bytes appended by hand and the same body by
// encoding/json.
func BenchmarkTelemetry(b *testing.B) {
	e, tel := newEncoder(b), sample()
	var r Record
	var hand, standard float64 // ns an event
	b.Run("yardstick=by-hand", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			byHand(&r, tel, "gh-riga-01")
		}
		hand = float64(b.Elapsed().Nanoseconds()) / float64(b.N)
	})
	b.Run("yardstick=encoding-json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := byEncodingJSON(tel); err != nil {
				b.Fatal(err)
			}
		}
		standard = float64(b.Elapsed().Nanoseconds()) / float64(b.N)
	})
	b.Run("contract", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := e.Telemetry(&r, tel); err != nil {
				b.Fatal(err)
			}
		}
		ours := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
		if hand > 0 && standard > 0 {
			b.ReportMetric(ours/hand, "x-by-hand")
			b.ReportMetric(ours/standard, "x-encoding/json")
		}
		b.ReportMetric(float64(len(r.Body)), "B/body")
	})
}

func BenchmarkAlert(b *testing.B) {
	e := newEncoder(b)
	encode := golden()["alert-raised"]
	var r Record
	b.ReportAllocs()
	for b.Loop() {
		if err := encode(e, &r); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkValidate is what checking a critical record at run time costs.
func BenchmarkValidate(b *testing.B) {
	for _, name := range []string{"alert-raised", "telemetry-mqtt"} {
		r := bodies(b)[name]
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := Validate(r.Topic, r.Body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkHeaders is what the uplink pays for each record.
func BenchmarkHeaders(b *testing.B) {
	r := bodies(b)["telemetry-mqtt"]
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		for _, value := range Headers(r.Head) {
			n += len(value)
		}
	}
}
