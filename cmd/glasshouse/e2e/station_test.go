//go:build e2e

package e2e

import (
	"fmt"
	"testing"
	"time"
)

// station is a foreign Modbus slave: by pymodbus, with a sensor at unit 1 and eight coils at unit 10.
type station struct {
	t       *testing.T
	process *process
	port    int
	device  string // a serial port instead, for RTU
}

// newStation starts a slave that measures 24 °C and 65 %.
func newStation(t *testing.T) *station {
	t.Helper()
	s := &station{t: t, port: freePort(t)}
	s.serve()
	return s
}

// serve runs the slave.
func (s *station) serve() {
	s.t.Helper()
	where := s.device
	if where == "" {
		where = fmt.Sprint(s.port)
	}
	s.process = start(s.t, "slave", nil, "/usr/bin/python3", "testdata/slave.py", where)
	if line := s.process.line(); line != "ready" {
		s.t.Fatalf("the slave said %q", line)
	}
	s.climate(24, 65)
}

// climate sets what the slave measures.
func (s *station) climate(celsius, humidity float64) {
	s.t.Helper()
	s.process.ask("input 1 1 %d", int(celsius*10))
	s.process.ask("input 1 2 %d", int(humidity*10))
}

// coils are the eight coils, such as 10000000.
func (s *station) coils() string { return s.process.ask("coils 10") }

// coil waits until a coil has a state.
func (s *station) coil(number int, state byte) time.Duration {
	s.t.Helper()
	return eventually(s.t, fmt.Sprintf("coil %d is %c", number, state), func() error {
		if all := s.coils(); all[number] != state {
			return fmt.Errorf("the coils are %s", all)
		}
		return nil
	})
}
