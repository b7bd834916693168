package rules

import (
	"strings"
	"testing"
	"time"
)

func TestCorrections(t *testing.T) {
	quick := func(s *Spec) { s.For, s.KeepFor = 0, 0 }
	run(t, []script{
		{"worked, told before the end", quick, "0s 27\n 1m 25\n 2m end",
			"0s raised warning above 27\n 0s want fan=1\n 1m0s corrected 25 yes\n 1m0s resolved 25 yes\n 1m0s want nothing"},
		{"wants carry the severity", quick, "0s 27\n 1m 31\n 2m end", "0s raised warning above 27\n 0s want fan=1\n 1m0s escalated critical above 31"},
		{"time is up", quick, "0s 27\n 10m 25\n 11m end",
			"0s raised warning above 27\n 0s want fan=1\n 5m0s corrected 27 no\n 10m0s resolved 25 no\n 10m0s want nothing"},
		{"in range but not by the hysteresis has not failed", nil, "0s 27\n 1m 25.8\n 10m 26.1\n 11m end",
			"30s raised warning above 27\n 30s want fan=1\n 10m0s corrected 26.1 no"},
		{"refused", quick, "0s 24\n 10s fan refuses\n 20s 27\n 2m fan obeys\n 3m 25\n 4m end",
			"20s raised warning above 27\n 20s want fan=1\n 30.25s corrected 27 no\n 3m0s resolved 25 no\n 3m0s want nothing"},
		{"one write that fails is no refusal", quick, "0s 24\n 10s fan refuses\n 20s 27\n 28s fan obeys\n 3m 25\n 4m end",
			"20s raised warning above 27\n 20s want fan=1\n 3m0s corrected 25 yes\n 3m0s resolved 25 yes\n 3m0s want nothing"},
		{"refused again and again, never for long", quick, "0s fan refuses\n 0s 27\n 9s fan obeys\n 10s fan refuses\n 19s fan obeys\n 1m end",
			"0s raised warning above 27\n 0s want fan=1"},
		{"held is no refusal", quick, "0s fan held\n 0s 27\n 6m 25\n 7m end",
			"0s raised warning above 27\n 0s want fan=1\n 5m0s corrected 27 no\n 6m0s resolved 25 no\n 6m0s want nothing"},
		{"back by itself while held is not known", quick, "0s fan held\n 0s 27\n 4m 25\n 7m end",
			"0s raised warning above 27\n 0s want fan=1\n 4m0s resolved 25\n 4m0s want nothing"},
		{"unconfirmed is not known", quick, "0s fan unconfirmed\n 0s 27\n 4m 25\n 7m end",
			"0s raised warning above 27\n 0s want fan=1\n 4m0s resolved 25\n 4m0s want nothing"},
		{"shows something else", quick, "0s fan deaf\n 0s 27\n 4m 25\n 7m end",
			"0s raised warning above 27\n 0s want fan=1\n 4m0s resolved 25\n 4m0s want nothing"},
		{"its device has gone", quick, "0s fan silent\n 0s 27\n 4m 25\n 7m end",
			"0s raised warning above 27\n 0s want fan=1\n 4m0s resolved 25\n 4m0s want nothing"},
		{"never shows anything, but confirms", quick, "0s fan writeonly\n 0s 27\n 4m 25\n 7m end",
			"0s raised warning above 27\n 0s want fan=1\n 4m0s corrected 25 yes\n 4m0s resolved 25 yes\n 4m0s want nothing"},
		{"confirmed late", func(s *Spec) { s.KeepFor = time.Minute }, "0s fan unconfirmed\n 0s 27\n 1m 25\n 80s fan obeys\n 3m end",
			"30s raised warning above 27\n 30s want fan=1\n 1m20.25s corrected 25 yes\n 2m0s resolved 25 yes\n 2m0s want nothing"},
		{"worked, and out again", func(s *Spec) { s.KeepFor = time.Minute }, "0s 27\n 1m 25\n 70s 27\n 8m end",
			"30s raised warning above 27\n 30s want fan=1\n 1m0s corrected 25 yes\n 6m10s corrected 27 no"},
		{"within begins with the correction, not with the breach", func(s *Spec) { s.For = 4 * time.Minute }, "0s 27\n 8m59s end",
			"4m0s raised warning above 27\n 4m0s want fan=1"},
		{"nothing to switch on this side", func(s *Spec) { s.Above = nil }, "0s 27\n 20m 24\n 21m end", "30s raised warning above 27\n 20m20s resolved 24"},
		{"two outputs", func(s *Spec) { s.Above = append(s.Above, Action{heater, "heater", 0}) }, "0s 27\n 1m 24\n 2m end",
			"30s raised warning above 27\n 30s want fan=1, heater=0\n 1m0s corrected 24 yes\n 1m20s resolved 24 yes\n 1m20s want nothing"},
	})
}

// A worse rule that holds the output the other way is somebody of higher rank, too.
func TestOverruledByAWorseAlert(t *testing.T) {
	w := newWorld(t, temperature())
	w.play("0s 27\n 40s end")
	w.image.Outputs[fan] = Feedback{Desired: 0, Confirmed: false, Refused: true}
	for range 60 {
		w.now += time.Second
		if out := w.set.Eval(w.moment(), w.image, w.state); len(out.Changes) > 0 {
			t.Fatalf("told %+v", out.Changes[0])
		}
	}
}

