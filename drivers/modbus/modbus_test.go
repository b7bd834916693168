package modbus

import (
	"context"
	"errors"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"gacp-erp.internal/glasshouse/drivers"
	"gacp-erp.internal/glasshouse/drivers/sim/slave"
)

// greenhouse is a bus with a transmitter, a relay board and a meter, and the slave behind it.
func greenhouse(t *testing.T) (*slave.Slave, Config) {
	t.Helper()
	s, err := slave.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	furnish(s)
	return s, greenhouseAt("tcp://" + s.Addr())
}

// furnish gives a slave what the greenhouse's units hold.
func furnish(s *slave.Slave) {
	s.SetInput(1, 1, 237, 655)
	s.SetCoil(10, 0, make([]bool, 8)...)
	low, high := uint16(math.Float32bits(21.5)), uint16(math.Float32bits(21.5)>>16)
	s.SetHolding(3, 100, high, low, 0b0000_0100, 0, 0xFFFB)
	s.SetDiscrete(3, 7, true)
}

// greenhouseAt is the configuration for it.
func greenhouseAt(endpoint string) Config {
	return Config{
		Name: "north", Endpoint: endpoint, Timeout: time.Minute,
		Units: []Unit{
			{ID: "climate", Address: 1, Points: []Point{
				{ID: "climate.temperature", Table: Input, Address: 1, Type: S16, Scale: 0.1, Min: -40, Max: 80},
				{ID: "climate.humidity", Table: Input, Address: 2, Scale: 0.1, Min: 0, Max: 100},
			}},
			{ID: "relays", Address: 10, Points: []Point{
				{ID: "relays.1", Table: Coil, Address: 0, Writable: true},
				{ID: "relays.2", Table: Coil, Address: 1, Writable: true},
			}},
			{ID: "meter", Address: 3, Points: []Point{
				{ID: "meter.setpoint", Table: Holding, Address: 100, Type: F32, Writable: true},
				{ID: "meter.pump", Table: Holding, Address: 102, Type: Bool, Bit: 2, Writable: true},
				{ID: "meter.level", Table: Holding, Address: 103, Type: U16, Scale: 0.5, Offset: 10, Min: 10, Max: 100, Writable: true},
				{ID: "meter.offset", Table: Holding, Address: 104, Type: S16, Writable: true},
				{ID: "meter.door", Table: Discrete, Address: 7},
			}},
		},
	}
}

