package scan

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"gacp-erp.internal/glasshouse/drivers"
	"gacp-erp.internal/glasshouse/rules"
)

// wanted is an evaluator that wants what a test says.
type wanted struct {
	eval func(rules.Moment, rules.Image) rules.Outcome
}

func (w *wanted) Eval(now rules.Moment, in rules.Image) rules.Outcome { return w.eval(now, in) }
func (w *wanted) Save(rules.Moment) ([]byte, error)                   { return []byte(`{}`), nil }
func (w *wanted) Restore([]byte, rules.Moment) error                  { return nil }
func (w *wanted) View(int) rules.View                                 { return rules.View{} }

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) rules.Moment { return rules.Moment{Steady: d, Wall: noon.Add(d)} }

func config(w []rules.Want) Config {
	return Config{Gateway: "gw", Devices: []Device{{ID: "climate", Offline: time.Minute}, {ID: "relays"}},
		Points:  []Point{{ID: "climate.t", Device: 0, MaxAge: time.Minute, Min: -40, Max: 80}, {ID: "relays.fan", Device: 1}},
		Outputs: []Output{{Name: "fan", Device: 1, Point: 1}},
		Specs:   []Spec{{ID: "hot", Inputs: []int{0}, Outputs: []int{0}}, {ID: "damp", Inputs: []int{0}, Outputs: []int{0}}},
		Rules:   &wanted{func(rules.Moment, rules.Image) rules.Outcome { return rules.Outcome{Wants: w} }}}
}

// plant answers switches the cycle after, as a healthy device would.
type plant struct {
	t        *testing.T
	core     *Core
	now      time.Duration
	value    float64
	stuck    bool
	refuse   error
	pending  []Confirmation
	seen     []Event
	switches int
}

func newPlant(t *testing.T, cfg Config) *plant {
	c, err := New(cfg, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	return &plant{t: t, core: c}
}

func (p *plant) step(in Input) *Cycle {
	p.now += time.Second
	in.Now, in.Confirmations = at(p.now), p.pending
	in.Readings = append(in.Readings, Observation{Point: 0, Value: 25, Quality: drivers.Good}, Observation{Point: 1, Value: p.value, Quality: drivers.Good})
	p.pending = nil
	cy := p.core.Step(in)
	once := map[int]bool{}
	for _, s := range cy.Switches {
		if once[s.Output] {
			p.t.Fatalf("cycle %d: two values for output %d", cy.Number, s.Output)
		}
		once[s.Output] = true
		p.switches++
		if p.refuse == nil && !p.stuck {
			p.value = s.Value
		}
		p.pending = append(p.pending, Confirmation{s.Output, s.ID, s.Value, p.refuse})
	}
	p.seen = append(p.seen, cy.Events...)
	return cy
}

func (p *plant) run(n int) {
	for range n {
		p.step(Input{})
	}
}

func (p *plant) count(k Kind) (n int) {
	for _, e := range p.seen {
		if e.Kind == k {
			n++
		}
	}
	return n
}

func TestArbitration(t *testing.T) {
	on := rules.Want{Value: 1, Severity: rules.Warning}
	for name, tt := range map[string]struct {
		wants    []rules.Want
		commands []Command
		value    float64
		holder   string
	}{
		"nobody":             {nil, nil, 0, "safe"},
		"correction":         {[]rules.Want{on}, nil, 1, "correction"},
		"worse wins":         {[]rules.Want{on, {Rule: 1, Value: 0.5, Severity: rules.Critical}}, nil, 0.5, "correction"},
		"order breaks ties":  {[]rules.Want{on, {Rule: 1, Value: 0.5, Severity: rules.Warning}}, nil, 1, "correction"},
		"correction on loss": {[]rules.Want{{Value: 1, Loss: true}, {Rule: 1, Value: 0.5}}, nil, 0.5, "correction"},
		"loss is safe":       {[]rules.Want{{Value: 1, Loss: true}}, nil, 0, "loss"},
		"lease":              {[]rules.Want{on}, []Command{{Value: 0, For: time.Hour, Origin: Local}}, 0, "local lease"},
		"local over remote":  {nil, []Command{{Value: 0.3, For: time.Hour}, {Value: 0.7, For: time.Hour, Origin: Local}}, 0.7, "local lease"},
		"emergency":          {[]rules.Want{{Value: 1, Severity: rules.Emergency}}, []Command{{For: time.Hour, Origin: Local}}, 1, "correction"},
		"lease ends":         {nil, []Command{{Value: 1, For: 2 * time.Second}}, 0, "safe"},
		"refused":            {nil, []Command{{Value: math.NaN(), For: time.Hour}, {Value: 1}}, 0, "safe"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlant(t, config(tt.wants))
			p.run(3)
			p.step(Input{Commands: tt.commands})
			p.run(5)
			if o := p.core.Snapshot().Outputs[0]; o.Desired != tt.value || o.Holder != tt.holder || !o.Confirmed || p.value != tt.value {
				t.Errorf("%+v, plant at %g; want %g by %s", o, p.value, tt.value, tt.holder)
			}
		})
	}
}

func TestEnvelope(t *testing.T) {
	cfg := config([]rules.Want{{Value: 1}})
	cfg.Outputs[0].MinOff, cfg.Outputs[0].MaxRun = 20*time.Second, 30*time.Second
	p := newPlant(t, cfg)
	p.run(15)
	if p.value != 0 {
		t.Error("minOff was not honoured")
	}
	p.run(15)
	if p.value != 1 {
		t.Error("never came on")
	}
	p.run(60)
	if p.value != 0 || p.count(FaultRaised) != 1 {
		t.Errorf("at %g after %d trips, want 0 after 1", p.value, p.count(FaultRaised))
	}
}

