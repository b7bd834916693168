package mqtt

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"gacp-erp.internal/glasshouse/drivers"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// plant is a bus with every kind of device.
func plant() Config {
	return Config{Name: "field", Endpoint: "mqtt://127.0.0.1:1883", ClientID: "gh-1", Devices: []Device{
		{ID: "veg1-climate", User: "u1", Points: []Point{
			{ID: "veg1-climate.temperature", Name: "temperature", Unit: "°C"},
			{ID: "veg1-climate.humidity", Name: "humidity"},
			{ID: "veg1-climate.pressure", Name: "pressure"},
			{ID: "veg1-climate.battery", Name: "batteryLevel"},
			{ID: "veg1-climate.co2", Name: "co2", Unit: "ppm", Max: 10000},
			{ID: "veg1-climate.door", Name: "discreteInputs.7"},
			{ID: "veg1-climate.leaf", Name: "custom.leaf", Scale: 0.1, Offset: -1},
			{ID: "veg1-climate.uptime", Name: "system.uptime"},
		}},
		{ID: "erp", Points: []Point{
			{ID: "erp.t", Name: "temperature-1", Topic: "gacp/sensors/veg-1/temperature", Unit: "°C", Min: -60, Max: 100},
			{ID: "erp.t2", Topic: "sensors/temp/veg001", Unit: "°C", Min: -60, Max: 100},
		}},
		{ID: "plug", Mapping: Paths, Status: "tele/plug/LWT", Points: []Point{
			{ID: "plug.power", Topic: "tele/plug/SENSOR", Path: "ENERGY.Power", Time: "Time"},
			{ID: "plug.phase2", Topic: "tele/plug/SENSOR", Path: "ENERGY.Phases[1].V", Time: "Time"},
			{ID: "plug.lux", Topic: "plug/lux"},
			{ID: "plug.door", Topic: "plug/door", Path: "contact"},
		}, Outputs: []Output{
			{ID: "plug.relay", CommandTopic: "cmnd/plug/POWER", StateTopic: "stat/plug/POWER"},
			{ID: "plug.fan", CommandTopic: "fan/set", StateTopic: "fan/state", On: "on", Off: "off", StatePath: "relay.state"},
		}},
	}}
}

func newDriver(t testing.TB, c Config) *Driver {
	t.Helper()
	d, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	// Nothing may connect in tests of the inside.
	d.began.Do(func() {})
	return d
}

