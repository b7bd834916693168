package sim

import "math"

// zone is one room of the greenhouse with what stands in it.
type zone struct {
	temperature float64 // °C
	water       float64 // g/m³ of air
	co2         float64 // ppm
	light       float64 // µmol/m²/s at the plants

	room
	shown Climate // what its sensors show
}

// room is what does not change about a zone.
type room struct {
	area      float64 // m² of floor
	volume    float64 // m³ of air
	glass     float64 // m² of wall and roof
	loss      float64 // W/K through them
	heat      float64 // J/K of air, plants, benches and the floor's skin
	shade     float64 // share of the sun outside that reaches the plants
	leak      float64 // m³/s of air that comes and goes by itself
	fan       float64 // m³/s
	heater    float64 // W
	lampHeat  float64 // W
	lampLight float64 // µmol/m²/s
	canopy    float64 // g/s of water from the plants per kPa of dryness in full light
	uptake    float64 // g/s of CO2 into the plants in full light and plenty
}

// drive is what is switched on in a zone.
type drive struct{ fan, heater, humidifier, dehumidifier, lamp, valve bool }

const (
	airHeat        = 1206.0  // J/K of a cubic metre
	vaporHeat      = 2450.0  // J to evaporate a gram
	absorbed       = 0.85    // share of the light at the plants that becomes heat
	photons        = 2.1     // µmol/J of sunlight
	condensing     = 0.003   // m/s at which water leaves the air on cold glass
	humidifierRate = 1.1     // g/s
	drierRate      = 0.8     // g/s at 60 % and more
	drierHeat      = 500.0   // W of its motor
	valveRate      = 0.07    // g/s of CO2
	co2Density     = 0.00183 // g/m³ in one ppm
	fullLight      = 500.0   // µmol/m²/s, for the plants
)

func newZones() [2]zone {
	return [2]zone{
		veg: {temperature: 24.6, water: saturation(24.6) * 0.66, co2: 520, room: room{
			area: 40, volume: 140, glass: 70, loss: 300, heat: 900e3, shade: 0.32, leak: 0.02, fan: 0.45, heater: 12000,
			lampHeat: 1600, lampLight: 250, canopy: 0.7, uptake: 0.006}},
		flower: {temperature: 22, water: saturation(22) * 0.5, co2: 900, room: room{
			area: 30, volume: 110, glass: 50, loss: 220, heat: 800e3, shade: 0.12, leak: 0.009, fan: 0.4, heater: 9000,
			canopy: 0.35, uptake: 0.025}},
	}
}

// step lets seconds pass. Everything moves from where it stood at the beginning of the step.
func (z *zone) step(seconds float64, out weather, on drive) {
	z.light = out.sun * z.shade * photons
	sunHeat := out.sun * z.shade * z.area * absorbed
	air := z.leak
	if on.fan {
		air += z.fan
	}
	if on.lamp {
		z.light += z.lampLight
	}
	full := saturation(z.temperature)
	dry := math.Max(0, 1-z.water/full) * pressure(z.temperature) // kPa
	transpired := z.canopy * dry * (0.15 + 0.85*math.Min(1, z.light/fullLight))
	glass := saturation((z.temperature + 2*out.temperature) / 3)
	condensed := condensing * z.glass * math.Max(0, z.water-glass)
	evaporated := transpired
	if on.humidifier {
		evaporated += humidifierRate * math.Max(0, 1-z.water/full)
	}
	dried := 0.0
	if on.dehumidifier {
		dried = drierRate * math.Min(1, z.water/full/0.6)
	}

	watts := sunHeat + (z.loss+air*airHeat)*(out.temperature-z.temperature) - evaporated*vaporHeat + dried*vaporHeat
	for _, source := range []struct {
		on    bool
		watts float64
	}{{on.heater, z.heater}, {on.lamp, z.lampHeat}, {on.dehumidifier, drierHeat}} {
		if source.on {
			watts += source.watts
		}
	}
	z.co2 = math.Max(0, z.co2+seconds*z.carbon(air, on.valve))
	z.water += seconds * (evaporated - condensed - dried + air*(out.water-z.water)) / z.volume
	z.temperature += seconds * watts / z.heat
	z.water = math.Min(math.Max(0, z.water), saturation(z.temperature)) // the rest is dew
}

// carbon is how fast CO2 changes, ppm/s: the plants take it in light and give some back in the dark.
func (z *zone) carbon(air float64, valve bool) float64 {
	grams := z.uptake * 0.1
	if z.light > 0 {
		grams = -z.uptake * math.Min(1, z.light/fullLight) * z.co2 / (z.co2 + 300)
	}
	if valve {
		grams += valveRate
	}
	return grams/(co2Density*z.volume) + air*(outsideCO2-z.co2)/z.volume
}

// climate is what the zone is like.
func (z *zone) climate() Climate {
	return Climate{Temperature: z.temperature, Humidity: 100 * z.water / saturation(z.temperature), CO2: z.co2, Light: z.light}
}

// pressure is that of water in saturated air, kPa.
func pressure(celsius float64) float64 {
	return 0.61094 * math.Exp(17.625*celsius/(celsius+243.04))
}
