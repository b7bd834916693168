//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"gacp-erp.internal/glasshouse/drivers/sim/slave"
)

// cable is a null modem between two serial ports that socat makes of pseudo terminals.
type cable struct {
	ours, theirs string // the ports' names, which stay when it is pulled out and plugged in again
	socat        *process
}

func newCable(t *testing.T, dir, name string) *cable {
	c := &cable{ours: filepath.Join(dir, name+"-ours"), theirs: filepath.Join(dir, name+"-theirs")}
	c.plug(t)
	return c
}

func (c *cable) plug(t *testing.T) {
	t.Helper()
	c.socat = start(t, "socat", nil, peer(t, "socat"), "pty,raw,echo=0,link="+c.ours, "pty,raw,echo=0,link="+c.theirs).quiet()
	eventually(t, "the cable is there", func() error {
		_, ours := os.Stat(c.ours)
		_, theirs := os.Stat(c.theirs)
		return errors.Join(ours, theirs)
	})
}

func (c *cable) unplug(t *testing.T) {
	t.Helper()
	c.socat.kill()
	for _, link := range []string{c.ours, c.theirs} { // killed, it leaves them behind
		if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

// onCable is a gateway whose only bus is our end of a cable.
func onCable(t *testing.T, c *cable, dir string) *field {
	f := &field{t: t, station: &station{t: t, device: c.theirs}, dir: dir}
	f.write(filepath.Join(dir, "gateway.yaml"), fmt.Sprintf(`
gateway:
  id: gh-e2e-rtu
  facilityId: 7c1e0b1a-3c1e-4c52-9d2f-0d6a6b9d3c14
  timezone: Europe/Riga
  mode: control
  dataDir: %s/data
buses:
  - {name: north, modbus: "rtu://%s?baud=9600&parity=none&stop=1", every: 250ms}
devices:
  - {id: veg1-climate, profile: xy-md02, bus: north, unit: 1, zone: veg-1}
  - id: veg1-relays
    profile: waveshare-relay-8
    bus: north
    unit: 10
    outputs:
      relay1: {name: exhaust-fan, zone: veg-1, safe: off}
      relay2: {name: heater, zone: veg-1, safe: off}
zones:
  - name: veg-1
    ranges:
      temperature:
        day: 22..26
        hysteresis: 0.3
        above: [exhaust-fan=on]
        below: [heater=on]
        within: 10m
`, dir, c.ours))
	return f
}

// bus waits until the only bus is well, or is not.
func (f *field) bus(healthy bool) time.Duration {
	f.t.Helper()
	return eventually(f.t, fmt.Sprintf("the bus is healthy: %t", healthy), func() error {
		status, err := f.status()
		if err == nil && (len(status.Buses) != 1 || status.Buses[0].Healthy != healthy) {
			err = fmt.Errorf("the buses are %+v", status.Buses)
		}
		return err
	})
}

// reads waits until a point shows a value.
func (f *field) reads(value string) time.Duration {
	f.t.Helper()
	return eventually(f.t, "the sensor shows "+value, func() error {
		printed, err := f.glasshouse("points")
		if err == nil && !strings.Contains(printed, value) {
			err = fmt.Errorf("points says:\n%s", printed)
		}
		return err
	})
}

// TestForeignSlaveOnASerialLine: a breach that pymodbus measures switches its coil, over two ports and RTU; the cable is
// pulled out and plugged in again, and the next breach switches it again.
func TestForeignSlaveOnASerialLine(t *testing.T) {
	dir := t.TempDir()
	c := newCable(t, dir, "line")
	f := onCable(t, c, dir)
	f.serve()
	f.run()
	f.reads("24 °C")
	f.climate(31, 65)
	t.Logf("breach to switched coil: %v", f.coil(0, '1').Round(time.Millisecond))
	f.climate(24, 65)
	f.coil(0, '0')

	for range 2 {
		f.process.kill()
		c.unplug(t)
		t.Logf("unplugged to told: %v", f.bus(false).Round(time.Millisecond))
		c.plug(t)
		f.serve()
		f.climate(31, 65)
		t.Logf("plugged in to switched coil: %v", f.coil(0, '1').Round(time.Millisecond))
		f.bus(true)
		f.climate(24, 65)
		f.coil(0, '0')
	}
	if took, code := f.gateway.stop(); code != 0 || took > 15*time.Second {
		t.Errorf("SIGTERM: exit code %d after %v", code, took)
	}
}

var polled = regexp.MustCompile(`(?m)^\[(\d+)\]:\s+(\d+)`)

// TestForeignMasterReadsWhatWeWrote: mbpoll reads, over a line of its own, what the gateway has written on our slave.
func TestForeignMasterReadsWhatWeWrote(t *testing.T) {
	dir := t.TempDir()
	gateway, foreign := newCable(t, dir, "gateway"), newCable(t, dir, "foreign")
	s := slave.New()
	defer s.Close()
	s.SetInput(1, 1, 310, 650)
	s.SetCoil(10, 0, make([]bool, 8)...)
	for _, c := range []*cable{gateway, foreign} {
		port, err := os.OpenFile(c.theirs, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		go s.ServeRTU(port)
	}
	poll := func(unit int, table, first, count, want string) {
		t.Helper()
		eventually(t, "mbpoll reads "+want, func() error {
			printed, err := output(t, peer(t, "mbpoll"), "-m", "rtu", "-a", fmt.Sprint(unit), "-t", table, "-r", first, "-c", count, "-b", "9600",
				"-P", "none", "-o", "5", "-1", foreign.ours)
			if err != nil {
				return err
			}
			var values []string
			for _, m := range polled.FindAllStringSubmatch(printed, -1) {
				values = append(values, m[2])
			}
			if got := strings.Join(values, " "); got != want {
				return fmt.Errorf("mbpoll printed:\n%s", printed)
			}
			return nil
		})
	}
	poll(1, "3", "2", "2", "310 650")
	poll(10, "0", "1", "8", "0 0 0 0 0 0 0 0")
	f := onCable(t, gateway, dir)
	f.run()
	poll(10, "0", "1", "8", "1 0 0 0 0 0 0 0") // too hot
	s.SetInput(1, 1, 190)
	poll(10, "0", "1", "8", "0 1 0 0 0 0 0 0") // too cold
	f.gateway.stop()
	poll(10, "0", "1", "8", "0 0 0 0 0 0 0 0")
}
