package configs

import (
	"math"
	"testing"
	"time"
)

func TestNearest(t *testing.T) {
	quantities := quantityNames()
	for _, test := range []struct {
		word  string
		among []string
		want  string
	}{
		{"temprature", quantities, "temperature"},
		{"temp", quantities, "temperature"},
		{"Temperature", quantities, "temperature"},
		{"co", quantities, "co2"},
		{"vdp", quantities, "vpd"},
		{"waterlevel", quantities, "water_level"},
		{"pressure", quantities, ""},
		{"x", []string{"y"}, ""},
		{"", quantities, ""},
		{"exhaust-fna", []string{"exhaust-fan", "flower-fan"}, "exhaust-fan"},
		{"veg1", []string{"veg-1", "veg-2"}, "veg-1"},
	} {
		if got := Nearest(test.word, test.among); got != test.want {
			t.Errorf("Nearest(%q) = %q, want %q", test.word, got, test.want)
		}
	}
}

func TestParseSpan(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"30s": 30 * time.Second, "10m": 10 * time.Minute, "2h": 2 * time.Hour, "7d": 168 * time.Hour, "1h30m": 90 * time.Minute, "250ms": 250 * time.Millisecond,
		"0s": 0, "1.5h": 90 * time.Minute, "0.1s": 100 * time.Millisecond, "1d12h": 36 * time.Hour,
	} {
		if got, err := parseSpan(text); err != nil || got != want {
			t.Errorf("parseSpan(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "30", "-5s", "5 s", "5min", "s", "1h-3m", "5us", "9999999d", "1e3s", "٣s"} {
		if got, err := parseSpan(text); err == nil {
			t.Errorf("parseSpan(%q) = %v", text, got)
		}
	}
	for d, want := range map[time.Duration]string{0: "0s", 48 * time.Hour: "2d", 5 * time.Hour: "5h", 90 * time.Minute: "90m", 1500 * time.Millisecond: "1.5s"} {
		if got := spanText(d); got != want {
			t.Errorf("spanText(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{"64MiB": 64 << 20, "2GiB": 2 << 30, "1.5GiB": 3 << 29, "512 KiB": 512 << 10, "1TiB": 1 << 40} {
		if got, hint := parseSize(text); got != want {
			t.Errorf("parseSize(%q) = %d, %s, want %d", text, got, hint, want)
		}
		if text != "1.5GiB" && text != "512 KiB" && sizeText(want) != text {
			t.Errorf("sizeText(%d) = %q, want %q", want, sizeText(want), text)
		}
	}
	for text, want := range map[string]string{"2GB": "did you mean 2GiB?", "64M": "did you mean 64MiB?", "3": "did you mean 3MiB?", "64Mi": "did you mean 64MiB?",
		"x": "such as 64MiB or 2GiB", "": "such as 64MiB or 2GiB", "-1MiB": "such as 64MiB or 2GiB", "99999999999999999999TiB": "such as 64MiB or 2GiB"} {
		if got, hint := parseSize(text); got >= 0 || hint != want {
			t.Errorf("parseSize(%q) = %d, %q, want the hint %q", text, got, hint, want)
		}
	}
}

func TestParseLimits(t *testing.T) {
	nan := math.NaN()
	for text, want := range map[string]Limits{"22..26": {22, 26}, "..26": {nan, 26}, "22..": {22, nan}, "-5..5": {-5, 5}, "0.8..1.2": {0.8, 1.2}, "22 .. 26": {22, 26}, "-5..-2": {-5, -2}} {
		got, hint := parseLimits(text)
		if hint != "" || got.String() != want.String() {
			t.Errorf("parseLimits(%q) = %v, %q, want %v", text, got, hint, want)
		}
	}
	for text, want := range map[string]string{
		"22-26": "did you mean 22..26?", "22–26": "did you mean 22..26?", "22": "at most: ..22, at least: 22.., both: 22..26", "..": "at least one side is needed",
		"22...26": "such as 22..26, ..26 or 22.., without a unit", "22..26 °C": "such as 22..26, ..26 or 22.., without a unit", "": "such as 22..26, ..26 or 22.., without a unit",
		"nan..3": "such as 22..26, ..26 or 22.., without a unit",
	} {
		if got, hint := parseLimits(text); hint != want || !got.IsOpen() {
			t.Errorf("parseLimits(%q) = %v, %q, want the hint %q", text, got, hint, want)
		}
	}
}

func TestSetpoints(t *testing.T) {
	for text, want := range map[string]float64{"on": 1, "off": 0, "true": 1, "false": 0, "0.5": 0.5, "-3": -3, "1e2": 100} {
		if got, ok := parseSetpoint(text); !ok || got != want {
			t.Errorf("parseSetpoint(%q) = %v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "yes", "ON", "nan", "inf", "0x10", "1_000", "1e999", ".5", "5."} {
		if got, ok := parseSetpoint(text); ok {
			t.Errorf("parseSetpoint(%q) = %v", text, got)
		}
	}
}

func TestEndpoints(t *testing.T) {
	for _, test := range []struct {
		check func(*string) error
		good  []string
		bad   []string
	}{
		{modbusEndpoint, []string{"tcp://10.0.0.20:502", "tcp://plc.local", "rtu+tcp://[fe80::1]:4001", "rtu:///dev/ttyUSB0?baud=9600&parity=even"},
			[]string{"10.0.0.20:502", "tcp://", "tcp://h:0", "tcp://h:70000", "tcp://h:", "rtu://dev/ttyUSB0", "rtu:///", "mqtt://h", "tcp://u:p@h", "http://h", "tcp://h:x", "\x00"}},
		{mqttEndpoint, []string{"mqtt://127.0.0.1:1883", "mqtts://broker", "mqtt://h:1883/"},
			[]string{"tcp://h", "mqtt://", "mqtt://u@h", "mqtt://h/path", "mqtt://h?x=1", "h:1883", "ws://h", "mqtt://h:1:2"}},
		{hostPort, []string{"kafka-1:9092", "[::1]:9092"}, []string{"kafka", "kafka:", ":9092", "kafka:99999", "kafka://h:1", "k:v:1", "u@h:1"}},
	} {
		for _, text := range test.good {
			if err := test.check(&text); err != nil {
				t.Errorf("%q: %v", text, err)
			}
		}
		for _, text := range test.bad {
			if err := test.check(&text); err == nil {
				t.Errorf("%q is accepted", text)
			}
		}
	}
}

func TestQuantities(t *testing.T) {
	for _, q := range Quantities() {
		if got, ok := QuantityOf(q.Name); !ok || got != q || q.Min >= q.Max || q.Unit == "" {
			t.Errorf("%+v: %+v, %v", q, got, ok)
		}
	}
	if _, ok := QuantityOf("noise"); ok {
		t.Error("noise is a quantity")
	}
}
