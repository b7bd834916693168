package rules

import (
	"math"
	"testing"
	"time"
)

func TestSentence(t *testing.T) {
	for want, s := range map[string]Spec{
		"temperature in veg-1 is to be 22 to 26 °C from 06:00 to 24:00, else 18 to 22 °C. Out of that for 30 s it is a warning, critical from 4 °C beyond, " +
			"an emergency from 8 °C beyond; it is over once the value is back by 0.5 °C for 20 s. Too high: fan on until the alert is over. " +
			"Too low: heater on and fan off until the alert is over. If that does not bring it back within 5 min, or an output refuses, that is told, and it goes on. " +
			"Without a usable value a correction goes on for 2 min, then fan and heater go to their safe values until there is one.": func() Spec {
			s := temperature()
			s.DayFrom, s.DayTo = 6*time.Hour, 24*time.Hour
			s.Below = append(s.Below, Action{fan, "fan", 0})
			return s
		}(),
		"VPD in veg-1 is to be 0.8 to 1.2 kPa, computed from the median of 2 sensors of temperature and humidity. Out of that it is a warning; " +
			"it is over once the value is back. Nothing is switched.": {ID: "v", Zone: "veg-1", Quantity: "vpd", Unit: "kPa", Inputs: []int{0, 1, 2}, Split: 2, Derive: VPD, Day: Limits{0.8, 1.2}},
		"CO2 in flower-1 is to be 600 ppm or more from 18:30 to 06:00, else 1500 ppm or less, the median of 2 sensors. Out of that it is a warning; it is over once the value is back. " +
			"Too low: co2-valve 40 until the alert is over. If that does not bring it back within 10 min, or an output refuses, that is told, and it goes on. " +
			"Without a usable value co2-valve goes to its safe value until there is one.": {ID: "c", Zone: "flower-1", Quantity: "co2", Unit: "ppm", Inputs: []int{0, 1},
			DayFrom: 18*time.Hour + 30*time.Minute, DayTo: 6 * time.Hour, Day: Limits{600, open}, Night: Limits{open, 1500}, Below: []Action{{0, "co2-valve", 40}}},
	} {
		set, err := Compile([]Spec{s})
		if err != nil {
			t.Fatal(err)
		}
		if got := set.Sentence(0); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
}

func TestDurationText(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0 ms", 250 * time.Millisecond: "250 ms", time.Second: "1 s", 1499 * time.Millisecond: "1 s", 30 * time.Second: "30 s",
		90 * time.Second: "1 min 30 s", 10 * time.Minute: "10 min", time.Hour + 29*time.Second: "1 h", 2*time.Hour + 5*time.Minute: "2 h 5 min",
		59*time.Minute + 59*time.Second + 900*time.Millisecond: "1 h", 50 * time.Hour: "2 d 2 h", 24*time.Hour + 5*time.Minute: "1 d 5 min"} {
		if got := durationText(d); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{27.4: "27.4", 0.1 + 0.2: "0.3", -0.0001: "0", 1.23456: "1.235", -40: "-40", 1500: "1500"} {
		if got := number(v); got != want {
			t.Errorf("%g: %q, want %q", v, got, want)
		}
	}
	if got := number(math.MaxFloat64); got == "+Inf" {
		t.Error("the largest number is none")
	}
}

func TestQuantityText(t *testing.T) {
	for q, want := range map[string]string{"temperature": "temperature", "water_level": "water level", "co2": "CO2", "ph": "pH", "ec": "EC", "vpd": "VPD"} {
		if got := quantityText(q); got != want {
			t.Errorf("%s: %q", q, got)
		}
	}
	if got := (&Spec{Unit: "pH"}).amount(6.9); got != "6.9" {
		t.Errorf("a pH of %q", got)
	}
}
