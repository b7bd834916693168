package rules

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Limits are the ends of a range, both belonging to it. NaN: open on that side.
type Limits struct{ Min, Max float64 }

// Derivation is how a rule's value comes from its inputs.
type Derivation uint8

// Derivations.
const (
	Direct Derivation = iota // the median of the usable inputs
	VPD                      // vapour pressure deficit, kPa, of the median temperature (°C) and the median humidity (%)
)

// Spec is one rule: what one quantity may be in one zone, and what happens when it is not. All values are in Unit.
type Spec struct {
	ID                   string // "veg-1/temperature": its identity, by which its state is kept; unique in a Set
	Zone, Quantity, Unit string // for sentences
	Inputs               []int  // indexes into Image.Samples
	Derive               Derivation
	Split                int // of VPD: so many Inputs are temperatures, the rest humidities

	Day, Night     Limits
	DayFrom, DayTo time.Duration // since local midnight, DayTo up to 24 h; equal: it is always day; may go over midnight

	Hysteresis float64       // how far inside the limit a value must come back
	For        time.Duration // how long a breach lasts before it is raised
	KeepFor    time.Duration // how long it must be over before it is resolved
	Critical   float64       // deviation beyond the limit from which it is critical; 0: never
	Emergency  float64       // and from which it is an emergency; 0: never

	Above, Below []Action      // what is wanted while the value is too high, or too low
	Within       time.Duration // a correction that has not worked by then has failed; 0: 10 min
	Loss         time.Duration // how long a correction goes on without a value, then its outputs are to be safe
}

const defaultWithin = 10 * time.Minute

// Set is a compiled rule set. It never changes and may be shared.
type Set struct {
	specs   []Spec
	outputs [][]int // of each rule, each once
	byID    map[string]int
}

// Compile checks the specs and reports all faults, joined, each with the rule that it is about.
func Compile(specs []Spec) (*Set, error) {
	s := &Set{specs: append([]Spec(nil), specs...), byID: map[string]int{}}
	var faults []error
	for i := range s.specs {
		spec := &s.specs[i]
		if spec.Within == 0 {
			spec.Within = defaultWithin
		}
		if _, twice := s.byID[spec.ID]; twice {
			faults = append(faults, fmt.Errorf("rule %s is there twice", spec.ID))
		}
		s.byID[spec.ID] = i
		for _, fault := range spec.faults() {
			faults = append(faults, fmt.Errorf("rule %s: %w", spec.ID, fault))
		}
		s.outputs = append(s.outputs, spec.outputs())
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return s, nil
}

// faults are all that is wrong with a spec.
func (s *Spec) faults() []error {
	var faults []error
	add := func(wrong bool, format string, args ...any) {
		if wrong {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	add(s.ID == "", "has no id")
	add(len(s.Inputs) == 0, "has no inputs")
	add(s.Derive > VPD, "unknown derivation %d", s.Derive)
	add(s.Derive == VPD && (s.Split <= 0 || s.Split >= len(s.Inputs)), "vpd needs temperatures and humidities")
	for _, l := range []struct {
		name string
		Limits
	}{{"day", s.Day}, {"night", s.Night}} {
		add(math.IsInf(l.Min, 0) || math.IsInf(l.Max, 0), "%s: infinite limits; leave an open side open", l.name)
		add(math.IsNaN(l.Min) && math.IsNaN(l.Max), "%s: no limit at all", l.name)
		add(l.Min > l.Max, "%s: min %g is above max %g", l.name, l.Min, l.Max)
		add(2*s.Hysteresis > l.Max-l.Min, "%s: a hysteresis of %g leaves nothing of %g..%g to come back to", l.name, s.Hysteresis, l.Min, l.Max)
	}
	for _, n := range []struct {
		name string
		v    float64
	}{{"hysteresis", s.Hysteresis}, {"critical", s.Critical}, {"emergency", s.Emergency}} {
		add(!(n.v >= 0) || math.IsInf(n.v, 0), "%s is %g; want 0 or more", n.name, n.v)
	}
	add(s.Critical > 0 && s.Emergency > 0 && s.Emergency <= s.Critical, "emergency %g must be further out than critical %g", s.Emergency, s.Critical)
	for _, d := range []struct {
		name string
		d    time.Duration
	}{{"for", s.For}, {"keepFor", s.KeepFor}, {"within", s.Within}, {"loss", s.Loss}} {
		add(d.d < 0, "%s is %s; want 0 or more", d.name, d.d)
	}
	const day = 24 * time.Hour
	add(s.DayFrom < 0 || s.DayFrom >= day || s.DayTo < 0 || s.DayTo > day, "the day from %s to %s is none", clockText(s.DayFrom), clockText(s.DayTo))
	for _, side := range [][]Action{s.Above, s.Below} {
		seen := map[int]bool{}
		for _, a := range side {
			add(seen[a.Output], "%s is set twice on one side", a.Name)
			add(math.IsNaN(a.Value) || math.IsInf(a.Value, 0), "%s is to be %g", a.Name, a.Value)
			seen[a.Output] = true
		}
	}
	return faults
}

// outputs are those of either side, each once.
func (s *Spec) outputs() []int {
	var all []int
	seen := map[int]bool{}
	for _, side := range [][]Action{s.Above, s.Below} {
		for _, a := range side {
			if !seen[a.Output] {
				seen[a.Output] = true
				all = append(all, a.Output)
			}
		}
	}
	return all
}

// limits are the ones in force at a wall time.
func (s *Spec) limits(wall time.Time) Limits {
	if s.isDay(wall) {
		return s.Day
	}
	return s.Night
}

// isDay reads the clock on the wall, so a day has its hours also when the clocks are changed.
func (s *Spec) isDay(wall time.Time) bool {
	if s.DayFrom == s.DayTo {
		return true
	}
	hour, minute, second := wall.Clock()
	now := time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute + time.Duration(second)*time.Second
	if s.DayFrom < s.DayTo {
		return now >= s.DayFrom && now < s.DayTo
	}
	return now >= s.DayFrom || now < s.DayTo
}
