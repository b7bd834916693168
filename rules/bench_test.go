package rules

import (
	"fmt"
	"testing"
	"time"
)

// plantation is a set over so many points, three rules to ten points: a temperature of three, a humidity of three with two
// outputs, and a VPD of four.
func plantation(tb testing.TB, points int) (*Set, Image) {
	tb.Helper()
	var specs []Spec
	for p := 0; p+10 <= points; p += 10 {
		zone := fmt.Sprint("zone-", p/10)
		one := temperature()
		one.ID, one.Zone, one.Inputs, one.DayFrom, one.DayTo = zone+"/temperature", zone, []int{p, p + 1, p + 2}, 6*time.Hour, 22*time.Hour
		one.Above, one.Below = []Action{{p / 5, "fan", 1}}, []Action{{p/5 + 1, "heater", 1}}
		two := one
		two.ID, two.Quantity, two.Inputs, two.Day, two.Night = zone+"/humidity", "humidity", []int{p + 3, p + 4, p + 5}, Limits{50, 70}, Limits{50, 75}
		three := Spec{ID: zone + "/vpd", Zone: zone, Quantity: "vpd", Unit: "kPa", Inputs: []int{p + 6, p + 7, p + 8, p + 9}, Split: 2, Derive: VPD, Day: Limits{0.8, 1.6}}
		specs = append(specs, one, two, three)
	}
	set, err := Compile(specs)
	if err != nil {
		tb.Fatal(err)
	}
	in := Image{Samples: make([]Sample, points), Outputs: make([]Feedback, points/5)}
	for i := range in.Samples {
		in.Samples[i] = Sample{Value: 24 + float64(i%3)/10, Quality: Good}
		if k := i % 10; k >= 3 && k <= 5 || k >= 8 {
			in.Samples[i].Value = 60
		}
	}
	return set, in
}

// afternoon is one evaluation after another, each with other values; every tenth zone is too hot, every twentieth has lost
// its sensors.
func afternoon(in *Image, k int) Moment {
	step := float64(k%7) / 100
	for i := range in.Samples {
		s := &in.Samples[i]
		s.Seen++
		switch {
		case i%10 >= 3:
		case i%200 < 10:
			s.Quality = Bad
		case i%100 < 10:
			s.Value = 28 + step
		default:
			s.Value = 24 + step + float64(i%3)/10
		}
	}
	for i := range in.Outputs {
		in.Outputs[i] = Feedback{Desired: 1, Confirmed: true, Actual: Sample{1, Good, 1}}
	}
	d := time.Duration(k) * 250 * time.Millisecond
	return Moment{Steady: d, Wall: noon.Add(d)}
}

// Goal 13: 1,000 points and 300 rules in less than 100 µs without an allocation, and no worse per point with 10,000.
func BenchmarkEval(b *testing.B) {
	for _, points := range []int{100, 1000, 10000} {
		b.Run(fmt.Sprintf("points=%d", points), func(b *testing.B) {
			set, in := plantation(b, points)
			st := set.NewState()
			for k := range 1000 { // until the alerts there are have been raised
				set.Eval(afternoon(&in, k), in, st)
			}
			b.ReportAllocs()
			now := afternoon(&in, 1000)
			for b.Loop() {
				now.Steady += time.Microsecond
				set.Eval(now, in, st)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N), "µs/eval")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(points), "ns/point")
		})
	}
}

// BenchmarkByHand is the yardstick: the same medians and two comparisons a rule, nothing remembered.
func BenchmarkByHand(b *testing.B) {
	set, in := plantation(b, 1000)
	var scratch []float64
	out := 0
	afternoon(&in, 1000)
	b.ReportAllocs()
	for b.Loop() {
		for i := range set.rules {
			r := &set.rules[i]
			if v, q := r.measure(&in, &scratch); q != Bad && (v < r.Day.Min || v > r.Day.Max) {
				out++
			}
		}
	}
	if out == 0 {
		b.Fatal("nothing was out of range")
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N), "µs/eval")
}

func TestEvalAllocatesNothing(t *testing.T) {
	set, in := plantation(t, 1000)
	st := set.NewState()
	k := 0
	eval := func() Outcome { k++; return set.Eval(afternoon(&in, k), in, st) }
	for range 2000 {
		eval()
	}
	if out := eval(); len(out.Wants) < 10 || len(out.Changes) > 0 {
		t.Fatalf("%d wants, %d changes: that is no ordinary afternoon", len(out.Wants), len(out.Changes))
	}
	if n := testing.AllocsPerRun(100, func() { eval() }); n != 0 {
		t.Errorf("%g allocations an evaluation", n)
	}
}
