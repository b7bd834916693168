package gateway

import (
	"slices"
	"testing"

	"gacp-erp.internal/glasshouse/drivers"
)

func TestGoodbye(t *testing.T) {
	for raw, want := range map[string]bool{
		`{"status":"offline","timestamp":"2026-06-01T12:00:00Z"}`: true,
		`{"state":"Offline"}`: true,
		`Offline`:             true,
		`"offline"`:           true,
		`Online`:              false,
		`{"status":"online","previousStatus":"offline"}`:     false,
		`{"status":"online","reason":"was offline an hour"}`: false,
		`{}`: false,
		``:   false,
	} {
		if got := goodbye([]byte(raw)); got != want {
			t.Errorf("%s: goodbye is %v", raw, got)
		}
	}
}

// A broker that kept messages for us brings them in order: what came after a last will takes it back.
func TestAGoodbyeIsOverWithTheNextValue(t *testing.T) {
	house := &house{pointOf: map[drivers.PointID]int{"tent.temperature": 0}, points: []point{{device: 0}}, deviceOf: map[string]int{"tent": 0}}
	will := drivers.Reading{Message: &drivers.Message{Device: "tent", Kind: drivers.Status, Raw: []byte("offline")}}
	value := drivers.Reading{Point: "tent.temperature", Value: 24, Quality: drivers.Good, Message: &drivers.Message{Device: "tent"}}
	for _, tt := range []struct {
		came []drivers.Reading
		gone []int
	}{{[]drivers.Reading{will, value}, nil}, {[]drivers.Reading{value, will}, []int{0}}} {
		l := &loop{house: house}
		l.gather(&intake{readings: tt.came})
		if !slices.Equal(l.gone, tt.gone) {
			t.Errorf("gone are %v, want %v", l.gone, tt.gone)
		}
	}
}
