package scan

import (
	"math"
	"time"

	"gacp-erp.internal/glasshouse/rules"
)

// Fault is a device fault that stands, or the gateway's own when Device is empty.
type Fault struct {
	ID, Device, Type   string
	Severity           rules.Severity
	Title, Description string
	Since              time.Time
	Last               string // id of its last event
}

type alertState struct {
	ID     string    `json:"id,omitempty"`
	Last   string    `json:"last,omitempty"`
	Number uint64    `json:"number,omitempty"`
	Since  time.Time `json:"since"`
	Open   bool      `json:"open,omitempty"`
	Told   told      `json:"told,omitzero"` // while Open: what its last event said, should its rule be gone after a restart
}

// told is what an alert's end must repeat.
type told struct {
	Zone, Quantity, Unit string
	Value                float64
	Min, Max             *float64 // nil: open
}

func (c *Core) raise(key, device, kind string, s rules.Severity, title, description string) {
	if c.faults[key] != nil {
		return
	}
	f := &Fault{ID: c.id("fault", key, c.sequence, c.cycle.Now.Wall), Device: device, Type: kind, Severity: s, Title: title,
		Description: description, Since: c.cycle.Now.Wall}
	c.faults[key] = f
	f.Last = c.emit(f.event(FaultRaised))
}

func (c *Core) resolve(key string) {
	f := c.faults[key]
	if f == nil {
		return
	}
	delete(c.faults, key)
	e := f.event(FaultResolved)
	e.Causation = f.Last
	c.emit(e)
}

func (f *Fault) event(k Kind) Event {
	return Event{Kind: k, Alert: f.ID, Correlation: f.ID, Device: f.Device, Type: f.Type, Severity: f.Severity, Title: f.Title,
		Description: f.Description, Since: f.Since}
}

// condition raises or ends what something outside the cycle knows of.
func (c *Core) condition(k *Condition) {
	key := "condition:" + k.Key
	if k.On {
		c.raise(key, k.Device, k.Type, k.Severity, k.Title, k.Description)
	} else {
		c.resolve(key)
	}
}

// deviation is the value minus the limit that is broken: negative below the range, 0 within it and once it is over.
func deviation(ch *rules.Change) float64 {
	switch {
	case ch.Phase == rules.Resolved:
		return 0
	case ch.Above && !math.IsNaN(ch.Max):
		return math.Max(0, ch.Value-ch.Max)
	case !ch.Above && !math.IsNaN(ch.Min):
		return math.Min(0, ch.Value-ch.Min)
	}
	return 0
}

// change tells one transition of a rule.
func (c *Core) change(ch *rules.Change) {
	if ch.Rule < 0 || ch.Rule >= len(c.cfg.Specs) {
		return
	}
	spec, a := &c.cfg.Specs[ch.Rule], &c.alerts[ch.Rule]
	switch ch.Phase {
	case rules.Blinded:
		c.raise("blind:"+spec.ID, "", "error", rules.Critical, spec.Quantity+" in "+spec.Zone+" is not known", ch.Why)
		return
	case rules.Seeing:
		c.resolve("blind:" + spec.ID)
		return
	}
	if ch.Phase == rules.Resolved && !a.Open {
		return
	}
	tried, success := ch.Tried, ch.Success
	if c.cfg.Observe { // nothing was switched, so nothing can have worked or failed
		if tried, success = false, rules.Unknown; ch.Phase == rules.Corrected {
			return
		}
	}
	if !a.Open {
		*a = alertState{Number: a.Number + 1, Open: true, Since: ch.Since.Wall}
		a.ID = c.id("alert", spec.ID, a.Number, a.Since)
	}
	kinds := [...]Kind{rules.Raised: AlertRaised, rules.Escalated: AlertEscalated, rules.Corrected: AlertCorrected, rules.Resolved: AlertResolved}
	if int(ch.Phase) >= len(kinds) {
		return
	}
	a.Last = c.emit(Event{Kind: kinds[ch.Phase], Alert: a.ID, Correlation: a.ID, Causation: a.Last, Since: a.Since, Severity: ch.Severity,
		Rule: ch.Rule, Zone: spec.Zone, Quantity: spec.Quantity, Unit: spec.Unit, Value: ch.Value, Min: ch.Min, Max: ch.Max,
		Deviation: deviation(ch), Above: ch.Above, Tried: tried, Success: success, Actions: append([]rules.Action(nil), ch.Actions...), Description: ch.Why})
	if a.Open = ch.Phase != rules.Resolved; a.Open {
		a.Told = told{spec.Zone, spec.Quantity, spec.Unit, ch.Value, closed(ch.Min), closed(ch.Max)}
	} else {
		a.Told = told{}
	}
}

// closed is nil for a side that is open: JSON knows no NaN.
func closed(v float64) *float64 {
	if math.IsNaN(v) {
		return nil
	}
	return &v
}

// abandon ends an alert whose rule knows nothing of it: nobody else ever would.
func (c *Core) abandon(rule int, a alertState, why string) {
	open := func(v *float64) float64 {
		if v == nil {
			return math.NaN()
		}
		return *v
	}
	t := a.Told
	c.emit(Event{Kind: AlertResolved, Rule: rule, Alert: a.ID, Correlation: a.ID, Causation: a.Last, Since: a.Since, Zone: t.Zone, Quantity: t.Quantity, Unit: t.Unit,
		Value: t.Value, Min: open(t.Min), Max: open(t.Max), Description: why})
}
