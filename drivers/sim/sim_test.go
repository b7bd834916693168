package sim

import (
	"math"
	"testing"
	"time"
)

// real is how long a step of Run is.
const real = 100 * time.Millisecond

// run lets real time pass at the default speed until done, and gives how long it took; false when it took longer.
func run(g *Greenhouse, longest time.Duration, done func() bool) (time.Duration, bool) {
	for t := time.Duration(0); t <= longest; t += real {
		if done() {
			return t, true
		}
		g.Step(real * DefaultSpeed)
	}
	return longest, false
}

// The story of the demo: too hot by itself, well again by the fan, for any weather.
func TestThermostatStory(t *testing.T) {
	for seed := range uint64(60) {
		g := New(Options{Seed: seed})
		if c := g.Reading(Veg); c.Temperature > 25 || c.Temperature < 22 {
			t.Fatalf("begins at %.1f °C", c.Temperature)
		}
		calm := func() {
			if c := g.Reading(Veg); c.Humidity < 40 || c.Humidity > 85 {
				t.Errorf("seed %d: veg-1 has %.1f %%", seed, c.Humidity)
			}
			if c := g.Reading(Flower); c.Temperature < 19 || c.Temperature > 25 || c.Humidity > 65 || c.Humidity < 35 || c.CO2 < 600 {
				t.Errorf("seed %d: flower-1 has %+v at %s", seed, c, g.Now())
			}
		}
		hot, ok := run(g, 25*time.Second, func() bool { calm(); return g.Reading(Veg).Temperature > 26.1 })
		if !ok || hot < 5*time.Second {
			t.Errorf("seed %d: after %s veg-1 has %.2f °C", seed, hot, g.Reading(Veg).Temperature)
		}
		run(g, 3*time.Second, func() bool { return false }) // a thermostat with a hold time
		peak := g.Reading(Veg).Temperature
		g.Switch(ExhaustFan, true)
		cool, ok := run(g, 25*time.Second, func() bool { calm(); return g.Reading(Veg).Temperature < 25.0 })
		if !ok || cool < 3*time.Second {
			t.Errorf("seed %d: after %s of fan veg-1 has %.2f °C", seed, cool, g.Reading(Veg).Temperature)
		}
		if testing.Verbose() {
			t.Logf("seed %d: above 26.1 after %s, peak %.2f, below 25.0 %s later; humidity %.0f", seed, hot, peak, cool, g.Reading(Veg).Humidity)
		}
	}
}

// A switch moves its zone where it should, compared with the same greenhouse without it.
func TestSwitchesWorkInTheirDirection(t *testing.T) {
	temperature := func(c Climate) float64 { return c.Temperature }
	humidity := func(c Climate) float64 { return c.Humidity }
	co2 := func(c Climate) float64 { return c.CO2 }
	light := func(c Climate) float64 { return c.Light }
	night := time.Date(2026, 4, 15, 22, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		relay Relay
		zone  string
		start time.Time
		of    func(Climate) float64
		sign  float64
	}{
		"fan cools":                   {ExhaustFan, Veg, time.Time{}, temperature, -1},
		"fan dries":                   {ExhaustFan, Veg, time.Time{}, humidity, -1},
		"heater warms":                {Heater, Veg, night, temperature, 1},
		"heater dries":                {Heater, Veg, night, humidity, -1},
		"humidifier moistens":         {Humidifier, Veg, time.Time{}, humidity, 1},
		"humidifier cools":            {Humidifier, Veg, time.Time{}, temperature, -1},
		"lamp shines":                 {GrowLamp, Veg, night, light, 1},
		"lamp warms":                  {GrowLamp, Veg, night, temperature, 1},
		"flower fan cools":            {FlowerFan, Flower, time.Time{}, temperature, -1},
		"flower fan dilutes":          {FlowerFan, Flower, time.Time{}, co2, -1},
		"flower heater warms":         {FlowerHeater, Flower, night, temperature, 1},
		"dehumidifier dries":          {Dehumidifier, Flower, time.Time{}, humidity, -1},
		"dehumidifier warms":          {Dehumidifier, Flower, time.Time{}, temperature, 1},
		"valve doses":                 {CO2Valve, Flower, time.Time{}, co2, 1},
		"flower fan is flower's only": {FlowerFan, Veg, time.Time{}, temperature, 0},
		"heater is veg's only":        {Heater, Flower, night, temperature, 0},
	} {
		t.Run(name, func(t *testing.T) {
			with, without := New(Options{Seed: 7, Start: c.start}), New(Options{Seed: 7, Start: c.start})
			with.Switch(c.relay, true)
			with.Step(10 * time.Minute)
			without.Step(10 * time.Minute)
			got := c.of(with.Reading(c.zone)) - c.of(without.Reading(c.zone))
			if c.sign == 0 && got != 0 || c.sign != 0 && got*c.sign < 0.3 {
				t.Errorf("%.2f more than without", got)
			}
		})
	}
}