// text shows readings as the golden tables have them.
func text(readings []drivers.Reading) string {
	var lines []string
	for _, r := range readings {
		line := fmt.Sprintf("%s %s", r.Point, r.Quality)
		if r.Quality == drivers.Good {
			line = fmt.Sprintf("%s %g", r.Point, r.Value)
		} else if r.Err != nil {
			line += " (" + r.Err.Error() + ")"
		}
		if !r.At.Equal(noon) {
			line += " @" + r.At.UTC().Format(time.RFC3339Nano)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

const telemetry = "users/u1/devices/veg1-climate/telemetry"

func TestBodies(t *testing.T) {
	for name, c := range map[string]struct {
		topic, payload, want string
		retained             bool
	}{
		"flat": {topic: telemetry, payload: `{"temperature":21.5,"humidity":60,"pressure":1013.2,"batteryLevel":88,
			"analogInputs":[{"id":"co2","value":812,"unit":"ppm"}],"discreteInputs":[{"id":7,"state":true}],"custom":{"leaf":205}}`,
			want: "veg1-climate.temperature 21.5\nveg1-climate.humidity 60\nveg1-climate.pressure 1013.2\nveg1-climate.battery 88\n" +
				"veg1-climate.co2 812\nveg1-climate.door 1\nveg1-climate.leaf 19.5"},
		"flat, short topic, alias": {topic: "devices/veg1-climate/telemetry", payload: `{"temp":-3}`, want: "veg1-climate.temperature -3"},
		"escaped key":              {topic: telemetry, payload: `{"temper\u0061ture":1}`, want: "veg1-climate.temperature 1"},
		"last of two":              {topic: telemetry, payload: `{"temperature":1,"temperature":2}`, want: "veg1-climate.temperature 2"},
		"older": {topic: telemetry, payload: `{"deviceId":"veg1-climate","timestamp":1772366395000,"sensors":{"temperature":22,"co2":900},"system":{"uptime":5,"freeMemory":7}}`,
			want: "veg1-climate.temperature 22 @2026-03-01T11:59:55Z\nveg1-climate.co2 900 @2026-03-01T11:59:55Z\nveg1-climate.uptime 5 @2026-03-01T11:59:55Z"},
		"status":      {topic: "users/u1/devices/veg1-climate/status", payload: `{"status":"offline","timestamp":"2026-03-01T10:00:00Z"}`, retained: true, want: " bad (carries no value) @2026-03-01T10:00:00Z"},
		"attributes":  {topic: "devices/veg1-climate/attributes", payload: `{"deviceId":"veg1-climate","attributes":{"fw":"1.2"}}`, want: " bad (carries no value)"},
		"own status":  {topic: "tele/plug/LWT", payload: `Online`, want: " bad (carries no value)"},
		"single":      {topic: "gacp/sensors/veg-1/temperature", payload: `{"value":25.5,"unit":"celsius","sensor_id":"temperature-1","recorded_at":"2026-03-01T18:59:00+07:00"}`, want: "erp.t 25.5 @2026-03-01T11:59:00Z"},
		"acceptance":  {topic: "sensors/temp/veg001", payload: `{"sensor_id":"x","value":24,"timestamp":"2026-03-01T12:00:00Z"}`, want: "erp.t2 24"},
		"150 degrees": {topic: "sensors/temp/veg001", payload: `{"sensor_id":"x","value":150}`, want: "erp.t2 bad (out of range)"},
		"paths": {topic: "tele/plug/SENSOR", payload: `{"Time":"2026-03-01T12:00:00Z","ENERGY":{"Power":41,"Phases":[{"V":1},{"V":230}]}}`,
			want: "plug.power 41\nplug.phase2 230"},
		"bare number":      {topic: "plug/lux", payload: ` 300 `, want: "plug.lux 300"},
		"output on":        {topic: "stat/plug/POWER", payload: `on`, want: "plug.relay 1"},
		"output retained":  {topic: "stat/plug/POWER", payload: `ON`, retained: true, want: "plug.relay bad (stale)"},
		"output odd":       {topic: "stat/plug/POWER", payload: `maybe`, want: "plug.relay bad (not a number)"},
		"output in JSON":   {topic: "fan/state", payload: `{"relay":{"state":"off"}}`, want: "plug.fan 0"},
		"contact":          {topic: "plug/door", payload: `{"contact":false}`, want: "plug.door 0"},
		"no truth in °C":   {topic: telemetry, payload: `{"temperature":true,"analogInputs":[{"id":"co2","value":true}]}`, want: "veg1-climate.temperature bad (not a number)\nveg1-climate.co2 bad (not a number)"},
		"nor on one's own": {topic: "sensors/temp/veg001", payload: `{"value":true}`, want: "erp.t2 bad (not a number)"},
		"what is null":     {topic: telemetry, payload: `{"deviceId":null,"timestamp":null,"analogInputs":[{"id":"co2","value":800,"unit":null}]}`, want: "veg1-climate.co2 800"},
		"single, null":     {topic: "sensors/temp/veg001", payload: `{"value":21,"unit":null}`, want: "erp.t2 21"},
		"wrong type":       {topic: telemetry, payload: `{"temperature":"21","humidity":null,"pressure":{},"co2":1e999}`, want: "veg1-climate.temperature bad (not a number)\nveg1-climate.humidity bad (not a number)\nveg1-climate.pressure bad (not a number)\nveg1-climate.co2 bad (not a number)"},
		"retained":         {topic: telemetry, payload: `{"temperature":21}`, retained: true, want: "veg1-climate.temperature bad (stale)"},
		"retained, fresh":  {topic: telemetry, payload: `{"temperature":21,"timestamp":"2026-03-01T11:59:00Z"}`, retained: true, want: "veg1-climate.temperature 21 @2026-03-01T11:59:00Z"},
		"retained, old":    {topic: telemetry, payload: `{"temperature":21,"timestamp":"2026-03-01T11:00:00Z"}`, retained: true, want: "veg1-climate.temperature bad (stale) @2026-03-01T11:00:00Z"},
		"no clock":         {topic: telemetry, payload: `{"temperature":21,"timestamp":12345}`, want: "veg1-climate.temperature 21"},
		"a little ahead":   {topic: telemetry, payload: `{"temperature":21,"timestamp":"2026-03-01T12:59:59Z"}`, want: "veg1-climate.temperature 21 @2026-03-01T12:59:59Z"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDriver(t, plant())
			d.receive(&incoming{topic: c.topic, payload: []byte(c.payload), retained: c.retained, at: noon}, nil)
			got, delivery := d.Drain(nil)
			if text(got) != c.want || delivery != 1 {
				t.Errorf("delivery %d:\n%s\nwant\n%s", delivery, text(got), c.want)
			}
			for _, r := range got {
				raw := c.payload
				if r.Message != nil && r.Message.Kind == drivers.Telemetry {
					raw = ""
				}
				if r.Message == nil || r.Message != got[0].Message || r.Message.Topic != c.topic || string(r.Message.Raw) != raw {
					t.Errorf("message %+v", r.Message)
				}
				if r.Quality != drivers.Good && r.Value != 0 {
					t.Errorf("a bad reading carries %g", r.Value)
				}
			}
		})
	}
}

func TestRejections(t *testing.T) {
	for name, c := range map[string]struct {
		topic, payload string
		want           Reason
	}{
		"not JSON":             {telemetry, `{"temperature":NaN}`, NotJSON},
		"state not JSON":       {"fan/state", `{"relay`, NotJSON},
		"empty":                {telemetry, ``, NotJSON},
		"cut":                  {telemetry, `{"temperature":2`, NotJSON},
		"too large":            {telemetry, `"` + strings.Repeat("x", maxPayload) + `"`, TooLarge},
		"unknown topic":        {"users/u1/devices/other/telemetry", `{}`, UnknownTopic},
		"another user":         {"users/u2/devices/veg1-climate/telemetry", `{"temperature":1}`, UnknownTopic},
		"another device":       {telemetry, `{"deviceId":"x","temperature":1}`, UnknownDevice},
		"unknown sensor":       {telemetry, `{"sensors":{"wind":3}}`, UnknownSensor},
		"nothing in it":        {telemetry, `[]`, UnknownSensor},
		"unknown sensor id":    {"gacp/sensors/veg-1/temperature", `{"value":1,"sensor_id":"y"}`, UnknownSensor},
		"unit":                 {"gacp/sensors/veg-1/temperature", `{"value":70,"unit":"fahrenheit","sensor_id":"temperature-1"}`, WrongUnit},
		"unit of an input":     {telemetry, `{"analogInputs":[{"id":"co2","value":1,"unit":"%"}]}`, WrongUnit},
		"future":               {telemetry, `{"temperature":1,"timestamp":"2026-03-01T13:00:01Z"}`, Future},
		"far future":           {telemetry, `{"temperature":1,"timestamp":900000000000000}`, Future},
		"no time":              {telemetry, `{"temperature":1,"timestamp":"yesterday"}`, BadTime},
		"time without offset":  {telemetry, `{"temperature":1,"timestamp":"2026-03-01T12:00:00"}`, BadTime},
		"time of another type": {telemetry, `{"temperature":1,"timestamp":true}`, BadTime},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDriver(t, plant())
			acks := &acks{}
			d.receive(&incoming{topic: c.topic, payload: []byte(c.payload), qos: 1, packetID: 9, at: noon}, acks)
			d.sendAcks()
			if got, delivery := d.Drain(nil); len(got) != 0 || delivery != 0 {
				t.Errorf("delivered %s", text(got))
			}
			if !slices.Equal(acks.ids, []uint16{9}) {
				t.Errorf("acknowledged %v", acks.ids)
			}
			for _, r := range d.Stats().Rejections {
				if want := uint64(0); r.Reason == c.want && r.Count == want || r.Reason != c.want && r.Count != want {
					t.Errorf("%s counted %d, last %s", r.Reason, r.Count, r.Last)
				}
			}
		})
	}
}

