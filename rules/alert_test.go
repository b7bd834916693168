package rules

import (
	"testing"
	"time"
)

func TestLifeOfAnAlert(t *testing.T) {
	run(t, []script{
		{"in range", nil, "0s 26\n 1m 22\n 2m end", ""},
		{"from raised to resolved", nil, `
			0s 24
			10s 27.4
			2m 25.6
			3m 25.5
			10m end`, `
			40s raised warning above 27.4
			40s want fan=1
			3m0s corrected 25.5 yes
			3m20s resolved 25.5 yes
			3m20s want nothing`},
		{"below", nil, `
			0s 24
			10s 21
			2m 22.5
			3m end`, `
			40s raised warning below 21
			40s want heater=1
			2m0s corrected 22.5 yes
			2m20s resolved 22.5 yes
			2m20s want nothing`},
		{"shorter than for", nil, "0s 24\n 10s 30\n 39.75s 24\n 1m 30\n 89s 24\n 5m end", ""},
		{"exactly for", nil, "0s 24\n 10s 30\n 40s 30\n 40.25s end", "40s raised critical above 30\n 40s want fan=1"},
		{"at once", func(s *Spec) { s.For, s.KeepFor, s.Above = 0, 0, nil }, "0s 24\n 10s 27\n 20s 25.75\n 30s 25.5\n 40s end", `
			10s raised warning above 27
			30s resolved 25.5`},
		{"flapping around the limit is one alert", func(s *Spec) { s.Above = nil }, `
			0s 26.1
			40s 25.9
			60s 26.1
			80s 25.4
			99s 25.6
			2m 25.4
			3m end`, `
			30s raised warning above 26.1
			2m20s resolved 25.4`},
		{"severity only rises", func(s *Spec) { s.Above = nil }, `
			0s 27
			1m 30
			2m 27
			3m 30
			4m 34
			5m 30
			6m 24
			7m end`, `
			30s raised warning above 27
			1m0s escalated critical above 30
			4m0s escalated emergency above 34
			6m20s resolved 24`},
		{"severity when raised is that of then", func(s *Spec) { s.Above = nil }, "0s 40\n 29s 27\n 1m end", "30s raised warning above 27"},
		{"severities that never are", func(s *Spec) { s.Above, s.Critical, s.Emergency = nil, 0, 0 }, "0s 90\n 1m end", "30s raised warning above 90"},
		{"escalates while resolving", func(s *Spec) { s.Above = nil }, "0s 27\n 1m 25\n 70s 31\n 2m end", `
			30s raised warning above 27
			1m10s escalated critical above 31`},
	})
}

func TestBothSides(t *testing.T) {
	run(t, []script{
		{"the other side while firing", nil, `
			0s 27
			1m 21
			2m 24
			3m end`, `
			30s raised warning above 27
			30s want fan=1
			1m0s resolved 21
			1m0s want nothing
			1m30s raised warning below 21
			1m30s want heater=1
			2m0s corrected 24 yes
			2m20s resolved 24 yes
			2m20s want nothing`},
		{"the other side at once", func(s *Spec) { s.For, s.KeepFor, s.Above, s.Below = 0, time.Hour, nil, nil }, "0s 27\n 10s 24\n 20s 21\n 30s end", `
			0s raised warning above 27
			20s resolved 21
			20s raised warning below 21`},
		{"the other side while pending begins anew", nil, "0s 27\n 20s 21\n 50s 21\n 51s end", "50s raised warning below 21\n 50s want heater=1"},
		{"open above", func(s *Spec) { s.Day.Max, s.Above = open, nil }, "0s 90\n 5m end", ""},
		{"open below", func(s *Spec) { s.Day.Min, s.Below = open, nil }, "0s -90\n 5m end", ""},
	})
}

func TestAnAlertTellsWhatItIsAbout(t *testing.T) {
	w := newWorld(t, temperature())
	w.play("0s 24\n 10s 27.4\n 39.75s 27.4")
	w.now = 40 * time.Second
	c := w.set.Eval(w.moment(), w.image, w.state).Changes[0]
	if c.Rule != 0 || c.Min != 22 || c.Max != 26 || !c.Tried || len(c.Actions) != 1 || c.Actions[0].Name != "fan" {
		t.Errorf("%+v", c)
	}
	if want := (Moment{10 * time.Second, noon.Add(10 * time.Second)}); c.Since != want {
		t.Errorf("since %v, want %v", c.Since, want)
	}
	v := w.set.View(0, w.state)
	if v.Phase != "firing" || v.Severity != Warning || v.Since != c.Since || !v.Above || !v.Correcting || v.Value != 27.4 || v.Quality != Good || v.Min != 22 || v.Max != 26 {
		t.Errorf("%+v", v)
	}
}

func TestView(t *testing.T) {
	w := newWorld(t, temperature())
	look := func(script, phase string) {
		t.Helper()
		w.play(script)
		if v := w.set.View(0, w.state); v.Phase != phase || v.Quality == Bad && v.Value != 0 {
			t.Errorf("%s: %+v, want %s", w.now, v, phase)
		}
	}
	if v := w.set.View(0, w.state); v.Phase != "blind" || v.Min == v.Min {
		t.Errorf("before everything: %+v", v)
	}
	look("1s end", "blind")
	look("2s 24", "ok")
	look("10s 27", "pending")
	look("50s 27", "firing")
	look("60s 24", "resolving")
	look("61s lost", "resolving")
	look("80s lost", "blind")
	look("81s 24", "resolving")
	look("102s 24", "ok")
}

// Rules of one set do not touch each other.
func TestRulesAreTheirOwn(t *testing.T) {
	first, second := temperature(), temperature()
	second.ID, second.Inputs, second.Above, second.Below = "flower-1/temperature", []int{1}, nil, nil
	w := newWorld(t, first, second)
	w.image.Samples[1] = Sample{Value: 21, Quality: Good}
	w.play("0s 24\n 20s 27\n 3m end")
	w.want("30s raised warning below 21\n 50s raised warning above 27\n 50s want fan=1")
}
