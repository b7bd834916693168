package rules

import "time"

const (
	blindAfter = 10 * time.Second // without a value that was there: a single bad reading is not told
	blindFirst = 30 * time.Second // without a value since the start
	refusedFor = 10 * time.Second // an output that does not obey for so long has refused
)

// phase is where a rule is between two evaluations.
type phase uint8

const (
	ok        phase = iota
	pending         // in breach, not yet for long enough
	firing          // raised
	resolving       // back inside, not yet for long enough
)

// State is what a Set remembers between evaluations. It belongs to one goroutine, and to the Set that made it.
type State struct {
	rules   []ruleState
	began   bool
	start   time.Duration // steady instant of the first evaluation
	scratch []float64
	out     Outcome
}

// ruleState is one rule's part.
type ruleState struct {
	phase    phase
	above    bool
	severity Severity
	since    Moment        // when the breach began
	from     time.Duration // when the hold that is running began: of pending, or of resolving

	value   float64 // the newest usable one
	quality Quality // of this evaluation
	limits  Limits  // of this evaluation
	seen    bool    // there was a value since the start
	lost    bool    // there is none now
	lostAt  time.Duration
	blind   bool // told

	acting  bool // the correction's actions are wanted
	acted   time.Duration
	refused time.Duration // since when an output refuses; 0: none does
	success Truth
}

// NewState is that of a set that has seen nothing.
func (s *Set) NewState() *State {
	return &State{rules: make([]ruleState, len(s.specs))}
}

// Eval judges the image at an instant, which is never before the last one. The outcome is the state's until the next call.
func (s *Set) Eval(now Moment, in Image, st *State) Outcome {
	if !st.began {
		st.began, st.start = true, now.Steady
	}
	st.out.Changes, st.out.Wants = st.out.Changes[:0], st.out.Wants[:0]
	for i := range s.specs {
		e := evaluation{spec: &s.specs[i], st: &st.rules[i], all: st, now: now, in: &in, rule: i, outputs: s.outputs[i]}
		e.run()
	}
	return st.out
}

// evaluation is one rule at one instant.
type evaluation struct {
	spec    *Spec
	st      *ruleState
	all     *State
	now     Moment
	in      *Image
	rule    int
	outputs []int
}

func (e *evaluation) run() {
	st := e.st
	st.limits = e.spec.limits(e.now.Wall)
	value, quality := e.spec.value(e.in, e.all)
	st.quality = quality
	if quality == Bad {
		e.lost()
		return
	}
	st.value = value
	e.found()
	e.judge()
	e.correct()
}

// lost is an evaluation without a value: nothing is raised, nothing resolved, all holds stand still.
func (e *evaluation) lost() {
	st := e.st
	if !st.lost {
		st.lost, st.lostAt = true, e.now.Steady
		if !st.seen {
			st.lostAt = e.all.start
		}
	}
	gone := e.now.Steady - st.lostAt
	patience := blindAfter
	if !st.seen {
		patience = blindFirst
	}
	if !st.blind && gone >= patience {
		st.blind = true
		e.tell(Blinded, e.blindWords())
	}
	switch {
	case st.acting && st.seen && gone < e.spec.Loss:
		e.want()
	case gone >= e.spec.Loss:
		for _, output := range e.outputs {
			e.all.out.Wants = append(e.all.out.Wants, Want{Output: output, Rule: e.rule, Severity: st.severity, Loss: true})
		}
	}
}

// found ends the time without a value: what was holding then starts to hold anew, and a correction's time goes on.
func (e *evaluation) found() {
	st := e.st
	if st.lost {
		st.lost = false
		if st.phase == pending || st.phase == resolving {
			st.from = e.now.Steady
		}
		st.acted += e.now.Steady - st.lostAt
		st.refused = 0
		if st.blind {
			st.blind = false
			e.tell(Seeing, e.valueWords()+" again")
		}
	}
	st.seen = true
}

// judge moves the alert's life on.
func (e *evaluation) judge() {
	st, v := e.st, e.st.value
	high, low := v > st.limits.Max, v < st.limits.Min // false where a side is open
	if open := st.phase == firing || st.phase == resolving; open && (st.above && low || !st.above && high) {
		e.resolve() // and right away the other side's breach begins
	}
	switch st.phase {
	case ok:
		if high || low {
			st.phase, st.above, st.since, st.from = pending, high, e.now, e.now.Steady
		}
	case pending:
		switch {
		case !high && !low:
			st.phase = ok
		case high != st.above:
			st.above, st.since, st.from = high, e.now, e.now.Steady
		}
	case firing:
		if e.clear() {
			st.phase, st.from = resolving, e.now.Steady
		} else if worse := e.severity(); worse > st.severity {
			st.severity = worse
			e.tell(Escalated, e.breachWords())
		}
	case resolving:
		if !e.clear() {
			st.phase = firing
		}
	}
	if st.phase == pending && e.now.Steady-st.from >= e.spec.For {
		e.raise()
	}
}

// clear says that the value is back, by the hysteresis inside the limit. A side that has become open is clear.
func (e *evaluation) clear() bool {
	if e.st.above {
		return !(e.st.value > e.st.limits.Max-e.spec.Hysteresis)
	}
	return !(e.st.value < e.st.limits.Min+e.spec.Hysteresis)
}

