package scan

import (
	"testing"
	"time"

	"gacp-erp.internal/glasshouse/drivers"
	"gacp-erp.internal/glasshouse/rules"
)

func TestStaleConfirmationIsIgnored(t *testing.T) {
	c, err := New(config(nil), nil, false)
	if err != nil {
		t.Fatal(err)
	}
	first := c.Step(Input{Now: at(0), Readings: []Observation{{Point: 1, Quality: drivers.Good}}}).Switches[0]
	c.Step(Input{Now: at(time.Second), Confirmations: []Confirmation{{ID: first.ID + 1}}})
	if c.Settled() {
		t.Error("a confirmation of another switch was taken")
	}
	c.Step(Input{Now: at(2 * time.Second), Confirmations: []Confirmation{{ID: first.ID}}})
	if !c.Settled() {
		t.Error("its own confirmation was not taken")
	}
}

func TestMinOnHoldsUnlessLost(t *testing.T) {
	for name, tt := range map[string]struct {
		after []rules.Want
		want  float64
	}{"correction ended": {nil, 1}, "value lost": {[]rules.Want{{Loss: true}}, 0}} {
		wants := []rules.Want{{Value: 1}}
		cfg := config(nil)
		cfg.Outputs[0].MinOn = 20 * time.Second
		cfg.Rules = &wanted{func(rules.Moment, rules.Image) rules.Outcome { return rules.Outcome{Wants: wants} }}
		p := newPlant(t, cfg)
		p.run(5)
		wants = tt.after
		p.run(5)
		if p.value != tt.want {
			t.Errorf("%s: at %g, want %g", name, p.value, tt.want)
		}
		p.run(20)
		if p.value != 0 {
			t.Errorf("%s: never went to safe", name)
		}
	}
}

func TestImage(t *testing.T) {
	for _, use := range []bool{false, true} {
		cfg := config(nil)
		cfg.Points[0].UseUncertain = use
		c, err := New(cfg, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		c.Step(Input{Now: at(0), Readings: []Observation{{Point: 0, Value: 20, Quality: drivers.Uncertain}}})
		if got := c.Snapshot().Points[0].Quality; (got == rules.Uncertain) != use {
			t.Errorf("use uncertain %v gave quality %d", use, got)
		}
		stamp := &drivers.Message{Stamped: true}
		for _, v := range []float64{10, 5} {
			c.Step(Input{Now: at(20 * time.Second), Readings: []Observation{{Point: 0, Value: v, Quality: drivers.Good, At: noon.Add(time.Duration(v) * time.Second), Message: stamp}}})
		}
		if got := c.Snapshot().Points[0].Value; got != 10 {
			t.Errorf("an older reading replaced a newer one: %g", got)
		}
	}
}
