package rules

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// subject is what a rule is about: "temperature in veg-1".
func (s *Spec) subject() string { return quantityText(s.Quantity) + " in " + s.Zone }

// valueWords is "temperature in veg-1 is 27.4 °C".
func (e *evaluation) valueWords() string { return e.subject() + " is " + e.amount(e.value) }

// breachWords is "temperature in veg-1 is 27.4 °C, above 26 °C for 30 s".
func (e *evaluation) breachWords() string {
	words := e.valueWords() + ", " + e.limitWords()
	if lasted := e.now.Steady - e.since.Steady; lasted > 0 {
		words += " for " + durationText(lasted)
	}
	return words
}

// limitWords is "above 26 °C".
func (e *evaluation) limitWords() string {
	if e.above {
		return "above " + e.amount(e.limits.Max)
	}
	return "below " + e.amount(e.limits.Min)
}

// resolvedWords is "temperature in veg-1 is 25.6 °C, back in 22 to 26 °C after 12 min".
func (e *evaluation) resolvedWords() string {
	words := e.valueWords() + ", back in " + e.band(e.limits)
	if e.above && e.value < e.limits.Min || !e.above && e.value > e.limits.Max {
		words = e.valueWords() + ", now out of " + e.band(e.limits) + " on the other side"
	}
	if lasted := e.now.Steady - e.since.Steady; lasted > 0 {
		words += " after " + durationText(lasted)
	}
	if e.acting && e.success == Unknown {
		words += e.obstacles()
	}
	return words
}

// workedWords is "temperature in veg-1 is 25.6 °C: exhaust-fan on has brought it back to 22 to 26 °C in 12 min".
func (e *evaluation) workedWords() string {
	return e.valueWords() + ": " + actionText(e.actions(e.above)) + " has brought it back to " + e.band(e.limits) + " in " + durationText(e.now.Steady-e.acted)
}

// failedWords says that a correction's time is up.
func (e *evaluation) failedWords() string {
	return e.subject() + " is still " + e.amount(e.value) + ", " + e.limitWords() + ", after " + durationText(e.now.Steady-e.acted) + " with " +
		actionText(e.actions(e.above)) + "; the correction goes on" + e.obstacles()
}

// refusedWords says that an output does not obey.
func (e *evaluation) refusedWords(a *Action) string {
	f := &e.feedback[a.Output]
	words := a.Name + " does not go "
	if a.Value != 0 && a.Value != 1 {
		words += "to "
	}
	words += switchText(a.Value)
	if f.Actual.Quality != Bad && !same(f.Actual.Value, a.Value) {
		words += ", it shows " + switchText(f.Actual.Value)
	}
	return words + "; the correction goes on, for " + e.valueWords() + ", " + e.limitWords()
}

// obstacles are the outputs that do not do what the correction wants, with the reason; empty when all do.
func (e *evaluation) obstacles() string {
	var words string
	for _, a := range e.actions(e.above) {
		switch f := &e.feedback[a.Output]; {
		case kept(f, a.Value):
			words += "; " + a.Name + " is held at " + switchText(f.Desired) + " by something of higher rank"
		case !obeys(f, a.Value):
			words += "; " + a.Name + " is not confirmed " + switchText(a.Value)
		}
	}
	return words
}

// blindWords says that the value is lost.
func (e *evaluation) blindWords() string {
	if !e.seen {
		return e.subject() + " has had no usable value since the start"
	}
	return e.subject() + " has had no usable value for " + durationText(e.now.Steady-e.lostAt) + "; the last was " + e.amount(e.value)
}

// band is "22 to 26 °C", "26 °C or less" or "22 °C or more".
func (s *Spec) band(l Limits) string {
	switch {
	case math.IsNaN(l.Min):
		return s.amount(l.Max) + " or less"
	case math.IsNaN(l.Max):
		return s.amount(l.Min) + " or more"
	}
	return number(l.Min) + " to " + s.amount(l.Max)
}

// amount is a number with the rule's unit. That of pH says the same as its name.
func (s *Spec) amount(v float64) string {
	if s.Unit == "" || s.Unit == "pH" {
		return number(v)
	}
	return number(v) + " " + s.Unit
}

// quantityText is a quantity as people write it.
func quantityText(q string) string {
	switch q {
	case "vpd":
		return "VPD"
	case "co2":
		return "CO2"
	case "ph":
		return "pH"
	case "ec":
		return "EC"
	}
	return strings.ReplaceAll(q, "_", " ")
}

// actionText is "exhaust-fan on and heater off".
func actionText(actions []Action) string {
	words := make([]string, len(actions))
	for i, a := range actions {
		words[i] = a.Name + " " + switchText(a.Value)
	}
	return listText(words)
}

// listText is "a, b and c".
func listText(words []string) string {
	if n := len(words); n > 1 {
		return strings.Join(words[:n-1], ", ") + " and " + words[n-1]
	}
	return strings.Join(words, "")
}

// switchText is what an output is set to.
func switchText(v float64) string {
	switch v {
	case 0:
		return "off"
	case 1:
		return "on"
	}
	return number(v)
}

// number rounds to three decimals: more is noise to people.
func number(v float64) string {
	rounded := math.Round(v*1000) / 1000
	if rounded == 0 {
		return "0" // not -0
	}
	if math.IsInf(rounded, 0) {
		rounded = v
	}
	return strconv.FormatFloat(rounded, 'f', -1, 64)
}

// durationText is "30 s", "1 min 30 s" or "2 h": the two largest units that are not nothing.
func durationText(d time.Duration) string {
	if d < time.Second {
		return strconv.FormatInt(d.Round(time.Millisecond).Milliseconds(), 10) + " ms"
	}
	if d < time.Hour {
		d = d.Round(time.Second)
	} else {
		d = d.Round(time.Minute)
	}
	var words []string
	for _, u := range []struct {
		length time.Duration
		name   string
	}{{24 * time.Hour, " d"}, {time.Hour, " h"}, {time.Minute, " min"}, {time.Second, " s"}} {
		if n := d / u.length; n > 0 && len(words) < 2 {
			words = append(words, strconv.FormatInt(int64(n), 10)+u.name)
		}
		d %= u.length
	}
	return strings.Join(words, " ")
}

// clockText is a time of day: 06:00.
func clockText(d time.Duration) string {
	return fmt.Sprintf("%02d:%02d", d/time.Hour, d%time.Hour/time.Minute)
}
