package scan

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"gacp-erp.internal/glasshouse/rules"
)

const stateVersion = 1

// state is what outlives the process. Durations are remaining or used time, never instants of the steady clock.
type state struct {
	Version  int                    `json:"version"`
	Wall     time.Time              `json:"wall"`
	Sequence uint64                 `json:"sequence"`
	Rules    json.RawMessage        `json:"rules,omitempty"`
	Alerts   map[string]alertState  `json:"alerts,omitempty"` // by rule
	Faults   map[string]*Fault      `json:"faults,omitempty"`
	Outputs  map[string]savedOutput `json:"outputs,omitempty"` // by name
	Online   map[string]bool        `json:"online,omitempty"`  // by device
	sameBoot bool
}

type savedOutput struct {
	Desired float64       `json:"desired"`
	Used    time.Duration `json:"used,omitempty"`
	Tripped bool          `json:"tripped,omitempty"`
	Leases  []savedLease  `json:"leases,omitempty"`
}

type savedLease struct {
	Origin         Origin        `json:"origin"`
	Value          float64       `json:"value"`
	Left           time.Duration `json:"left"`
	ID, By, Reason string
}

func (c *Core) load(saved []byte, sameBoot bool) error {
	s := &state{}
	if err := json.Unmarshal(saved, s); err != nil {
		return fmt.Errorf("scan: the saved state cannot be read: %w", err)
	}
	if s.Version != stateVersion {
		return fmt.Errorf("scan: the saved state has version %d, this program knows %d", s.Version, stateVersion)
	}
	s.sameBoot, c.loaded, c.sequence, c.kept = sameBoot, s, s.Sequence, s.Rules
	for key, f := range s.Faults {
		if f != nil {
			c.faults[key] = f
		}
	}
	delete(c.faults, "rules")
	for i := range c.cfg.Specs {
		c.alerts[i] = s.Alerts[c.cfg.Specs[i].ID]
	}
	for i := range c.points {
		c.points[i].faulted = c.faults["sensor:"+string(c.cfg.Points[i].ID)] != nil
	}
	for i := range c.devices {
		id := c.cfg.Devices[i].ID
		c.devices[i].online, c.devices[i].faulted = s.Online[id], c.faults["offline:"+id] != nil
	}
	for i := range c.outputs {
		c.outputs[i].failed = c.faults["write:"+c.cfg.Outputs[i].Name] != nil
		c.outputs[i].displaced = c.faults["override:"+c.cfg.Outputs[i].Name] != nil
	}
	return nil
}

// resume gives what was loaded its place on the steady clock, at the first step.
func (c *Core) resume(now rules.Moment) {
	for i := range c.devices {
		c.devices[i].heard = now.Steady
	}
	for i := range c.outputs {
		o := &c.outputs[i]
		o.last, o.changed, o.waiting, o.next = now.Steady, now.Steady, now.Steady, now.Steady
	}
	s := c.loaded
	c.loaded = nil
	if s == nil {
		return
	}
	c.prune(s)
	down := max(0, now.Wall.Sub(s.Wall))
	for i := range c.outputs {
		o, was := &c.outputs[i], s.Outputs[c.cfg.Outputs[i].Name]
		o.used, o.tripped = was.Used, was.Tripped
		if was.Used > 0 {
			o.used += down // counts as on until the device says otherwise
		}
		for _, l := range was.Leases {
			if s.sameBoot && l.Origin <= Local && l.Left > down {
				o.leases[l.Origin] = lease{true, l.Value, now.Steady + l.Left - down, l.ID, l.By, l.Reason}
			}
		}
	}
	if c.cfg.Rules != nil && s.Rules != nil {
		if err := c.cfg.Rules.Restore(s.Rules, now); err != nil {
			c.raise("restore", "", "error", rules.Warning, "rules start anew", err.Error())
			c.orphans()
			return
		}
	}
	c.resolve("restore")
}

// orphans ends what rules that start anew know nothing of, and would never end.
func (c *Core) orphans() {
	for i := range c.alerts {
		id, v, a := c.cfg.Specs[i].ID, c.cfg.Rules.View(i), &c.alerts[i]
		if a.Open && v.Severity == rules.Info { // a rule whose alert is open is worse than that
			c.abandon(i, *a, "the state of the rule "+id+" was lost; it starts anew")
			*a = alertState{Number: a.Number}
		}
		if !v.Lost {
			c.resolve("blind:" + id)
		}
	}
}

// prune ends the alerts and faults of what is no longer in the configuration: nobody else ever would.
func (c *Core) prune(s *state) {
	known := map[string]bool{"rules": true, "restore": true}
	for i := range c.cfg.Points {
		known["sensor:"+string(c.cfg.Points[i].ID)] = true
	}
	for i := range c.cfg.Devices {
		known["offline:"+c.cfg.Devices[i].ID] = true
	}
	for i := range c.cfg.Outputs {
		name := c.cfg.Outputs[i].Name
		known["trip:"+name] = true
		known["write:"+name], known["override:"+name] = !c.cfg.Observe, !c.cfg.Observe // who only observes will never know better
	}
	for i := range c.cfg.Specs {
		known["blind:"+c.cfg.Specs[i].ID] = true
	}
	for _, name := range c.cfg.Buses {
		known["bus:"+name] = true
	}
	exists := map[string]bool{}
	for i := range c.cfg.Specs {
		exists[c.cfg.Specs[i].ID] = true
	}
	for _, id := range slices.Sorted(maps.Keys(s.Alerts)) {
		if a := s.Alerts[id]; a.Open && !exists[id] {
			c.abandon(-1, a, "the rule "+id+" is no longer in the configuration")
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.faults)) {
		if kind, _, _ := strings.Cut(key, ":"); !known[key] && kind != "condition" {
			c.resolve(key)
		}
	}
}

func (c *Core) emitState() {
	now := c.cycle.Now
	if !c.dirty && now.Steady-c.savedAt >= counterEvery {
		for i := range c.outputs {
			c.dirty = c.dirty || c.outputs[i].used > 0
		}
	}
	if !c.dirty {
		return
	}
	c.dirty, c.savedAt = false, now.Steady
	c.cycle.State = c.State()
}

// State is what New takes to go on from the last step; nil before the first.
func (c *Core) State() []byte {
	if !c.started {
		return nil
	}
	now := c.cycle.Now
	s := state{Version: stateVersion, Wall: now.Wall, Sequence: c.sequence, Alerts: map[string]alertState{}, Faults: c.faults,
		Outputs: map[string]savedOutput{}, Online: map[string]bool{}}
	for i := range c.devices {
		s.Online[c.cfg.Devices[i].ID] = c.devices[i].online
	}
	for i, a := range c.alerts {
		s.Alerts[c.cfg.Specs[i].ID] = a
	}
	for i := range c.outputs {
		o := &c.outputs[i]
		out := savedOutput{Desired: o.desired, Used: o.used, Tripped: o.tripped}
		for k, l := range o.leases {
			if l.active {
				out.Leases = append(out.Leases, savedLease{Origin(k), l.value, l.until - now.Steady, l.id, l.by, l.reason})
			}
		}
		s.Outputs[c.cfg.Outputs[i].Name] = out
	}
	if c.cfg.Rules != nil && !c.rulesOff {
		if saved, err := c.cfg.Rules.Save(now); err == nil {
			c.kept = saved
		}
	}
	s.Rules = c.kept
	raw, err := json.Marshal(s)
	if err != nil {
		return nil // every number in it was checked to be finite
	}
	return raw
}
