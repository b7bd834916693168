package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gacp-erp.internal/glasshouse/drivers"
)

func TestOneDeadOfEight(t *testing.T) {
	tests := map[string]error{
		"silent":                     errTimeout,
		"hangs until the deadline":   context.DeadlineExceeded,
		"an error of no known class": errors.New("what"),
	}
	for name, fault := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				driver := &script{plan: relays(8), takes: 10 * ms, readErr: of("unit 3", fault)}
				d := start(t, driver, Options{Every: s, ReadTimeout: s})
				d.sleep(600*s + 1)
				st := d.Stats()
				for _, u := range st.Units {
					if u.Name == "unit 3" {
						if u.Polls > 22 || u.Errors != u.Polls || u.BackOff.IsZero() || u.Failures != int(u.Polls) || !errors.Is(u.LastError, drivers.ErrUnit) {
							t.Errorf("%+v", u)
						}
						continue
					}
					if u.Polls < 2*600*95/100 || u.Errors > 0 {
						t.Errorf("%s was polled %d times of 1200", u.Name, u.Polls)
					}
				}
				if len(d.bad) != 2 || !errors.Is(d.bad[0].Err, drivers.ErrUnit) || errors.Is(d.bad[0].Err, drivers.ErrBus) {
					t.Errorf("bad readings %v", d.bad)
				}
				d.wantHealth()
				d.finish()
			})
		})
	}
}

func TestUnitComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver := &script{plan: relays(2), takes: 10 * ms, readErr: of("unit 1", errTimeout), wrErr: func(p drivers.PointID) error {
			if strings.HasPrefix(string(p), "1.") {
				return errTimeout
			}
			return nil
		}}
		d := start(t, driver, Options{Every: s})
		d.sleep(300 * s)
		probes := append(driver.readsOf("1.a", 150*s), driver.readsOf("1.b", 150*s)...)
		if n := len(probes); n < 2 || n > 3 || len(driver.readsOf("1.a", 100*s)) == 0 || len(driver.readsOf("1.b", 100*s)) == 0 {
			t.Errorf("asked at %v: once a minute, another request each time", probes)
		}
		d.Write(Write{Output: 0, ID: 1, Point: "1.a", Value: 1})
		d.Write(Write{Output: 1, ID: 2, Point: "1.b", Value: 0, Safety: true})
		d.sleep(1100 * ms)
		if len(d.confirms) != 1 || d.confirms[0].ID != 2 || !errors.Is(d.confirms[0].Err, drivers.ErrUnit) || d.at[0] > 301*s+10*ms {
			t.Fatalf("confirmed %+v at %v", d.confirms, d.at)
		}
		driver.set(func(x *script) { x.readErr, x.wrErr = nil, nil })
		good, late := d.good["1.a"], d.Stats().Units[0].Late
		d.sleep(62 * s)
		if len(d.confirms) != 2 || d.confirms[1] != (Confirmation{0, 1, 1, nil}) {
			t.Fatalf("confirmed %+v", d.confirms)
		}
		if u := d.Stats().Units[0]; d.good["1.a"] == good || !u.BackOff.IsZero() || u.Late != late { // a back-off makes nothing late
			t.Errorf("%d late before, %+v", late, u)
		}
		from := now()
		d.sleep(10 * s)
		if n := len(driver.readsOf("1.b", from)); n != 10 {
			t.Errorf("%d polls in 10 s", n)
		}
		d.finish()
	})
}

// A safety write that gets through shows that the unit is back: it is read at once.
func TestSafetyWriteRevives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver := &script{plan: relays(2), readErr: of("unit 1", errTimeout)}
		d := start(t, driver, Options{Every: s})
		d.sleep(200 * s)
		driver.set(func(x *script) { x.readErr = nil })
		from := now()
		d.Write(Write{Output: 0, ID: 1, Point: "1.a", Value: 0, Safety: true})
		d.sleep(0)
		if len(driver.readsOf("1.a", from)) != 1 || len(driver.readsOf("1.b", from)) != 1 {
			t.Errorf("read %v and %v", driver.readsOf("1.a", from), driver.readsOf("1.b", from))
		}
		d.finish()
	})
}

