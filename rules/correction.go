package rules

import (
	"math"
	"time"
)

const refusedFor = 10 * time.Second // an output that does not obey for so long has refused; one write that failed has not

// act begins the correction, if the broken side has one.
func (e *evaluation) act() {
	if len(e.actions(e.above)) > 0 {
		e.tried, e.acting, e.acted, e.refusing = true, true, e.now.Steady, false
	}
}

// correct goes on with the correction of an open alert, and ends an alert that is over.
func (e *evaluation) correct() {
	if e.phase < firing {
		return
	}
	if !e.acting { // after a restart, or after its outputs had to be safe for want of a value
		e.act()
	}
	if e.acting {
		e.outcome()
	}
	if e.phase == resolving && e.now.Steady-e.from >= e.KeepFor {
		e.resolve()
	} else if e.acting {
		e.want()
	}
}

// want asks for the actions.
func (e *evaluation) want() {
	for _, a := range e.actions(e.above) {
		e.out.Wants = append(e.out.Wants, Want{Output: a.Output, Value: a.Value, Rule: e.index, Severity: e.severity})
	}
}

// outcome finds out whether the correction works. What does not work goes on nevertheless: the plants still need it.
func (e *evaluation) outcome() {
	refusal := e.refusal()
	if refusal == nil {
		e.refusing = false
	} else if !e.refusing {
		e.refusing, e.refusedAt = true, e.now.Steady
	}
	out := e.deviation(e.limits) > 0
	switch {
	case e.success == Yes && out: // it did, and the value has left again
		e.success, e.acted = Unknown, e.now.Steady
	case e.success != Unknown:
	case e.phase == resolving:
		if e.obeyed() {
			e.success = Yes
			e.tell(Corrected, e.workedWords())
		}
	case e.refusing && e.now.Steady-e.refusedAt >= refusedFor:
		e.success = No
		e.tell(Corrected, e.refusedWords(refusal))
	case out && e.now.Steady-e.acted >= e.Within:
		e.success = No
		e.tell(Corrected, e.failedWords())
	}
}

// refusal is the first action whose output refuses it, nil when none does. An output that is kept from it by somebody else
// does not refuse.
func (e *evaluation) refusal() *Action {
	actions := e.actions(e.above)
	for i := range actions {
		a := &actions[i]
		if f := &e.feedback[a.Output]; f.Refused && !f.Confirmed && !kept(f, a.Value) {
			return a
		}
	}
	return nil
}

// obeyed says that every output is confirmed at what the correction wants of it.
func (e *evaluation) obeyed() bool {
	for _, a := range e.actions(e.above) {
		if !obeys(&e.feedback[a.Output], a.Value) {
			return false
		}
	}
	return true
}

// kept says that an output is wanted elsewhere by somebody of higher rank, a worse alert, or its envelope.
func kept(f *Feedback, want float64) bool { return f.Held || !same(f.Desired, want) }

// obeys says that an output is confirmed at a value. What its device shows must agree, unless it never shows anything.
func obeys(f *Feedback, want float64) bool {
	if kept(f, want) || !f.Confirmed {
		return false
	}
	if f.Actual.Quality == Bad {
		return f.Actual.Seen == 0
	}
	return same(f.Actual.Value, want)
}

// same allows for what scaling to a device's units and back does to a number.
func same(a, b float64) bool { return math.Abs(a-b) <= 1e-6*math.Max(1, math.Abs(b)) }
