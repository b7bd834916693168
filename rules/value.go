package rules

import (
	"math"
	"slices"
)

// value is a rule's value now. Bad means that there is none.
func (s *Spec) value(in *Image, st *State) (float64, Quality) {
	if s.Derive == VPD {
		temperature, q1 := median(in, s.Inputs[:s.Split], st)
		humidity, q2 := median(in, s.Inputs[s.Split:], st)
		return usable(vpd(temperature, humidity), min(q1, q2))
	}
	return median(in, s.Inputs, st)
}

// usable makes sure that what is no number is no value.
func usable(v float64, q Quality) (float64, Quality) {
	if q == Bad || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, Bad
	}
	return v, q
}

// median of the usable samples, with the quality of the worst of them: one sensor that is off does not carry the others
// along. Of an even number it is the mean of the middle two.
func median(in *Image, inputs []int, st *State) (float64, Quality) {
	if len(inputs) == 1 {
		s := &in.Samples[inputs[0]]
		return usable(s.Value, s.Quality)
	}
	values, quality := st.scratch[:0], Good
	for _, i := range inputs {
		s := &in.Samples[i]
		if v, q := usable(s.Value, s.Quality); q != Bad {
			values, quality = append(values, v), min(quality, q)
		}
	}
	st.scratch = values
	n := len(values)
	if n == 0 {
		return 0, Bad
	}
	slices.Sort(values)
	if n%2 == 1 {
		return values[n/2], quality
	}
	return values[n/2-1]/2 + values[n/2]/2, quality
}

// vpd is the vapour pressure deficit of air in kPa: what it could hold of water above what it holds. Saturation by Tetens'
// equation in the form of FAO Irrigation and Drainage Paper 56 (eq. 11), good to 0.1 % from 0 to 50 °C.
func vpd(celsius, humidity float64) float64 {
	if humidity < 0 || humidity > 100 {
		return math.NaN()
	}
	saturation := 0.6108 * math.Exp(17.27*celsius/(celsius+237.3))
	return saturation * (1 - humidity/100)
}
