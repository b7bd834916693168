// Package sim is a small greenhouse: two zones whose climate answers to sun, weather, plants and switches, in simulated
// time that may run faster than ours. It stands behind real protocols, so that the real drivers can be tried on it: a
// climate transmitter and a relay board on a Modbus slave, and devices that publish as the platform's do.
//
// It is a balance of heat, water and carbon dioxide with round figures of a real small house, good enough for a controller
// to be tried on; it is no model of any crop. What happens depends only on the seed, the start and the switching.
package sim

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// DefaultSpeed is how many simulated seconds pass in a real one: at 30 a day lasts 48 minutes.
const DefaultSpeed = 30

// Zones of the greenhouse.
const (
	Veg    = "veg-1"    // young plants in much light
	Flower = "flower-1" // shaded, tighter, dosed with carbon dioxide
)

// Relay is one switch of the relay board, by the coil that switches it.
type Relay int

// Relays, in the order of the board's coils.
const (
	ExhaustFan   Relay = iota // veg-1: outside air in, inside air out
	Heater                    // veg-1
	Humidifier                // veg-1
	GrowLamp                  // veg-1
	FlowerFan                 // flower-1
	FlowerHeater              // flower-1
	Dehumidifier              // flower-1
	CO2Valve                  // flower-1
	relays                    // how many there are
)

// Climate is the air and the light of a zone, as they truly are; the sensors show them with a little noise.
type Climate struct {
	Temperature float64 // °C
	Humidity    float64 // % relative
	CO2         float64 // ppm
	Light       float64 // µmol/m²/s at the plants
}

// Options of a greenhouse.
type Options struct {
	Seed    uint64                                   // of weather and noise
	Start   time.Time                                // simulated; its time of day sets the sun. Zero: a spring day, late morning
	Speed   float64                                  // simulated seconds in a real one, for Run; 0: DefaultSpeed
	Every   time.Duration                            // real time between two publications; 0: 2 s
	Publish func(topic string, payload []byte) error // takes what the MQTT devices say; nil: they are silent
}

// Greenhouse is the simulated world. All methods are safe for any goroutine.
type Greenhouse struct {
	options Options

	mu      sync.Mutex
	now     time.Time // simulated
	carry   time.Duration
	random  *rand.Rand
	weather weather
	zones   [2]zone
	on      [relays]bool
	slave   Slave
}

const (
	veg    = 0 // index of a zone
	flower = 1
	tick   = time.Second // of simulated time: short beside every time constant here
)

// New builds the greenhouse as it is at Start: mild, in range, all switches off.
func New(o Options) *Greenhouse {
	if o.Start.IsZero() {
		o.Start = time.Date(2026, time.April, 15, 11, 30, 0, 0, time.UTC)
	}
	if o.Speed <= 0 {
		o.Speed = DefaultSpeed
	}
	if o.Every <= 0 {
		o.Every = 2 * time.Second
	}
	g := &Greenhouse{options: o, now: o.Start, random: rand.New(rand.NewPCG(o.Seed, 0x9e3779b97f4a7c15)), zones: newZones()}
	g.weather.step(g.now, 0, 0)
	g.sense()
	return g
}

// Step lets dt of simulated time pass. How a span is cut into steps makes no difference.
func (g *Greenhouse) Step(dt time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.readRelays()
	for g.carry += dt; g.carry >= tick; g.carry -= tick {
		g.now = g.now.Add(tick)
		g.weather.step(g.now, g.random.NormFloat64(), g.random.NormFloat64())
		seconds := tick.Seconds()
		g.zones[veg].step(seconds, g.weather, drive{fan: g.on[ExhaustFan], heater: g.on[Heater], humidifier: g.on[Humidifier], lamp: g.on[GrowLamp]})
		g.zones[flower].step(seconds, g.weather, drive{fan: g.on[FlowerFan], heater: g.on[FlowerHeater], dehumidifier: g.on[Dehumidifier], valve: g.on[CO2Valve]})
		g.sense()
	}
	g.showRegisters()
}

// Switch sets a relay as a hand on the board's own button would.
func (g *Greenhouse) Switch(r Relay, on bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.on[r] = on
	if g.slave != nil {
		g.slave.SetCoil(relayUnit, uint16(r), on)
	}
}

// Now is the simulated time.
func (g *Greenhouse) Now() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.now
}

// Outside is the weather: air temperature in °C and sun in W/m².
func (g *Greenhouse) Outside() (temperature, sun float64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.weather.temperature, g.weather.sun
}

// Reading is the true climate of a zone. A zone that is not there is an error of the caller: it panics.
func (g *Greenhouse) Reading(zone string) Climate {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch zone {
	case Veg:
		return g.zones[veg].climate()
	case Flower:
		return g.zones[flower].climate()
	}
	panic(fmt.Sprintf("the simulated greenhouse has no zone %q", zone))
}
