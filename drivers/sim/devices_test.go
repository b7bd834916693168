package sim

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

// board is a Modbus slave without a wire.
type board struct {
	input map[uint16]uint16
	coils [relays]bool
}

func (b *board) SetInput(unit byte, address uint16, values ...uint16) {
	for i, v := range values {
		if unit == 1 {
			b.input[address+uint16(i)] = v
		}
	}
}

func (b *board) SetCoil(unit byte, address uint16, on ...bool) {
	if unit == 10 {
		copy(b.coils[address:], on)
	}
}

func (b *board) Coils(unit byte, address uint16, n int) []bool {
	if unit != 10 {
		return nil
	}
	return b.coils[address : int(address)+n]
}

func TestBehindModbus(t *testing.T) {
	b := &board{input: map[uint16]uint16{}}
	b.coils[GrowLamp] = true // somebody left it on
	g := New(Options{Seed: 5, Start: time.Date(2026, 4, 15, 23, 0, 0, 0, time.UTC)})
	g.Attach(b)
	if !b.coils[GrowLamp] || b.input[1] == 0 || b.input[2] == 0 {
		t.Fatalf("%+v", b)
	}
	g.Step(10 * time.Minute)
	if light := g.Reading(Veg).Light; light < 100 {
		t.Errorf("the lamp is on and gives %g", light)
	}
	b.coils = [relays]bool{ExhaustFan: true}
	g.Step(6 * time.Hour)
	c := g.Reading(Veg)
	if c.Light != 0 || c.Temperature > 12 {
		t.Errorf("the fan ran all night: %+v", c)
	}
	temperature, humidity := float64(int16(b.input[1]))/10, float64(b.input[2])/10
	if math.Abs(temperature-c.Temperature) > 0.3 || math.Abs(humidity-c.Humidity) > 1.5 {
		t.Errorf("registers say %g °C, %g %%; truth %+v", temperature, humidity, c)
	}
	g.Switch(Heater, true)
	if !b.coils[Heater] {
		t.Error("a hand on the board does not show on its coils")
	}
	// Below freezing the register is a signed number.
	g.zones[veg].temperature, g.zones[veg].shown.Temperature = -3.4, -3.4
	g.Attach(b)
	if int16(b.input[1]) != -34 {
		t.Errorf("-3.4 °C is %d", int16(b.input[1]))
	}
}

// Run keeps its speed and publishes what the platform's devices do, stamped with real time.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		messages := map[string][]byte{}
		count := 0
		g := New(Options{Seed: 5, Speed: 60, Publish: func(topic string, payload []byte) error {
			messages[topic], count = payload, count+1
			return nil
		}})
		start := g.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second+time.Millisecond)
		defer cancel()
		if err := g.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if passed := g.Now().Sub(start); passed != 20*time.Minute {
			t.Errorf("%s passed in 20 s at 60", passed)
		}
		if count != 3*10 || len(messages) != 3 {
			t.Errorf("%d messages on %d topics", count, len(messages))
		}
		var older struct {
			DeviceID  string `json:"deviceId"`
			Timestamp int64
			Sensors   map[string]float64
		}
		var flat struct {
			DeviceID     string `json:"deviceId"`
			Timestamp    time.Time
			AnalogInputs []struct {
				ID, Unit string
				Value    float64
			} `json:"analogInputs"`
		}
		if err := errors.Join(json.Unmarshal(messages["devices/flower1-climate/telemetry"], &older),
			json.Unmarshal(messages["devices/flower1-co2/telemetry"], &flat)); err != nil {
			t.Fatal(err)
		}
		c := g.Reading(Flower)
		if at := time.UnixMilli(older.Timestamp).Sub(began); at < 17*time.Second || at > 20*time.Second || older.DeviceID != "flower1-climate" ||
			math.Abs(older.Sensors["temperature"]-c.Temperature) > 1 || math.Abs(older.Sensors["humidity"]-c.Humidity) > 3 {
			t.Errorf("%+v, truth %+v", older, c)
		}
		if len(flat.AnalogInputs) != 1 || flat.AnalogInputs[0].ID != "co2" || flat.AnalogInputs[0].Unit != "ppm" || math.Abs(flat.AnalogInputs[0].Value-c.CO2) > 50 {
			t.Errorf("%+v, truth %+v", flat, c)
		}
	})
}

func TestRunEndsWithItsPublisher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := errors.New("gone")
		g := New(Options{Publish: func(string, []byte) error { return gone }})
		if err := g.Run(t.Context()); !errors.Is(err, gone) {
			t.Errorf("%v", err)
		}
	})
}
