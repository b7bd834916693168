package modbus

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"gacp-erp.internal/glasshouse/drivers"
	"gacp-erp.internal/glasshouse/drivers/sim/slave"
)

// TestOneLateAnswer is how a line without ids goes wrong for ever: every answer is taken for the next one's.
func TestOneLateAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := Unit{ID: "u", Address: 1}
		for i := range uint16(6) {
			u.Points = append(u.Points, Point{ID: drivers.PointID(rune('a' + i)), Table: Holding, Address: 10 * i})
		}
		b := onLine(t, Config{Units: []Unit{u}})
		defer b.end()
		for i := range uint16(6) {
			b.slave.SetHolding(1, 10*i, 100+i)
		}
		for _, delay := range []int{1050, 1200, 1999, 2500, 3000} {
			b.script(slave.Fault{Kind: slave.Late, Delay: time.Duration(delay) * time.Millisecond})
			b.ask(0, "no answer")
			for i := range 6 {
				got, err := b.Read(t.Context(), b.Requests()[i], nil)
				if err != nil || got[0].Value != float64(100+i) {
					t.Fatalf("%d ms late: request %d: %v, %v", delay, i, got, err)
				}
			}
		}
	})
}

// TestLateInTheProof: an answer that comes later than any should meets the proof, whose answer has another length.
func TestLateInTheProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := onLine(t, climate())
		defer b.end()
		b.ask(0, "")
		b.script(slave.Fault{Kind: slave.Late, Delay: 3100 * time.Millisecond}, slave.Fault{Kind: slave.Late, Delay: 300 * time.Millisecond})
		b.ask(0, "no answer")
		b.ask(0, "a wrong checksum") // two registers' answer where one's is due
		b.ask(0, "")
	})
}

// TestProofs: what a unit is asked before it is believed again.
func TestProofs(t *testing.T) {
	for name, test := range map[string]struct {
		points []Point
		want   string
	}{
		"of one register":     {[]Point{{ID: "a", Table: Holding, Address: 103}}, "030300670002"},
		"of two":              {[]Point{{ID: "a", Table: Holding, Address: 103}, {ID: "b", Table: Holding, Address: 104}}, "030300670001"},
		"of a bit":            {[]Point{{ID: "a", Table: Discrete, Address: 7}}, "030200070009"},
		"of many bits":        {row(9, 1, Discrete, Bool), "030200000001"},
		"of another function": {[]Point{{ID: "a", Table: Holding, Address: 103}, {ID: "b", Table: Discrete, Address: 7}}, "030200070001"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := onLine(t, Config{Units: []Unit{{ID: "meter", Address: 3, Points: test.points}}})
				defer b.end()
				b.slave.SetDiscrete(3, 0, make([]bool, 9)...)
				b.script(slave.Fault{Kind: slave.Drop})
				b.ask(0, "no answer")
				b.asked()
				b.ask(0, "")
				asked, _ := b.asked()
				if len(asked) != 2 || asked[0] != test.want {
					t.Errorf("asked %v, want %s first", asked, test.want)
				}
				b.ask(0, "")
				if asked, _ := b.asked(); len(asked) != 1 {
					t.Errorf("in step, and asked %v", asked)
				}
			})
		})
	}
}

// TestUnitWithoutProof: a unit that says nothing when asked for what it does not have gets twice the rest instead, and is not
// asked for that again.
func TestUnitWithoutProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := onLine(t, Config{Units: []Unit{{ID: "meter", Address: 3, Points: []Point{{ID: "a", Table: Holding, Address: 103}}}}})
		defer b.end()
		drop := slave.Fault{Kind: slave.Drop}
		b.script(drop, drop)
		b.ask(0, "no answer")
		b.ask(0, "no answer") // to the proof
		b.asked()
		for range 3 {
			began := time.Now()
			b.ask(0, "")
			asked, _ := b.asked()
			if !slices.Equal(asked, []string{"030300670001"}) {
				t.Errorf("asked %v", asked)
			}
			if time.Since(began) < 2*time.Second {
				t.Errorf("believed after %s", time.Since(began))
			}
			b.script(drop)
			b.ask(0, "no answer")
			b.asked()
		}
	})
}

// TestOthersNeedNoProof: one unit's doubt makes the line rest, and no other unit prove anything; a write proves by itself.
func TestOthersNeedNoProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := onLine(t, Config{Units: greenhouseAt("").Units})
		defer b.end()
		b.slave.Mute(1, true)
		b.ask(0, "no answer")
		b.asked()
		b.ask(1, "")
		if asked, _ := b.asked(); !slices.Equal(asked, []string{"0a0100000002"}) {
			t.Errorf("asked %v", asked)
		}
		b.script(slave.Fault{Kind: slave.Drop})
		b.ask(1, "no answer")
		b.asked()
		if err := b.Write(t.Context(), "relays.1", 1); err != nil {
			t.Fatal(err)
		}
		if asked, _ := b.asked(); !slices.Equal(asked, []string{"0a050000ff00", "0a0100000001"}) {
			t.Errorf("asked %v", asked)
		}
	})
}
