package rules

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestRestart(t *testing.T) {
	run(t, []script{
		{"a firing alert stays firing, its correction begins anew", nil, "0s 27\n 4m restart\n 10s 27\n 5m9s 27\n 6m end", `
			30s raised warning above 27
			30s want fan=1
			restart
			10s want fan=1
			5m10s corrected 27 no`},
		{"it can still get worse", func(s *Spec) { s.Above = nil }, "0s 27\n 1m restart\n 1s 30\n 1m end",
			"30s raised warning above 27\n restart\n 1s escalated critical above 30"},
		{"it resolves, and for is not forgotten", nil, "0s 27\n 1m restart\n 10s 24\n 1m 27\n 2m end", `
			30s raised warning above 27
			30s want fan=1
			restart
			10s want fan=1
			10.25s corrected 24 yes
			30s resolved 24 yes
			30s want nothing
			1m30s raised warning above 27
			1m30s want fan=1`},
		{"what has failed has failed, and goes on", nil, "0s 27\n 6m restart\n 1s 27\n 10m 24\n 11m end", `
			30s raised warning above 27
			30s want fan=1
			5m30s corrected 27 no
			restart
			1s want fan=1
			10m20s resolved 24 no
			10m20s want nothing`},
		{"what had worked is not told again", func(s *Spec) { s.KeepFor = time.Minute }, "0s 27\n 1m 25\n 70s restart\n 1s 25\n 2m end", `
			30s raised warning above 27
			30s want fan=1
			1m0s corrected 25 yes
			restart
			1s want fan=1
			51s resolved 25 yes
			51s want nothing`},
		{"a hold goes on with what it had left", nil, "0s 27\n 20s restart\n 5s 27\n 1m end", "restart\n 15s raised warning above 27\n 15s want fan=1"},
		{"the rest of keepFor", func(s *Spec) { s.Above = nil }, "0s 27\n 1m 24\n 75s restart\n 2s 24\n 1m end", "30s raised warning above 27\n restart\n 7s resolved 24"},
		{"no value for long after it", nil, "0s 27\n 1m restart\n 5m 27\n 6m end", `
			30s raised warning above 27
			30s want fan=1
			restart
			30s blinded
			2m0s want fan safe, heater safe
			5m0s seeing
			5m0s want fan=1`},
		{"blind before and after", nil, "0s 27\n 1m lost\n 90s restart\n 1m 27\n 2m end", `
			30s raised warning above 27
			30s want fan=1
			1m15s blinded
			restart
			1m0s seeing
			1m0s want fan=1`},
		{"blind without an alert", nil, "0s 24\n 1m lost\n 90s restart\n 10s 24\n 1m end", "1m15s blinded\n restart\n 10s seeing"},
		{"blind before, and the value is there at once", nil, "0s 24\n 1m lost\n 90s restart\n 0s 24\n 1m end", "1m15s blinded\n restart\n 0s seeing"},
		{"the night has come meanwhile", nightly, "0s 27\n 59m restart\n 0s wall 1h\n 1s 27\n 1m end",
			"30s raised warning above 27\n restart\n 30s escalated critical above 27"},
		{"twice", nil, "0s 27\n 20s restart\n 5s restart\n 5s 27\n 1m end", "restart\n restart\n 15s raised warning above 27\n 15s want fan=1"},
	})
}

func TestABreachKeepsItsBeginningOverARestart(t *testing.T) {
	w := newWorld(t, temperature())
	w.play("0s 24\n 10s 27\n 1m restart\n 5s 27")
	v := w.set.View(0, w.state)
	if v.Phase != "firing" || v.Severity != Warning || !v.Above || !v.Since.Wall.Equal(noon.Add(10*time.Second)) || v.Since.Steady != -50*time.Second {
		t.Errorf("%+v", v)
	}
}

// A new configuration is a new Set; a rule is the same one by its id.
func TestStateFollowsTheRuleIntoAnotherSet(t *testing.T) {
	other := temperature()
	other.ID, other.Inputs = "other", []int{1}
	w := newWorld(t, temperature(), other)
	w.play("0s 27\n 6m end") // the correction has failed
	saved, err := w.set.Save(w.moment(), w.state)
	if err != nil {
		t.Fatal(err)
	}
	changed, fresh := temperature(), temperature()
	changed.Day, changed.Above = Limits{22, 28}, nil
	fresh.ID, fresh.Inputs = "new", []int{1} // without a value
	next := newWorld(t, fresh, changed)
	next.now, next.image = w.now, w.image
	if err := next.set.Restore(saved, next.moment(), next.state); err != nil {
		t.Fatal(err)
	}
	next.play("385s end")
	next.want("6m20s resolved 27")
	if v := next.set.View(0, next.state); v.Phase != "blind" || v.Since != (Moment{}) {
		t.Errorf("the new rule: %+v", v)
	}
}

