package contract

import (
	"encoding/json"
	"errors"
	"maps"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// What follows writes random events, with hostile strings and extreme numbers, and compares each with what encoding/json
// makes of the same event built as a plain map. What the contract forbids must be refused, everything else written,
// valid by the schema, and of the right size.

// object is a JSON object of the reference.
type object = map[string]any

// hostile is any text, bytes that are no UTF-8 and what JSON must escape among it.
func hostile() *rapid.Generator[string] {
	return rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
		rapid.SampledFrom([]string{"", "a", "\"}", "\\", "\x00\x1f\x7f", "\u2028\u2029", "\xed\xa0\x80", "\xff", "µmol/m²/s", "😀", "<a&b>", `","payload":null`}))
}

// words is text that is not empty and UTF-8, for names.
func words() *rapid.Generator[string] { return rapid.StringN(1, 12, -1) }

// number is any finite number.
func number() *rapid.Generator[float64] {
	return rapid.OneOf(rapid.Float64(), rapid.Float64Range(-100, 100), rapid.SampledFrom([]float64{0, math.Copysign(0, -1), math.MaxFloat64, -math.MaxFloat64,
		math.SmallestNonzeroFloat64, 1e-6, 9.999e-7, 1e-7, 1e21, 9.99e20, 1 << 53, 0.1 + 0.2, 28.4 - 26}))
}

// anyNumber is number, or one time in 30 none.
func anyNumber() *rapid.Generator[float64] {
	return rapid.Custom(func(t *rapid.T) float64 {
		if rapid.IntRange(0, 29).Draw(t, "none") == 17 {
			return rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1)}).Draw(t, "which")
		}
		return number().Draw(t, "number")
	})
}

// instant is a time from 1970 to 9999, in any zone.
func instant() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		at := time.Unix(rapid.Int64Range(0, 253402300799).Draw(t, "s"), rapid.Int64Range(0, 999999999).Draw(t, "ns"))
		return at.In(time.FixedZone("", rapid.IntRange(-12*3600, 14*3600).Draw(t, "zone")))
	})
}

func ids() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		return ID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id")).String()
	})
}

func maybe[V any](g *rapid.Generator[V]) *rapid.Generator[*V] { return rapid.Ptr(g, true) }

func iso(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// put adds a member unless its value is empty.
func (o reference) put(name string, v any) {
	if reflect.ValueOf(v).IsZero() {
		return
	}
	o[name] = v
}

type reference map[string]any

// facts draws facts with names of their own.
func facts(t *rapid.T) ([]Fact, reference) {
	m := rapid.MapOfN(words(), hostile(), 0, 3).Draw(t, "facts")
	for _, taken := range []string{"protocol", "facilityId", "zone", "bad", "uncertain"} {
		delete(m, taken)
	}
	var list []Fact
	o := reference{}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		list = append(list, Fact{name, m[name]})
		o[name] = m[name]
	}
	return list, o
}

func stamp(t *rapid.T) Stamp {
	return Stamp{EventID: ids().Draw(t, "event"), CorrelationID: rapid.OneOf(ids(), rapid.Just("")).Draw(t, "correlation"), At: instant().Draw(t, "at"),
		ClockCorrection: time.Duration(rapid.Int64().Draw(t, "clock"))}
}

// speaker draws who speaks.
func speaker(t *rapid.T) (*Encoder, Source) {
	s := Source{Gateway: "g" + hostile().Draw(t, "gateway"), Facility: ids().Draw(t, "facility"), Build: hostile().Draw(t, "build"), ConfigHash: hostile().Draw(t, "hash")}
	e, err := NewEncoder(s)
	if err != nil {
		t.Fatal(err)
	}
	return e, s
}

// decoded reads JSON as encoding/json does.
func decoded(t *rapid.T, body []byte) any {
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("%v\n%q", err, body)
	}
	return v
}

