package contract

import (
	"math"
	"strings"
	"testing"

	"gacp-erp.internal/glasshouse/drivers/profile"
)

// TestPlaces tells where values go that are easily put in the wrong place.
func TestPlaces(t *testing.T) {
	good := func(name, quantity, unit string, v float64) Value {
		return Value{Name: name, Quantity: quantity, Unit: unit, Value: v, Quality: Good}
	}
	for name, tt := range map[string]struct {
		values []Value
		want   string // data
	}{
		"none":                       {nil, `{}`},
		"members in order":           {[]Value{good("", Humidity, "", 61), good("", Temperature, "", 24.1)}, `{"humidity":61,"temperature":24.1}`},
		"another unit":               {[]Value{good("p", "pressure", "kPa", 101.3)}, `{"analogInputs":[{"id":"p","value":101.3,"unit":"kPa"}]}`},
		"usual unit":                 {[]Value{good("", WaterLevel, "", 40)}, `{"analogInputs":[{"id":"water_level","value":40,"unit":"%"}]}`},
		"no unit":                    {[]Value{good("voc", "voc", "", 3)}, `{"analogInputs":[{"id":"voc","value":3}]}`},
		"a second of its quantity":   {[]Value{good("air", Temperature, "", 24), good("leaf", Temperature, "", 22)}, `{"temperature":24,"analogInputs":[{"id":"leaf","value":22,"unit":"°C"}]}`},
		"the first is Bad":           {[]Value{{Name: "air", Quantity: Temperature, Reason: "stale"}, good("leaf", Temperature, "", 22)}, `{"analogInputs":[{"id":"leaf","value":22,"unit":"°C"}],"custom":{"bad":{"air":"stale"}}}`},
		"extra alone":                {[]Value{{Name: "leaf", Quantity: Temperature, Value: 22, Extra: true, Quality: Good}}, `{"analogInputs":[{"id":"leaf","value":22,"unit":"°C"}]}`},
		"battery the platform takes": {[]Value{good("", "batteryLevel", "", 100)}, `{"batteryLevel":100}`},
		"battery it refuses":         {[]Value{good("", "batteryLevel", "%", 100.5)}, `{"analogInputs":[{"id":"batteryLevel","value":100.5,"unit":"%"}]}`},
		"on and off":                 {[]Value{{Name: "fan", Discrete: true, Value: 1, Quality: Good}, {Name: "lamp", Discrete: true, Quality: Good}}, `{"discreteInputs":[{"id":"fan","state":true},{"id":"lamp","state":false}]}`},
		"a discrete temperature":     {[]Value{{Quantity: Temperature, Discrete: true, Value: 1, Quality: Good}}, `{"discreteInputs":[{"id":"temperature","state":true}]}`},
		"bad twice by one name":      {[]Value{{Name: "a", Reason: "stale"}, {Name: "a", Reason: "stuck"}}, `{"custom":{"bad":{"a":"stale"}}}`},
		"bad and uncertain":          {[]Value{{Name: "a", Value: math.NaN()}, {Name: "a", Value: 1, Quality: Uncertain}}, `{"analogInputs":[{"id":"a","value":1}],"custom":{"bad":{"a":"no usable value"},"uncertain":{"a":"of uncertain quality"}}}`},
	} {
		var r Record
		if err := newEncoder(t).Telemetry(&r, &Telemetry{EventID: eventID(1), DeviceID: "d", Received: noon, Values: tt.values}); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		_, data, _ := strings.Cut(string(r.Body), `"data":`)
		if data = strings.TrimSuffix(data, "}}"); data != tt.want {
			t.Errorf("%s: %s, want %s", name, data, tt.want)
		}
		if err := Validate(r.Topic, r.Body); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestWhatAPlatformDeviceSendsKeepsItsPlace: what has a member in data goes there, also through the gateway.
func TestWhatAPlatformDeviceSendsKeepsItsPlace(t *testing.T) {
	p, ok := profile.Lookup("platform-device")
	if !ok {
		t.Fatal("no profile")
	}
	for _, q := range p.Points {
		var none slots
		want, _ := slotOf(q.Name)
		if got := none.take(&Value{Name: q.Name, Quantity: q.Quantity, Unit: q.Unit, Value: 50, Quality: Good}); got != want {
			t.Errorf("%s, of quantity %s in %q, goes to member %q, want %q", q.Name, q.Quantity, q.Unit, got.member(), want.member())
		}
	}
}
