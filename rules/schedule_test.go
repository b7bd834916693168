package rules

import (
	"testing"
	"time"
	_ "time/tzdata" // zones whose clocks are changed
)

func nightly(s *Spec) {
	s.DayFrom, s.DayTo = 6*time.Hour, 13*time.Hour // the scripts begin at 12:00
	s.Above, s.Below = nil, nil
}

func TestDayAndNight(t *testing.T) {
	run(t, []script{
		{"a switch-over does not fire at once", nightly, "0s 24\n 62m end", "1h0m30s raised warning above 24"},
		{"the room follows in time", nightly, "0s 24\n 60m25s 21\n 2h end", ""},
		{"a breach of both goes on", nightly, "0s 24\n 59m40s 27\n 61m end", "1h0m10s raised warning above 27\n 1h0m30s escalated critical above 27"},
		{"a switch-over does not escalate at once", nightly, "0s 27\n 62m end", "30s raised warning above 27\n 1h0m30s escalated critical above 27"},
		{"what is bad in both escalates at once", nightly, "0s 27\n 60m5s 30\n 62m end",
			"30s raised warning above 27\n 1h0m5s escalated critical above 30\n 1h0m30s escalated emergency above 30"},
		{"a switch-over resolves", nightly, "0s 21\n 62m end", "30s raised warning below 21\n 1h0m20s resolved 21"},
		{"a switch-over to the other side", func(s *Spec) { nightly(s); s.Night = Limits{14, 18} }, "0s 21\n 62m end",
			"30s raised warning below 21\n 1h0m0s resolved 21\n 1h0m30s raised warning above 21"},
		{"a side that is open at night", func(s *Spec) { nightly(s); s.Night = Limits{open, 22} }, "0s 12\n 62m end",
			"30s raised emergency below 12\n 1h0m20s resolved 12"},
		{"a side that was open by day escalates after for", func(s *Spec) { nightly(s); s.Day = Limits{open, 26}; s.Night = Limits{20, 26}; s.For = time.Minute },
			"0s 12\n 63m end", "1h1m0s raised emergency below 12"},
		{"over midnight", func(s *Spec) { nightly(s); s.DayFrom, s.DayTo = 20*time.Hour, 13*time.Hour }, "0s 24\n 62m 24\n 7h59m 24\n 8h1m end",
			"1h0m30s raised warning above 24\n 8h0m20s resolved 24"},
		{"the wall clock is set", nightly, "0s 24\n 1m wall 3h\n 2m wall -3h\n 3m end", "1m30s raised warning above 24\n 2m20s resolved 24"},
		{"no hold runs on the wall clock", func(s *Spec) { s.Above = nil }, "0s 27\n 10s wall 5h\n 20s wall -9000h\n 1m 24\n 70s wall 99h\n 2m end",
			"30s raised warning above 27\n 1m20s resolved 24"},
	})
}

// The clocks are changed in the night; a day from 06:00 has its hours all the same.
func TestADayKeepsItsHours(t *testing.T) {
	riga, err := time.LoadLocation("Europe/Riga")
	if err != nil {
		t.Fatal(err)
	}
	s := temperature()
	s.DayFrom, s.DayTo = 6*time.Hour, 22*time.Hour
	w := newWorld(t, s)
	for _, date := range []string{"2026-03-28", "2026-03-29", "2026-10-24", "2026-10-25", "2026-12-31"} {
		for clock, min := range map[string]float64{"00:00:00": 18, "05:59:59": 18, "06:00:00": 22, "12:00:00": 22, "21:59:59": 22, "22:00:00": 18} {
			wall, err := time.ParseInLocation("2006-01-02 15:04:05", date+" "+clock, riga)
			if err != nil {
				t.Fatal(err)
			}
			w.now += time.Second
			w.set.Eval(Moment{Steady: w.now, Wall: wall}, w.image, w.state)
			if got := w.set.View(0, w.state).Min; got != min {
				t.Errorf("%s %s: min %g, want %g", date, clock, got, min)
			}
		}
	}
}
