package rules

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var (
	open = math.NaN()
	noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
)

// outputs of the scripts.
const (
	fan = iota
	heater
	outputCount
)

var outputNames = [outputCount]string{"fan", "heater"}

// temperature is a rule as people write it, for tests to change.
func temperature() Spec {
	return Spec{ID: "veg-1/temperature", Zone: "veg-1", Quantity: "temperature", Unit: "°C", Inputs: []int{0}, Day: Limits{22, 26}, Night: Limits{18, 22},
		Hysteresis: 0.5, For: 30 * time.Second, KeepFor: 20 * time.Second, Critical: 4, Emergency: 8,
		Above: []Action{{fan, "fan", 1}}, Below: []Action{{heater, "heater", 1}}, Within: 5 * time.Minute, Loss: 2 * time.Minute}
}

// world plays a script: what happens when. In between everything is evaluated every 250 ms, as the cycle does.
type world struct {
	t      *testing.T
	set    *Set
	state  *State
	now    time.Duration
	start  time.Time // wall at steady 0
	image  Image
	mode   [outputCount]string // how an output answers: "" obeys, refuses, deaf, held, silent
	wanted string
	log    []string
	why    []string // of each change
}

func newWorld(t *testing.T, specs ...Spec) *world {
	t.Helper()
	set, err := Compile(specs)
	if err != nil {
		t.Fatal(err)
	}
	return &world{t: t, set: set, state: set.NewState(), start: noon, image: Image{Samples: make([]Sample, 4), Outputs: make([]Feedback, outputCount)}}
}

func (w *world) moment() Moment { return Moment{Steady: w.now, Wall: w.start.Add(w.now)} }

// play runs a script of lines "10s 27.4", "1m lost", "90s fan refuses", "2h wall -3h", "5m restart", "10m end".
func (w *world) play(script string) {
	w.t.Helper()
	for _, line := range lines(script) {
		words := strings.Fields(line)
		at, err := time.ParseDuration(words[0])
		if err != nil || at < w.now || len(words) < 2 {
			w.t.Fatalf("script: %q", line)
		}
		for ; w.now < at; w.now += 250 * time.Millisecond {
			w.eval()
		}
		w.now = at
		w.happen(words[1], words[2:])
	}
	w.eval()
}

func (w *world) happen(what string, rest []string) {
	switch what {
	case "end":
	case "lost":
		w.image.Samples[0].Quality, w.image.Samples[0].Value = Bad, 0
	case "restart":
		w.restart()
	case "wall":
		jump, err := time.ParseDuration(rest[0])
		if err != nil {
			w.t.Fatal(err)
		}
		w.start = w.start.Add(jump)
	case "fan":
		w.mode[fan] = rest[0]
	default:
		v, err := strconv.ParseFloat(what, 64)
		if err != nil {
			w.t.Fatalf("script: %q", what)
		}
		w.image.Samples[0] = Sample{Value: v, Quality: Good, Seen: w.now}
	}
}

// restart saves, and goes on in another process whose steady clock starts anew, without values.
func (w *world) restart() {
	saved, err := w.set.Save(w.moment(), w.state)
	if err != nil {
		w.t.Fatal(err)
	}
	w.start, w.now = w.start.Add(w.now), 0
	w.image.Samples[0] = Sample{}
	w.image.Outputs = make([]Feedback, outputCount)
	w.state = w.set.NewState()
	if err := w.set.Restore(saved, w.moment(), w.state); err != nil {
		w.t.Fatal(err)
	}
	w.log, w.wanted = append(w.log, "restart"), ""
}

// eval evaluates once, writes down what was told and what is newly wanted, and lets the outputs answer.
func (w *world) eval() {
	out := w.set.Eval(w.moment(), w.image, w.state)
	for i := range out.Changes {
		w.log, w.why = append(w.log, fmt.Sprintf("%s %s", w.now, changeText(&out.Changes[i]))), append(w.why, out.Changes[i].Why)
	}
	var wants []string
	desired := [outputCount]float64{}
	for _, want := range out.Wants {
		if want.Loss {
			wants = append(wants, outputNames[want.Output]+" safe")
			continue
		}
		desired[want.Output] = want.Value
		wants = append(wants, fmt.Sprintf("%s=%g", outputNames[want.Output], want.Value))
	}
	if all := strings.Join(wants, ", "); all != w.wanted {
		if w.wanted = all; all == "" {
			all = "nothing"
		}
		w.log = append(w.log, fmt.Sprintf("%s want %s", w.now, all))
	}
	for i := range w.image.Outputs {
		w.image.Outputs[i] = feedback(w.mode[i], desired[i], w.now)
	}
}

// feedback is how an output answers what is wanted of it.
func feedback(mode string, want float64, now time.Duration) Feedback {
	f := Feedback{Desired: want, Confirmed: true, Actual: Sample{want, Good, now}}
	switch mode {
	case "refuses":
		f.Confirmed, f.Refused, f.Actual.Value = want == 0, want != 0, 0
	case "deaf": // takes it and shows something else
		f.Actual.Value = 0
	case "unconfirmed":
		f.Confirmed, f.Actual.Value = want == 0, 0
	case "held": // at 0, by somebody else
		f.Desired, f.Held, f.Actual.Value = 0, want != 0, 0
	case "writeonly":
		f.Actual = Sample{}
	case "silent": // its device has gone
		f.Actual = Sample{Seen: 1}
	}
	return f
}

func changeText(c *Change) string {
	words := []string{[...]string{"raised", "escalated", "corrected", "resolved", "blinded", "seeing"}[c.Phase]}
	if c.Phase == Raised || c.Phase == Escalated {
		words = append(words, [...]string{"info", "warning", "critical", "emergency"}[c.Severity], map[bool]string{true: "above", false: "below"}[c.Above])
	}
	if c.Phase <= Resolved {
		words = append(words, fmt.Sprint(c.Value))
	}
	if c.Success != Unknown {
		words = append(words, [...]string{"", "yes", "no"}[c.Success])
	}
	return strings.Join(words, " ")
}

// want compares what was told and wanted with what should have been.
func (w *world) want(expected string) {
	w.t.Helper()
	if want := lines(expected); !slices.Equal(w.log, want) {
		w.t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(w.log, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func lines(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, line)
		}
	}
	return all
}

// script is one case of a table.
type script struct {
	name   string
	change func(*Spec)
	play   string
	want   string
}

func run(t *testing.T, scripts []script) {
	t.Helper()
	for _, s := range scripts {
		t.Run(s.name, func(t *testing.T) {
			spec := temperature()
			if s.change != nil {
				s.change(&spec)
			}
			w := newWorld(t, spec)
			w.play(s.play)
			w.want(s.want)
		})
	}
}
