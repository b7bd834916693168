package rules

import (
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// saved is one rule's state as it is kept: durations, never instants of a clock that starts anew.
type saved struct {
	Phase    phase         `json:"phase,omitempty"`
	Above    bool          `json:"above,omitempty"`
	Severity Severity      `json:"severity,omitempty"`
	Since    time.Time     `json:"since"`           // wall
	Age      time.Duration `json:"age,omitempty"`   // of the breach
	Held     time.Duration `json:"held,omitempty"`  // of the hold that was running
	Value    float64       `json:"value,omitempty"` // the newest usable one
	Blind    bool          `json:"blind,omitempty"`
	Success  Truth         `json:"success,omitempty"`
}

// Save gives what Restore takes, as JSON. Rules of which there is nothing to remember are left out.
func (s *Set) Save(now Moment, st *State) ([]byte, error) {
	all := map[string]saved{}
	for i := range st.rules {
		r := &st.rules[i]
		if r.phase == ok && !r.blind {
			continue
		}
		held := now.Steady - r.from
		if r.lost {
			held = 0 // starts anew with the first value
		}
		all[s.specs[i].ID] = saved{Phase: r.phase, Above: r.above, Severity: r.severity, Since: r.since.Wall, Age: now.Steady - r.since.Steady,
			Held: held, Value: r.value, Blind: r.blind, Success: r.success}
	}
	return json.Marshal(all)
}

// Restore goes on from what Save gave, as if the time between had not been: holds go on with what they had left, a firing
// alert stays firing and is not raised again. Its correction begins anew at the first value. Rules that are not in it
// start afresh, and what is in it of rules that no longer exist is forgotten. It is called before the first Eval.
func (s *Set) Restore(kept []byte, now Moment, st *State) error {
	var all map[string]saved
	if err := json.Unmarshal(kept, &all); err != nil {
		return fmt.Errorf("rules: the saved state cannot be read: %w", err)
	}
	for id, was := range all {
		i, known := s.byID[id]
		if !known {
			continue
		}
		if was.Phase > resolving || was.Severity > Emergency || was.Success > No || was.Age < 0 || was.Held < 0 || math.IsNaN(was.Value) {
			return fmt.Errorf("rules: the saved state of rule %s makes no sense: %+v", id, was)
		}
		st.rules[i] = ruleState{phase: was.Phase, above: was.Above, severity: was.Severity, value: was.Value, blind: was.Blind, success: was.Success,
			since: Moment{Steady: now.Steady - was.Age, Wall: was.Since.In(location(now.Wall))}, from: now.Steady - was.Held}
	}
	return nil
}

// location is the facility's, which every Moment carries.
func location(wall time.Time) *time.Location { return wall.Location() }
