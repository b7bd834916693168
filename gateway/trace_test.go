package gateway

import (
	"flag"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"gacp-erp.internal/glasshouse/drivers"
	"gacp-erp.internal/glasshouse/drivers/sim"
	"gacp-erp.internal/glasshouse/gateway/scan"
	"gacp-erp.internal/glasshouse/rules"
)

var update = flag.Bool("update", false, "write testdata/day.txt anew")

const traceConfig = `
gateway:
  id: gh-trace
  facilityId: 7c1e0b1a-3c1e-4c52-9d2f-0d6a6b9d3c14
  timezone: UTC
  mode: control
  dataDir: /nowhere
buses:
  - {name: north, modbus: "tcp://127.0.0.1:502"}
devices:
  - {id: climate, profile: xy-md02, bus: north, unit: 1, zone: veg-1}
  - id: relays
    profile: waveshare-relay-8
    bus: north
    unit: 10
    zone: veg-1
    outputs:
      relay1: {name: exhaust-fan, safe: off, minOn: 60s}
      relay2: {name: heater, safe: off, maxRun: 4h}
      relay3: {name: humidifier, safe: off}
zones:
  - name: veg-1
    day: {from: "06:00", to: "22:00"}
    ranges:
      temperature:
        day: 22..26
        night: 18..24
        hysteresis: 0.5
        for: 30s
        keepFor: 30s
        critical: 3
        above: [exhaust-fan=on]
        below: [heater=on]
        within: 20m
      humidity: {day: 50..85, hysteresis: 2, for: 1m, below: [humidifier=on], within: 20m}
      vpd: {day: 0.4..1.6, hysteresis: 0.05, for: 5m}
`

// day runs the rules of a real configuration through the cycle for a simulated day, a second at a time, and returns what
// was decided, line by line.
func day(t *testing.T) string {
	t.Helper()
	h, err := build(Options{Config: loadable(t, "trace.yaml", traceConfig)})
	if err != nil {
		t.Fatal(err)
	}
	core, err := scan.New(h.scan, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, time.April, 15, 0, 0, 0, 0, time.UTC)
	greenhouse := sim.New(sim.Options{Seed: 7, Start: start})
	var b strings.Builder
	var confirmed []scan.Confirmation
	relays := []float64{0, 0, 0}
	for second := range 24 * 60 * 60 {
		greenhouse.Step(time.Second)
		air := greenhouse.Reading(sim.Veg)
		// As the transmitter shows it: tenths. So the trace does not hang on the last bit of a machine's arithmetic.
		seen := []scan.Observation{
			{Point: h.pointOf["climate.temperature"], Value: math.Round(air.Temperature*10) / 10, Quality: drivers.Good},
			{Point: h.pointOf["climate.humidity"], Value: math.Round(air.Humidity*10) / 10, Quality: drivers.Good},
		}
		for i, v := range relays {
			seen = append(seen, scan.Observation{Point: h.scan.Outputs[i].Point, Value: v, Quality: drivers.Good})
		}
		now := rules.Moment{Steady: time.Duration(second) * time.Second, Wall: start.Add(time.Duration(second) * time.Second)}
		cycle := core.Step(scan.Input{Now: now, Readings: seen, Confirmations: confirmed})
		confirmed = nil
		for _, s := range cycle.Switches {
			relays[s.Output] = s.Value
			greenhouse.Switch(sim.Relay(s.Output), s.Value != 0)
			confirmed = append(confirmed, scan.Confirmation{Output: s.Output, ID: s.ID, Value: s.Value})
		}
		for _, e := range cycle.Events {
			about := e.Zone + " " + e.Quantity
			switch e.Kind {
			case scan.OutputFound, scan.OutputSwitched:
				about = h.outputs[e.Output].name
			case scan.DeviceStatus:
				about = e.Device
			}
			fmt.Fprintf(&b, "%s %.8s %d %s %g %s\n", now.Wall.Format("15:04:05"), e.ID, e.Kind, about, e.Value, e.Title+e.Description)
		}
	}
	return b.String()
}

// TestADayIsAlwaysTheSame keeps what a day's decisions are: the same inputs give the same cycles, and a change of the rules
// shows here.
func TestADayIsAlwaysTheSame(t *testing.T) {
	got := day(t)
	if again := day(t); again != got {
		t.Fatal("two runs of one day differ")
	}
	const file = "testdata/day.txt"
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the day is another than in %s; look at the difference, then run with -update:\n%s", file, got)
	}
}