// A fan that always runs takes a dark zone to the weather outside, and no farther.
func TestFanEndsAtTheWeather(t *testing.T) {
	g := New(Options{Seed: 3, Start: time.Date(2026, 4, 15, 21, 0, 0, 0, time.UTC)})
	g.Switch(ExhaustFan, true)
	for range 6 * 60 {
		g.Step(time.Minute)
		outside, _ := g.Outside()
		if in := g.Reading(Veg).Temperature; in < outside-1.5 {
			t.Fatalf("%s: %.1f °C inside, %.1f outside", g.Now(), in, outside)
		}
	}
	outside, sun := g.Outside()
	if in := g.Reading(Veg); math.Abs(in.Temperature-outside) > 1.5 || sun != 0 || in.Light != 0 || math.Abs(in.CO2-outsideCO2) > 60 {
		t.Errorf("%+v inside, %.1f °C outside, sun %.0f", in, outside, sun)
	}
}

// Four days with switches at odds: no number leaves what air can be, and the sun keeps its hours.
func TestDaysStaySane(t *testing.T) {
	for seed := range uint64(4) {
		g := New(Options{Seed: seed})
		dark, bright := 0, 0
		for minute := range 4 * 24 * 60 {
			for r := range relays {
				g.Switch(r, (minute/(7*(int(r)+3)))%2 == int(seed)%2)
			}
			g.Step(time.Minute)
			outside, sun := g.Outside()
			if outside < -5 || outside > 30 || sun < 0 || sun > clearSun {
				t.Fatalf("%s: %.1f °C, sun %.0f", g.Now(), outside, sun)
			}
			if h := g.Now().Hour(); (h < 6 || h >= 21) && sun > 0 {
				t.Fatalf("sun at %s", g.Now())
			}
			if sun == 0 {
				dark++
			} else if sun > clearSun/2 {
				bright++
			}
			for _, name := range []string{Veg, Flower} {
				c := g.Reading(name)
				// Written so that NaN fails.
				if !(c.Temperature > -5 && c.Temperature < 70 && c.Humidity >= 0 && c.Humidity <= 100.0001 && c.CO2 > 100 && c.CO2 < 5000 && c.Light >= 0 && c.Light < 2000) {
					t.Fatalf("%s: %s has %+v", g.Now(), name, c)
				}
			}
		}
		if dark < 4*9*60 || bright < 4*4*60 {
			t.Errorf("seed %d: %d dark and %d bright minutes of four days", seed, dark, bright)
		}
	}
}

// The same seed gives the same world however time is cut, another seed another one.
func TestDeterministic(t *testing.T) {
	a, b, other := New(Options{Seed: 1}), New(Options{Seed: 1}), New(Options{Seed: 2})
	a.Step(2 * time.Hour)
	other.Step(2 * time.Hour)
	for range 7200 * 4 {
		b.Step(250 * time.Millisecond)
	}
	if a.Reading(Veg) != b.Reading(Veg) || a.Reading(Flower) != b.Reading(Flower) || !a.Now().Equal(b.Now()) || a.zones[0].shown != b.zones[0].shown {
		t.Errorf("%+v and %+v", a.Reading(Veg), b.Reading(Veg))
	}
	if a.Reading(Veg) == other.Reading(Veg) {
		t.Error("another seed, the same climate")
	}
}

func TestSaturation(t *testing.T) {
	for celsius, want := range map[float64]float64{0: 4.85, 10: 9.40, 20: 17.3, 30: 30.4} { // g/m³, from tables
		if got := saturation(celsius); math.Abs(got-want) > 0.02*want {
			t.Errorf("%g °C: %.2f g/m³, want %.2f", celsius, got, want)
		}
	}
	if got := pressure(25); math.Abs(got-3.17) > 0.02 {
		t.Errorf("%.3f kPa at 25 °C", got)
	}
}
