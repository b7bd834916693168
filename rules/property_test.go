package rules

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// pick is one of several, by chance.
func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// anySpec is a rule by chance, over two inputs and two outputs.
func anySpec(r *rand.Rand) Spec {
	s := temperature()
	s.Inputs = pick(r, []int{0}, []int{0, 1})
	s.Hysteresis = pick(r, 0, 0.5, 1.5)
	s.For, s.KeepFor = pick(r, 0, 3*time.Second, 20*time.Second), pick(r, 0, 2*time.Second, 15*time.Second)
	s.Critical, s.Emergency = pick(r, 0.0, 2, 4), pick(r, 0.0, 6, 9)
	s.Within, s.Loss = pick(r, time.Second, time.Minute), pick(r, 0, 10*time.Second, time.Minute)
	if r.IntN(2) == 0 {
		s.DayFrom, s.DayTo = 6*time.Hour, 12*time.Hour+time.Duration(r.IntN(600))*time.Second
	}
	switch r.IntN(4) {
	case 0:
		s.Day.Max, s.Night.Max, s.Above = open, open, nil
	case 1:
		s.Below = nil
	}
	return s
}

// instant is what one evaluation is given.
type instant struct {
	now   Moment
	image Image
}

// course is a history by chance: a value that wanders and jumps, readings that are lost for a while, outputs that do
// anything, and a wall clock that somebody sets.
func course(r *rand.Rand, n int) []instant {
	all := make([]instant, n)
	now, offset, v, lost := time.Duration(0), time.Duration(0), 24.0, 0
	for i := range all {
		now += pick(r, 250*time.Millisecond, time.Second, time.Second, 7*time.Second)
		if r.IntN(300) == 0 {
			offset = time.Duration(r.IntN(7200)-3600) * time.Second
		}
		switch r.IntN(30) {
		case 0:
			v = 10 + 30*r.Float64()
		case 1:
			v = pick(r, 18.0, 22, 26)
		default:
			v += r.NormFloat64() / 4
		}
		if lost > 0 {
			lost--
		} else if r.IntN(40) == 0 {
			lost = pick(r, 1, 3, 30)
		}
		image := Image{Samples: make([]Sample, 2), Outputs: make([]Feedback, outputCount)}
		for k := range image.Samples {
			image.Samples[k] = Sample{Value: v + float64(k), Quality: pick(r, Good, Good, Uncertain), Seen: now}
			if lost > 0 {
				image.Samples[k] = pick(r, Sample{Value: 1e9, Seen: now}, Sample{Value: math.NaN(), Quality: Good, Seen: now})
			}
		}
		for k := range image.Outputs {
			image.Outputs[k] = Feedback{Desired: pick(r, 0.0, 1), Confirmed: r.IntN(3) > 0, Refused: r.IntN(3) == 0, Held: r.IntN(9) == 0,
				Actual: Sample{Value: pick(r, 0.0, 1), Quality: pick(r, Bad, Good, Good), Seen: now}}
		}
		all[i] = instant{Moment{now, noon.Add(now + offset)}, image}
	}
	return all
}

// witness judges from outside what a rule tells, by its own books.
type witness struct {
	spec   Spec
	open   bool
	above  bool
	worst  Severity
	breach int           // side of the breach that may become an alert
	held   time.Duration // for how long it has been seen, or the way back
	before *instant      // the last evaluation
	sight  bool          // it had a value
	dark   time.Duration // since when there is none
	came   bool          // there was one since the start
	blind  bool
}

func (w *witness) limits(m Moment) Limits {
	h, mi, s := m.Wall.Clock()
	clock := time.Duration(h*3600+mi*60+s) * time.Second
	if w.spec.DayFrom == w.spec.DayTo || clock >= w.spec.DayFrom && clock < w.spec.DayTo {
		return w.spec.Day
	}
	return w.spec.Night
}

// look takes one evaluation and its outcome, and says what is wrong with it.
func (w *witness) look(in *instant, out Outcome) error {
	if w.before != nil && w.sight {
		w.held += in.now.Steady - w.before.now.Steady
	}
	w.before = in
	first := in.image.Samples[0]
	if first.Quality == Bad || math.IsNaN(first.Value) {
		return w.without(in, out)
	}
	value := first.Value
	if len(w.spec.Inputs) == 2 {
		value = (first.Value + in.image.Samples[1].Value) / 2
	}
	changes := out.Changes
	w.sight, w.came = true, true
	if w.blind {
		if len(changes) == 0 || changes[0].Phase != Seeing {
			return fmt.Errorf("the value is back and that is not told: %+v", changes)
		}
		w.blind, w.held, w.breach, changes = false, 0, 0, changes[1:]
	}
	for i := range changes {
		if changes[i].Phase == Corrected {
			if changes[i].Success == Unknown || !changes[i].Tried {
				return fmt.Errorf("%+v", changes[i])
			}
			continue
		}
		if err := w.transition(&changes[i], value, w.limits(in.now)); err != nil {
			return err
		}
	}
	return w.rest(value, w.limits(in.now), out)
}

