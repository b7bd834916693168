package scan

import (
	"fmt"
	"math"
	"time"

	"gacp-erp.internal/glasshouse/rules"
)

// lease is a person's hold on an output; until is steady.
type lease struct {
	active         bool
	value          float64
	until          time.Duration
	id, by, reason string
}

type outputState struct {
	desired     float64
	holder, why string
	overridden  string // whom of lower rank the holder keeps from its wish
	until       time.Duration
	leases      [2]lease // by Origin
	grace       bool
	held        bool // the rules want something else

	found, written  bool // its first state was told; the first write was issued
	changed         time.Duration
	used            time.Duration // away from safe at a stretch
	last            time.Duration
	tripped, safety bool

	inFlight          bool
	flight            uint64
	issued            time.Duration
	waiting           time.Duration // since when Desired is unconfirmed
	confirmed         bool
	failures          int
	next              time.Duration // of a retry
	mismatches        int
	failed, displaced bool // faults that stand
}

func (o *outputState) feedback(actual rules.Sample) rules.Feedback {
	return rules.Feedback{Actual: actual, Desired: o.desired, Confirmed: o.confirmed,
		Refused: o.failures > 0 || o.mismatches > 0, Held: o.held}
}

// command grants, refuses or releases a lease.
func (c *Core) command(m *Command) {
	now := c.cycle.Now
	r := Receipt{ID: m.ID, Output: m.Output}
	length := m.For
	if !m.Until.IsZero() {
		length = m.Until.Sub(now.Wall)
	}
	switch {
	case m.Output < 0 || m.Output >= len(c.outputs):
		r.Reason = "no such output"
	case m.Origin > Local:
		r.Reason = "unknown origin"
	case c.stopping:
		r.Reason = "the gateway is stopping"
	case m.Release:
		c.outputs[m.Output].leases[m.Origin] = lease{}
		r.Accepted, c.dirty = true, true
	case math.IsNaN(m.Value) || math.IsInf(m.Value, 0):
		r.Reason = "the value is not a number"
	case length <= 0:
		r.Reason = "the command has no end, or it has passed"
	case m.Origin == Remote && c.outputs[m.Output].leases[Local].active:
		r.Reason = "held locally by " + c.outputs[m.Output].leases[Local].by
	default:
		c.outputs[m.Output].leases[m.Origin] = lease{true, m.Value, now.Steady + length, m.ID, m.By, m.Reason}
		r.Accepted, r.Until, c.dirty = true, now.Wall.Add(length), true
	}
	c.cycle.Receipts = append(c.cycle.Receipts, r)
}

// strongest are the wants that win among the wants for one output; nil when there is none.
type strongest struct{ want, loss *rules.Want }

// rank finds the strongest want for each output: worse severity first, then rule order.
func (c *Core) rank() {
	for k := range c.wants {
		w := &c.wants[k]
		if w.Output < 0 || w.Output >= len(c.best) || math.IsNaN(w.Value) || math.IsInf(w.Value, 0) {
			continue
		}
		top := &c.best[w.Output].want
		if w.Loss {
			top = &c.best[w.Output].loss
		}
		if *top == nil || w.Severity > (*top).Severity {
			*top = w
		}
	}
}

// decide arbitrates one output and applies its envelope.
func (c *Core) decide(i int) {
	o, now := &c.outputs[i], c.cycle.Now.Steady
	for k := range o.leases {
		if o.leases[k].active && now >= o.leases[k].until {
			o.leases[k], c.dirty = lease{}, true
		}
	}
	if o.grace && c.graceOver(i) {
		o.grace = false
	}
	wish, holder, why, safety, until := c.wish(i)
	want := c.best[i].want
	o.held = want != nil && want.Value != wish
	c.envelope(i, wish, holder, why, safety, until)
	o.overridden = ""
	if want != nil && want.Value != o.desired {
		o.overridden = o.holder
	}
}

