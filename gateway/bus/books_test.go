package bus

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"gacp-erp.internal/glasshouse/drivers"
)

// Whatever the driver does: of each output the newest write is confirmed, each write at most once, in order, and none that
// was tried stays without an answer.
func TestEveryWriteIsAnswered(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { answered(t, rand.New(rand.NewPCG(seed, 3))) })
		})
	}
}

func answered(t *testing.T, r *rand.Rand) {
	const outputs = 6
	driver := &script{plan: relays(3), takes: 20 * ms}
	d := start(t, driver, Options{Every: s})
	newest := map[int]uint64{}
	id := uint64(0)
	for range 300 {
		switch r.IntN(8) {
		case 0:
			unit, fault := fmt.Sprint("unit ", 1+r.IntN(3)), []error{errTimeout, errRefused}[r.IntN(2)]
			driver.set(func(x *script) {
				x.readErr = of(unit, fault)
				x.wrErr = func(drivers.PointID) error { return fault }
			})
		case 1:
			driver.set(func(x *script) { x.readErr = func(drivers.Request) error { panic("read") } })
		case 2:
			driver.set(func(x *script) { x.wrErr = func(drivers.PointID) error { panic("write") } })
		case 3, 4:
			driver.set(func(x *script) { x.readErr, x.wrErr = nil, nil })
		}
		for range r.IntN(4) {
			id++
			out := r.IntN(outputs)
			newest[out] = id
			d.Write(Write{Output: out, ID: id, Point: driver.plan[out].Points[0], Value: float64(id), Safety: r.IntN(4) == 0})
		}
		d.sleep(time.Duration(r.IntN(3000)) * time.Millisecond)
	}
	if r.IntN(2) == 0 {
		driver.set(func(x *script) { x.readErr, x.wrErr = nil, nil })
		d.sleep(2 * time.Minute)
		if n := d.Stats().Waiting; n != 0 {
			t.Errorf("%d writes still wait on a bus that is well", n)
		}
	}
	d.finish()
	last := map[int]uint64{}
	for _, c := range d.confirms {
		if c.ID <= last[c.Output] || c.Value != float64(c.ID) {
			t.Fatalf("output %d: write %d confirmed with %g after %d", c.Output, c.ID, c.Value, last[c.Output])
		}
		last[c.Output] = c.ID
	}
	for out, id := range newest {
		if last[out] != id {
			t.Errorf("output %d: the newest write is %d, the newest answer to %d", out, id, last[out])
		}
	}
	if tried, told := len(driver.writes), int(d.Stats().Writes); told != tried && told != tried-1 { // one may have been given up at the end
		t.Errorf("%d writes tried, %d counted", tried, told)
	}
	for i, err := range d.health {
		if (err != nil) != (i%2 == 0) {
			t.Fatalf("told %v", d.health)
		}
	}
}