// A unit that refuses one request and answers the other is not punished for it.
func TestRefusedRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver := &script{plan: relays(2), readErr: func(r drivers.Request) error {
			if r.Points[0] == "1.b" {
				return errTimeout
			}
			return nil
		}}
		d := start(t, driver, Options{Every: s})
		d.sleep(600 * s)
		if n := len(driver.readsOf("1.a", 0)); n < 570 {
			t.Errorf("the good request was made %d times in 600 s", n)
		}
		if n := len(driver.readsOf("1.b", 300*s)); n < 4 || n > 6 {
			t.Errorf("the refused request was made %d times in 300 s", n)
		}
		if len(d.bad) != 1 || d.bad[0].Point != "1.b" {
			t.Errorf("bad readings %v", d.bad)
		}
		d.finish()
	})
}

func TestBusAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver := &script{plan: relays(3), takes: 10 * ms}
		d := start(t, driver, Options{Every: 5 * s})
		d.sleep(20 * s)
		driver.set(func(x *script) {
			x.readErr = func(drivers.Request) error { return errRefused }
			x.wrErr = func(drivers.PointID) error { return errRefused }
		})
		d.sleep(10 * s)
		d.wantHealth(drivers.ErrBus)
		if len(d.bad) != 6 || !errors.Is(d.bad[5].Err, drivers.ErrBus) {
			t.Errorf("bad readings %v", d.bad)
		}
		d.sleep(100 * s)
		from, before := now(), len(driver.reads)
		d.sleep(110 * s)
		if n := len(driver.reads) - before; n < 9 || n > 11 { // a second of trying, ten of waiting
			t.Errorf("tried %d times in 110 s", n)
		}
		d.Write(Write{Output: 0, ID: 1, Point: "1.a", Value: 1, Safety: true})
		d.Write(Write{Output: 1, ID: 2, Point: "1.b", Value: 1})
		d.sleep(2100 * ms)
		if len(d.confirms) == 0 || d.confirms[0].ID != 1 || !errors.Is(d.confirms[0].Err, drivers.ErrBus) {
			t.Fatalf("confirmed %+v", d.confirms)
		}
		d.wantHealth(drivers.ErrBus)
		if st := d.Stats(); !errors.Is(st.Away, drivers.ErrBus) || st.Next.IsZero() || st.Late > 0 || from-st.Since.Sub(epoch) < 100*s {
			t.Errorf("%+v", st)
		}
		driver.set(func(x *script) { x.readErr, x.wrErr = nil, nil })
		d.Write(Write{Output: 2, ID: 3, Point: "2.a", Value: 1})
		d.sleep(11 * s)
		d.wantHealth(drivers.ErrBus, nil)
		last := d.confirms[len(d.confirms)-1]
		if last.ID != 3 || last.Err != nil {
			t.Errorf("confirmed %+v", last)
		}
		if len(d.bad) != 6 {
			t.Errorf("bad readings %v", d.bad)
		}
		from = now()
		d.sleep(10 * s)
		for _, r := range driver.plan {
			if n := len(driver.readsOf(string(r.Points[0]), from)); n != 2 {
				t.Errorf("%s was read %d times in 10 s", r.Points[0], n)
			}
		}
		d.finish()
	})
}

// A connection that the other side closed while idle is no outage, nor is one between two units that do not answer.
func TestOneFailureIsNoOutage(t *testing.T) {
	for name, other := range map[string]error{"among answers": nil, "among silence": errTimeout} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 0
				driver := &script{plan: relays(1), readErr: func(drivers.Request) error {
					if n++; n%2 == 0 {
						return errRefused
					}
					return other
				}}
				d := start(t, driver, Options{Every: s})
				d.sleep(200 * s)
				d.wantHealth()
				if st := d.Stats(); st.Errors < 10 {
					t.Errorf("%+v", st)
				}
				d.finish()
			})
		})
	}
}

func TestNobodyAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver := &script{plan: relays(4), readErr: func(drivers.Request) error { return errTimeout }}
		d := start(t, driver, Options{Every: s})
		d.sleep(300 * s)
		d.wantHealth(drivers.ErrBus)
		if !strings.Contains(d.health[0].Error(), "none of its 4 units") || len(d.bad) != 8 {
			t.Errorf("told %v, %d bad readings", d.health, len(d.bad))
		}
		before := len(driver.reads)
		d.sleep(110 * s)
		if n := len(driver.reads) - before; n < 9 || n > 11 {
			t.Errorf("tried %d times in 110 s", n)
		}
		driver.set(func(x *script) { x.readErr = nil })
		from := now()
		d.sleep(12 * s)
		d.wantHealth(drivers.ErrBus, nil)
		for u := 1; u <= 4; u++ {
			if len(driver.readsOf(fmt.Sprint(u, ".a"), from)) == 0 {
				t.Errorf("unit %d was not asked again", u)
			}
		}
		d.finish()
	})
}

// After an outage a dead unit must not keep the bus from finding the others.
func TestBusComesBackWithADeadUnit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver := &script{plan: relays(3), readErr: func(drivers.Request) error { return errRefused }}
		d := start(t, driver, Options{Every: s})
		d.sleep(60 * s)
		dead, from := "", time.Duration(0)
		driver.set(func(x *script) {
			x.readErr = func(r drivers.Request) error { // whichever is asked first is dead
				if dead == "" {
					dead, from = r.Unit, now()
				}
				return of(dead, errTimeout)(r)
			}
		})
		d.sleep(15 * s)
		d.wantHealth(drivers.ErrBus, nil)
		if took := d.healthAt[1] - from; took > 3*s {
			t.Errorf("found %v after the connection was back", took)
		}
		d.finish()
	})
}

func TestPanickingDriver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver := &script{plan: relays(2), readErr: func(drivers.Request) error { panic("index out of range") },
			wrErr: func(drivers.PointID) error { panic("nil map") }}
		d := start(t, driver, Options{Every: s})
		d.Write(Write{Output: 0, ID: 1, Point: "1.a", Value: 1, Safety: true})
		d.sleep(30 * s)
		d.wantHealth(drivers.ErrBus)
		if len(d.confirms) != 1 || !errors.Is(d.confirms[0].Err, drivers.ErrBus) || !strings.Contains(d.confirms[0].Err.Error(), "nil map") {
			t.Errorf("confirmed %+v", d.confirms)
		}
		if st := d.Stats(); st.Panics < 4 || st.Panics > 8 {
			t.Errorf("%+v", st)
		}
		driver.set(func(x *script) { x.readErr, x.wrErr = nil, nil })
		d.sleep(11 * s)
		d.wantHealth(drivers.ErrBus, nil)
		d.finish()
	})
}

// A driver that does not return is told of, and closing it ends the call.
func TestHangingDriver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver := &script{plan: relays(2), block: make(chan struct{})}
		d := start(t, driver, Options{Every: s, ReadTimeout: 2 * s})
		d.sleep(3*s - 1)
		d.wantHealth()
		d.sleep(s)
		d.wantHealth(drivers.ErrBus)
		if st := d.Stats(); st.Hangs != "reading unit 1" {
			t.Errorf("%+v", st)
		}
		d.Write(Write{Output: 0, ID: 1, Point: "1.a", Value: 1})
		if took := d.finish(); took != hangWait {
			t.Errorf("ended after %v", took)
		}
		if len(d.confirms) != 1 || d.confirms[0].Err == nil {
			t.Errorf("confirmed %+v", d.confirms)
		}
	})
}

func TestRunEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver := &script{plan: relays(2), wrErr: func(drivers.PointID) error { return errTimeout }}
		d := start(t, driver, Options{Every: s})
		for i := range 5 {
			d.Write(Write{Output: i, ID: uint64(i), Point: "1.a", Value: 1})
		}
		d.sleep(500 * ms)
		if took := d.finish(); took != 0 {
			t.Errorf("ended after %v", took)
		}
		d.Write(Write{Output: 9, ID: 9, Point: "1.a", Value: 1})
		var ids []uint64
		for _, c := range d.confirms {
			if c.Err == nil {
				t.Errorf("%+v", c)
			}
			ids = append(ids, c.ID)
		}
		slices.Sort(ids)
		if !slices.Equal(ids, []uint64{0, 1, 2, 3, 4, 9}) || driver.closed != 1 {
			t.Errorf("confirmed %v, closed %d times", ids, driver.closed)
		}
	})
}

// pushing is a driver whose devices speak first.
type pushing struct {
	script
	ready chan struct{}
	inbox []drivers.Reading
	said  drivers.Delivery
	acked drivers.Delivery
	link  error
	boom  bool
}

func (p *pushing) Ready() <-chan struct{} { return p.ready }

func (p *pushing) Drain(dst []drivers.Reading) ([]drivers.Reading, drivers.Delivery) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.boom {
		p.boom = false
		panic("drain")
	}
	dst = append(dst, p.inbox...)
	p.inbox = p.inbox[:0]
	return dst, p.said
}

func (p *pushing) Ack(upTo drivers.Delivery) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.acked = upTo
}

func (p *pushing) say(point string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.said++
	p.inbox = append(p.inbox, drivers.Reading{Point: drivers.PointID(point), Value: 1, Quality: drivers.Good})
	select {
	case p.ready <- struct{}{}:
	default:
	}
}

// linked knows whether it is connected.
type linked struct{ *pushing }

func (l linked) Link() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.link
}

func newPushing() *pushing { return &pushing{ready: make(chan struct{}, 1)} }

func TestPusher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver := newPushing()
		driver.takes = 3 * s
		d := start(t, driver, Options{})
		d.Write(Write{Output: 0, ID: 1, Point: "plug", Value: 1})
		d.sleep(0)
		driver.say("a")
		driver.say("b")
		d.sleep(0) // while the write waits for its device
		if d.good["a"] != 1 || d.good["b"] != 1 || d.upTo != 2 || len(d.confirms) != 0 {
			t.Fatalf("%v up to %d, confirmed %v", d.good, d.upTo, d.confirms)
		}
		d.Ack(2)
		if driver.acked != 2 {
			t.Errorf("acknowledged %d", driver.acked)
		}
		full := make(chan struct{})
		d.taker.mu.Lock()
		d.full = full
		d.taker.mu.Unlock()
		driver.say("c")
		d.sleep(4 * s)
		d.Write(Write{Output: 0, ID: 2, Point: "plug", Value: 0}) // while nobody has room for readings
		d.sleep(4 * s)
		if len(d.confirms) != 2 || d.confirms[1].Err != nil || d.good["c"] != 0 {
			t.Errorf("confirmed %v", d.confirms)
		}
		close(full)
		d.sleep(0)
		driver.set(func(*script) { driver.boom = true })
		driver.say("d")
		d.sleep(2 * s)
		driver.say("e")
		d.sleep(0)
		if d.good["c"] != 1 || d.good["d"] != 1 || d.good["e"] != 1 || d.Stats().Panics != 1 {
			t.Errorf("%v, %+v", d.good, d.Stats())
		}
		d.finish()
	})
}

func TestLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver := linked{newPushing()}
		d := start(t, driver, Options{})
		set := func(err error) { driver.set(func(*script) { driver.link = err }) }
		set(errRefused)
		d.sleep(1500 * ms)
		set(nil)
		d.sleep(10 * s)
		d.wantHealth() // a moment without connection is no outage
		set(errRefused)
		d.sleep(60 * s)
		d.wantHealth(drivers.ErrBus)
		driver.say("retained") // what was already here says nothing about the connection
		d.Write(Write{Output: 0, ID: 1, Point: "plug", Value: 1})
		d.sleep(0)
		d.wantHealth(drivers.ErrBus)
		if len(d.confirms) != 0 {
			t.Errorf("confirmed %v", d.confirms)
		}
		set(nil)
		d.sleep(s)
		d.wantHealth(drivers.ErrBus, nil)
		if len(d.confirms) != 1 || d.confirms[0].Err != nil {
			t.Errorf("confirmed %v", d.confirms)
		}
		d.finish()
	})
}