// acks notes what is acknowledged.
type acks struct{ ids []uint16 }

func (a *acks) Ack(p *paho.Publish) error {
	a.ids = append(a.ids, p.PacketID)
	return nil
}

func TestSampleIsPrintable(t *testing.T) {
	got := sample("a\x1b[31m", []byte("\x00\xffé"+strings.Repeat("x", 1000)))
	if len(got) > 300 || strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("%q", got)
	}
}

func TestDerivedID(t *testing.T) {
	a := derivedID("d", noon, []byte("x"))
	if a != derivedID("d", noon.In(time.FixedZone("", 3600)), []byte("x")) {
		t.Error("not the same for the same instant")
	}
	for _, b := range [][16]byte{derivedID("e", noon, []byte("x")), derivedID("d", noon.Add(1), []byte("x")), derivedID("d", noon, []byte("y"))} {
		if a == b {
			t.Error("the same for another message")
		}
	}
	if a[6]>>4 != 8 || a[8]>>6 != 2 {
		t.Errorf("no v8: %x", a)
	}
	if b := chanceID(noon); b[6]>>4 != 7 || b[8]>>6 != 2 || b == chanceID(noon) {
		t.Errorf("no v7: %x", b)
	}
}

func TestConfigFaults(t *testing.T) {
	_, err := New(Config{Name: "b", Endpoint: "mqtt://u:hidden@h", Password: "hidden", Devices: []Device{
		{ID: "a/b"}, {ID: "a/b"}, {ID: "twins", Points: []Point{{ID: "t.a", Name: "t"}, {ID: "t.b", Name: "t"}}}, {ID: "p", Mapping: Paths, Points: []Point{{ID: "p.x"}, {ID: "p.x", Topic: "a/+", Path: "a..b", Min: 2, Max: 1}},
			Outputs: []Output{{ID: "p.o", CommandTopic: "a", StateTopic: "a", On: "x", Off: "X", StatePath: "a[x]"}}}}})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"has the name", "endpoint must", "client id", "password without", "there twice", "letters, digits", "a topic is needed",
		"no topic name", "empty key", "above max", "two topic names", "same payload", "bad index"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %q in %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "hidden") {
		t.Errorf("shows the password: %v", err)
	}
}

