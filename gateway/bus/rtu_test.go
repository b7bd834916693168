package bus

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gacp-erp.internal/glasshouse/drivers"
	"gacp-erp.internal/glasshouse/drivers/modbus"
	"gacp-erp.internal/glasshouse/drivers/sim/slave"
)

const lineUnits = 8

// serialLine is a bus with a real RTU driver: eight units with a sensor and a relay each, 9600 baud.
func serialLine(t *testing.T, every, timeout time.Duration) (*slave.Slave, *desk) {
	units := slave.New()
	units.SetLatency(45 * ms) // 8 bytes there, 9 and a turn-around back
	c := modbus.Config{Name: "north", Endpoint: "rtu+tcp://line:4001?baud=9600", Every: every, Timeout: timeout,
		Dial: func(context.Context) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go units.ServeRTU(theirs)
			return ours, nil
		}}
	for u := range byte(lineUnits) {
		units.SetInput(u+1, 1, 237, 655)
		units.SetCoil(u+1, 0, false)
		c.Units = append(c.Units, modbus.Unit{ID: fmt.Sprint(u + 1), Address: u + 1, Points: []modbus.Point{
			{ID: drivers.PointID(fmt.Sprintf("%d.temperature", u+1)), Table: modbus.Input, Address: 1},
			{ID: drivers.PointID(fmt.Sprintf("%d.humidity", u+1)), Table: modbus.Input, Address: 2},
			{ID: drivers.PointID(fmt.Sprintf("%d.relay", u+1)), Table: modbus.Coil, Writable: true},
		}})
	}
	d, err := modbus.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return units, start(t, &awake{Driver: d}, Options{Every: every, ReadTimeout: d.Rest() + 2*timeout, WriteTimeout: d.Rest() + 3*timeout})
}

// awake is a driver that has the mutex of a script, by which desk.sleep speaks to the race detector.
type awake struct {
	*modbus.Driver
	script
}

func (a *awake) Requests() []drivers.Request { return a.Driver.Requests() }
func (a *awake) Read(ctx context.Context, r drivers.Request, dst []drivers.Reading) ([]drivers.Reading, error) {
	return a.Driver.Read(ctx, r, dst)
}
func (a *awake) Write(ctx context.Context, p drivers.PointID, v float64) error {
	return a.Driver.Write(ctx, p, v)
}
func (a *awake) Close() error { return a.Driver.Close() }

// One of eight units is dead for ten minutes: the others keep 95 of 100 polls, at the usual period and timeout, and at a short
// period with a timeout to match.
func TestOneDeadUnitOnASerialLine(t *testing.T) {
	for _, test := range []struct{ every, timeout time.Duration }{{5 * s, s}, {s, 500 * ms}} {
		t.Run(test.every.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				units, d := serialLine(t, test.every, test.timeout)
				d.sleep(5 * s)
				units.Mute(5, true)
				clear(d.good)
				d.sleep(600 * s)
				least := 2.0
				for u := range lineUnits {
					for _, p := range []string{"temperature", "relay"} {
						kept := float64(d.good[fmt.Sprintf("%d.%s", u+1, p)]) / float64(600*s/test.every)
						if u+1 == 5 && kept > 0 {
							t.Errorf("the dead unit was read")
						} else if u+1 != 5 {
							least = min(least, kept)
						}
					}
				}
				t.Logf("of the other units each point keeps at least %.1f %% of its polls", 100*least)
				if least < 0.95 {
					t.Errorf("a point keeps %.1f %% of its polls", 100*least)
				}
				d.finish()
				units.Close()
			})
		})
	}
}

// A safety write under full polling, with a dead unit on the line: it starts within one transaction and the line's rest.
func TestSafetyWriteOnASerialLine(t *testing.T) {
	const timeout, rest = 500 * ms, 1000 * ms
	synctest.Test(t, func(t *testing.T) {
		units, d := serialLine(t, 200*ms, timeout) // 16 requests of 45 ms: never idle
		var mu sync.Mutex
		var written time.Time
		units.OnWrite(func(byte, slave.Table, uint16, uint16) {
			mu.Lock()
			defer mu.Unlock()
			written = time.Now()
		})
		units.Mute(5, true)
		d.sleep(5 * s)
		rnd := rand.New(rand.NewPCG(1, 2))
		var waits []time.Duration
		for id := range uint64(400) {
			d.sleep(time.Duration(rnd.Int64N(int64(2 * s))))
			began := time.Now()
			d.Write(Write{Output: 1, ID: id + 1, Point: "2.relay", Value: float64(id % 2), Safety: true})
			d.sleep(2 * (timeout + rest))
			mu.Lock()
			waits = append(waits, written.Sub(began))
			mu.Unlock()
		}
		slices.Sort(waits)
		if waits[0] < 0 {
			t.Fatal("a write did not come")
		}
		longest, half := waits[len(waits)-1], waits[len(waits)/2]
		t.Logf("ordered to begun: %s in half of all cases, %s at most", half, longest)
		if longest > timeout+rest+200*ms { // the frames' time on the line besides
			t.Errorf("a safety write waited %s", longest)
		}
		d.finish()
		units.Close()
	})
}