// judge compares a written event with the reference.
func judge(t *rapid.T, r *Record, want object) {
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if !utf8.Valid(r.Body) {
		t.Fatalf("no UTF-8: %q", r.Body)
	}
	if got, want := decoded(t, r.Body), decoded(t, text); !reflect.DeepEqual(got, want) {
		t.Fatalf("written\n%s\nmeant\n%s", r.Body, text)
	}
	if err := Validate(r.Topic, r.Body); err != nil {
		t.Fatalf("%v\n%s", err, r.Body)
	}
	if err := CheckHeaders(r.Head); err != nil {
		t.Fatal(err)
	}
	envelope, err := Parse(r.Body)
	if err != nil {
		t.Fatalf("%v\n%s", err, r.Body)
	}
	head := map[string]string{}
	for name, value := range Headers(r.Head) {
		if _, twice := head[name]; twice {
			t.Fatalf("header %s is there twice", name)
		}
		head[name] = string(value)
	}
	if head[HeaderEventType] != want["eventType"] || envelope.EventType != want["eventType"] || head[HeaderCorrelationID] != envelope.CorrelationID ||
		head[HeaderSchemaVersion] != envelope.Version || head[HeaderContentType] != "application/json" || !isUUID(head[HeaderEventID]) {
		t.Fatalf("headers %q do not fit the body %s", head, r.Body)
	}
	if !envelope.Hub && head[HeaderEventID] != envelope.EventID {
		t.Fatalf("event-id %q, in the body %q", head[HeaderEventID], envelope.EventID)
	}
}

// refused checks that an error is one, and that it left nothing.
func refused(t *rapid.T, err error, r *Record) {
	if !errors.Is(err, ErrInvalid) {
		t.Fatalf("what the contract forbids gave error %v and body %s", err, r.Body)
	}
	if r.Topic != "" || len(r.Key)+len(r.Head)+len(r.Body) > 0 {
		t.Fatalf("a refused event left %+v", r)
	}
}

// hubEnvelope is the hub's envelope of a gateway's event.
func hubEnvelope(s Source, eventType string, st Stamp, otherwise string, payload reference) object {
	source := reference{"type": "system", "id": s.Gateway}
	source.put("version", s.Build)
	return object{"eventType": eventType, "correlationId": orElse(st.CorrelationID, otherwise), "timestamp": iso(st.At), "source": source, "__version": "v1", "payload": payload}
}

func TestAlertProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e, s := speaker(t)
		a := &Alert{Stamp: stamp(t), AlertID: ids().Draw(t, "alert"), CausationID: rapid.OneOf(ids(), rapid.Just("")).Draw(t, "causation"),
			State: State(rapid.IntRange(0, 3).Draw(t, "state")), Severity: Severity(rapid.IntRange(1, 3).Draw(t, "severity")),
			Quantity: rapid.SampledFrom(AlertQuantities()).Draw(t, "quantity"), Zone: "z" + hostile().Draw(t, "zone"), SensorID: ids().Draw(t, "sensor"),
			Value: anyNumber().Draw(t, "value"), Min: anyNumber().Draw(t, "min"), Max: anyNumber().Draw(t, "max"), SensorMin: anyNumber().Draw(t, "sensorMin"), SensorMax: anyNumber().Draw(t, "sensorMax"),
			Triggered: instant().Draw(t, "triggered"), Batches: rapid.SliceOfN(ids(), 0, 3).Draw(t, "batches"),
			Correction: Correction{Attempted: rapid.Bool().Draw(t, "attempted"), Outcome: Outcome(rapid.IntRange(0, 2).Draw(t, "outcome")), Actions: rapid.SliceOfN(hostile(), 0, 3).Draw(t, "actions")}}
		a.Unit = rapid.SampledFrom(Units(a.Quantity)).Draw(t, "unit")
		low, high := a.Min, a.Max
		if math.IsNaN(low) {
			low = a.SensorMin
		}
		if math.IsNaN(high) {
			high = a.SensorMax
		}
		deviation := 0.0
		if a.State != Resolved && a.Value > high {
			deviation = a.Value - high
		} else if a.State != Resolved && a.Value < low {
			deviation = a.Value - low
		}
		r := Record{Body: []byte("left over")}
		err := e.Alert(&r, a)
		if !finite(a.Value) || !finite(low) || !finite(high) || !finite(deviation) || low > high {
			refused(t, err, &r)
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		told := decoded(t, r.Body).(object)["payload"].(object)["deviation"].(float64)
		if math.Abs(told-deviation) > 1e-9 || math.Signbit(told) != math.Signbit(deviation) && told != deviation {
			t.Fatalf("deviation %v is told as %v", deviation, told)
		}
		correction := reference{"attempted": a.Correction.Attempted}
		if a.Correction.Attempted {
			if a.Correction.Outcome != Unknown {
				correction["successful"] = a.Correction.Outcome == Succeeded
			}
			if len(a.Correction.Actions) > 0 {
				correction["actions"] = a.Correction.Actions
			}
		}
		severity := [...]string{"info", "warning", "critical", "emergency"}[a.Severity]
		if a.State == Resolved {
			severity = "info"
		}
		payload := reference{"alertId": a.AlertID, "facilityId": s.Facility, "zone": a.Zone, "alertType": a.Quantity, "severity": severity, "currentValue": a.Value,
			"expectedRange": object{"min": low, "max": high, "unit": a.Unit}, "deviation": told, "sensorId": a.SensorID, "triggeredAt": iso(a.Triggered), "autoCorrection": correction}
		if len(a.Batches) > 0 {
			payload["affectedBatches"] = a.Batches
		}
		want := reference{"eventType": TypeAlert, "eventId": a.EventID, "eventVersion": "1.0", "timestamp": iso(a.At), "correlationId": orElse(a.CorrelationID, a.AlertID),
			"source": "glasshouse/" + s.Gateway, "payload": payload}
		want.put("causationId", a.CausationID)
		judge(t, &r, object(want))
		if string(r.Key) != s.Facility+"/"+a.Zone {
			t.Fatalf("key %q", r.Key)
		}
	})
}

func TestTelemetryProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e, s := speaker(t)
		tel := &Telemetry{EventID: ID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id")), DeviceID: hostile().Draw(t, "device"), Type: TelemetryType(rapid.IntRange(0, 3).Draw(t, "type")),
			Received: instant().Draw(t, "received"), Source: rapid.OneOf(instant(), rapid.Just(time.Time{})).Draw(t, "source"), Protocol: hostile().Draw(t, "protocol"), Zone: hostile().Draw(t, "zone"),
			MQTT: MQTT{Topic: hostile().Draw(t, "topic"), QoS: byte(rapid.IntRange(0, 2).Draw(t, "qos")), Retain: rapid.Bool().Draw(t, "retain")}}
		list, custom := facts(t)
		tel.Facts = list
		quantities := append(AlertQuantities(), "pressure", "batteryLevel", "signalStrength", "uptime", "memoryUsage", "cpuUsage", "errorCount", "latitude", "longitude", "altitude", "voc")
		tel.Values = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Value {
			return Value{Name: rapid.OneOf(words(), rapid.Just(""), rapid.SampledFrom([]string{"a", "b"})).Draw(t, "name"), Quantity: rapid.SampledFrom(quantities).Draw(t, "quantity"),
				Unit: rapid.SampledFrom([]string{"", "°C", "%", "hPa", "x"}).Draw(t, "unit"), Value: anyNumber().Draw(t, "value"), Discrete: rapid.IntRange(0, 4).Draw(t, "discrete") == 0,
				Extra: rapid.IntRange(0, 4).Draw(t, "extra") == 0, Quality: Quality(rapid.IntRange(0, 2).Draw(t, "quality")), Reason: hostile().Draw(t, "reason")}
		}), 0, 8).Draw(t, "values")
		data, ok := place(tel.Values, custom)
		r := Record{Body: []byte("left over")}
		err := e.Telemetry(&r, tel)
		if !ok || tel.DeviceID == "" || tel.EventID == (ID{}) {
			refused(t, err, &r)
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		custom.put("protocol", tel.Protocol)
		if tel.Zone != "" {
			custom["zone"], custom["facilityId"] = tel.Zone, s.Facility
		}
		if len(custom) > 0 {
			data["custom"] = custom
		}
		source := tel.Source
		if source.IsZero() {
			source = tel.Received
		}
		payload := reference{"deviceId": tel.DeviceID, "receivedAt": iso(tel.Received), "telemetryType": [...]string{"sensors", "status", "diagnostics", "location"}[tel.Type], "data": data}
		if tel.MQTT.Topic != "" {
			payload["metadata"] = object{"protocol": "mqtt", "qos": tel.MQTT.QoS, "retain": tel.MQTT.Retain, "topic": tel.MQTT.Topic}
		}
		judge(t, &r, object{"eventType": TypeTelemetry, "correlationId": tel.EventID.String(), "timestamp": iso(source), "source": object{"type": "device", "id": tel.DeviceID}, "__version": "v1", "payload": payload})
		if string(r.Key) != tel.DeviceID {
			t.Fatalf("key %q", r.Key)
		}
	})
}

