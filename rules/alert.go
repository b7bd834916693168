package rules

import "math"

// judge moves the alert's life on by the value.
func (e *evaluation) judge() {
	high, low := e.value > e.limits.Max, e.value < e.limits.Min // false where a side is open
	if e.phase >= firing && (e.above && low || !e.above && high) {
		e.resolve() // and right away the other side's breach begins
	}
	switch e.phase {
	case ok:
		if high || low {
			e.breach(high)
		}
	case pending:
		if !high && !low {
			e.over()
		} else if high != e.above {
			e.breach(high)
		}
	case firing, resolving:
		e.follow()
	}
	if e.phase == pending && e.now.Steady-e.from >= e.For {
		e.raise()
	}
}

// follow watches the value of an open alert come back, leave again and get worse.
func (e *evaluation) follow() {
	if e.clear() {
		if e.phase == firing {
			e.phase, e.from = resolving, e.now.Steady
		}
		return
	}
	e.phase = firing
	if worse := e.judged(); worse > e.severity {
		e.severity = worse
		e.tell(Escalated, e.breachWords())
	}
}

// breach begins one, now.
func (e *evaluation) breach(above bool) {
	e.phase, e.above, e.since, e.from = pending, above, e.now, e.now.Steady
}

// raise makes an alert of the breach.
func (e *evaluation) raise() {
	e.phase, e.severity = firing, e.judged()
	e.act()
	e.tell(Raised, e.breachWords())
}

// resolve ends an alert and its correction.
func (e *evaluation) resolve() {
	e.tell(Resolved, e.resolvedWords())
	e.over()
}

// over forgets the breach, and the alert and its correction with it.
func (e *evaluation) over() {
	e.phase, e.above, e.severity, e.since, e.correction = ok, false, Info, Moment{}, correction{}
}

// clear says that the value is back, by the hysteresis inside the limit. A side that has become open is clear.
func (e *evaluation) clear() bool {
	if e.above {
		return !(e.value > e.limits.Max-e.Hysteresis)
	}
	return !(e.value < e.limits.Min+e.Hysteresis)
}

// deviation is how far the value is beyond a range on the broken side: negative within, NaN where the side is open.
func (e *evaluation) deviation(l Limits) float64 {
	if e.above {
		return e.value - l.Max
	}
	return l.Min - e.value
}

// judged is the severity of the value now. Until For has passed after a switch-over the range of before counts as well: the
// room cannot follow a step of the range at once, and an evening is no emergency.
func (e *evaluation) judged() Severity {
	d := e.deviation(e.limits)
	if e.twice && e.now.Steady-e.switched < e.For {
		before := e.Day
		if e.day {
			before = e.Night
		}
		d = math.Min(d, e.deviation(before)) // NaN where that was open: a warning
	}
	switch {
	case e.Emergency > 0 && d >= e.Emergency:
		return Emergency
	case e.Critical > 0 && d >= e.Critical:
		return Critical
	}
	return Warning
}