func (w *witness) without(in *instant, out Outcome) error {
	if w.sight || w.dark == 0 && !w.came {
		w.dark = in.now.Steady
	}
	w.sight = false
	patience := map[bool]time.Duration{true: 15 * time.Second, false: 30 * time.Second}[w.came]
	tell := !w.blind && in.now.Steady-w.dark >= patience
	if len(out.Changes) > 1 || (len(out.Changes) == 1) != tell || tell && out.Changes[0].Phase != Blinded {
		return fmt.Errorf("blind since %s, told %+v", w.dark, out.Changes)
	}
	w.blind = w.blind || tell
	for _, want := range out.Wants {
		if loss := in.now.Steady-w.dark >= w.spec.Loss; want.Loss != loss {
			return fmt.Errorf("blind since %s, wants %+v", w.dark, out.Wants)
		}
	}
	return nil
}

// side is the one on which a value is out of range.
func side(v float64, l Limits) int {
	switch {
	case v > l.Max:
		return 1
	case v < l.Min:
		return -1
	}
	return 0
}

func (w *witness) transition(c *Change, value float64, l Limits) error {
	now := side(value, l)
	if c.Value != value || !sameLimit(c.Min, l.Min) || !sameLimit(c.Max, l.Max) || c.Why == "" {
		return fmt.Errorf("%+v is not about %g in %v", c, value, l)
	}
	switch c.Phase {
	case Raised:
		if w.open || now == 0 || c.Above != (now > 0) || c.Severity < Warning {
			return fmt.Errorf("raised with %g in %v: %+v", value, l, c)
		}
		if w.breach != now {
			w.breach, w.held = now, 0
		}
		if w.held < w.spec.For {
			return fmt.Errorf("raised after %s, not %s", w.held, w.spec.For)
		}
		w.open, w.above, w.worst, w.held = true, c.Above, c.Severity, 0
	case Escalated:
		if !w.open || c.Severity <= w.worst || c.Above != w.above {
			return fmt.Errorf("escalated from %d: %+v", w.worst, c)
		}
		w.worst = c.Severity
	case Resolved:
		crossed := now != 0 && (now > 0) != w.above
		if !w.open || c.Severity != Info || c.Above != w.above || !crossed && (!w.back(value, l) || w.held < w.spec.KeepFor && w.spec.KeepFor > 0) {
			return fmt.Errorf("resolved with %g in %v after %s: %+v", value, l, w.held, c)
		}
		w.open, w.breach, w.held = false, 0, 0
	default:
		return fmt.Errorf("told %+v", c)
	}
	return nil
}

func (w *witness) back(v float64, l Limits) bool {
	if w.above {
		return math.IsNaN(l.Max) || v <= l.Max-w.spec.Hysteresis
	}
	return math.IsNaN(l.Min) || v >= l.Min+w.spec.Hysteresis
}

// rest checks that what had to be told was, and what is wanted.
func (w *witness) rest(value float64, l Limits, out Outcome) error {
	if w.open {
		if !w.back(value, l) {
			w.held, w.breach = 0, 0
		} else if w.breach != 2 { // its way back begins
			w.breach, w.held = 2, 0
		}
		if now := side(value, l); w.breach == 2 && w.held >= w.spec.KeepFor || now != 0 && (now > 0) != w.above {
			return fmt.Errorf("not resolved with %g in %v after %s", value, l, w.held)
		}
		actions := w.spec.actions(w.above)
		if len(out.Wants) != len(actions) || len(actions) > 0 && (out.Wants[0].Output != actions[0].Output || out.Wants[0].Severity != w.worst || out.Wants[0].Loss) {
			return fmt.Errorf("wants %+v", out.Wants)
		}
		return nil
	}
	if now := side(value, l); now != w.breach {
		w.breach, w.held = now, 0
	}
	if w.breach != 0 && w.held >= w.spec.For {
		return fmt.Errorf("not raised with %g in %v after %s", value, l, w.held)
	}
	if len(out.Wants) > 0 {
		return fmt.Errorf("wants %+v without an alert", out.Wants)
	}
	return nil
}

