package rules

import "time"

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

	Day, Night     Limits        // Night is not looked at when it is always day
	DayFrom, DayTo time.Duration // since local midnight, DayTo up to 24 h; equal: it is always day; may go over midnight

	Hysteresis float64       // how far inside the limit a value must come back; 0: to the limit
	For        time.Duration // how long a breach lasts before it is raised; 0: at once
	KeepFor    time.Duration // how long it must be over before it is resolved; 0: at once
	Critical   float64       // deviation beyond the limit from which it is critical; 0: never
	Emergency  float64       // and from which it is an emergency; 0: never

	Above, Below []Action      // what is wanted while the value is too high, or too low
	Within       time.Duration // a correction that has not worked by then has failed; 0: 10 min
	Loss         time.Duration // how long a correction goes on without a value, then its outputs are to be safe; 0: not at all
}

// actions are those of one side.
func (s *Spec) actions(above bool) []Action {
	if above {
		return s.Above
	}
	return s.Below
}

// isDay says whether a time since local midnight belongs to the day.
func (s *Spec) isDay(clock time.Duration) bool {
	switch {
	case s.DayFrom == s.DayTo:
		return true
	case s.DayFrom < s.DayTo:
		return clock >= s.DayFrom && clock < s.DayTo
	}
	return clock >= s.DayFrom || clock < s.DayTo
}

// timeOfDay is what a clock on the wall shows, not what has passed since midnight: they differ when the clocks are changed.
func timeOfDay(wall time.Time) time.Duration {
	hour, minute, second := wall.Clock()
	return time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute + time.Duration(second)*time.Second
}
