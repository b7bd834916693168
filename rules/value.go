package rules

import (
	"math"
	"slices"
)

// measure is a rule's value now, and the quality of the worst sample in it. Bad means that there is none.
func (r *rule) measure(in *Image, scratch *[]float64) (float64, Quality) {
	if r.Derive == VPD {
		temperature, q1 := median(in.Samples, r.Inputs[:r.Split], scratch)
		humidity, q2 := median(in.Samples, r.Inputs[r.Split:], scratch)
		if q := min(q1, q2); q != Bad {
			return usable(vpd(temperature, humidity), q)
		}
		return 0, Bad
	}
	return median(in.Samples, r.Inputs, scratch)
}

// usable makes sure that what is no number is no value.
func usable(v float64, q Quality) (float64, Quality) {
	if q == Bad || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, Bad
	}
	return v, q
}

// median of the usable samples: one sensor that is off does not carry the others along. Of an even number it is the mean
// of the middle two.
func median(samples []Sample, inputs []int, scratch *[]float64) (float64, Quality) {
	if len(inputs) == 1 {
		s := &samples[inputs[0]]
		return usable(s.Value, s.Quality)
	}
	values, worst := (*scratch)[:0], Good
	for _, i := range inputs {
		if v, q := usable(samples[i].Value, samples[i].Quality); q != Bad {
			values, worst = append(values, v), min(worst, q)
		}
	}
	*scratch = values
	n := len(values)
	if n == 0 {
		return 0, Bad
	}
	slices.Sort(values)
	if n%2 == 1 {
		return values[n/2], worst
	}
	return values[n/2-1]/2 + values[n/2]/2, worst // halved first: the sum of two numbers need not be one
}

// vpd is the vapour pressure deficit of air in kPa: what it could hold of water above what it holds. NaN outside -40..60 °C
// and 0..100 %, where the equation or the humidity means nothing.
//
// Saturation is Tetens' equation as in FAO Irrigation and Drainage Paper 56 (Allen et al. 1998), equation 11, within 0.1 %
// of the CRC Handbook's table of the vapour pressure of water from 0 to 50 °C.
func vpd(celsius, humidity float64) float64 {
	if celsius < -40 || celsius > 60 || humidity < 0 || humidity > 100 {
		return math.NaN()
	}
	saturation := 0.6108 * math.Exp(17.27*celsius/(celsius+237.3))
	return saturation * (1 - humidity/100)
}