func TestRestoreRefuses(t *testing.T) {
	firing := `"since":"2026-06-01T12:00:00Z","severity":1,"value":27`
	for kept, want := range map[string]string{
		`not json`:                 "cannot be read",
		``:                         "cannot be read",
		`[1,2]`:                    "cannot be read",
		`"text"`:                   "cannot be read",
		`{"veg-1/temperature":7}`:  "rule veg-1/temperature",
		`{"veg-1/temperature":{}}`: `phase "" is not known`,
		`{"veg-1/temperature":{"phase":"phases"}}`:                                 `phase "phases" is not known`,
		`{"veg-1/temperature":{"phase":"firing"}}`:                                 "severity 0 while firing",
		`{"veg-1/temperature":{"phase":"ok","severity":2}}`:                        "severity 2 while ok",
		`{"veg-1/temperature":{"phase":"firing","severity":9}}`:                    "severity 9 while firing",
		`{"veg-1/temperature":{"phase":"firing","success":9,` + firing + `}}`:      "success 9",
		`{"veg-1/temperature":{"phase":"pending","success":1}}`:                    "success 1 while pending",
		`{"veg-1/temperature":{"phase":"firing","age":-1,` + firing + `}}`:         "age -1ns",
		`{"veg-1/temperature":{"phase":"firing","held":-1,` + firing + `}}`:        "held -1ns",
		`{"veg-1/temperature":{"phase":"ok","switched":9223372036854775807}}`:      "switched",
		`{"veg-1/temperature":{"phase":"firing","value":1e999,` + firing + `}}`:    "rule veg-1/temperature",
		`{"veg-1/temperature":{"phase":"pending","since":"9999-12-31T23:59:59Z"}}`: "in the year 9999",
	} {
		w := newWorld(t, temperature())
		w.play("0s 27\n 40s end") // what the state held is forgotten
		err := w.set.Restore([]byte(kept), w.moment(), w.state)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", kept, err, want)
		}
		if v := w.set.View(0, w.state); v.Phase != "blind" || v.Severity != Info {
			t.Errorf("%s: %+v", kept, v)
		}
	}
}

func TestRestoreTakesWhatIsSound(t *testing.T) {
	other := temperature()
	other.ID = "other"
	w := newWorld(t, temperature(), other)
	err := w.set.Restore([]byte(`{"gone":{"phase":"what"},"other":{"phase":"firing"},"veg-1/temperature":{"phase":"firing","severity":2,"above":true,"since":"2026-06-01T12:00:00Z","value":31,"new":[1]}}`), w.moment(), w.state)
	if err == nil || !strings.Contains(err.Error(), "rule other") || strings.Contains(err.Error(), "rule veg-1/temperature") || strings.Contains(err.Error(), "gone") {
		t.Errorf("%v", err)
	}
	if v := w.set.View(0, w.state); v.Phase != "firing" || v.Severity != Critical {
		t.Errorf("%+v", v)
	}
	for _, nothing := range []string{`{}`, `null`} {
		if err := w.set.Restore([]byte(nothing), w.moment(), w.state); err != nil {
			t.Errorf("%s: %v", nothing, err)
		}
	}
}

func TestSaveKeepsNothingOfRulesAtRest(t *testing.T) {
	w := newWorld(t, temperature())
	w.play("0s 24\n 1m end")
	if saved, err := w.set.Save(w.moment(), w.state); err != nil || string(saved) != "{}" {
		t.Errorf("%s, %v", saved, err)
	}
}

func TestSaveTellsAWallClockThatIsNone(t *testing.T) {
	w := newWorld(t, temperature())
	w.start = time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC)
	w.play("0s 27\n 1m end")
	if _, err := w.set.Save(w.moment(), w.state); err == nil {
		t.Error("saved the year 12026")
	}
}

// Whatever was kept, nothing panics, what is restored can be lived with, and what is saved again is taken again.
func FuzzRestore(f *testing.F) {
	for _, s := range []string{`{}`, `null`, `[`, `{"veg-1/temperature":{"phase":"firing","severity":1,"above":true,"since":"2026-06-01T12:00:00Z","age":60000000000,"value":27,"success":2}}`,
		`{"veg-1/temperature":{"phase":"pending","since":"2026-06-01T12:00:00+14:00","held":1,"value":-1e308,"blind":true}}`,
		`{"veg-1/temperature":{"phase":"resolving","severity":3,"since":"0001-01-01T00:00:00Z","held":3153600000000000000,"value":0,"day":true,"switched":1}}`} {
		f.Add([]byte(s), 24.0)
	}
	set, err := Compile([]Spec{temperature()})
	if err != nil {
		f.Fatal(err)
	}
	riga := time.FixedZone("Riga", 3*3600)
	f.Fuzz(func(t *testing.T, kept []byte, v float64) {
		st, now := set.NewState(), Moment{Steady: time.Hour, Wall: noon.In(riga)}
		wrong := set.Restore(kept, now, st)
		image := Image{Samples: make([]Sample, 1), Outputs: make([]Feedback, outputCount)}
		for i := range 200 {
			image.Samples[0] = Sample{Value: v, Quality: Quality(i / 5 % 3), Seen: now.Steady}
			out := set.Eval(now, image, st)
			for _, c := range out.Changes {
				if c.Why == "" || math.IsNaN(c.Value) || c.Severity > Emergency {
					t.Fatalf("%+v", c)
				}
			}
			set.View(0, st)
			now.Steady, now.Wall = now.Steady+7*time.Second, now.Wall.Add(7*time.Second)
		}
		saved, err := set.Save(now, st)
		if err != nil {
			t.Fatalf("after Restore gave %v: %v", wrong, err)
		}
		if err := set.Restore(saved, now, set.NewState()); err != nil {
			t.Fatalf("%s: %v", saved, err)
		}
	})
}