func FuzzPayload(f *testing.F) {
	for _, seed := range []string{`{"temperature":21.5,"timestamp":1772366395000}`, `{"analogInputs":[{"id":"co2","value":1e400}]}`, `[[[]]]`, `{"a`,
		`"\ud800"`, `-0`, `{"ENERGY":{"Phases":[1,{"V":2}]}}`, `{"sensors":{"temperature":true},"timestamp":"9999-12-31T23:59:59Z"}`, "\xff", ``, ` `} {
		f.Add([]byte(seed))
	}
	topics := []string{telemetry, "gacp/sensors/veg-1/temperature", "tele/plug/SENSOR", "plug/lux", "stat/plug/POWER", "fan/state",
		"devices/veg1-climate/status", "tele/plug/LWT"}
	f.Fuzz(func(t *testing.T, payload []byte) {
		payload = slices.Clip(payload) // reading behind its end shows
		d := newDriver(t, plant())
		for _, topic := range topics {
			d.receive(&incoming{topic: topic, payload: payload, qos: 1, at: noon}, &acks{})
		}
		readings, _ := d.Drain(nil)
		for _, r := range readings {
			if r.Quality == drivers.Good && (r.Value-r.Value != 0 || r.Err != nil) || r.Quality != drivers.Good && (r.Value != 0 || r.Err == nil) {
				t.Errorf("%+v", r)
			}
			if r.At.After(noon.Add(futureLimit)) {
				t.Errorf("from the future: %v", r.At)
			}
		}
	})
}

