package rules

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestCompileFindsEveryFault(t *testing.T) {
	night := func(s *Spec) { s.DayFrom, s.DayTo = 6*time.Hour, 22*time.Hour }
	for want, change := range map[string]func(*Spec){
		"has no id":                             func(s *Spec) { s.ID = "" },
		"says not which quantity it is about":   func(s *Spec) { s.Quantity = "" },
		"in which zone (\"\")":                  func(s *Spec) { s.Zone = "" },
		"has no inputs":                         func(s *Spec) { s.Inputs = nil },
		"input -1 is no index":                  func(s *Spec) { s.Inputs = []int{-1} },
		"input 3 is there twice":                func(s *Spec) { s.Inputs = []int{3, 3} },
		"derivation 2 is not known":             func(s *Spec) { s.Derive = 2 },
		"of 1 inputs 1 are temperatures":        func(s *Spec) { s.Derive, s.Split = VPD, 1 },
		"of 1 inputs 0 are temperatures":        func(s *Spec) { s.Derive, s.Split = VPD, 0 },
		"day: both sides are open":              func(s *Spec) { s.Day = Limits{open, open} },
		"night: both sides are open":            func(s *Spec) { night(s); s.Night = Limits{open, open} },
		"day: a limit is infinite":              func(s *Spec) { s.Day.Max = math.Inf(1) },
		"night: a limit is infinite":            func(s *Spec) { night(s); s.Night.Min = math.Inf(-1) },
		"day: min 27 is above max 26":           func(s *Spec) { s.Day.Min = 27 },
		"night: min 23 is above max 22":         func(s *Spec) { night(s); s.Night.Min = 23 },
		"a hysteresis of 2 from both ends":      func(s *Spec) { s.Hysteresis = 2 },
		"night: a hysteresis of 1.5 from":       func(s *Spec) { night(s); s.Hysteresis, s.Night = 1.5, Limits{20, 22} },
		"hysteresis is -1":                      func(s *Spec) { s.Hysteresis = -1 },
		"hysteresis is NaN":                     func(s *Spec) { s.Hysteresis = open },
		"critical is -4":                        func(s *Spec) { s.Critical = -4 },
		"emergency is +Inf":                     func(s *Spec) { s.Emergency = math.Inf(1) },
		"emergency, 4 beyond the limit":         func(s *Spec) { s.Emergency = 4 },
		"for is -1s":                            func(s *Spec) { s.For = -time.Second },
		"keepFor is -1s":                        func(s *Spec) { s.KeepFor = -time.Second },
		"within is -1s":                         func(s *Spec) { s.Within = -time.Second },
		"loss is -1s":                           func(s *Spec) { s.Loss = -time.Second },
		"the day begins 24h0m0s after midnight": func(s *Spec) { s.DayFrom = 24 * time.Hour },
		"the day ends 25h0m0s after midnight":   func(s *Spec) { s.DayTo = 25 * time.Hour },
		"the day begins -1h0m0s after midnight": func(s *Spec) { s.DayFrom = -time.Hour },
		"above: can never happen":               func(s *Spec) { s.Day.Max = open },
		"below: can never happen":               func(s *Spec) { s.Day.Min = open },
		"above: output 7 has no name":           func(s *Spec) { s.Above = []Action{{7, "", 1}} },
		"above: fan has the index -1":           func(s *Spec) { s.Above = []Action{{-1, "fan", 1}} },
		"below: fan is to be NaN":               func(s *Spec) { s.Below = []Action{{0, "fan", open}} },
		"above: fan is set twice":               func(s *Spec) { s.Above = []Action{{0, "fan", 1}, {0, "fan", 0}} },
		"above and below both set fan to 1":     func(s *Spec) { s.Below = []Action{{0, "fan", 1}} },
	} {
		s := temperature()
		change(&s)
		_, err := Compile([]Spec{s})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
			continue
		}
		if name := "rule veg-1/temperature: "; s.ID != "" && !strings.HasPrefix(err.Error(), name) {
			t.Errorf("%q does not name the rule", err)
		}
	}
}

func TestCompileTellsAllFaultsAtOnce(t *testing.T) {
	first, second := temperature(), temperature()
	first.For, first.Day.Min = -1, 30
	second.Inputs = nil
	_, err := Compile([]Spec{first, second, {}})
	if err == nil {
		t.Fatal("compiled")
	}
	text := err.Error()
	for _, want := range []string{"min 30 is above max 26", "for is -1ns", "rule veg-1/temperature: has no inputs", "rules 0 and 1 have this id", "rule 2: has no id"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if n := strings.Count(text, "have this id"); n != 1 {
		t.Errorf("the id is told %d times", n)
	}
}

func TestCompileTakes(t *testing.T) {
	for name, change := range map[string]func(*Spec){
		"as it is":                          func(*Spec) {},
		"a range of one value":              func(s *Spec) { s.Day, s.Hysteresis = Limits{22, 22}, 0 },
		"no night where it is always day":   func(s *Spec) { s.Night = Limits{open, open} },
		"a night open on one side":          func(s *Spec) { s.DayTo, s.Night = 22*time.Hour, Limits{open, 26} },
		"a day up to midnight":              func(s *Spec) { s.DayFrom, s.DayTo = 6*time.Hour, 24*time.Hour },
		"the same output the other way":     func(s *Spec) { s.Below = []Action{{fan, "fan", 0}} },
		"an emergency that is not critical": func(s *Spec) { s.Critical = 0 },
	} {
		s := temperature()
		change(&s)
		if _, err := Compile([]Spec{s}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if set, err := Compile(nil); err != nil || len(set.Eval(Moment{}, Image{}, set.NewState()).Changes) != 0 {
		t.Errorf("no rules at all: %v", err)
	}
}

// A Set never changes: not even when the caller goes on to write into what it was made of.
func TestCompileCopies(t *testing.T) {
	specs := []Spec{temperature()}
	set, err := Compile(specs)
	if err != nil {
		t.Fatal(err)
	}
	before := set.Sentence(0)
	specs[0].Inputs[0], specs[0].Above[0].Name, specs[0].Below[0].Value, specs[0].Zone = 3, "door", 7, "elsewhere"
	if after := set.Sentence(0); after != before || set.rules[0].Inputs[0] != 0 {
		t.Errorf("changed to %q", after)
	}
}
