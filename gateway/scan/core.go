package scan

import (
	"crypto/sha1"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"gacp-erp.internal/glasshouse/drivers"
	"gacp-erp.internal/glasshouse/rules"
)

const (
	defaultGrace  = 30 * time.Second
	clockJump     = 2 * time.Second
	foundWait     = 5 * time.Second // for an output's found state before safe is written anyway
	confirmWait   = 10 * time.Second
	overrideRetry = time.Minute
	maxBackOff    = time.Minute
	counterEvery  = time.Minute
	calm          = 10 * time.Second // without a new fault until a sensor's is over, or a device that said goodbye is back: what flaps is told once
)

// Core decides. It belongs to one goroutine.
type Core struct {
	cfg      Config
	cycle    Cycle
	started  bool
	begun    time.Duration // steady instant of the first step
	offset   int64         // wall minus steady, ns
	stopping bool
	dirty    bool
	rulesOff bool
	savedAt  time.Duration
	loaded   *state
	kept     json.RawMessage // what the rules last wanted kept; goes on being so when they are off
	sequence uint64          // of events and faults
	flight   uint64          // last switch id

	points  []pointState
	devices []deviceState
	outputs []outputState
	alerts  []alertState
	faults  map[string]*Fault
	buses   map[string]bool
	image   rules.Image
	wants   []rules.Want // of this cycle
	best    []strongest  // of each output
}

// New builds a Core. saved is the newest Cycle.State, nil on the first start; leases go on only when sameBoot.
// It reports a configuration whose indexes do not fit and a state it cannot read.
func New(cfg Config, saved []byte, sameBoot bool) (*Core, error) {
	if cfg.Grace <= 0 {
		cfg.Grace = defaultGrace
	}
	if err := check(&cfg); err != nil {
		return nil, err
	}
	c := &Core{cfg: cfg, faults: map[string]*Fault{}, buses: map[string]bool{},
		points: make([]pointState, len(cfg.Points)), devices: make([]deviceState, len(cfg.Devices)),
		outputs: make([]outputState, len(cfg.Outputs)), best: make([]strongest, len(cfg.Outputs)), alerts: make([]alertState, len(cfg.Specs))}
	c.image = rules.Image{Samples: make([]rules.Sample, len(cfg.Points)), Outputs: make([]rules.Feedback, len(cfg.Outputs))}
	for i := range c.points {
		c.points[i].output = -1
	}
	for i, o := range cfg.Outputs {
		c.points[o.Point].output = i
		c.outputs[i].desired = o.Safe
		c.outputs[i].grace = true
	}
	if saved != nil {
		if err := c.load(saved, sameBoot); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func check(cfg *Config) error {
	for _, p := range cfg.Points {
		if p.Device < 0 || p.Device >= len(cfg.Devices) {
			return fmt.Errorf("scan: point %s names device %d of %d", p.ID, p.Device, len(cfg.Devices))
		}
	}
	for _, o := range cfg.Outputs {
		if o.Point < 0 || o.Point >= len(cfg.Points) || o.Device < 0 || o.Device >= len(cfg.Devices) {
			return fmt.Errorf("scan: output %s names point %d, device %d: no such", o.Name, o.Point, o.Device)
		}
		if math.IsNaN(o.Safe) || math.IsInf(o.Safe, 0) {
			return fmt.Errorf("scan: output %s: its safe value is not a number", o.Name)
		}
	}
	for _, r := range cfg.Specs {
		for _, p := range r.Inputs {
			if p < 0 || p >= len(cfg.Points) {
				return fmt.Errorf("scan: rule %s reads point %d of %d", r.ID, p, len(cfg.Points))
			}
		}
	}
	return nil
}

// Step does one cycle. The result is valid until the next Step.
func (c *Core) Step(in Input) *Cycle {
	cy := &c.cycle
	cy.Number++
	cy.Now, cy.State, cy.Critical = in.Now, nil, false
	cy.Switches, cy.Events, cy.Receipts = cy.Switches[:0], cy.Events[:0], cy.Receipts[:0]
	c.clock(in.Now)
	c.stopping = c.stopping || in.Stop
	for i := range in.BusFaults {
		c.bus(&in.BusFaults[i])
	}
	for i := range in.Readings {
		c.observe(&in.Readings[i])
	}
	for _, i := range in.Gone {
		c.gone(i)
	}
	for i := range in.Conditions {
		c.condition(&in.Conditions[i])
	}
	c.age()
	c.silence()
	for i := range in.Confirmations {
		c.confirm(&in.Confirmations[i])
	}
	c.evaluate()
	for i := range in.Commands {
		c.command(&in.Commands[i])
	}
	for i := range c.outputs {
		c.decide(i)
		c.drive(i)
	}
	for i := range cy.Receipts {
		r := &cy.Receipts[i]
		if r.Accepted && c.outputs[r.Output].holder == "envelope" {
			r.Overridden = c.outputs[r.Output].why
		}
	}
	c.emitState()
	return cy
}

// clock starts the timers on the first step and tells a wall clock that was set.
func (c *Core) clock(now rules.Moment) {
	offset := now.Wall.UnixNano() - int64(now.Steady)
	if !c.started {
		c.started, c.begun, c.savedAt = true, now.Steady, now.Steady
		c.resume(now)
	} else if jump := time.Duration(offset - c.offset); jump > clockJump || jump < -clockJump {
		c.emit(Event{Kind: ClockChanged, Jump: jump})
	}
	c.offset = offset
}

// evaluate runs the rules; one that panics ends them all, with their outputs at safe.
func (c *Core) evaluate() {
	c.wants = c.wants[:0]
	clear(c.best)
	if c.cfg.Rules == nil || c.rulesOff {
		return
	}
	defer func() {
		if fault := recover(); fault != nil {
			c.rulesOff, c.wants = true, c.wants[:0]
			clear(c.best)
			c.raise("rules", "", "error", rules.Critical, "rules are switched off", fmt.Sprintf("a rule failed: %v; restart the gateway", fault))
		}
	}()
	for i := range c.outputs {
		c.image.Outputs[i] = c.outputs[i].feedback(c.image.Samples[c.cfg.Outputs[i].Point])
	}
	out := c.cfg.Rules.Eval(c.cycle.Now, c.image)
	for i := range out.Changes {
		c.change(&out.Changes[i])
	}
	c.wants = append(c.wants, out.Wants...)
	c.rank()
}

// emit stamps an event and gives it an id.
func (c *Core) emit(e Event) string {
	c.sequence++
	e.At = c.cycle.Now.Wall
	e.ID = c.id("event", e.Alert, c.sequence, c.cycle.Now.Wall)
	c.cycle.Events = append(c.cycle.Events, e)
	c.cycle.Critical, c.dirty = true, true
	return e.ID
}

// id is a uuid v5 of the gateway and what is identified: the same on replay.
func (c *Core) id(kind, identity string, number uint64, since time.Time) string {
	h := sha1.Sum(fmt.Appendf(nil, "%s|%s|%s|%d|%d", c.cfg.Gateway, kind, identity, number, since.UnixNano()))
	h[6], h[8] = h[6]&0x0f|0x50, h[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[0:4], h[4:6], h[6:8], h[8:10], h[10:16])
}

// quality maps the drivers' scale to the rules'.
func quality(q drivers.Quality) rules.Quality {
	switch q {
	case drivers.Good:
		return rules.Good
	case drivers.Uncertain:
		return rules.Uncertain
	}
	return rules.Bad
}