func TestOverriddenAtTheDevice(t *testing.T) {
	p := newPlant(t, config([]rules.Want{{Value: 1}}))
	p.run(10)
	before := p.switches
	p.stuck, p.value = true, 0
	p.run(30)
	if p.switches-before != 1 || p.count(FaultRaised) != 1 {
		t.Errorf("%d rewrites, %d faults; want 1 and 1", p.switches-before, p.count(FaultRaised))
	}
	p.stuck = false
	p.run(60)
	if p.value != 1 || p.count(FaultResolved) != 1 {
		t.Errorf("at %g, %d resolved; want 1 and 1", p.value, p.count(FaultResolved))
	}
}

func TestNotConfirmed(t *testing.T) {
	p := newPlant(t, config(nil))
	p.refuse = errors.New("no")
	p.run(20)
	if p.count(FaultRaised) != 1 || p.switches > 8 {
		t.Errorf("%d faults, %d writes", p.count(FaultRaised), p.switches)
	}
	p.refuse = nil
	p.run(40)
	if p.count(FaultResolved) != 1 || !p.core.Settled() {
		t.Error("did not recover")
	}
}

func TestDevicesAndClock(t *testing.T) {
	c, err := New(config(nil), nil, false)
	if err != nil {
		t.Fatal(err)
	}
	kinds := func(in Input) string {
		s := ""
		for _, e := range c.Step(in).Events {
			s += fmt.Sprintf("%d%s ", e.Kind, e.Type)
		}
		return s
	}
	good := []Observation{{Point: 0, Value: 20, Quality: drivers.Good}}
	for i, tt := range []struct {
		in   Input
		want string
	}{
		{Input{Now: at(0), Readings: good}, "6 "},
		{Input{Now: at(time.Second), Readings: []Observation{{Point: 0, Value: 900, Quality: drivers.Good}}}, "4error "},
		{Input{Now: at(2 * time.Second), Readings: good}, ""}, // it may flap
		{Input{Now: at(11 * time.Second), Readings: good}, "5error "},
		{Input{Now: at(13 * time.Second), BusFaults: []BusFault{{"b", []int{0}, errors.New("cut")}}}, "6 4connectivity "},
		{Input{Now: at(14 * time.Second), BusFaults: []BusFault{{"b", []int{0}, errors.New("cut")}}}, ""},
		{Input{Now: at(15 * time.Second), BusFaults: []BusFault{{"b", []int{0}, nil}}}, "5connectivity "},
		{Input{Now: at(16 * time.Second), Readings: good}, "6 "},
		{Input{Now: rules.Moment{Steady: 17 * time.Second, Wall: noon.Add(time.Hour)}}, "9 "},
	} {
		if got := kinds(tt.in); got != tt.want {
			t.Errorf("step %d: %q, want %q", i, got, tt.want)
		}
	}
}

func TestStopAndRestore(t *testing.T) {
	p := newPlant(t, config(nil))
	p.run(3)
	saved := append([]byte(nil), p.step(Input{Commands: []Command{{Value: 1, For: time.Hour, By: "ann"}}}).State...)
	for boot, want := range map[bool]string{true: "remote lease", false: "safe"} {
		c, err := New(config(nil), saved, boot)
		if err != nil {
			t.Fatal(err)
		}
		c.Step(Input{Now: at(time.Minute), Readings: []Observation{{Point: 0, Value: 20, Quality: drivers.Good}}})
		if got := c.Snapshot().Outputs[0].Holder; got != want {
			t.Errorf("same boot %v: held by %s, want %s", boot, got, want)
		}
	}
	p.run(3)
	cy := p.step(Input{Stop: true})
	if len(cy.Switches) != 1 || !cy.Switches[0].Safety || cy.Switches[0].Value != 0 || p.core.Settled() {
		t.Errorf("stop gave %+v", cy.Switches)
	}
	p.run(2)
	if !p.core.Settled() {
		t.Error("never settled")
	}
	if _, err := New(config(nil), []byte("{"), true); err == nil {
		t.Error("a torn state was taken")
	}
}

// thermostat wants the fan above 28 °C, and safe when it does not know.
func thermostat() *wanted {
	on := false
	return &wanted{func(_ rules.Moment, in rules.Image) rules.Outcome {
		s := in.Samples[0]
		if s.Quality != rules.Good {
			return rules.Outcome{Wants: []rules.Want{{Value: 1, Loss: true}}}
		}
		on = s.Value > 28 || on && s.Value > 26
		if on {
			return rules.Outcome{Wants: []rules.Want{{Value: 1}}}
		}
		return rules.Outcome{}
	}}
}

func TestBadDataNeverLeavesSafe(t *testing.T) {
	cfg := config(nil)
	cfg.Rules = thermostat()
	c, err := New(cfg, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range []float64{math.NaN(), math.Inf(1), 900, -300, 50, math.NaN(), 79} {
		q := drivers.Good
		if v == 50 || v == 79 {
			q = drivers.Uncertain
		}
		cy := c.Step(Input{Now: at(time.Duration(i) * 10 * time.Second), Readings: []Observation{{Point: 0, Value: v, Quality: q}}})
		for _, s := range cy.Switches {
			if s.Value != 0 {
				t.Errorf("%g moved the fan", v)
			}
		}
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	p := newPlant(t, config([]rules.Want{{Value: 1}}))
	p.run(10)
	in := Input{Readings: []Observation{{Point: 0, Value: 25, Quality: drivers.Good}, {Point: 1, Value: 1, Quality: drivers.Good}}}
	now := p.now
	if n := testing.AllocsPerRun(50, func() {
		now += 10 * time.Millisecond
		in.Now = at(now)
		p.core.Step(in)
	}); n != 0 {
		t.Errorf("%g allocations a step", n)
	}
}
