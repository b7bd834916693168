package rules

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

const (
	defaultWithin = 10 * time.Minute
	wholeDay      = 24 * time.Hour
)

// Set is a compiled rule set. It never changes and may be shared.
type Set struct {
	rules []rule
	byID  map[string]int
}

// rule is a checked spec with what follows from it.
type rule struct {
	Spec
	twice   bool  // day and night have ranges of their own
	outputs []int // of both sides, each once, in order of appearance
}

// Compile checks the specs, which it copies, and reports all faults, joined, each with the rule that it is about.
func Compile(specs []Spec) (*Set, error) {
	s := &Set{rules: make([]rule, len(specs)), byID: make(map[string]int, len(specs))}
	var faults []error
	for i := range specs {
		r := &s.rules[i]
		r.Spec = specs[i]
		for _, fault := range r.faults() {
			faults = append(faults, fmt.Errorf("rule %s: %w", nameOf(i, r.ID), fault))
		}
		if first, twice := s.byID[r.ID]; twice && r.ID != "" {
			faults = append(faults, fmt.Errorf("rule %s: rules %d and %d have this id; give each its own", r.ID, first, i))
		}
		s.byID[r.ID] = i
		r.settle()
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return s, nil
}

// nameOf names a rule in a fault, one without an id by its place.
func nameOf(index int, id string) string {
	if id == "" {
		return fmt.Sprint(index)
	}
	return id
}

// settle copies what the caller may still change and works out what follows from the spec.
func (r *rule) settle() {
	r.Inputs, r.Above, r.Below = slices.Clone(r.Inputs), slices.Clone(r.Above), slices.Clone(r.Below)
	if r.Within == 0 {
		r.Within = defaultWithin
	}
	r.twice = r.DayFrom != r.DayTo && !(sameLimit(r.Day.Min, r.Night.Min) && sameLimit(r.Day.Max, r.Night.Max))
	for _, a := range slices.Concat(r.Above, r.Below) {
		if !slices.Contains(r.outputs, a.Output) {
			r.outputs = append(r.outputs, a.Output)
		}
	}
}

func sameLimit(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }

// faultList gathers what is wrong.
type faultList []error

func (l *faultList) add(wrong bool, format string, args ...any) {
	if wrong {
		*l = append(*l, fmt.Errorf(format, args...))
	}
}

// faults are all that is wrong with a spec.
func (s *Spec) faults() []error {
	var l faultList
	l.add(s.ID == "", "has no id; its state could not be kept")
	l.add(s.Zone == "" || s.Quantity == "", "says not which quantity it is about (%q) in which zone (%q)", s.Quantity, s.Zone)
	s.inputFaults(&l)
	s.rangeFaults(&l)
	s.timeFaults(&l)
	s.actionFaults(&l)
	return l
}

func (s *Spec) inputFaults(l *faultList) {
	l.add(len(s.Inputs) == 0, "has no inputs; it could never judge")
	for k, i := range s.Inputs {
		l.add(i < 0, "input %d is no index", i)
		l.add(slices.Contains(s.Inputs[:k], i), "input %d is there twice and would count twice", i)
	}
	l.add(s.Derive > VPD, "derivation %d is not known", s.Derive)
	l.add(s.Derive == VPD && (s.Split <= 0 || s.Split >= len(s.Inputs)),
		"vpd needs temperatures and humidities; of %d inputs %d are temperatures", len(s.Inputs), s.Split)
}

func (s *Spec) rangeFaults(l *faultList) {
	s.limitFaults(l, "day", s.Day)
	if s.DayFrom != s.DayTo {
		s.limitFaults(l, "night", s.Night)
	}
	for _, n := range []struct {
		name  string
		value float64
	}{{"hysteresis", s.Hysteresis}, {"critical", s.Critical}, {"emergency", s.Emergency}} {
		l.add(!(n.value >= 0) || math.IsInf(n.value, 0), "%s is %g; want 0 or more", n.name, n.value)
	}
	l.add(s.Critical > 0 && s.Emergency > 0 && s.Emergency <= s.Critical,
		"emergency, %g beyond the limit, must be further out than critical, %g", s.Emergency, s.Critical)
}

func (s *Spec) limitFaults(l *faultList, when string, r Limits) {
	l.add(math.IsInf(r.Min, 0) || math.IsInf(r.Max, 0), "%s: a limit is infinite; leave that side open", when)
	l.add(math.IsNaN(r.Min) && math.IsNaN(r.Max), "%s: both sides are open; nothing could be out of range", when)
	l.add(r.Min > r.Max, "%s: min %g is above max %g", when, r.Min, r.Max)
	l.add(r.Min <= r.Max && s.Hysteresis > 0 && 2*s.Hysteresis >= r.Max-r.Min,
		"%s: a hysteresis of %g from both ends leaves nothing of %g to %g to come back to", when, s.Hysteresis, r.Min, r.Max)
}

func (s *Spec) timeFaults(l *faultList) {
	for _, d := range []struct {
		name string
		time.Duration
	}{{"for", s.For}, {"keepFor", s.KeepFor}, {"within", s.Within}, {"loss", s.Loss}} {
		l.add(d.Duration < 0, "%s is %s; want 0 or more", d.name, d.Duration)
	}
	l.add(s.DayFrom < 0 || s.DayFrom >= wholeDay, "the day begins %s after midnight; want 0 up to less than 24 h", s.DayFrom)
	l.add(s.DayTo < 0 || s.DayTo > wholeDay, "the day ends %s after midnight; want 0 to 24 h", s.DayTo)
}

func (s *Spec) actionFaults(l *faultList) {
	for _, side := range []struct {
		name    string
		actions []Action
		never   bool
	}{{"above", s.Above, s.open(func(r Limits) float64 { return r.Max })}, {"below", s.Below, s.open(func(r Limits) float64 { return r.Min })}} {
		l.add(len(side.actions) > 0 && side.never, "%s: can never happen, for the range is open on that side", side.name)
		for k, a := range side.actions {
			l.add(a.Name == "", "%s: output %d has no name", side.name, a.Output)
			l.add(a.Output < 0, "%s: %s has the index %d, which is none", side.name, a.Name, a.Output)
			l.add(math.IsNaN(a.Value) || math.IsInf(a.Value, 0), "%s: %s is to be %g, which is no number", side.name, a.Name, a.Value)
			l.add(indexOf(side.actions[:k], a.Output) >= 0, "%s: %s is set twice", side.name, a.Name)
		}
	}
	for _, a := range s.Below {
		k := indexOf(s.Above, a.Output)
		l.add(k >= 0 && s.Above[max(k, 0)].Value == a.Value, "above and below both set %s to %g; it cannot help against too much and too little", a.Name, a.Value)
	}
}

// open says that a limit is missing by day and by night.
func (s *Spec) open(limit func(Limits) float64) bool {
	return math.IsNaN(limit(s.Day)) && (s.DayFrom == s.DayTo || math.IsNaN(limit(s.Night)))
}

func indexOf(actions []Action, output int) int {
	return slices.IndexFunc(actions, func(a Action) bool { return a.Output == output })
}
