package rules

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// saved is one rule's state as it is kept: durations, never instants of a clock that starts anew.
type saved struct {
	Phase    string        `json:"phase"`
	Above    bool          `json:"above,omitempty"`
	Severity Severity      `json:"severity,omitempty"`
	Since    time.Time     `json:"since,omitzero"`     // wall time at which the breach began
	Age      time.Duration `json:"age,omitempty"`      // of the breach, ns
	Held     time.Duration `json:"held,omitempty"`     // how much of For or KeepFor has passed, ns
	Value    float64       `json:"value"`              // the newest usable one
	Blind    bool          `json:"blind,omitempty"`    // told
	Success  Truth         `json:"success,omitempty"`  // of the correction
	Day      bool          `json:"day,omitempty"`      // the range in force was the day's
	Switched time.Duration `json:"switched,omitempty"` // for how long, ns; no more than For
}

// longest is more than any alert lasts, and far less than what overflows.
const longest = 100 * 365 * 24 * time.Hour

// Save gives what Restore takes, as JSON. Rules of which there is nothing to remember are left out. The error is about a
// wall clock whose year has no four digits.
func (s *Set) Save(now Moment, st *State) ([]byte, error) {
	all := map[string]saved{}
	for i := range st.rules {
		r := &st.rules[i]
		if r.phase == ok && !r.blind {
			continue
		}
		was := saved{Phase: r.phase.String(), Above: r.above, Severity: r.severity, Value: r.value, Blind: r.blind, Success: r.success,
			Day: r.day, Switched: min(now.Steady-r.switched, s.rules[i].For)}
		if r.phase != ok {
			was.Since, was.Age = r.since.Wall, now.Steady-r.since.Steady
		}
		if r.phase == pending || r.phase == resolving {
			was.Held = now.Steady - r.from
			if r.lost {
				was.Held = r.lostAt - r.from // it stands still
			}
		}
		all[s.rules[i].ID] = was
	}
	raw, err := json.Marshal(all)
	if err != nil {
		return nil, fmt.Errorf("rules: writing the state down: %w", err)
	}
	return raw, nil
}

// Restore goes on from what Save gave, before the first Eval, as if the time between had not been. What st held is
// forgotten. Rules that kept does not tell of start afresh, and what it tells of other rules is forgotten.
//
// The error names each rule whose part makes no sense and which therefore starts afresh; the others are restored. Of what
// is not Save's JSON at all nothing is.
func (s *Set) Restore(kept []byte, now Moment, st *State) error {
	*st = *s.NewState()
	var all map[string]json.RawMessage
	if err := json.Unmarshal(kept, &all); err != nil {
		return fmt.Errorf("rules: the saved state cannot be read, all rules start afresh: %w", err)
	}
	var faults []error
	for i := range s.rules {
		raw, known := all[s.rules[i].ID]
		if !known {
			continue
		}
		r, err := s.restored(i, raw, now)
		if err != nil {
			faults = append(faults, fmt.Errorf("rules: the saved state of rule %s makes no sense, it starts afresh: %w", s.rules[i].ID, err))
			continue
		}
		st.rules[i] = r
	}
	return errors.Join(faults...)
}

// restored is one rule's state from what was kept of it.
func (s *Set) restored(rule int, raw json.RawMessage, now Moment) (ruleState, error) {
	var was saved
	if err := json.Unmarshal(raw, &was); err != nil {
		return ruleState{}, err
	}
	p, err := was.check()
	if err != nil {
		return ruleState{}, err
	}
	spec := &s.rules[rule].Spec
	r := ruleState{phase: p, value: was.Value, blind: was.Blind, lost: was.Blind, lostAt: now.Steady, limits: spec.Day, day: was.Day, ranged: true, switched: now.Steady - was.Switched}
	if p == ok {
		return r, nil
	}
	r.above, r.severity, r.from = was.Above, was.Severity, now.Steady-was.Held
	r.since = Moment{Steady: now.Steady - was.Age, Wall: was.Since.In(now.Wall.Location())}
	if len(spec.actions(was.Above)) > 0 {
		r.success = was.Success
	}
	return r, nil
}

// check says whether Save can have written this.
func (was *saved) check() (phase, error) {
	p := ok
	for p < phases && p.String() != was.Phase {
		p++
	}
	open := p == firing || p == resolving
	switch {
	case p == phases:
		return ok, fmt.Errorf("phase %q is not known", was.Phase)
	case open != (was.Severity > Info) || was.Severity > Emergency:
		return ok, fmt.Errorf("severity %d while %s", was.Severity, was.Phase)
	case was.Success > No || was.Success != Unknown && !open:
		return ok, fmt.Errorf("success %d while %s", was.Success, was.Phase)
	case outside(was.Age) || outside(was.Held) || outside(was.Switched):
		return ok, fmt.Errorf("age %s, held %s, switched %s", was.Age, was.Held, was.Switched)
	case p != ok && (was.Since.Year() < 1 || was.Since.Year() > 9998):
		return ok, fmt.Errorf("the breach began in the year %d", was.Since.Year())
	}
	return p, nil
}

func outside(d time.Duration) bool { return d < 0 || d > longest }
