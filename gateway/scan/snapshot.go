package scan

import (
	"slices"
	"time"

	"gacp-erp.internal/glasshouse/rules"
)

// Snapshot is a copy of what the core knows; it shares nothing with it.
type Snapshot struct {
	Cycle   uint64
	Now     rules.Moment
	Points  []PointView
	Outputs []OutputView
	Rules   []RuleView
	Devices []DeviceView
	Faults  []Fault // by time, then id
}

// PointView is one point. Age is since arrival, -1 when nothing came.
type PointView struct {
	Value   float64
	Quality rules.Quality
	Age     time.Duration
	Reason  string
}

// OutputView is one output.
type OutputView struct {
	Desired                 float64
	Actual                  rules.Sample
	Confirmed               bool
	Holder, Why, Overridden string    // Overridden: by whom a rule's want is kept from its way
	Until                   time.Time // zero: open
}

// RuleView is one rule and its alert.
type RuleView struct {
	rules.View
	Alert string // "" when none is open
	Since time.Time
}

// DeviceView is one device.
type DeviceView struct {
	Online bool
	Heard  bool          // since the start
	Age    time.Duration // since it was heard
}

// Snapshot copies what is known after the last step. It is called from the goroutine that steps.
func (c *Core) Snapshot() *Snapshot {
	now := c.cycle.Now
	s := &Snapshot{Cycle: c.cycle.Number, Now: now}
	for i := range c.points {
		p, v := &c.points[i], PointView{Value: c.image.Samples[i].Value, Quality: c.image.Samples[i].Quality, Age: -1, Reason: "nothing came yet"}
		if p.came {
			v.Age, v.Reason = now.Steady-p.arrived, ""
		}
		if p.err != nil {
			v.Reason = p.err.Error()
		}
		s.Points = append(s.Points, v)
	}
	for i := range c.outputs {
		o := &c.outputs[i]
		v := OutputView{Desired: o.desired, Actual: c.image.Samples[c.cfg.Outputs[i].Point], Confirmed: o.confirmed, Holder: o.holder, Why: o.why, Overridden: o.overridden}
		if o.until > 0 {
			v.Until = now.Wall.Add(o.until - now.Steady)
		}
		s.Outputs = append(s.Outputs, v)
	}
	for i, a := range c.alerts {
		v := RuleView{}
		if c.cfg.Rules != nil && !c.rulesOff {
			v.View = c.cfg.Rules.View(i)
		}
		if a.Open {
			v.Alert, v.Since = a.ID, a.Since
		}
		s.Rules = append(s.Rules, v)
	}
	for i := range c.devices {
		s.Devices = append(s.Devices, DeviceView{c.devices[i].online, c.devices[i].spoke, now.Steady - c.devices[i].heard})
	}
	for _, f := range c.faults {
		s.Faults = append(s.Faults, *f)
	}
	slices.SortFunc(s.Faults, func(a, b Fault) int {
		if d := a.Since.Compare(b.Since); d != 0 {
			return d
		}
		return slices.Compare([]byte(a.ID), []byte(b.ID))
	})
	return s
}
