package scan

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"gacp-erp.internal/glasshouse/drivers"
	"gacp-erp.internal/glasshouse/rules"
)

func TestAlertKeepsItsIdentityOverARestart(t *testing.T) {
	var next []rules.Change
	cfg := config(nil)
	cfg.Rules = &wanted{func(rules.Moment, rules.Image) rules.Outcome { return rules.Outcome{Changes: next} }}
	c, err := New(cfg, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	next = []rules.Change{{Phase: rules.Raised, Above: true, Value: 33, Min: math.NaN(), Max: 30, Since: at(0)}}
	first := c.Step(Input{Now: at(time.Second)})
	raised, saved := first.Events[0], first.State
	if raised.Kind != AlertRaised || raised.Deviation != 3 || raised.Causation != "" || saved == nil || !first.Critical {
		t.Fatalf("%+v", first)
	}
	if c, err = New(cfg, saved, false); err != nil {
		t.Fatal(err)
	}
	next = []rules.Change{{Phase: rules.Resolved, Value: 25, Since: at(0)}}
	resolved := c.Step(Input{Now: at(2 * time.Second)}).Events[0]
	if resolved.Alert != raised.Alert || resolved.Correlation != raised.Correlation || resolved.Causation != raised.ID {
		t.Errorf("%+v does not follow %+v", resolved, raised)
	}
	next = []rules.Change{{Phase: rules.Raised, Since: at(3 * time.Second)}}
	if again := c.Step(Input{Now: at(3 * time.Second)}).Events[0]; again.Alert == raised.Alert || again.Causation != "" {
		t.Errorf("a second alert shares the first's identity: %+v", again)
	}
}

func TestGrace(t *testing.T) {
	for name, tt := range map[string]struct {
		readings []Observation
		at       time.Duration
		want     string
	}{
		"waits":        {nil, 29 * time.Second, "start"},
		"first values": {[]Observation{{Point: 0, Value: 20, Quality: drivers.Good}}, time.Second, "correction"},
		"runs out":     {nil, 30 * time.Second, "correction"},
	} {
		c, err := New(config([]rules.Want{{Value: 1}}), nil, false)
		if err != nil {
			t.Fatal(err)
		}
		c.Step(Input{Now: at(0)})
		c.Step(Input{Now: at(tt.at), Readings: tt.readings})
		if got := c.Snapshot().Outputs[0].Holder; got != tt.want {
			t.Errorf("%s: held by %q, want %q", name, got, tt.want)
		}
	}
}

func TestRandomBadDataAndObserve(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	cfg := config(nil)
	cfg.Rules = thermostat()
	watch := cfg
	watch.Observe = true
	c, err := New(cfg, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	w, err := New(watch, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5000 {
		now := at(time.Duration(i) * time.Second)
		for _, s := range c.Step(Input{Now: now, Readings: []Observation{{Point: 0, Value: r.NormFloat64() * 50, Quality: drivers.Quality(r.IntN(2))}}}).Switches {
			if s.Value != 0 {
				t.Fatal("bad data moved the fan")
			}
		}
		if cy := w.Step(Input{Now: now, Readings: []Observation{{Point: 0, Value: 30, Quality: drivers.Good}}}); len(cy.Switches) != 0 {
			t.Fatal("an observer switched")
		}
	}
	if w.Snapshot().Outputs[0].Desired != 1 {
		t.Error("an observer decided nothing")
	}
}

func TestPanickingRuleLeavesSafe(t *testing.T) {
	cfg := config(nil)
	cfg.Rules = &wanted{func(rules.Moment, rules.Image) rules.Outcome { panic("broken") }}
	p := newPlant(t, cfg)
	p.run(5)
	if p.value != 0 || p.count(FaultRaised) != 1 {
		t.Errorf("at %g with %d faults", p.value, p.count(FaultRaised))
	}
}
