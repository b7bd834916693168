package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// The Modbus units, with the registers of the products they stand for: an XY-MD02 transmitter in veg-1 (input registers 1
// and 2: tenths of a degree, signed, and tenths of a percent) and a Waveshare board of eight relays (coils 0 to 7).
const (
	climateUnit = 1
	relayUnit   = 10
	climateBase = 1
)

// Slave is what the greenhouse needs of a Modbus slave (package slave has one): registers and coils by unit and address.
// Its methods are called while the greenhouse is locked and must not call back.
type Slave interface {
	SetInput(unit byte, address uint16, values ...uint16)
	SetCoil(unit byte, address uint16, on ...bool)
	Coils(unit byte, address uint16, n int) []bool
}

// longestStep is how much real time Run makes up for after a pause: a machine that slept wakes to the same greenhouse.
const longestStep = time.Second

// Attach puts the Modbus devices on a slave. The board's coils stay as the slave has them, and are the switches from now on.
func (g *Greenhouse) Attach(s Slave) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.slave = s
	coils := s.Coils(relayUnit, 0, int(relays))
	for i := range g.on {
		if i < len(coils) {
			g.on[i] = coils[i]
		}
	}
	s.SetCoil(relayUnit, 0, g.on[:]...)
	g.showRegisters()
}

// Run lets real time pass, Speed times as fast, and publishes, until ctx ends (nil) or Publish fails (its error).
func (g *Greenhouse) Run(ctx context.Context) error {
	clock := time.NewTicker(100 * time.Millisecond)
	defer clock.Stop()
	last := time.Now()
	var published time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-clock.C:
		}
		now := time.Now()
		g.Step(time.Duration(float64(min(now.Sub(last), longestStep)) * g.options.Speed))
		last = now
		if now.Sub(published) < g.options.Every {
			continue
		}
		published = now
		if err := g.Tell(now); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// Tell publishes once what each MQTT device shows, stamped with now, which is real time.
func (g *Greenhouse) Tell(now time.Time) error {
	if g.options.Publish == nil {
		return nil
	}
	g.mu.Lock()
	inVeg, inFlower := g.zones[veg].shown, g.zones[flower].shown
	g.mu.Unlock()
	type fields = map[string]any
	input := func(id string, value float64, unit string) []fields {
		return []fields{{"id": id, "value": value, "unit": unit}}
	}
	// Both dialects of the platform's devices: the older one with sensors{}, and the flat one.
	for _, device := range []struct {
		id   string
		body fields
	}{
		{"flower1-climate", fields{"timestamp": now.UnixMilli(), "sensors": fields{"temperature": inFlower.Temperature, "humidity": inFlower.Humidity}}},
		{"flower1-co2", fields{"timestamp": now.UTC().Format(time.RFC3339Nano), "analogInputs": input("co2", inFlower.CO2, "ppm")}},
		{"veg1-light", fields{"timestamp": now.UTC().Format(time.RFC3339Nano), "analogInputs": input("light", inVeg.Light, "µmol/m²/s")}},
	} {
		device.body["deviceId"] = device.id
		payload, err := json.Marshal(device.body)
		if err != nil {
			return fmt.Errorf("message of %s: %w", device.id, err)
		}
		if err := g.options.Publish("devices/"+device.id+"/telemetry", payload); err != nil {
			return fmt.Errorf("publishing for %s: %w", device.id, err)
		}
	}
	return nil
}

// sense takes what the sensors show: the truth, a little noise, and the steps that they resolve. The mutex is held.
func (g *Greenhouse) sense() {
	for i := range g.zones {
		z := &g.zones[i]
		c := z.climate()
		z.shown = Climate{
			Temperature: round(c.Temperature+0.03*g.random.NormFloat64(), 0.1),
			Humidity:    math.Min(100, math.Max(0, round(c.Humidity+0.2*g.random.NormFloat64(), 0.1))),
			CO2:         math.Max(0, round(c.CO2+4*g.random.NormFloat64(), 1)),
			Light:       math.Max(0, round(c.Light*(1+0.01*g.random.NormFloat64()), 1)),
		}
	}
}

// round gives the nearest multiple of a step, without the dust of binary fractions.
func round(value, step float64) float64 { return math.Round(value/step) / math.Round(1/step) }

// readRelays takes the switches from the board. The mutex is held.
func (g *Greenhouse) readRelays() {
	if g.slave == nil {
		return
	}
	copy(g.on[:], g.slave.Coils(relayUnit, 0, int(relays)))
}

// showRegisters gives the transmitter's registers their values. The mutex is held.
func (g *Greenhouse) showRegisters() {
	if g.slave == nil {
		return
	}
	c := g.zones[veg].shown
	g.slave.SetInput(climateUnit, climateBase, uint16(int16(math.Round(c.Temperature*10))), uint16(math.Round(c.Humidity*10)))
}