func TestPaths(t *testing.T) {
	for path, want := range map[string]string{"a.b[0].c": `1`, "a.b[1][2]": `"x,]"`, "": `whole`, "[0]": ``, "a.z": ``, "a.b[9]": ``, "a": `obj`} {
		steps, err := parsePath(path)
		if err != nil {
			t.Fatal(path, err)
		}
		body := `{ "a" : {"b": [ {"c":1} , [true, {}, "x,]"] ], "d":"\"}" } }`
		switch want {
		case "whole":
			want = body
		case "obj":
			want = `{"b": [ {"c":1} , [true, {}, "x,]"] ], "d":"\"}" }`
		}
		if got, _ := lookup([]byte(body), steps); string(got) != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	for _, bad := range []string{".", "a.", "a[", "a[-1]", "a[1]b", "a.[1]", "a[99999]"} {
		if _, err := parsePath(bad); err == nil {
			t.Errorf("%q accepted", bad)
		}
	}
}

// What belongs to the platform's telemetry without being anybody's point is no fault of the device.
func TestKnownFieldsAreNotCounted(t *testing.T) {
	d := newDriver(t, plant())
	d.receive(&incoming{topic: telemetry, at: noon, payload: []byte(`{"temperature":20,"signalStrength":-60,"uptime":5,"errorCount":0,"latitude":56.9,
		"custom":{"fw":"1.2"},"system":{"freeMemory":1},"metadata":{"protocol":"mqtt"}}`)}, nil)
	if got, _ := d.Drain(nil); len(got) != 1 || counted(d, UnknownSensor) != 0 {
		t.Errorf("%s; %d unknown", text(got), counted(d, UnknownSensor))
	}
	d.receive(&incoming{topic: telemetry, at: noon, payload: []byte(`{"temperature":20,"wind":3}`)}, nil)
	if got, _ := d.Drain(nil); len(got) != 1 || counted(d, UnknownSensor) != 1 {
		t.Errorf("%s; %d unknown", text(got), counted(d, UnknownSensor))
	}
}

func TestSameUnit(t *testing.T) {
	for _, pair := range [][2]string{{"celsius", "°C"}, {"C", "°C"}, {"", "%"}, {"percent", "%"}, {"umol/m2/s", "µmol/m²/s"}, {"μmol/m²/s", "µmol/m²/s"}, {"lux", "lx"}, {"PPM", "ppm"}} {
		if !sameUnit(pair[0], pair[1]) || !sameUnit(pair[1], pair[0]) {
			t.Errorf("%q and %q are the same", pair[0], pair[1])
		}
	}
	for _, pair := range [][2]string{{"F", "°C"}, {"ppm", "%"}, {"lx", "µmol/m²/s"}, {"null", "°C"}} {
		if sameUnit(pair[0], pair[1]) {
			t.Errorf("%q is not %q", pair[0], pair[1])
		}
	}
}

// BenchmarkDecode is one message of three sensors, from the payload to drained readings: here, and (the yardstick) to the
// same three values by the standard library alone.
func BenchmarkDecode(b *testing.B) {
	messages := make([]*incoming, 2*seenStamped) // so that none is still remembered when its turn comes again
	for i := range messages {
		at := noon.Add(time.Duration(i) * time.Millisecond)
		messages[i] = &incoming{topic: telemetry, at: at, payload: fmt.Appendf(nil,
			`{"deviceId":"veg1-climate","timestamp":%d,"sensors":{"temperature":22.31,"humidity":61.2,"co2":900}}`, at.UnixMilli())}
	}
	b.Run("driver", func(b *testing.B) {
		d := newDriver(b, plant())
		var dst []drivers.Reading
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			d.receive(messages[i%len(messages)], nil)
			if dst, _ = d.Drain(dst[:0]); len(dst) != 3 {
				b.Fatalf("%+v", d.Stats())
			}
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			var body struct {
				DeviceID  string             `json:"deviceId"`
				Timestamp int64              `json:"timestamp"`
				Sensors   map[string]float64 `json:"sensors"`
			}
			if err := json.Unmarshal(messages[i%len(messages)].payload, &body); err != nil || len(body.Sensors) != 3 {
				b.Fatal(err, body)
			}
		}
	})
}