// place is the reference of where telemetry's values go; false when one of them cannot be written.
func place(values []Value, custom reference) (reference, bool) {
	own := map[string]string{"temperature": "°C", "humidity": "%", "pressure": "hPa", "batteryLevel": "%", "signalStrength": "dBm", "uptime": "s", "memoryUsage": "B", "cpuUsage": "%",
		"errorCount": "", "latitude": "°", "longitude": "°", "altitude": "m"}
	usual := map[string]string{"vpd": "kPa", "co2": "ppm", "light": "µmol/m²/s", "ph": "pH", "ec": "mS/cm", "water_level": "%"}
	data, taken := reference{}, map[string]bool{}
	var analog, discrete []any
	doubts := map[Quality]map[string]any{Bad: {}, Uncertain: {}}
	for _, v := range values {
		id := orElse(v.Name, v.Quantity)
		unit, isOwn := own[v.Quantity]
		first := isOwn && !v.Discrete && !v.Extra && (v.Unit == "" || v.Unit == unit) && !taken[v.Quantity]
		taken[v.Quantity] = taken[v.Quantity] || first
		if doubt, ok := doubts[v.Quality]; ok && doubt[id] == nil {
			doubt[id] = orElse(v.Reason, map[Quality]string{Bad: "no usable value", Uncertain: "of uncertain quality"}[v.Quality])
		}
		switch {
		case v.Quality == Bad:
			continue
		case !finite(v.Value):
			return nil, false
		case v.Discrete:
			discrete = append(discrete, object{"id": id, "state": v.Value != 0})
			continue
		case first && (v.Quantity != "batteryLevel" || v.Value >= 0 && v.Value <= 100):
			data[v.Quantity] = v.Value
			continue
		}
		input := reference{"id": id, "value": v.Value}
		input.put("unit", orElse(v.Unit, orElse(unit, usual[v.Quantity])))
		analog = append(analog, input)
	}
	if analog != nil {
		data["analogInputs"] = analog
	}
	if discrete != nil {
		data["discreteInputs"] = discrete
	}
	if len(doubts[Bad]) > 0 {
		custom["bad"] = doubts[Bad]
	}
	if len(doubts[Uncertain]) > 0 {
		custom["uncertain"] = doubts[Uncertain]
	}
	return data, true
}

func TestDeviceEventsProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e, s := speaker(t)
		st, device, alert := stamp(t), "d"+hostile().Draw(t, "device"), ids().Draw(t, "alert")
		at := rapid.OneOf(instant(), rapid.Just(time.Time{})).Draw(t, "at")
		told := iso(orAt(at, st.At))
		reason, text := hostile().Draw(t, "reason"), hostile().Draw(t, "text")
		trigger, threshold := maybe(number()).Draw(t, "trigger"), maybe(number()).Draw(t, "threshold")
		list, metadata := facts(t)
		var r Record
		write := func(err error, eventType, correlation string, payload reference) {
			if err != nil {
				t.Fatal(err)
			}
			payload["deviceId"] = device
			judge(t, &r, hubEnvelope(s, eventType, st, correlation, payload))
			if string(r.Key) != device {
				t.Fatalf("key %q", r.Key)
			}
		}

		status := rapid.SampledFrom([]string{Online, Offline, InError, Asleep, Maintenance})
		c := &StatusChanged{Stamp: st, DeviceID: device, Previous: status.Draw(t, "previous"), Current: status.Draw(t, "current"), Changed: at, Reason: reason, LastSeen: at, SignalStrength: trigger, Temperature: threshold}
		p, known := reference{"previousStatus": c.Previous, "currentStatus": c.Current, "changedAt": told}, reference{}
		p.put("reason", reason)
		known.number("signalStrength", trigger)
		known.number("temperature", threshold)
		if !at.IsZero() {
			known["lastSeen"] = told
		}
		p.put("metadata", known.orNil())
		write(e.StatusChanged(&r, c), TypeStatusChanged, st.EventID, p)

		p = reference{"manufacturerId": orElse(reason, "unknown"), "model": orElse(text, "unknown"), "firmwareVersion": "unknown", "capabilities": []string{text, reason}, "registeredBy": "system", "registeredAt": told}
		p.put("serialNumber", text)
		p.put("hardwareRevision", reason)
		p.put("metadata", metadata.orNil())
		write(e.Registered(&r, &Registered{Stamp: st, DeviceID: device, Manufacturer: reason, Model: text, Hardware: reason, Serial: text, Capabilities: []string{text, reason}, Registered: at, Metadata: list}), TypeRegistered, st.EventID, p)

		severity := rapid.IntRange(0, 3).Draw(t, "severity")
		kind := rapid.SampledFrom([]string{"threshold", "connectivity", "battery", "error", "security", "maintenance"}).Draw(t, "kind")
		p = reference{"alertId": alert, "alertType": kind, "severity": [...]string{"low", "medium", "high", "critical"}[severity], "title": text, "description": reason, "raisedAt": told}
		p.number("triggerValue", trigger)
		p.number("thresholdValue", threshold)
		if text != "" {
			metadata["zone"], metadata["facilityId"] = text, s.Facility
		}
		p.put("metadata", metadata.orNil())
		write(e.DeviceAlertRaised(&r, &DeviceAlertRaised{Stamp: st, DeviceID: device, AlertID: alert, Type: kind, Severity: Severity(severity), Title: text, Description: reason, Raised: at, Trigger: trigger, Threshold: threshold,
			Zone: text, Metadata: list}), TypeDeviceAlertRaised, alert, p)

		by := rapid.SampledFrom([]string{"system", "user", "device"}).Draw(t, "by")
		p = reference{"alertId": alert, "resolvedAt": told, "resolvedBy": by, "userId": alert}
		p.put("resolutionReason", reason)
		write(e.DeviceAlertResolved(&r, &DeviceAlertResolved{Stamp: st, DeviceID: device, AlertID: alert, Resolved: at, By: by, Reason: reason, UserID: alert}), TypeDeviceAlertResolved, alert, p)
	})
}

func (o reference) number(name string, v *float64) {
	if v != nil {
		o[name] = *v
	}
}

// orNil is nil for an object without members.
func (o reference) orNil() reference {
	if len(o) == 0 {
		return nil
	}
	return o
}
