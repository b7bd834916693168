package rules

import (
	"strconv"
	"strings"
)

// Sentence is a rule in words, everything it does.
func (s *Set) Sentence(rule int) string {
	r := &s.rules[rule]
	words := []string{r.rangeText(), r.alertText()}
	if len(r.outputs) == 0 {
		return strings.Join(append(words, "Nothing is switched."), " ")
	}
	for _, side := range []struct {
		name    string
		actions []Action
	}{{"Too high", r.Above}, {"Too low", r.Below}} {
		if len(side.actions) > 0 {
			words = append(words, side.name+": "+actionText(side.actions)+" until the alert is over.")
		}
	}
	words = append(words, "If that does not bring it back within "+durationText(r.Within)+", or an output refuses, that is told, and it goes on.", r.lossText())
	return strings.Join(words, " ")
}

// rangeText is what the value may be, and where it comes from.
func (r *rule) rangeText() string {
	words := r.subject() + " is to be " + r.band(r.Day)
	if r.twice {
		words += " from " + clockText(r.DayFrom) + " to " + clockText(r.DayTo) + ", else " + r.band(r.Night)
	}
	switch {
	case r.Derive == VPD:
		words += ", computed from " + sensors(r.Split, "temperature") + " and " + sensors(len(r.Inputs)-r.Split, "humidity")
	case len(r.Inputs) > 1:
		words += ", the median of " + strconv.Itoa(len(r.Inputs)) + " sensors"
	}
	return words + "."
}

func sensors(n int, quantity string) string {
	if n == 1 {
		return quantity
	}
	return "the median of " + strconv.Itoa(n) + " sensors of " + quantity
}

// alertText is when an alert begins, how bad it is and when it is over.
func (r *rule) alertText() string {
	words := "Out of that"
	if r.For > 0 {
		words += " for " + durationText(r.For)
	}
	words += " it is a warning"
	if r.Critical > 0 {
		words += ", critical from " + r.amount(r.Critical) + " beyond"
	}
	if r.Emergency > 0 {
		words += ", an emergency from " + r.amount(r.Emergency) + " beyond"
	}
	words += "; it is over once the value is back"
	if r.Hysteresis > 0 {
		words += " by " + r.amount(r.Hysteresis)
	}
	if r.KeepFor > 0 {
		words += " for " + durationText(r.KeepFor)
	}
	return words + "."
}

// lossText is what happens to the outputs without a value.
func (r *rule) lossText() string {
	var names []string
	for _, output := range r.outputs {
		for _, a := range append(r.Above[:len(r.Above):len(r.Above)], r.Below...) {
			if a.Output == output {
				names = append(names, a.Name)
				break
			}
		}
	}
	words := "Without a usable value "
	if r.Loss > 0 {
		words += "a correction goes on for " + durationText(r.Loss) + ", then "
	}
	if len(names) == 1 {
		return words + listText(names) + " goes to its safe value until there is one."
	}
	return words + listText(names) + " go to their safe values until there is one."
}