// Raised only after For of breach and then always; Raised and Resolved in turns; the severity only rises; a lost value
// moves nothing; wants are those of the alert.
func TestAnyCourse(t *testing.T) {
	raised := 0
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 2))
		spec := anySpec(r)
		set, err := Compile([]Spec{spec})
		if err != nil {
			t.Fatal(err)
		}
		st, w := set.NewState(), &witness{spec: spec}
		all := course(r, 400)
		for i := range all {
			before := st.rules[0]
			out := set.Eval(all[i].now, all[i].image, st)
			if err := w.look(&all[i], out); err != nil {
				t.Fatalf("seed %d, instant %d (%s), %+v\n%s: %v", seed, i, all[i].now.Steady, all[i].image.Samples, set.Sentence(0), err)
			}
			after := st.rules[0]
			if !w.sight && (after.phase != before.phase || after.severity != before.severity || after.since != before.since || after.success != before.success) {
				t.Fatalf("seed %d, instant %d: a lost value moved the alert from %+v to %+v", seed, i, before, after)
			}
			raised += len(slices.DeleteFunc(slices.Clone(out.Changes), func(c Change) bool { return c.Phase != Raised }))
		}
	}
	if raised < 1000 {
		t.Errorf("only %d alerts: nothing was tried", raised)
	}
}

// told is what an outcome says, to compare.
func told(out Outcome, skip ...Phase) string {
	text := ""
	for _, c := range out.Changes {
		if !slices.Contains(skip, c.Phase) {
			c.Since.Steady, c.Success, c.Tried, c.Actions, c.Why = 0, Unknown, false, nil, ""
			text += fmt.Sprintf("%+v;", c)
		}
	}
	return text
}

// The same course gives the same outcome, to the last word.
func TestTheSameGivesTheSame(t *testing.T) {
	var specs []Spec
	for i := range 20 {
		s := anySpec(rand.New(rand.NewPCG(uint64(i), 3)))
		s.ID = fmt.Sprint(i)
		specs = append(specs, s)
	}
	var first []string
	for again := range 3 {
		set, err := Compile(specs)
		if err != nil {
			t.Fatal(err)
		}
		st := set.NewState()
		for i, in := range course(rand.New(rand.NewPCG(7, 7)), 500) {
			text := fmt.Sprintf("%+v", set.Eval(in.now, in.image, st))
			if again == 0 {
				first = append(first, text)
			} else if text != first[i] {
				t.Fatalf("instant %d:\n%s\nand before\n%s", i, text, first[i])
			}
		}
	}
}

// To be saved and restored at any instant with a value, on a steady clock that starts anew, changes nothing of what is told
// of alerts. Only corrections begin anew.
func TestARestartChangesNothing(t *testing.T) {
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 5))
		set, err := Compile([]Spec{anySpec(r)})
		if err != nil {
			t.Fatal(err)
		}
		stays, restarts, shift := set.NewState(), set.NewState(), time.Duration(0)
		for i, in := range course(r, 400) {
			there := in.now
			there.Steady -= shift
			one, other := told(set.Eval(in.now, in.image, stays), Corrected), told(set.Eval(there, in.image, restarts), Corrected)
			if one != other {
				t.Fatalf("seed %d, instant %d:\n%s\nafter restarts\n%s\n%s", seed, i, one, other, set.Sentence(0))
			}
			if r.IntN(10) > 0 || !stays.rules[0].seen || stays.rules[0].lost {
				continue
			}
			saved, err := set.Save(there, restarts)
			if err != nil {
				t.Fatal(err)
			}
			shift, there.Steady = in.now.Steady, 0
			restarts = set.NewState()
			if err := set.Restore(saved, there, restarts); err != nil {
				t.Fatal(err)
			}
			// The first evaluation sees what was there, as scan's first cycle after a reload does.
			if out := set.Eval(there, in.image, restarts); told(out, Corrected) != "" {
				t.Fatalf("seed %d, instant %d: told by the restart: %+v", seed, i, out.Changes)
			}
		}
	}
}

// At whatever instant, also without a value, a restart neither raises again nor resolves, and alerts come in turns.
func TestRestartsAtAnyInstant(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 6))
		set, err := Compile([]Spec{anySpec(r)})
		if err != nil {
			t.Fatal(err)
		}
		st, open, blind := set.NewState(), false, false
		for i, in := range course(r, 400) {
			for _, c := range set.Eval(in.now, in.image, st).Changes {
				switch {
				case c.Phase == Raised && open, c.Phase == Resolved && !open, c.Phase == Escalated && !open, c.Phase == Blinded && blind, c.Phase == Seeing && !blind:
					t.Fatalf("seed %d, instant %d: %+v", seed, i, c)
				case c.Phase == Raised, c.Phase == Resolved:
					open = c.Phase == Raised
				case c.Phase == Blinded, c.Phase == Seeing:
					blind = c.Phase == Blinded
				}
			}
			if r.IntN(20) == 0 {
				saved, err := set.Save(in.now, st)
				if err != nil {
					t.Fatal(err)
				}
				if err := set.Restore(saved, in.now, st); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}