// wish is what the highest rank below the envelope asks for.
func (c *Core) wish(i int) (value float64, holder, why string, safety bool, until time.Duration) {
	o, cfg := &c.outputs[i], &c.cfg.Outputs[i]
	if c.stopping {
		if cfg.Hold {
			return o.desired, "stop", "held at stop", true, 0
		}
		return cfg.Safe, "stop", "the gateway stops", true, 0
	}
	want := c.best[i].want
	if o.grace {
		want = nil
	}
	if want != nil && want.Severity >= rules.Emergency {
		return want.Value, "correction", c.ruleName(want.Rule), true, 0
	}
	if l := &o.leases[Local]; l.active {
		return l.value, "local lease", l.reason, false, l.until
	}
	if l := &o.leases[Remote]; l.active {
		return l.value, "remote lease", l.reason, false, l.until
	}
	if want != nil {
		return want.Value, "correction", c.ruleName(want.Rule), false, 0
	}
	if o.grace {
		return cfg.Safe, "start", "waiting for first readings", true, 0
	}
	if l := c.best[i].loss; l != nil {
		return cfg.Safe, "loss", c.ruleName(l.Rule), true, 0
	}
	return cfg.Safe, "safe", "nobody asks for another value", c.rulesOff, 0
}

func (c *Core) ruleName(i int) string {
	if i >= 0 && i < len(c.cfg.Specs) {
		return c.cfg.Specs[i].ID
	}
	return "rule"
}

// envelope applies caps and least times and sets what is desired. Going to safe for safety's sake, or because a person
// says so, waits for nothing.
func (c *Core) envelope(i int, wish float64, holder, why string, safety bool, until time.Duration) {
	o, cfg, now := &c.outputs[i], &c.cfg.Outputs[i], c.cycle.Now.Steady
	if o.desired == cfg.Safe && (o.confirmed || c.cfg.Observe) {
		o.used = 0
	} else {
		o.used += now - o.last
	}
	o.last = now
	if o.tripped && wish == cfg.Safe && o.used == 0 {
		o.tripped = false
		c.resolve("trip:" + cfg.Name)
	}
	if cfg.MaxRun > 0 && wish != cfg.Safe && (o.tripped || o.used >= cfg.MaxRun) {
		if !o.tripped {
			o.tripped = true
			c.raise("trip:"+cfg.Name, c.cfg.Devices[cfg.Device].ID, "error", rules.Critical, cfg.Name+" ran for its longest time",
				fmt.Sprintf("away from %g for %s: set to %g until nobody asks for another value; look why %s needs it for so long", cfg.Safe, cfg.MaxRun, cfg.Safe, why))
		}
		wish, holder, why, safety, until = cfg.Safe, "envelope", "longest run time reached", true, 0
	}
	free := wish == cfg.Safe && (safety || holder == "local lease" || holder == "remote lease")
	if wish != o.desired && !free {
		least := time.Duration(0)
		switch {
		case o.desired != 0 && wish == 0:
			least = cfg.MinOn
		case o.desired == 0 && wish != 0:
			least = cfg.MinOff
		}
		if now-o.changed < least {
			wish, holder, why, until = o.desired, "envelope", "least time at a value", o.changed+least
		}
	}
	if safety && holder != o.holder && !o.confirmed {
		o.inFlight, o.next = false, now // a new reason of safety waits for no retry, and goes before what waits on the bus
	}
	o.holder, o.why, o.until, o.safety = holder, why, until, safety
	if wish != o.desired {
		c.emit(Event{Kind: OutputSwitched, Output: i, Zone: cfg.Zone, From: o.desired, Value: wish, Holder: holder, Who: c.who(i, holder), Title: why, Observed: c.cfg.Observe})
		if (o.desired == 0) != (wish == 0) {
			o.changed = now
		}
		o.desired, o.confirmed, o.failures, o.mismatches = wish, false, 0, 0
		o.inFlight, o.next, o.waiting = false, now, now
	}
}

func (c *Core) who(i int, holder string) string {
	switch holder {
	case "local lease":
		return c.outputs[i].leases[Local].by
	case "remote lease":
		return c.outputs[i].leases[Remote].by
	}
	return c.cfg.Gateway
}

// graceOver says that every input of the rules that want an output has come once, or that grace is up.
func (c *Core) graceOver(i int) bool {
	if c.cycle.Now.Steady-c.begun >= c.cfg.Grace {
		return true
	}
	for k := range c.cfg.Specs {
		for _, out := range c.cfg.Specs[k].Outputs {
			if out != i {
				continue
			}
			if !c.heardOnce(c.cfg.Specs[k].Inputs) {
				return false
			}
		}
	}
	return true
}

