package modbus

import (
	"errors"
	"testing"
	"time"

	"gacp-erp.internal/glasshouse/drivers"
	"gacp-erp.internal/glasshouse/drivers/sim/slave"
)

// holed is a unit with points in three groups, joined over two gaps by its profile. Register 4 may be missing.
func holed(t *testing.T, missing bool) (*slave.Slave, *Driver) {
	t.Helper()
	s, err := slave.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	s.SetHolding(1, 0, 0, 1, 2, 3)
	s.SetHolding(1, 5, 5, 6, 7, 8, 9)
	if !missing {
		s.SetHolding(1, 4, 4)
	}
	u := Unit{ID: "u", Address: 1, Gap: 2}
	for _, address := range []uint16{0, 1, 3, 5, 8, 9} {
		u.Points = append(u.Points, Point{ID: drivers.PointID("p" + string(rune('0'+address))), Table: Holding, Address: address})
	}
	return s, made(t, Config{Name: "b", Endpoint: "tcp://" + s.Addr(), Timeout: time.Minute, Units: []Unit{u}})
}

// exact reads the plan and gives how many requests that took.
func exact(t *testing.T, s *slave.Slave, d *Driver) uint64 {
	t.Helper()
	before := s.Requests()
	got, err := d.Read(t.Context(), d.Requests()[0], nil)
	if err != nil || len(got) != 6 {
		t.Fatalf("%v, %v", got, err)
	}
	for _, g := range got {
		if want := float64(g.Point[1] - '0'); g.Value != want || g.Quality != drivers.Good || g.At.IsZero() {
			t.Errorf("%+v, want %g", g, want)
		}
	}
	return s.Requests() - before
}

// TestGapTheDeviceHasNot: the exception costs two exact reads, once; from then on there are two requests.
func TestGapTheDeviceHasNot(t *testing.T) {
	s, d := holed(t, true)
	if len(d.Requests()) != 1 {
		t.Fatalf("%v", d.Plan())
	}
	for i, want := range []uint64{3, 2, 2} {
		if n := exact(t, s, d); n != want {
			t.Errorf("read %d: %d requests, want %d", i, n, want)
		}
	}
}

// TestGapTheDeviceHas: one request, and a refusal that the exact reads meet as well teaches nothing.
func TestGapTheDeviceHas(t *testing.T) {
	s, d := holed(t, false)
	if n := exact(t, s, d); n != 1 {
		t.Errorf("%d requests", n)
	}
	broken := slave.Fault{Kind: slave.Exception, Code: slave.DeviceFailure}
	s.Script(broken, slave.Fault{}, broken, broken)
	if got, err := d.Read(t.Context(), d.Requests()[0], nil); !errors.Is(err, drivers.ErrDevice) || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
	s.Script(slave.Fault{Kind: slave.Exception, Code: slave.Busy}) // no word about addresses
	if got, err := d.Read(t.Context(), d.Requests()[0], nil); !errors.Is(err, drivers.ErrDevice) || len(got) != 0 || s.Scripted() != 0 {
		t.Errorf("%v, %v, %d faults left", got, err, s.Scripted())
	}
	if n := exact(t, s, d); n != 1 {
		t.Errorf("afterwards %d requests", n)
	}
}
