package scan

import (
	"errors"
	"testing"
	"time"

	"gacp-erp.internal/glasshouse/drivers"
	"gacp-erp.internal/glasshouse/rules"
)

func TestAStopWaitsForNoRetry(t *testing.T) {
	p := newPlant(t, config([]rules.Want{{Value: 1}}))
	p.run(5)
	p.core.cfg.Rules = &wanted{func(rules.Moment, rules.Image) rules.Outcome { return rules.Outcome{} }}
	p.refuse = errors.New("no answer")
	p.run(100) // by now it is tried once a minute
	p.refuse = nil
	cy := p.step(Input{Stop: true})
	if len(cy.Switches) != 1 || !cy.Switches[0].Safety || cy.Switches[0].Value != 0 {
		t.Errorf("the stop ordered %+v of a fan that was left on", cy.Switches)
	}
	p.run(1)
	if !p.core.Settled() || p.value != 0 {
		t.Error("a device that answers again was not made safe by the stop")
	}
}

func TestASafetyOrderOvertakesWhatWaitsOnTheBus(t *testing.T) {
	p := newPlant(t, config([]rules.Want{{Value: 1}}))
	p.run(5)
	wants := []rules.Want(nil)
	p.core.cfg.Rules = &wanted{func(rules.Moment, rules.Image) rules.Outcome { return rules.Outcome{Wants: wants} }}
	if cy := p.step(Input{}); len(cy.Switches) != 1 || cy.Switches[0].Safety {
		t.Fatalf("%+v", cy.Switches)
	}
	p.pending = nil // it waits on the bus, for its unit does not answer
	wants = []rules.Want{{Loss: true}}
	if cy := p.step(Input{}); len(cy.Switches) != 1 || !cy.Switches[0].Safety {
		t.Errorf("the loss of the value ordered %+v", cy.Switches)
	}
}

func TestAClockThatWasSetBackBlindsNobody(t *testing.T) {
	c, err := New(config(nil), nil, false)
	if err != nil {
		t.Fatal(err)
	}
	read := func(now rules.Moment, v float64) float64 {
		c.Step(Input{Now: now, Readings: []Observation{{Point: 0, Value: v, Quality: drivers.Good, At: now.Wall, Message: &drivers.Message{Stamped: true}}}})
		return c.Snapshot().Points[0].Value
	}
	read(rules.Moment{Steady: time.Second, Wall: noon.Add(24 * time.Hour)}, 10)
	if got := read(at(10*time.Second), 11); got != 11 {
		t.Errorf("after the clocks were set back by a day the point shows %g, want 11", got)
	}
}

func TestWhatFlapsIsToldOnce(t *testing.T) {
	p := newPlant(t, config(nil))
	p.run(3)
	before := len(p.seen)
	bad := Observation{Point: 0, Err: drivers.ErrNotANumber}
	for i := range 1000 {
		in := Input{Now: at(p.now), Gone: []int{0}}
		if p.now += 10 * time.Millisecond; i%2 == 0 {
			in = Input{Now: at(p.now), Readings: []Observation{bad, {Point: 0, Value: 25, Quality: drivers.Good}}}
		}
		p.seen = append(p.seen, p.core.Step(in).Events...)
	}
	if n := len(p.seen) - before; n != 2 {
		t.Errorf("ten seconds of flapping gave %d events, want 2", n)
	}
	p.run(12)
	online, faults := p.core.devices[0].online, len(p.core.faults)
	if !online || faults != 0 {
		t.Errorf("afterwards online is %v, and %d faults stand", online, faults)
	}
}

func TestARetainedMessageIsNoSignOfLife(t *testing.T) {
	c, err := New(config(nil), nil, false)
	if err != nil {
		t.Fatal(err)
	}
	cy := c.Step(Input{Now: at(time.Second), Readings: []Observation{{Point: 0, Err: drivers.ErrStale, Message: &drivers.Message{Retained: true}}}})
	if len(cy.Events) != 0 {
		t.Errorf("what the broker kept of a device gave %+v", cy.Events)
	}
}