// severity is that of the deviation now.
func (e *evaluation) severity() Severity {
	d := e.st.limits.Min - e.st.value
	if e.st.above {
		d = e.st.value - e.st.limits.Max
	}
	switch {
	case e.spec.Emergency > 0 && d >= e.spec.Emergency:
		return Emergency
	case e.spec.Critical > 0 && d >= e.spec.Critical:
		return Critical
	}
	return Warning
}

// raise begins an alert and its correction.
func (e *evaluation) raise() {
	st := e.st
	st.phase, st.severity = firing, e.severity()
	st.acting, st.acted, st.refused, st.success = len(e.actions()) > 0, e.now.Steady, 0, Unknown
	e.tell(Raised, e.breachWords())
}

// resolve ends an alert and its correction.
func (e *evaluation) resolve() {
	st := e.st
	if st.acting && st.success == Unknown && e.verified() {
		st.success = Yes
	}
	e.tell(Resolved, e.valueWords()+", back in range")
	*st = ruleState{value: st.value, quality: st.quality, limits: st.limits, seen: true}
}

// actions are those of the side that is broken.
func (e *evaluation) actions() []Action {
	if e.st.above {
		return e.spec.Above
	}
	return e.spec.Below
}

// correct wants the actions of an open alert, judges how they work, and ends an alert that is over.
func (e *evaluation) correct() {
	st := e.st
	if st.phase != firing && st.phase != resolving {
		return
	}
	if !st.acting && st.success == Unknown && len(e.actions()) > 0 { // after a restart: anew, at the first value
		st.acting, st.acted = true, e.now.Steady
	}
	if st.acting {
		e.outcome()
	}
	if st.phase == resolving && e.now.Steady-st.from >= e.spec.KeepFor {
		e.resolve()
		return
	}
	if st.acting {
		e.want()
	}
}

// outcome tells when it becomes known whether the correction works. Whatever it is, the actions stay wanted: the plants
// still need them.
func (e *evaluation) outcome() {
	st := e.st
	if st.success != Unknown {
		return
	}
	name := e.refusing()
	switch {
	case name == "":
		st.refused = 0
	case st.refused == 0:
		st.refused = e.now.Steady
	}
	switch {
	case st.phase == resolving:
		if e.verified() {
			st.success = Yes
			if e.spec.KeepFor > 0 { // else it is told with the end
				e.tell(Corrected, e.valueWords()+", back in range")
			}
		}
	case name != "" && e.now.Steady-st.refused >= refusedFor:
		st.success = No
		e.tell(Corrected, name+" does not do what the correction of "+e.subject()+" wants of it")
	case e.now.Steady-st.acted >= e.spec.Within:
		st.success = No
		e.tell(Corrected, e.valueWords()+": the correction has not worked within "+durationText(e.spec.Within))
	}
}

// refusing names an output that does not obey; "" when all do. One that somebody of higher rank holds is none.
func (e *evaluation) refusing() string {
	for _, a := range e.actions() {
		if f := &e.in.Outputs[a.Output]; f.Refused && !f.Held && !f.Confirmed {
			return a.Name
		}
	}
	return ""
}

// verified says that every output shows what the correction wants.
func (e *evaluation) verified() bool {
	for _, a := range e.actions() {
		f := &e.in.Outputs[a.Output]
		if !f.Confirmed || f.Held || f.Desired != a.Value {
			return false
		}
	}
	return true
}

// want wishes the actions of the side that is broken.
func (e *evaluation) want() {
	for _, a := range e.actions() {
		e.all.out.Wants = append(e.all.out.Wants, Want{Output: a.Output, Value: a.Value, Rule: e.rule, Severity: e.st.severity})
	}
}

// tell adds a transition. Only here, and only when something changes, is a sentence made.
func (e *evaluation) tell(p Phase, why string) {
	st := e.st
	c := Change{Rule: e.rule, Phase: p, Severity: st.severity, Above: st.above, Value: st.value, Min: st.limits.Min, Max: st.limits.Max,
		Since: st.since, Tried: st.acting, Success: st.success, Why: why}
	if p == Resolved {
		c.Severity = Info
	}
	if st.acting {
		c.Actions = e.actions()
	}
	e.all.out.Changes = append(e.all.out.Changes, c)
}

// View is what is known of one rule after an evaluation, for people.
type View struct {
	Value      float64 // in the rule's unit; means nothing when Quality is Bad
	Quality    Quality
	Min, Max   float64 // the range in force; NaN where it is open
	Phase      string  // ok, pending, firing, resolving or blind
	Severity   Severity
	Since      Moment // when the breach began, unless Phase is ok
	Above      bool
	Correcting bool // its actions are wanted
}

// View tells of a rule. It is called from the goroutine that evaluates.
func (s *Set) View(rule int, st *State) View {
	r := &st.rules[rule]
	names := [...]string{ok: "ok", pending: "pending", firing: "firing", resolving: "resolving"}
	v := View{Value: r.value, Quality: r.quality, Min: r.limits.Min, Max: r.limits.Max, Phase: names[r.phase], Severity: r.severity,
		Since: r.since, Above: r.above, Correcting: r.acting}
	if r.quality == Bad {
		v.Value = 0
	}
	if r.blind || r.phase == ok && r.quality == Bad {
		v.Phase = "blind"
	}
	return v
}
