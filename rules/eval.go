package rules

import "time"

const (
	blindAfter = 15 * time.Second // without a value that was there: one bad reading of a slow sensor is not told
	blindFirst = 30 * time.Second // without a value since the start
)

// Eval judges the image at an instant, which is never before the last one. The outcome is the state's until the next call.
// It allocates only where a transition is told.
func (s *Set) Eval(now Moment, in Image, st *State) Outcome {
	st.out.Changes, st.out.Wants = st.out.Changes[:0], st.out.Wants[:0]
	clock := timeOfDay(now.Wall)
	for i := range s.rules {
		e := evaluation{rule: &s.rules[i], ruleState: &st.rules[i], index: i, now: now, feedback: in.Outputs, out: &st.out}
		e.inForce(clock)
		var value float64
		if value, e.quality = e.measure(&in, &st.scratch); e.quality == Bad {
			e.without()
			continue
		}
		e.value = value
		e.found()
		e.judge()
		e.correct()
	}
	return st.out
}

// evaluation is one rule at one instant.
type evaluation struct {
	*rule
	*ruleState
	index    int
	now      Moment
	feedback []Feedback
	out      *Outcome
}

// inForce finds the range in force and notices a switch-over.
func (e *evaluation) inForce(clock time.Duration) {
	day := !e.twice || e.isDay(clock)
	if !e.ranged || day != e.day {
		e.ranged, e.switched = true, e.now.Steady
	}
	e.day, e.limits = day, e.Day
	if !day {
		e.limits = e.Night
	}
}

// without is an evaluation without a value: nothing is raised, nothing resolved, all holds stand still.
func (e *evaluation) without() {
	if !e.lost {
		e.lost, e.lostAt = true, e.now.Steady
	}
	gone, patience := e.now.Steady-e.lostAt, blindAfter
	if !e.seen {
		patience = blindFirst
	}
	if !e.blind && gone >= patience {
		e.blind = true
		e.tell(Blinded, e.blindWords())
	}
	if gone >= e.Loss {
		e.acting = false // what begins after this is a correction anew
		for _, output := range e.outputs {
			e.out.Wants = append(e.out.Wants, Want{Output: output, Rule: e.index, Severity: e.severity, Loss: true})
		}
	} else if e.acting {
		e.want()
	}
}

// found ends the time without a value. Holds go on where they stood, as if it had not been; after a time that was told they
// begin anew, for nobody knows what happened in it.
func (e *evaluation) found() {
	e.seen = true
	if !e.lost {
		return
	}
	gone := e.now.Steady - e.lostAt
	e.lost, e.refusing = false, false
	e.from += gone
	e.acted += gone
	if !e.blind {
		return
	}
	e.blind = false
	switch e.phase {
	case pending:
		e.over()
	case resolving:
		e.phase = firing
	}
	e.tell(Seeing, e.valueWords()+" again")
}

// tell adds a transition. Sentences are made only for these.
func (e *evaluation) tell(p Phase, why string) {
	c := Change{Rule: e.index, Phase: p, Severity: e.severity, Above: e.above, Value: e.value, Min: e.limits.Min, Max: e.limits.Max,
		Since: e.since, Tried: e.tried, Success: e.success, Why: why}
	if p == Resolved {
		c.Severity = Info
	}
	if e.tried {
		c.Actions = e.actions(e.above)
	}
	e.out.Changes = append(e.out.Changes, c)
}
