package rules

import (
	"math"
	"testing"
)

func TestMedian(t *testing.T) {
	good := func(v float64) Sample { return Sample{Value: v, Quality: Good} }
	unsure := func(v float64) Sample { return Sample{Value: v, Quality: Uncertain} }
	for name, tt := range map[string]struct {
		samples []Sample
		value   float64
		quality Quality
	}{
		"one":                   {[]Sample{good(21)}, 21, Good},
		"three":                 {[]Sample{good(90), good(21), good(22)}, 22, Good},
		"two":                   {[]Sample{good(20), good(23)}, 21.5, Good},
		"four":                  {[]Sample{good(1), good(99), good(20), good(23)}, 21.5, Good},
		"one is lost":           {[]Sample{{Value: 1e6}, good(20), good(23)}, 21.5, Good},
		"an uncertain one":      {[]Sample{good(20), unsure(22), good(23)}, 22, Uncertain},
		"only an uncertain":     {[]Sample{unsure(22)}, 22, Uncertain},
		"all lost":              {[]Sample{{Value: 20}, {Value: 21}}, 0, Bad},
		"lost":                  {[]Sample{{Value: 20}}, 0, Bad},
		"not a number":          {[]Sample{good(math.NaN()), good(20)}, 20, Good},
		"infinite":              {[]Sample{good(math.Inf(1)), good(math.Inf(-1)), good(20)}, 20, Good},
		"nothing but no number": {[]Sample{good(math.NaN()), good(math.Inf(1))}, 0, Bad},
		"alone no number":       {[]Sample{good(math.NaN())}, 0, Bad},
		"as large as can be":    {[]Sample{good(math.MaxFloat64), good(math.MaxFloat64)}, math.MaxFloat64, Good},
	} {
		inputs := make([]int, len(tt.samples))
		for i := range inputs {
			inputs[i] = i
		}
		r := rule{Spec: Spec{Inputs: inputs}}
		var scratch []float64
		if v, q := r.measure(&Image{Samples: tt.samples}, &scratch); v != tt.value || q != tt.quality {
			t.Errorf("%s: %g, quality %d; want %g, %d", name, v, q, tt.value, tt.quality)
		}
	}
}

// Saturation against the table "Vapor pressure of water from 0 to 370 °C" of the CRC Handbook of Chemistry and Physics, kPa.
func TestSaturationAgainstTheHandbook(t *testing.T) {
	for celsius, want := range map[float64]float64{0: 0.61129, 5: 0.87260, 10: 1.2281, 15: 1.7056, 20: 2.3388, 25: 3.1690, 30: 4.2455, 35: 5.6267, 40: 7.3814, 45: 9.5898, 50: 12.344} {
		if got := vpd(celsius, 0); math.Abs(got-want) > 0.001*want {
			t.Errorf("%g °C: %g kPa, the handbook says %g", celsius, got, want)
		}
	}
}

// FAO Irrigation and Drainage Paper 56, annex 2, table 2.3, to the three decimals that it gives.
func TestSaturationAgainstFAO56(t *testing.T) {
	for celsius, want := range map[float64]float64{1: 0.657, 10: 1.228, 15: 1.705, 20: 2.338, 24.5: 3.075, 25: 3.168, 30: 4.243, 40: 7.376} {
		if got := vpd(celsius, 0); math.Abs(got-want) > 0.0006 {
			t.Errorf("%g °C: %g kPa, the paper says %g", celsius, got, want)
		}
	}
}

func TestVPD(t *testing.T) {
	good := func(v float64) Sample { return Sample{Value: v, Quality: Good} }
	bad := Sample{Value: 25}
	for name, tt := range map[string]struct {
		samples []Sample // two temperatures, two humidities
		value   float64
		quality Quality
	}{
		"25 °C and 60 %":          {[]Sample{good(25), good(25), good(60), good(60)}, 1.267, Good},
		"medians":                 {[]Sample{good(24), good(26), good(50), good(70)}, 1.267, Good},
		"one of each":             {[]Sample{bad, good(25), good(60), bad}, 1.267, Good},
		"saturated":               {[]Sample{good(25), bad, good(100), bad}, 0, Good},
		"uncertain":               {[]Sample{good(25), bad, {60, Uncertain, 0}, bad}, 1.267, Uncertain},
		"no temperature":          {[]Sample{bad, bad, good(60), good(60)}, 0, Bad},
		"no humidity":             {[]Sample{good(25), good(25), bad, bad}, 0, Bad},
		"more than saturated":     {[]Sample{good(25), bad, good(101), bad}, 0, Bad},
		"less than nothing":       {[]Sample{good(25), bad, good(-1), bad}, 0, Bad},
		"where Tetens means none": {[]Sample{good(-237.3), bad, good(50), bad}, 0, Bad},
		"an oven":                 {[]Sample{good(61), bad, good(50), bad}, 0, Bad},
	} {
		r := rule{Spec: Spec{Inputs: []int{0, 1, 2, 3}, Split: 2, Derive: VPD}}
		var scratch []float64
		if v, q := r.measure(&Image{Samples: tt.samples}, &scratch); math.Abs(v-tt.value) > 0.0005 || q != tt.quality {
			t.Errorf("%s: %g kPa, quality %d; want %g, %d", name, v, q, tt.value, tt.quality)
		}
	}
}

func TestVPDHasALifeOfItsOwn(t *testing.T) {
	s := Spec{ID: "veg-1/vpd", Zone: "veg-1", Quantity: "vpd", Unit: "kPa", Inputs: []int{0, 1}, Split: 1, Derive: VPD, Day: Limits{0.8, 1.2}}
	w := newWorld(t, s)
	w.image.Samples[1] = Sample{Value: 60, Quality: Good}
	w.play("0s 23\n 10s 25\n 20s 61\n 1m 23\n 2m end")
	if len(w.why) != 4 || w.why[0] != "VPD in veg-1 is 1.267 kPa, above 1.2 kPa" || w.why[1] != "VPD in veg-1 has had no usable value for 15 s; the last was 1.267 kPa" {
		t.Errorf("told %q", w.why)
	}
}
