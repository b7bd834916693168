package rules

import (
	"math"
	"time"
)

// State is what a Set remembers between evaluations. It belongs to one goroutine, and to the Set that made it.
type State struct {
	rules   []ruleState
	scratch []float64 // for medians
	out     Outcome
}

// ruleState is one rule's part.
type ruleState struct {
	phase    phase
	above    bool     // which side is broken
	severity Severity // Info unless firing or resolving
	since    Moment   // when the breach began
	from     time.Duration

	value   float64 // the newest usable one, also of before a restart
	quality Quality // of this evaluation
	limits  Limits  // in force at this evaluation

	day      bool          // which range that was
	ranged   bool          // there was an evaluation, or a restart told of one
	switched time.Duration // when it came into force

	seen   bool // there was a value since the start
	lost   bool // there is none now
	blind  bool // which was told
	lostAt time.Duration

	correction
}

// correction is what is known of the actions of an open alert.
type correction struct {
	tried     bool          // they were asked for
	acting    bool          // they are asked for
	acted     time.Duration // since when, without the time in which the value was lost
	success   Truth
	refusing  bool // an output refuses
	refusedAt time.Duration
}

// phase is where a rule is between two evaluations.
type phase uint8

const (
	ok        phase = iota
	pending         // in breach since from, not yet for long enough
	firing          // raised
	resolving       // back inside since from, not yet for long enough
	phases          // how many there are
)

func (p phase) String() string {
	return [phases]string{ok: "ok", pending: "pending", firing: "firing", resolving: "resolving"}[p]
}

// NewState is that of a set that has seen nothing.
func (s *Set) NewState() *State {
	st := &State{rules: make([]ruleState, len(s.rules))}
	wants := 0
	for i := range s.rules {
		st.rules[i].limits = Limits{math.NaN(), math.NaN()}
		wants += len(s.rules[i].outputs)
	}
	st.out.Wants = make([]Want, 0, wants) // all that there can be
	return st
}

// View is what is known of one rule after an evaluation, for people.
type View struct {
	Value      float64 // in the rule's unit; means nothing when Quality is Bad
	Quality    Quality
	Min, Max   float64 // the range in force; NaN where it is open, and before the first evaluation
	Phase      string  // ok, pending, firing, resolving, or blind: the value is lost and that was told, or there is no alert either
	Severity   Severity
	Since      Moment // when the breach began; zero without one
	Above      bool   // which side is broken
	Correcting bool   // its actions are wanted
	Lost       bool   // that its value is lost was told
}

// View tells of a rule. It is called from the goroutine that evaluates.
func (s *Set) View(rule int, st *State) View {
	r := &st.rules[rule]
	v := View{Value: r.value, Quality: r.quality, Min: r.limits.Min, Max: r.limits.Max, Phase: r.phase.String(), Severity: r.severity,
		Since: r.since, Above: r.above, Correcting: r.acting, Lost: r.blind}
	if r.quality == Bad {
		v.Value = 0
	}
	if r.blind || r.phase == ok && r.quality == Bad {
		v.Phase = "blind"
	}
	return v
}