// Without a link the bus knows from writes that fail, and from what comes in.
func TestPusherWithoutLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver := newPushing()
		driver.wrErr = func(drivers.PointID) error { return errRefused }
		d := start(t, driver, Options{})
		for i := range 2 {
			d.Write(Write{Output: i, ID: 1, Point: "plug", Value: 1, Safety: true})
		}
		d.sleep(3 * s)
		d.wantHealth(drivers.ErrBus)
		driver.say("a")
		d.sleep(0)
		d.wantHealth(drivers.ErrBus, nil)
		d.finish()
	})
}

// The end of Run is not held up by a sink without room once that lets go, nor by a driver that closes Ready.
func TestPusherEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver := newPushing()
		d := start(t, driver, Options{})
		close(driver.ready)
		d.sleep(time.Minute)
		d.Write(Write{Output: 0, ID: 1, Point: "plug", Value: 1})
		d.sleep(0)
		if len(d.confirms) != 1 {
			t.Error("not written after Ready was closed")
		}
		if took := d.finish(); took != 0 {
			t.Errorf("ended after %v", took)
		}
	})
}

// A stop gives the bus some seconds: what a dead unit costs must not be paid by those that live.
func TestSafetyOfLiveUnitsWaitsForNoDeadOne(t *testing.T) {
	for name, before := range map[string]time.Duration{"dead for long": 60 * s, "just died": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				driver := &script{plan: relays(2)}
				d := start(t, driver, Options{Every: 5 * s})
				d.sleep(10 * s)
				driver.set(func(x *script) {
					x.readErr = of("unit 1", errTimeout)
					x.wrErr = func(p drivers.PointID) error {
						if p[0] == '1' {
							return errTimeout
						}
						return nil
					}
				})
				d.sleep(before)
				for i := range 8 {
					d.Write(Write{Output: i, ID: uint64(i), Point: "1.a", Safety: true})
				}
				d.Write(Write{Output: 8, ID: 8, Point: "2.a", Safety: true})
				d.sleep(3 * s)
				done := false
				for _, c := range d.confirms {
					done = done || c.ID == 8 && c.Err == nil
				}
				if !done {
					t.Errorf("after 3 s the live unit still waits behind the dead one: %+v", d.confirms)
				}
				d.finish()
			})
		})
	}
}

// What a device that does not confirm costs on a broker must not be paid by those that would.
func TestSafetyWaitsForNoDeadDeviceOnABroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver := newPushing()
		driver.wrErr = func(p drivers.PointID) error {
			if p == "dead" {
				return fmt.Errorf("%w: %w", context.DeadlineExceeded, drivers.ErrNotConfirmed)
			}
			return nil
		}
		d := start(t, driver, Options{})
		d.sleep(s)
		d.Write(Write{Output: 0, ID: 1, Point: "dead", Value: 1})
		d.sleep(500 * ms) // it waits for five seconds
		d.Write(Write{Output: 0, ID: 2, Point: "dead", Safety: true})
		for i := range 5 {
			d.Write(Write{Output: 1 + i, ID: uint64(3 + i), Point: drivers.PointID(fmt.Sprint("plug", i)), Safety: true})
		}
		d.sleep(2 * s)
		done := 0
		for _, c := range d.confirms {
			if c.Err == nil {
				done++
			}
		}
		if done != 5 {
			t.Errorf("2 s after the order %d of 5 live plugs are safe: %+v", done, d.confirms)
		}
		d.finish()
		d.Bus.mu.Lock()
		defer d.Bus.mu.Unlock()
		if d.answers(Write{Point: "dead"}) || !d.answers(Write{Point: "plug0"}) {
			t.Error("the next time the dead one is not the last")
		}
	})
}