// heardOnce says that each point has come once; of optional ones, one is enough when there is nothing else.
func (c *Core) heardOnce(points []int) bool {
	required, optional := false, false
	for _, p := range points {
		came := c.points[p].came
		switch {
		case c.cfg.Points[p].Optional:
			optional = optional || came
		case !came:
			return false
		default:
			required = true
		}
	}
	return required || optional || len(points) == 0
}

// drive issues what is due for one output: at most one switch a cycle.
func (c *Core) drive(i int) {
	o, cfg, now := &c.outputs[i], &c.cfg.Outputs[i], c.cycle.Now.Steady
	if c.cfg.Observe {
		return
	}
	if !o.written && !o.found && !c.stopping && o.desired == cfg.Safe && now-c.begun < foundWait {
		return
	}
	if !o.written {
		o.written, o.waiting = true, now
	}
	if o.inFlight && now-o.issued >= confirmWait {
		c.refused(i)
	}
	if !o.confirmed && !o.failed && (o.failures >= 3 || now-o.waiting >= confirmWait) {
		o.failed = true
		c.raise("write:"+cfg.Name, c.cfg.Devices[cfg.Device].ID, "error", rules.Critical, cfg.Name+" does not confirm",
			fmt.Sprintf("wanted %g; look at the device and its wiring", o.desired))
	}
	if o.confirmed || o.inFlight || now < o.next {
		return
	}
	c.flight++
	o.flight, o.inFlight, o.issued = c.flight, true, now
	c.cycle.Switches = append(c.cycle.Switches, Switch{i, o.flight, o.desired, o.safety, o.why})
}

func (c *Core) refused(i int) {
	o := &c.outputs[i]
	o.inFlight = false
	o.next = c.cycle.Now.Steady + min(time.Second<<min(o.failures, 6), maxBackOff)
	o.failures++
}

func (c *Core) confirm(m *Confirmation) {
	if m.Output < 0 || m.Output >= len(c.outputs) {
		return
	}
	o := &c.outputs[m.Output]
	if !o.inFlight || m.ID != o.flight {
		return
	}
	if m.Err != nil || !same(m.Value, o.desired) {
		c.refused(m.Output)
		return
	}
	o.inFlight, o.confirmed, o.failures = false, true, 0
	if o.failed {
		o.failed = false
		c.resolve("write:" + c.cfg.Outputs[m.Output].Name)
	}
}

// readBack compares an output's polled state with what is wanted.
func (c *Core) readBack(i int, v float64) {
	o, cfg, now := &c.outputs[i], &c.cfg.Outputs[i], c.cycle.Now.Steady
	if !o.found {
		o.found = true
		c.emit(Event{Kind: OutputFound, Output: i, Zone: cfg.Zone, Value: v})
	}
	if c.cfg.Observe || o.inFlight || !o.confirmed {
		return
	}
	if same(v, o.desired) {
		o.mismatches = 0
		if o.displaced {
			o.displaced = false
			c.resolve("override:" + cfg.Name)
		}
		return
	}
	o.mismatches++
	o.confirmed, o.next, o.waiting = false, now, now
	if o.mismatches > 1 {
		o.next, o.waiting = now+overrideRetry, now+overrideRetry
		if !o.displaced {
			o.displaced = true
			c.raise("override:"+cfg.Name, c.cfg.Devices[cfg.Device].ID, "error", rules.Warning, cfg.Name+" is overridden at the device",
				fmt.Sprintf("wanted %g, the device shows %g", o.desired, v))
		}
	}
}

func same(a, b float64) bool { return math.Abs(a-b) <= 1e-6*math.Max(1, math.Abs(b)) }

// Settled says that every output has confirmed what is wanted of it; always true when only observing.
func (c *Core) Settled() bool {
	for i := range c.outputs {
		held := c.stopping && c.cfg.Outputs[i].Hold
		if !c.outputs[i].confirmed && !held && !c.cfg.Observe {
			return false
		}
	}
	return true
}
