package modbus

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"gacp-erp.internal/glasshouse/drivers"
	"gacp-erp.internal/glasshouse/drivers/drivertest"
	"gacp-erp.internal/glasshouse/drivers/sim/slave"
)

// stage is a slave that can be taken away and come back, at another address.
type stage struct {
	listen func(string) (*slave.Slave, error)

	mu    sync.Mutex
	slave *slave.Slave // nil: away
	hangs bool
}

func (s *stage) dial(ctx context.Context) (net.Conn, error) {
	s.mu.Lock()
	address, hangs := "127.0.0.1:1", s.hangs // port 1 refuses
	if s.slave != nil {
		address = s.slave.Addr()
	}
	s.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return new(net.Dialer).DialContext(ctx, "tcp", address)
}

func (s *stage) stop(*testing.T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.slave != nil {
		s.slave.Close()
	}
	s.slave, s.hangs = nil, false
}

func (s *stage) start(t *testing.T) {
	s.stop(t)
	fresh, err := s.listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fresh.Close() })
	furnish(fresh)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slave = fresh
}

func (s *stage) stall(*testing.T) {
	for _, unit := range []byte{1, 3, 10} {
		s.slave.Mute(unit, true)
	}
}

func rig(s *stage, c Config) drivertest.Rig {
	c.Dial = s.dial
	coil := func(address uint16) func(*testing.T) float64 {
		return func(*testing.T) float64 {
			if s.slave.Coils(10, address, 1)[0] {
				return 1
			}
			return 0
		}
	}
	return drivertest.Rig{
		New: func(t *testing.T) drivers.Driver {
			d, err := New(c)
			if err != nil {
				t.Fatal(err)
			}
			return d
		},
		Start: s.start,
		Stop:  s.stop,
		Stall: s.stall,
		Hang: func(t *testing.T) {
			s.stop(t)
			s.hangs = true
		},
		Values: map[drivers.PointID]float64{
			"climate.temperature": 23.7, "climate.humidity": 65.5, "relays.1": 0, "relays.2": 0,
			"meter.setpoint": 21.5, "meter.pump": 1, "meter.level": 10, "meter.offset": -5, "meter.door": 1,
		},
		Spoil: func(*testing.T, drivers.PointID) { s.slave.SetInput(1, 1, 0x8000) },
		Refuse: func(*testing.T, drivers.Request) {
			s.slave.Script(slave.Fault{Kind: slave.Exception, Code: slave.DeviceFailure})
		},
		Outputs: []drivertest.Output{
			{Point: "relays.2", Values: []float64{1, 0, 1, 1}, Refused: []float64{2, 0.5, -1}, State: coil(1), Sensor: "climate.humidity",
				Resist: func(*testing.T) {
					s.slave.OnWrite(func(unit byte, _ slave.Table, address, value uint16) { s.slave.SetCoil(unit, address, value == 0) })
				}},
			{Point: "meter.level", Values: []float64{10, 55.5, 100}, Refused: []float64{9.5, 100.5, 20.1},
				State: func(*testing.T) float64 { return float64(s.slave.Holding(3, 103, 1)[0])*0.5 + 10 }},
		},
	}
}

func TestConformance(t *testing.T) {
	drivertest.Run(t, func(*testing.T) drivertest.Rig {
		return rig(&stage{listen: slave.Listen}, greenhouseAt("tcp://slave"))
	})
}

// TestConformanceRTU is the same with RTU through a TCP connection. The units are quick to answer, so that the line does not
// have to rest for two minutes after what the suite does to it.
func TestConformanceRTU(t *testing.T) {
	drivertest.Run(t, func(*testing.T) drivertest.Rig {
		c := greenhouseAt("rtu+tcp://slave:4001")
		for i := range c.Units {
			c.Units[i].TurnAround = 10 * time.Millisecond
		}
		return rig(&stage{listen: slave.ListenRTU}, c)
	})
}

// TestPausesEnd: a call in one of its pauses is ended too, which the suite cannot see from outside.
func TestPausesEnd(t *testing.T) {
	_, c := greenhouse(t)
	c.Units[0].AfterConnect, c.Units[1].InterFrame = time.Hour, time.Hour
	d := made(t, c)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := d.Read(ctx, d.Requests()[0], nil); err == nil {
		t.Error("an hour has passed")
	}
	time.AfterFunc(10*time.Millisecond, func() { d.Close() })
	if _, err := d.Read(t.Context(), d.Requests()[1], nil); err == nil {
		t.Error("an hour has passed")
	}
}
