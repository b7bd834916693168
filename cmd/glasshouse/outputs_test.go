package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gacp-erp.internal/glasshouse/gateway/api"
)

// fan is a gateway with one output.
type fan struct {
	api.Output
	deaf    bool   // does not do as it is told
	note    string // of every receipt: why it has no effect
	refuses bool
	minOn   time.Duration
	gone    error
	until   time.Time // of the hold
	on      time.Time
	wishes  []api.Write
}

func (f *fan) Status(ctx context.Context) (api.Status, error) {
	if err := errors.Join(f.gone, ctx.Err()); err != nil {
		return api.Status{}, err
	}
	if f.Holder == "local lease" && !time.Now().Before(f.until) {
		f.rest()
	}
	f.Confirmed = f.Actual != nil && *f.Actual == f.Desired
	return api.Status{Now: time.Now(), Outputs: []api.Output{f.Output}}, nil
}

func (f *fan) Submit(_ context.Context, w api.Write) (api.Receipt, error) {
	f.wishes = append(f.wishes, w)
	switch {
	case f.refuses:
		return api.Receipt{Note: "the gateway is stopping"}, nil
	case w.Release:
		f.rest()
	case f.note == "":
		f.until, f.on = time.Now().Add(w.For), time.Now()
		f.set(w.Value, "local lease", w.Reason)
	}
	return api.Receipt{Accepted: true, Note: f.note}, nil
}

// rest gives the output back to the rules, which want it off.
func (f *fan) rest() {
	if end := f.on.Add(f.minOn); time.Now().Before(end) {
		f.Until = &end
		f.set(f.Desired, "envelope", "least time at a value")
		return
	}
	f.set(0, "safe", "nobody asks for another value")
}

func (f *fan) set(v float64, holder, why string) {
	f.Desired, f.Holder, f.Why = v, holder, why
	if !f.deaf {
		f.Actual = &v
	}
}

// TestTrial tries one output: what is told of it, whether it failed, and that no hold of ours is left.
func TestTrial(t *testing.T) {
	aMinute := time.Date(2000, 1, 1, 0, 1, 0, 0, time.UTC).Local().Format("15:04:05") // into the fake time
	for name, tt := range map[string]struct {
		fan     fan
		answers string
		want    string // device, person, note
		failed  bool
		wishes  int
		takes   time.Duration // at most
	}{
		"confirmed":        {answers: "y\ny\n", want: "confirmed, moved, ", wishes: 2, takes: time.Second},
		"did not move":     {answers: "y\nn\n", want: "confirmed, did not move, ", failed: true, wishes: 2, takes: time.Second},
		"nobody is asked":  {answers: "-", want: "confirmed, , ", wishes: 1, takes: 11 * time.Second},
		"not wanted":       {answers: "\n", want: ", , not wanted", takes: time.Second},
		"nobody answers":   {answers: "", want: ", , not wanted", takes: time.Second},
		"deaf":             {fan: fan{deaf: true}, answers: "y\nn\n", want: "not confirmed, did not move, the device does not show it", failed: true, wishes: 1, takes: 16 * time.Second},
		"held by a limit":  {fan: fan{note: "held by the output's safety limits"}, answers: "-", want: ", , held by the output's safety limits", failed: true, wishes: 2, takes: time.Second},
		"refused":          {fan: fan{refuses: true}, answers: "-", want: ", , refused: the gateway is stopping", failed: true, wishes: 1, takes: time.Second},
		"stays on":         {fan: fan{minOn: time.Minute}, answers: "y\ny\n", want: "confirmed, moved, it stays on until " + aMinute + ", by the envelope: least time at a value", wishes: 2, takes: time.Second},
		"held by somebody": {fan: fan{Output: api.Output{Holder: "remote lease", Why: "spraying"}}, answers: "-", want: ", , held by hand: spraying", takes: time.Second},
		"no gateway":       {fan: fan{gone: api.ErrNotRunning}, answers: "-", want: ", , the gateway is not running", failed: true, takes: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := tt.fan
				f.Name, f.Zone, f.Point, f.Switch = "exhaust-fan", "veg-1", "relays.relay1", true
				off := 0.0
				f.Actual, f.until = &off, time.Now().Add(time.Hour)
				began := time.Now()
				got := newTrial(&f, tt.answers).try(t.Context(), "exhaust-fan")
				if words := got.Device + ", " + got.Person + ", " + got.Note; !strings.HasPrefix(words, tt.want) || tt.want == "" {
					t.Errorf("got %q, want %q", words, tt.want)
				}
				if got.failed() != tt.failed {
					t.Errorf("failed: %v", got.failed())
				}
				if len(f.wishes) != tt.wishes || f.Why == testReason {
					t.Errorf("%d wishes, and at the end it is held because of %q", len(f.wishes), f.Why)
				}
				if took := time.Since(began); took > tt.takes {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// TestTrialBrokenOff: Ctrl-C in the middle gives the output back at once.
func TestTrialBrokenOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fan{Output: api.Output{Name: "exhaust-fan", Switch: true}, deaf: true}
		off := 0.0
		f.Actual = &off
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		got := newTrial(f, "-").try(ctx, "exhaust-fan")
		if !got.failed() || got.Note != "broken off" || len(f.wishes) != 2 || !f.wishes[1].Release {
			t.Errorf("got %+v after %+v", got, f.wishes)
		}
	})
}

// newTrial makes a trial with answers, one a line; - asks nothing.
func newTrial(d door, answers string) *trial {
	tr := &trial{door: d, by: "tester", hold: 10 * time.Second, say: io.Discard}
	if answers != "-" {
		all := make(chan string, 2)
		for line := range strings.Lines(answers) {
			all <- line
		}
		close(all)
		tr.answers = all
	}
	return tr
}