func made(t *testing.T, c Config) *Driver {
	t.Helper()
	d, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// readAll does every request once.
func readAll(t *testing.T, d *Driver) map[drivers.PointID]drivers.Reading {
	t.Helper()
	all := map[drivers.PointID]drivers.Reading{}
	for _, r := range d.Requests() {
		got, err := d.Read(t.Context(), r, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range got {
			all[g.Point] = g
		}
	}
	return all
}

func TestReadsEveryKind(t *testing.T) {
	_, c := greenhouse(t)
	d := made(t, c)
	before := time.Now()
	got := readAll(t, d)
	for id, want := range map[drivers.PointID]float64{
		"climate.temperature": 23.7, "climate.humidity": 65.5, "relays.1": 0, "relays.2": 0,
		"meter.setpoint": 21.5, "meter.pump": 1, "meter.level": 10, "meter.offset": -5, "meter.door": 1,
	} {
		r, ok := got[id]
		if !ok || r.Value != want || r.Quality != drivers.Good || r.Err != nil || r.At.Before(before) {
			t.Errorf("%s: %+v, want %g", id, r, want)
		}
	}
	if len(got) != 9 || len(d.Requests()) != 4 {
		t.Errorf("%d points in %d requests", len(got), len(d.Requests()))
	}
}

func TestWritesAndReadsBack(t *testing.T) {
	s, c := greenhouse(t)
	d := made(t, c)
	for _, w := range []struct {
		point drivers.PointID
		value float64
	}{{"relays.2", 1}, {"relays.2", 0}, {"relays.1", 1}, {"meter.setpoint", 18.25}, {"meter.pump", 0}, {"meter.pump", 1}, {"meter.level", 32.5}, {"meter.offset", -40}} {
		if err := d.Write(t.Context(), w.point, w.value); err != nil {
			t.Errorf("%s: %v", w.point, err)
		}
		if got := readAll(t, d)[w.point]; got.Value != w.value {
			t.Errorf("%s shows %g after %g", w.point, got.Value, w.value)
		}
	}
	if on := s.Coils(10, 0, 2); !on[0] || on[1] {
		t.Errorf("coils %v", on)
	}
	if h := s.Holding(3, 102, 3); h[0] != 4 || h[1] != 45 || h[2] != 0xFFD8 {
		t.Errorf("registers %x", h)
	}
	for point, value := range map[drivers.PointID]float64{"relays.1": 0.5, "meter.level": 10.2, "meter.offset": 40000, "meter.setpoint": math.Inf(1)} {
		if err := d.Write(t.Context(), point, value); !errors.Is(err, drivers.ErrUnit) {
			t.Errorf("%s took %g: %v", point, value, err)
		}
	}
	if err := d.Write(t.Context(), "climate.humidity", 5); !errors.Is(err, drivers.ErrNoSuchPoint) {
		t.Errorf("a sensor: %v", err)
	}
}

func TestNotConfirmed(t *testing.T) {
	s, c := greenhouse(t)
	d := made(t, c)
	s.OnWrite(func(unit byte, table slave.Table, address uint16, value uint16) { s.SetCoil(unit, address, value == 0) })
	err := d.Write(t.Context(), "relays.1", 1)
	if !errors.Is(err, drivers.ErrNotConfirmed) || errors.Is(err, drivers.ErrUnit) {
		t.Errorf("%v", err)
	}
}

// TestErrorsInWords pins kind and words of what goes wrong with one request.
func TestErrorsInWords(t *testing.T) {
	for name, test := range map[string]struct {
		fault slave.Fault
		kind  error
		words string
	}{
		"no answer":         {slave.Fault{Kind: slave.Drop}, drivers.ErrUnit, "no answer within"},
		"half a frame":      {slave.Fault{Kind: slave.Half}, drivers.ErrUnit, "half an answer"},
		"transaction":       {slave.Fault{Kind: slave.WrongTransaction}, drivers.ErrUnit, "never asked"},
		"unit":              {slave.Fault{Kind: slave.ForeignUnit}, drivers.ErrUnit, "unit 2 answered"},
		"function":          {slave.Fault{Kind: slave.ForeignFunction}, drivers.ErrUnit, "function 5 answered to function 4"},
		"short":             {slave.Fault{Kind: slave.ShortCount}, drivers.ErrUnit, "an answer of 4 bytes instead of 6"},
		"lying count":       {slave.Fault{Kind: slave.LyingCount}, drivers.ErrUnit, "a byte count of 6 instead of 4"},
		"hung up":           {slave.Fault{Kind: slave.HangUp}, drivers.ErrBus, "lost: EOF"},
		"illegal address":   {slave.Fault{Kind: slave.Exception, Code: slave.IllegalAddress}, drivers.ErrDevice, "does not have input registers 1 to 2"},
		"gateway, no way":   {slave.Fault{Kind: slave.Exception, Code: slave.GatewayPath}, drivers.ErrUnit, "the gateway knows no way"},
		"gateway, silence":  {slave.Fault{Kind: slave.Exception, Code: slave.GatewayNoResponse}, drivers.ErrUnit, "the gateway got no answer"},
		"exception unknown": {slave.Fault{Kind: slave.Exception, Code: 99}, drivers.ErrDevice, "exception 99"},
	} {
		t.Run(name, func(t *testing.T) {
			s, c := greenhouse(t)
			c.Timeout = 100 * time.Millisecond
			d := made(t, c)
			s.Script(test.fault)
			got, err := d.Read(t.Context(), d.Requests()[0], nil)
			if !errors.Is(err, test.kind) || !strings.Contains(err.Error(), test.words) || len(got) != 0 {
				t.Errorf("%v, %v", got, err)
			}
			if errors.Is(err, drivers.ErrBus) == errors.Is(err, drivers.ErrUnit) {
				t.Errorf("bus or unit? %v", err)
			}
			var last error
			for range 50 { // the machine may be slow, the timeout is short
				if got, last = d.Read(t.Context(), d.Requests()[0], nil); last == nil {
					break
				}
			}
			if last != nil || len(got) != 2 || got[0].Value != 23.7 {
				t.Errorf("afterwards: %v, %v", got, last)
			}
		})
	}
}

func TestNobodyThere(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	_, c := greenhouse(t)
	c.Endpoint = "tcp://" + listener.Addr().String()
	d := made(t, c)
	if _, err := d.Read(t.Context(), d.Requests()[0], nil); !errors.Is(err, drivers.ErrBus) || !strings.Contains(err.Error(), "no connection to 127.0.0.1") {
		t.Errorf("%v", err)
	}
}

// TestIdleHangUp: a peer that closes when nobody speaks costs no reading.
func TestIdleHangUp(t *testing.T) {
	s, c := greenhouse(t)
	dials := 0
	c.Dial = func(ctx context.Context) (net.Conn, error) {
		dials++
		return new(net.Dialer).DialContext(ctx, "tcp", s.Addr())
	}
	d := made(t, c)
	readAll(t, d)
	s.HangUp()
	readAll(t, d)
	s.Script(slave.Fault{Kind: slave.HangUp})
	readAll(t, d)
	if dials != 3 {
		t.Errorf("%d connections", dials)
	}
}

// TestSilenceGivesUpTheConnection: a peer that was switched off answers nothing, not even a reset.
func TestSilenceGivesUpTheConnection(t *testing.T) {
	s, c := greenhouse(t)
	c.Timeout = 20 * time.Millisecond
	dials := 0
	c.Dial = func(ctx context.Context) (net.Conn, error) {
		dials++
		return new(net.Dialer).DialContext(ctx, "tcp", s.Addr())
	}
	d := made(t, c)
	s.Mute(1, true)
	for i := range 6 {
		if _, err := d.Read(t.Context(), d.Requests()[0], nil); !errors.Is(err, drivers.ErrUnit) {
			t.Fatal(err)
		}
		if want := 1 + i/maxSilent; dials != want {
			t.Errorf("read %d: %d connections, want %d", i, dials, want)
		}
	}
}
