package sim

import (
	"math"
	"time"
)

// weather is that of a mild spring day in the north, every day anew: sun from six to twenty, clouds that come and go.
type weather struct {
	temperature float64 // °C
	water       float64 // g/m³ of air
	sun         float64 // W/m² on the ground
	clouds      float64 // of nought mean and of unit variance; only the positive half hides the sun
	front       float64 // the same for the air's temperature
}

const (
	clearSun     = 800.0      // W/m² at noon
	cloudMemory  = 45 * 60.0  // s after which the sky has forgotten itself
	frontMemory  = 6 * 3600.0 // s, the same for the air
	cloudDepth   = 0.15       // share of the sun that a usual cloud takes
	frontDepth   = 1.2        // K
	outsideCO2   = 420.0      // ppm
	nightHumid   = 88.0       // % outside before dawn; the water in the air is the same all day
	coldestNight = 7.0        // °C
	sunrise      = 6.0        // h
	dayLength    = 14.0       // h
)

// step moves the weather on to a time, one tick; chance and change are two draws of a normal distribution.
func (w *weather) step(now time.Time, chance, change float64) {
	h := float64(now.Hour()) + float64(now.Minute())/60 + float64(now.Second())/3600
	w.clouds = drift(w.clouds, chance, cloudMemory)
	w.front = drift(w.front, change, frontMemory)
	clear := math.Max(0.2, 1-cloudDepth*math.Max(0, w.clouds))
	w.sun = 0
	if angle := math.Pi * (h - sunrise) / dayLength; angle > 0 && angle < math.Pi {
		w.sun = clearSun * clear * math.Pow(math.Sin(angle), 1.2)
	}
	w.temperature = coldestNight + 5*(1+math.Cos(2*math.Pi*(h-15)/24)) + frontDepth*w.front
	w.water = math.Min(saturation(coldestNight)*nightHumid/100, saturation(w.temperature))
}

// drift is one tick of a value that wanders around nought with unit variance and forgets itself after memory seconds.
func drift(value, chance, memory float64) float64 {
	k := tick.Seconds() / memory
	return value*(1-k) + chance*math.Sqrt(2*k)
}

// saturation is how much water air of a temperature can hold, g/m³ (Magnus' formula for the pressure, then the gas law).
func saturation(celsius float64) float64 {
	pressure := 610.94 * math.Exp(17.625*celsius/(celsius+243.04)) // Pa
	return pressure * 18.016 / (8.314 * (celsius + 273.15))
}
