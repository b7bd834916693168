package main

import (
	"strings"
	"testing"
	"time"

	"gacp-erp.internal/glasshouse/gateway/api"
)

func TestWhatTheBufferSaysOfItself(t *testing.T) {
	seconds := func(d time.Duration) *float64 {
		s := d.Seconds()
		return &s
	}
	for _, c := range []struct {
		left *float64
		want string
	}{
		{nil, "known once events have come for a minute"},
		{seconds(0), "at this rate 0.0 hours until"},
		{seconds(90 * time.Minute), "at this rate 1.5 hours until raw telemetry is dropped"},
		{seconds(240 * time.Hour), "at this rate 240 hours (10 days) until"},
	} {
		if got := forecast(api.Buffer{Forecast: c.left}); !strings.Contains(got, c.want) {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.Local)
	var page strings.Builder
	err := printBuffer(&page, api.Buffer{Dir: "/d", MaxBytes: 64 << 20, Bytes: 3 << 19, Segments: 2, Growth: 1 << 19, Quarantined: []string{"1.damaged"},
		Lanes:    []api.Lane{{Name: "a.v1", Waiting: 1, SetAside: 2, Dropped: 3, Delivered: 4, Sent: 9}, {Name: "b.v1", Blocked: "no right"}},
		LastGaps: []api.Gap{{Number: 7, Topic: "a.v1", Count: 3, From: at, To: at}, {Number: 8, Topic: "a.v1", Count: 5, From: at, To: at, Damage: true}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1.5 of 64 MiB in 2 file(s), 0.50 MiB an hour", "a.v1   1        2          3        4     ok", "no right",
		"7    a.v1   3        2026-03-01 12:00:00  2026-03-01 12:00:00  the buffer was full", "a file was damaged", "! 1.damaged"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page has no %q:\n%s", want, page.String())
		}
	}
}

func TestInstantsAsPeopleTypeThem(t *testing.T) {
	for text, want := range map[string]time.Time{
		"2026-03-01T12:00:00Z":      time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		"2026-03-01T12:00:00+02:00": time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC),
		"2026-03-01":                time.Date(2026, 3, 1, 0, 0, 0, 0, time.Local),
		"2026-03-01 12:30":          time.Date(2026, 3, 1, 12, 30, 0, 0, time.Local),
		"2026-03-01 12:30:15":       time.Date(2026, 3, 1, 12, 30, 15, 0, time.Local),
	} {
		if got, err := instant(text); err != nil || !got.Equal(want) {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"noon", "2026-13-01", "12:00"} {
		if got, err := instant(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}
