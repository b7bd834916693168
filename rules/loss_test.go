package rules

import (
	"testing"
	"time"
)

func TestLoss(t *testing.T) {
	run(t, []script{
		{"one bad reading is not told", nil, "0s 24\n 10s lost\n 24s 24\n 1m end", ""},
		{"told once, and when it is back", nil, "0s 24\n 10s lost\n 5m 24\n 6m end",
			"25s blinded\n 2m10s want fan safe, heater safe\n 5m0s seeing\n 5m0s want nothing"},
		{"nothing came yet", nil, "29.75s 24\n 1m end", ""},
		{"nothing ever came", nil, "10m end", "30s blinded\n 2m0s want fan safe, heater safe"},
		{"a correction goes on, then its outputs are safe, then it begins anew", nil, "0s 27\n 1m lost\n 6m 27\n 10m59s 27\n 11m 27\n 12m end",
			"30s raised warning above 27\n 30s want fan=1\n 1m15s blinded\n 3m0s want fan safe, heater safe\n 6m0s seeing\n 6m0s want fan=1\n 11m0s corrected 27 no"},
		{"within stands still", nil, "0s 27\n 1m lost\n 2m 27\n 8m end",
			"30s raised warning above 27\n 30s want fan=1\n 1m15s blinded\n 2m0s seeing\n 6m30s corrected 27 no"},
		{"back in range while nobody looked", nil, "0s 27\n 1m lost\n 6m 24\n 8m end", `
			30s raised warning above 27
			30s want fan=1
			1m15s blinded
			3m0s want fan safe, heater safe
			6m0s seeing
			6m0s want fan=1
			6m0.25s corrected 24 yes
			6m20s resolved 24 yes
			6m20s want nothing`},
		{"for stands still over a gap", nil, "0s 27\n 20s lost\n 30s 27\n 1m end", "40s raised warning above 27\n 40s want fan=1"},
		{"for begins anew after a long one", nil, "0s 27\n 20s lost\n 40s 27\n 80s end", "35s blinded\n 40s seeing\n 1m10s raised warning above 27\n 1m10s want fan=1"},
		{"keepFor stands still over a gap", func(s *Spec) { s.Above = nil }, "0s 27\n 1m 24\n 70s lost\n 80s 24\n 2m end",
			"30s raised warning above 27\n 1m30s resolved 24"},
		{"keepFor begins anew after a long one", func(s *Spec) { s.Above = nil }, "0s 27\n 1m 24\n 70s lost\n 2m 24\n 3m end",
			"30s raised warning above 27\n 1m25s blinded\n 2m0s seeing\n 2m20s resolved 24"},
		{"a lost value never resolves", func(s *Spec) { s.Above = nil }, "0s 27\n 1m 24\n 79.75s lost\n 24h end",
			"30s raised warning above 27\n 1m34.75s blinded\n 3m19.75s want heater safe"},
		{"a lost value never raises", nil, "0s 27\n 29.75s lost\n 1h end", "44.75s blinded\n 2m29.75s want fan safe, heater safe"},
		{"no patience", func(s *Spec) { s.Loss = 0 }, "0s 27\n 1m lost\n 65s 27\n 2m end",
			"30s raised warning above 27\n 30s want fan=1\n 1m0s want fan safe, heater safe\n 1m5s want fan=1"},
		{"a refusal begins anew", func(s *Spec) { s.For = 0 }, "0s fan refuses\n 0s 27\n 6s lost\n 16s 27\n 27s end",
			"0s raised warning above 27\n 0s want fan=1\n 26s corrected 27 no"},
		{"to the other side in the dark", nil, "0s 27\n 1m lost\n 2m 20\n 3m end", `
			30s raised warning above 27
			30s want fan=1
			1m15s blinded
			2m0s seeing
			2m0s resolved 20
			2m0s want nothing
			2m30s raised warning below 20
			2m30s want heater=1`},
	})
}

func TestAPendingBreachAfterALongLossIsANewOne(t *testing.T) {
	w := newWorld(t, temperature())
	w.play("0s 27\n 20s lost\n 2m 27\n 149s end")
	w.now = 150 * time.Second
	c := w.set.Eval(w.moment(), w.image, w.state).Changes
	if len(c) != 1 || c[0].Phase != Raised || c[0].Since.Steady != 2*time.Minute {
		t.Errorf("%+v", c)
	}
}

func TestBlindedTellsTheLastValue(t *testing.T) {
	w := newWorld(t, temperature())
	w.play("0s 24\n 10s lost\n 24.75s end")
	w.now = 25 * time.Second
	c := w.set.Eval(w.moment(), w.image, w.state).Changes
	if len(c) != 1 || c[0].Phase != Blinded || c[0].Value != 24 || c[0].Since != (Moment{}) || c[0].Severity != Info {
		t.Errorf("%+v", c)
	}
}
