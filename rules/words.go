package rules

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// subject is what a rule is about: "temperature in veg-1".
func (e *evaluation) subject() string { return e.spec.Quantity + " in " + e.spec.Zone }

// valueWords is "temperature in veg-1 is 27.4 °C".
func (e *evaluation) valueWords() string {
	return e.subject() + " is " + amount(e.st.value, e.spec.Unit)
}

// breachWords is "temperature in veg-1 is 27.4 °C, above 26 °C for 30s".
func (e *evaluation) breachWords() string {
	side, limit := "below ", e.st.limits.Min
	if e.st.above {
		side, limit = "above ", e.st.limits.Max
	}
	words := e.valueWords() + ", " + side + amount(limit, e.spec.Unit)
	if lasted := (e.now.Steady - e.st.since.Steady).Round(time.Second); lasted > 0 {
		words += " for " + durationText(lasted)
	}
	return words
}

func (e *evaluation) blindWords() string {
	if !e.st.seen {
		return e.subject() + " has had no usable value since the start"
	}
	return e.subject() + " has no usable value; the last was " + amount(e.st.value, e.spec.Unit)
}

// Sentence is a rule in words, everything it does.
func (s *Set) Sentence(rule int) string {
	spec := &s.specs[rule]
	var b strings.Builder
	fmt.Fprintf(&b, "%s in %s: ", spec.Quantity, spec.Zone)
	same := spec.DayFrom == spec.DayTo || spec.Day == spec.Night ||
		equal(spec.Day.Min, spec.Night.Min) && equal(spec.Day.Max, spec.Night.Max)
	if same {
		b.WriteString(spec.band(spec.Day))
	} else {
		fmt.Fprintf(&b, "%s from %s to %s, else %s", spec.band(spec.Day), clockText(spec.DayFrom), clockText(spec.DayTo), spec.band(spec.Night))
	}
	if spec.Derive == VPD {
		b.WriteString(", computed from temperature and humidity")
	}
	b.WriteString(". Outside it")
	if spec.For > 0 {
		b.WriteString(" for " + durationText(spec.For))
	}
	b.WriteString(" it is a warning")
	for _, level := range []struct {
		word string
		d    float64
	}{{"critical", spec.Critical}, {"an emergency", spec.Emergency}} {
		if level.d > 0 {
			fmt.Fprintf(&b, ", from %s beyond %s", amount(level.d, spec.Unit), level.word)
		}
	}
	b.WriteString("; it is over")
	if spec.Hysteresis > 0 {
		fmt.Fprintf(&b, " %s inside", amount(spec.Hysteresis, spec.Unit))
	} else {
		b.WriteString(" when it is back")
	}
	if spec.KeepFor > 0 {
		b.WriteString(" for " + durationText(spec.KeepFor))
	}
	b.WriteString(".")
	spec.corrections(&b)
	return b.String()
}

// corrections is what a rule does about a breach.
func (s *Spec) corrections(b *strings.Builder) {
	if len(s.Above) == 0 && len(s.Below) == 0 {
		b.WriteString(" Nothing is switched.")
		return
	}
	for _, side := range []struct {
		word    string
		actions []Action
	}{{" Too high: ", s.Above}, {" Too low: ", s.Below}} {
		if len(side.actions) > 0 {
			b.WriteString(side.word + actionText(side.actions) + ".")
		}
	}
	fmt.Fprintf(b, " If that has not worked within %s it is told as failed. Without a value it goes on for %s, then the outputs go to safe.",
		durationText(s.Within), durationText(s.Loss))
}

// band is "22 to 26 °C", "at most 26 °C" or "at least 22 °C".
func (s *Spec) band(l Limits) string {
	switch {
	case math.IsNaN(l.Min):
		return "at most " + amount(l.Max, s.Unit)
	case math.IsNaN(l.Max):
		return "at least " + amount(l.Min, s.Unit)
	}
	return number(l.Min) + " to " + amount(l.Max, s.Unit)
}

func equal(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }

func actionText(actions []Action) string {
	var words []string
	for _, a := range actions {
		value := number(a.Value)
		switch a.Value {
		case 0:
			value = "off"
		case 1:
			value = "on"
		}
		words = append(words, a.Name+" "+value)
	}
	return strings.Join(words, ", ")
}

// number rounds to three decimals: more is noise to people.
func number(v float64) string {
	return strconv.FormatFloat(math.Round(v*1000)/1000, 'f', -1, 64)
}

func amount(v float64, unit string) string { return strings.TrimSpace(number(v) + " " + unit) }

// durationText is 10m and not 10m0s.
func durationText(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// clockText is a time of day: 06:00.
func clockText(d time.Duration) string {
	return fmt.Sprintf("%02d:%02d", int(d/time.Hour), int(d%time.Hour/time.Minute))
}