func TestRulesThatAreOffKeepTheirState(t *testing.T) {
	cfg := config(nil)
	broken := false
	rule := &keeper{wanted: wanted{func(rules.Moment, rules.Image) rules.Outcome {
		if broken {
			panic("broken")
		}
		return rules.Outcome{Changes: []rules.Change{{Phase: rules.Raised, Since: at(0)}}}
	}}}
	cfg.Rules = rule
	c, err := New(cfg, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	c.Step(Input{Now: at(time.Second)})
	broken = true
	saved := c.Step(Input{Now: at(2 * time.Second)}).State
	broken = false
	if c, err = New(cfg, saved, true); err != nil {
		t.Fatal(err)
	}
	c.Step(Input{Now: at(3 * time.Second)})
	if rule.restored != `{"hot":"firing"}` {
		t.Errorf("an open alert stands, and its rule starts with %q", rule.restored)
	}
}

// keeper has something to keep.
type keeper struct {
	wanted
	restored string
}

func (k *keeper) Save(rules.Moment) ([]byte, error) { return []byte(`{"hot":"firing"}`), nil }
func (k *keeper) Restore(kept []byte, _ rules.Moment) error {
	k.restored = string(kept)
	return nil
}

func TestAnObserverEndsWhatOnlyASwitchCouldEnd(t *testing.T) {
	p := newPlant(t, config(nil))
	p.refuse = errors.New("no")
	p.run(20)
	if p.count(FaultRaised) != 1 {
		t.Fatalf("%d faults", p.count(FaultRaised))
	}
	cfg := config(nil)
	cfg.Observe = true
	c, err := New(cfg, p.core.State(), true)
	if err != nil {
		t.Fatal(err)
	}
	if c.Step(Input{Now: at(time.Minute)}); len(c.faults) != 0 {
		t.Errorf("%d faults stand that nobody will ever end", len(c.faults))
	}
}

func TestAnAlertWhoseRuleLostItsStateEnds(t *testing.T) {
	told := []rules.Change{{Phase: rules.Raised, Since: at(0)}, {Phase: rules.Blinded}}
	cfg := config(nil)
	cfg.Rules = &forgetful{wanted{func(rules.Moment, rules.Image) rules.Outcome { return rules.Outcome{Changes: told} }}}
	c, err := New(cfg, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	raised := c.Step(Input{Now: at(time.Second)})
	first, saved := raised.Events[0].Alert, raised.State
	told = nil
	if c, err = New(cfg, saved, true); err != nil {
		t.Fatal(err)
	}
	resolved := map[Kind]int{}
	for _, e := range c.Step(Input{Now: at(2 * time.Second)}).Events {
		if resolved[e.Kind]++; e.Kind == AlertResolved && e.Alert != first {
			t.Errorf("resolved %s, want %s", e.Alert, first)
		}
	}
	if resolved[AlertResolved] != 1 || resolved[FaultResolved] != 1 || len(c.faults) != 1 {
		t.Errorf("%v, and %d faults stand; want alert and fault resolved, and the one that says so", resolved, len(c.faults))
	}
	told = []rules.Change{{Phase: rules.Raised, Since: at(3 * time.Second)}}
	if again := c.Step(Input{Now: at(3 * time.Second)}).Events[0]; again.Kind != AlertRaised || again.Alert == first {
		t.Errorf("%+v", again)
	}
}

// forgetful cannot restore.
type forgetful struct{ wanted }

func (f *forgetful) Restore([]byte, rules.Moment) error { return errors.New("makes no sense") }

// A broker hands over what it kept in an hour without a gateway: true values of that hour, none of which is one of now.
func TestWhatIsOnlyLateIsToldAndNotUsed(t *testing.T) {
	c, err := New(config(nil), nil, false)
	if err != nil {
		t.Fatal(err)
	}
	var queue []Observation
	for age := time.Hour; age > 0; age -= 5 * time.Minute {
		queue = append(queue, Observation{Point: 0, Value: 31, Quality: drivers.Good, At: noon.Add(-age), Message: &drivers.Message{Stamped: true}})
	}
	queue = append(queue, Observation{Point: 0, Value: 900, Quality: drivers.Good, At: noon.Add(-4 * time.Minute), Message: &drivers.Message{Stamped: true}})
	c.Step(Input{Now: at(0), Readings: queue})
	if p := c.Snapshot().Points[0]; p.Quality != rules.Bad || p.Value != 0 {
		t.Errorf("a value of minutes ago is used: %+v", p)
	}
	for i, o := range queue[:len(queue)-1] {
		if o.Quality != drivers.Good || o.Value != 31 {
			t.Errorf("reading %d is told as %+v", i, o)
		}
	}
	if last := queue[len(queue)-1]; last.Quality != drivers.Bad {
		t.Errorf("late and out of range is told as %+v", last)
	}
}
