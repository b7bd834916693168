package contract

import (
	"slices"
	"testing"
)

func TestDeviation(t *testing.T) {
	for _, tt := range []struct {
		value, low, high float64
		state            State
		want             float64
	}{
		{28.4, 22, 26, Raised, 2.4},
		{28.4, 22, 26, Resolved, 0},
		{19.9, 22, 26, Escalated, -2.1},
		{22, 22, 26, Raised, 0},
		{26, 22, 26, Corrected, 0},
		{24, 22, 26, Raised, 0},
		{1e15 + 1, 0, 1e15, Raised, 1},
		{26 + 1e-12, 22, 26, Raised, 9.983125437429408e-13}, // not rounded to nothing: it is a breach
	} {
		a := Alert{Value: tt.value, State: tt.state}
		if got := a.deviation(tt.low, tt.high); got != tt.want {
			t.Errorf("%v in %v..%v, %v: %v, want %v", tt.value, tt.low, tt.high, tt.state, got, tt.want)
		}
	}
}

func TestActionAndSeverityWords(t *testing.T) {
	for got, want := range map[string]string{
		Action("exhaust-fan", 1, false): "exhaust-fan=on",
		Action("heater", 0, false):      "heater=off",
		Action("vent", 1, true):         "vent=1",
		Action("vent", 37.5, true):      "vent=37.5",
		Info.Device():                   "low",
		Warning.Device():                "medium",
		Critical.Device():               "high",
		Emergency.Device():              "critical",
		Severity(9).Device():            "",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestUnits proves that each quantity of alerts has a unit, spelled with the micro sign (U+00B5) that the contract has.
func TestUnits(t *testing.T) {
	for _, q := range AlertQuantities() {
		if len(Units(q)) == 0 || !AlertUnit(q, Units(q)[0]) || AlertUnit(q, "°F") {
			t.Errorf("%s: units %v", q, Units(q))
		}
	}
	if got := Units(Light); !slices.Equal(got, []string{"\u00b5mol/m²/s", "lx"}) {
		t.Errorf("light: %q", got)
	}
	if Units("voc") != nil || AlertUnit("voc", "") {
		t.Error("no alert is about voc")
	}
}

// TestDerivedIDs pins what the platform knows sensors by: these must never change.
func TestDerivedIDs(t *testing.T) {
	for got, want := range map[string]string{
		SensorID("gh-riga-01", "veg1-climate", "temperature"): "e3c81f74-37da-5ba5-8275-a0a4704e6ec4",
		DerivedSensorID("gh-riga-01", "veg-1", "vpd"):         "b5635edc-838c-5933-8a3e-1eadc85f5a7d",
	} {
		if got != want || !isUUID(got) || got[14] != '5' {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if SensorID("a", "b", "c") == SensorID("a", "bc", "") || SensorID("a", "b", "c") == DerivedSensorID("a", "b", "c") {
		t.Error("two sensors have one id")
	}
}

func TestIDs(t *testing.T) {
	id := NewID()
	if id == NewID() || id.String()[14] != '7' || !isUUID(id.String()) {
		t.Errorf("new id %s", id)
	}
	if back, err := ParseID(id.String()); err != nil || back != id {
		t.Errorf("%s became %s (%v)", id, back, err)
	}
	text := eventID(7).String()
	if text != "019a242b-21fb-76ae-ac2c-000000000007" {
		t.Error(text)
	}
	for _, wrong := range []string{"", text[:35], "{" + text[1:35] + "}", "urn:uuid:" + text, "019a242b021fb-76ae-ac2c-000000000007", "019a242b-21fb-76ae-ac2c-00000000000g"} {
		if _, err := ParseID(wrong); err == nil {
			t.Errorf("%q is taken for a uuid", wrong)
		}
	}
}

func TestTopics(t *testing.T) {
	critical := map[string]bool{TopicEnvironment: true, TopicDeviceAlerts: true, TopicDeviceEvents: true, TopicTelemetry: false}
	topics := Topics()
	if len(topics) != len(critical) {
		t.Fatalf("%d topics", len(topics))
	}
	for _, topic := range topics {
		if want, ok := critical[topic.Name]; !ok || topic.Critical != want || len(topic.Events) == 0 {
			t.Errorf("%+v", topic)
		}
	}
}