func TestWhatAnOutputIsKnownToDo(t *testing.T) {
	shows := Sample{1, Good, 1}
	for name, tt := range map[string]struct {
		f             Feedback
		obeys, refuse bool
	}{
		"obeys":                               {Feedback{Desired: 1, Confirmed: true, Actual: shows}, true, false},
		"after scaling":                       {Feedback{Desired: 1, Confirmed: true, Actual: Sample{1 - 1e-9, Good, 1}}, true, false},
		"uncertain of its state":              {Feedback{Desired: 1, Confirmed: true, Actual: Sample{1, Uncertain, 1}}, true, false},
		"under way":                           {Feedback{Desired: 1, Actual: shows}, false, false},
		"refused":                             {Feedback{Desired: 1, Refused: true}, false, true},
		"overridden once, confirmed again":    {Feedback{Desired: 1, Refused: true, Confirmed: true, Actual: shows}, true, false},
		"held at just that":                   {Feedback{Desired: 1, Held: true, Confirmed: true, Actual: shows}, false, false},
		"refuses what somebody else wants":    {Feedback{Desired: 0, Refused: true}, false, false},
		"refuses somebody who wants the same": {Feedback{Desired: 1, Held: true, Refused: true}, false, false},
	} {
		s := temperature()
		e := evaluation{rule: &rule{Spec: s}, ruleState: &ruleState{above: true}, feedback: []Feedback{tt.f}}
		if got := e.obeyed(); got != tt.obeys {
			t.Errorf("%s: obeyed %v", name, got)
		}
		if got := e.refusal() != nil; got != tt.refuse {
			t.Errorf("%s: refused %v", name, got)
		}
	}
}

func TestWantsAreOfTheAlert(t *testing.T) {
	w := newWorld(t, temperature())
	w.play("0s 31\n 40s end")
	out := w.set.Eval(w.moment(), w.image, w.state)
	if want := (Want{Output: fan, Value: 1, Rule: 0, Severity: Critical}); len(out.Wants) != 1 || out.Wants[0] != want {
		t.Errorf("wants %+v", out.Wants)
	}
}

func TestWhy(t *testing.T) {
	for name, tt := range map[string]struct {
		play string
		want string
	}{
		"worked": {"0s 24\n 10s 27.4\n 2m 25.25\n 3m end", `
			temperature in veg-1 is 27.4 °C, above 26 °C for 30 s
			temperature in veg-1 is 25.25 °C: fan on has brought it back to 22 to 26 °C in 1 min 20 s
			temperature in veg-1 is 25.25 °C, back in 22 to 26 °C after 2 min 10 s`},
		"below": {"0s 20.12345\n 40s 17\n 1m end", `
			temperature in veg-1 is 20.123 °C, below 22 °C for 30 s
			temperature in veg-1 is 17 °C, below 22 °C for 40 s`},
		"time is up": {"0s 27\n 6m end", `
			temperature in veg-1 is 27 °C, above 26 °C for 30 s
			temperature in veg-1 is still 27 °C, above 26 °C, after 5 min with fan on; the correction goes on`},
		"refused": {"0s fan refuses\n 0s 27\n 1m end", `
			temperature in veg-1 is 27 °C, above 26 °C for 30 s
			fan does not go on, it shows off; the correction goes on, for temperature in veg-1 is 27 °C, above 26 °C`},
		"held": {"0s fan held\n 0s 27\n 6m 25\n 7m end", `
			temperature in veg-1 is 27 °C, above 26 °C for 30 s
			temperature in veg-1 is still 27 °C, above 26 °C, after 5 min with fan on; the correction goes on; fan is held at off by something of higher rank
			temperature in veg-1 is 25 °C, back in 22 to 26 °C after 6 min 20 s`},
		"held, and back by itself": {"0s fan held\n 0s 27\n 1m 25\n 7m end", `
			temperature in veg-1 is 27 °C, above 26 °C for 30 s
			temperature in veg-1 is 25 °C, back in 22 to 26 °C after 1 min 20 s; fan is held at off by something of higher rank`},
		"unconfirmed": {"0s fan unconfirmed\n 0s 27\n 1m 25\n 7m end", `
			temperature in veg-1 is 27 °C, above 26 °C for 30 s
			temperature in veg-1 is 25 °C, back in 22 to 26 °C after 1 min 20 s; fan is not confirmed on`},
		"the other side": {"0s 27\n 1m 21\n 70s end", `
			temperature in veg-1 is 27 °C, above 26 °C for 30 s
			temperature in veg-1 is 21 °C, now out of 22 to 26 °C on the other side after 1 min`},
		"the other side after a long loss": {"0s 27\n 1m lost\n 4m 21\n 241s end", `
			temperature in veg-1 is 27 °C, above 26 °C for 30 s
			temperature in veg-1 has had no usable value for 15 s; the last was 27 °C
			temperature in veg-1 is 21 °C again
			temperature in veg-1 is 21 °C, now out of 22 to 26 °C on the other side after 4 min`},
		"lost": {"0s 24\n 1m lost\n 2m 24.5", `
			temperature in veg-1 has had no usable value for 15 s; the last was 24 °C
			temperature in veg-1 is 24.5 °C again`},
		"never there": {"1m end", "temperature in veg-1 has had no usable value since the start"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, temperature())
			w.play(tt.play)
			if got, want := strings.Join(w.why, "\n"), strings.Join(lines(tt.want), "\n"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}
