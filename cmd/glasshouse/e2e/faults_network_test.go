//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"gacp-erp.internal/glasshouse/gateway/api"
)

// estate is a greenhouse whose ways to Kafka, to Mosquitto and to one of two Modbus slaves can be disturbed.
type estate struct {
	*field
	k                   *kafka
	north, south        *station
	kafka, mqtt, modbus *road
	sent                atomic.Int64 // readings of air-7 that Mosquitto has acknowledged
}

func newEstate(t *testing.T) *estate {
	t.Helper()
	e := &estate{north: newStation(t), south: newStation(t)}
	e.k = newKafkaBehind(t, func(listens string) string {
		e.kafka = newRoad(t, "kafka", listens)
		return e.kafka.address()
	})
	e.field = &field{t: t, dir: t.TempDir(), broker: freePort(t)}
	e.mosquitto(t)
	e.mqtt = newRoad(t, "mqtt", fmt.Sprintf("127.0.0.1:%d", e.broker))
	e.modbus = newRoad(t, "modbus", fmt.Sprintf("127.0.0.1:%d", e.north.port))
	e.modbus.whole = true
	var devices, zones strings.Builder
	for _, side := range []string{"north", "south"} {
		fmt.Fprintf(&devices, `
  - {id: %[1]s-climate, profile: xy-md02, bus: %[1]s, unit: 1, zone: %[1]s}
  - {id: %[1]s-relays, profile: waveshare-relay-8, bus: %[1]s, unit: 10, outputs: {relay1: {name: %[1]s-fan, zone: %[1]s, safe: off}}}`, side)
		fmt.Fprintf(&zones, `
  - name: %[1]s
    ranges:
      temperature: {day: 22..26, hysteresis: 0.3, above: [%[1]s-fan=on], within: 10m}`, side)
	}
	e.settle(e.k, fmt.Sprintf(`
buses:
  - {name: north, modbus: "tcp://%s", every: 250ms}
  - {name: south, modbus: "tcp://127.0.0.1:%d", every: 250ms}
  - {name: field, mqtt: "mqtt://%s"}
devices:
  - {id: air-7, profile: platform-device, bus: field, zone: shed}%s
zones:
  - {name: shed}%s
`, e.modbus.address(), e.south.port, e.mqtt.address(), &devices, &zones))
	return e
}

// feed sends ten readings of air-7 a second until the returned function is called.
func (e *estate) feed() (stop func()) {
	ctx, cancel := context.WithCancel(e.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		var client *paho.Client
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			n := int(e.sent.Load())
			var err error
			if client, err = e.deliver(e.t.Context(), client, "air-7", n); err != nil {
				return
			}
			e.sent.Store(int64(n) + 1)
		}
	}()
	return func() { cancel(); <-done }
}

// arrived waits until the readings that Mosquitto has now are in Kafka, each once and in order.
func (e *estate) arrived() books {
	e.t.Helper()
	sent := map[string]int{"air-7": int(e.sent.Load())}
	var b books
	eventually(e.t, "the readings are in Kafka", func() (err error) {
		if b, err = e.k.audit(sent); err == nil && b.missing > 0 {
			time.Sleep(200 * time.Millisecond)
			err = fmt.Errorf("%d of %d readings are missing, such as %s", b.missing, sent["air-7"], b.first)
		}
		return err
	})
	if b.newID > 0 || b.disordered > 0 {
		e.t.Errorf("%d readings have a second event id, %d are out of order", b.newID, b.disordered)
	}
	return b
}

// told waits until status says that a way is gone, or is there again.
func (e *estate) told(name string, gone bool) {
	e.t.Helper()
	eventually(e.t, fmt.Sprintf("status says that %s is away: %t", name, gone), func() error {
		status, err := e.status()
		if err != nil {
			return err
		}
		away := !status.Uplink.Connected
		if bus := map[string]string{"mqtt": "field", "modbus": "north"}[name]; bus != "" {
			i := slices.IndexFunc(status.Buses, func(b api.Bus) bool { return b.Name == bus })
			away = !status.Buses[i].Healthy
		}
		if away != gone {
			return fmt.Errorf("uplink %+v, buses %+v", status.Uplink, status.Buses)
		}
		return nil
	})
}

// breach leaves the range until the fan runs, and comes back until it stands; it returns the slower answer.
func breach(s *station) time.Duration {
	s.climate(31, 65)
	on := s.coil(0, '1')
	s.climate(24, 65)
	return max(on, s.coil(0, '0'))
}

// endure lets one way have one fault.
func (e *estate) endure(r *road, f fault) {
	e.t.Helper()
	began := time.Now()
	r.disturb(f)
	// A bus that nothing disturbs is controlled as ever, and so is the disturbed one as long as anything gets through.
	slowest := breach(e.south)
	switch {
	case f.slow || r != e.modbus:
		slowest = max(slowest, breach(e.north))
	default:
		e.north.climate(31, 65)
	}
	if !f.slow {
		e.told(r.name, true)
		slowest = max(slowest, breach(e.south))
	} else {
		e.arrived()
	}
	if r == e.modbus && !f.slow && e.north.coils()[0] != '0' {
		e.t.Errorf("the fan of the disturbed bus runs: %s", e.north.coils())
	}
	disturbed := time.Since(began)
	r.heal()
	healed := time.Now()
	if r == e.modbus && !f.slow {
		e.north.coil(0, '1')
		e.north.climate(24, 65)
		e.north.coil(0, '0')
	}
	e.told(r.name, false)
	e.arrived()
	e.t.Logf("%-6s %-12s for %v: breaches corrected within %v; all well again %v after its end",
		r.name, f.name, disturbed.Round(100*time.Millisecond), slowest.Round(time.Millisecond), time.Since(healed).Round(100*time.Millisecond))
}

// TestNetworkFaults disturbs each way of the gateway in each manner, and ends it while it is cut off from everything but
// its buses.
func TestNetworkFaults(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	e.run()
	e.connected()
	stop := e.feed()
	defer stop()
	e.arrived()
	for _, f := range networkFaults {
		for _, r := range []*road{e.modbus, e.mqtt, e.kafka} {
			e.endure(r, f)
		}
	}

	// Alone at the end: SIGTERM leaves every output safe, and what could not be sent is sent by the next run.
	halfOpen := networkFaults[slices.IndexFunc(networkFaults, func(f fault) bool { return f.name == "half-open" })]
	e.kafka.disturb(halfOpen)
	e.mqtt.disturb(halfOpen)
	for _, s := range []*station{e.north, e.south} {
		s.climate(31, 65)
		s.coil(0, '1')
	}
	took, code := e.gateway.stop()
	if code != 0 {
		t.Errorf("SIGTERM: exit code %d", code)
	}
	for _, s := range []*station{e.north, e.south} {
		if all := s.coils(); all != "00000000" {
			t.Errorf("after the stop the coils are %s", all)
		}
		s.climate(24, 65)
	}
	e.kafka.heal()
	e.mqtt.heal()
	e.run()
	e.connected()
	stop()
	b := e.arrived()
	eventually(t, "all alerts are resolved and everything is sent", func() error {
		status, err := e.status()
		if err != nil {
			return err
		}
		for _, lane := range status.Buffer.Lanes {
			if lane.Waiting > 0 {
				return fmt.Errorf("%d records of %s wait", lane.Waiting, lane.Name)
			}
		}
		if len(status.Faults) > 0 {
			return fmt.Errorf("there are the faults %+v", status.Faults)
		}
		return nil
	})
	if _, code := e.gateway.stop(); code != 0 {
		t.Errorf("SIGTERM: exit code %d", code)
	}
	records, twice := e.ledger()
	t.Logf("stopped alone within %v; %d readings of air-7 (%d records), %d records in all, twice with the same id %d",
		took.Round(time.Millisecond), e.sent.Load(), b.records, records, twice)
}

// ledger checks everything that is in Kafka: each place in the buffer is one event and was sent in order, each alert that
// was raised was resolved, and the bus that was cut off was told.
func (e *estate) ledger() (records, twice int) {
	e.t.Helper()
	bus := 0
	for _, topic := range strings.Fields(written) {
		all, err := e.k.all(topic)
		if err != nil {
			e.t.Fatal(err)
		}
		places := map[string]string{} // epoch and sequence -> event id
		last := map[string]int{}      // key -> sequence
		open := map[string]int{}      // alert -> raised less resolved
		for _, r := range all {
			records++
			id, place := header(r, "event-id"), header(r, "epoch")+"/"+header(r, "sequence")
			if first, seen := places[place]; seen {
				if twice++; first != id {
					e.t.Errorf("%s: the place %s has the events %s and %s", topic, place, first, id)
				}
				continue
			}
			places[place] = id
			sequence, err := strconv.Atoi(header(r, "sequence"))
			if err != nil || sequence <= last[string(r.Key)] {
				e.t.Errorf("%s: %s comes with sequence %d after %d (%v)", topic, r.Key, sequence, last[string(r.Key)], err)
			}
			last[string(r.Key)] = sequence
			state := strings.TrimPrefix(header(r, "event-type"), "device.alert.")
			if state == "environment.alert" {
				state = header(r, "alert-state")
			}
			alert, _, _ := bytes.Cut(bytes.SplitAfter(append(r.Value, `"alertId":"`...), []byte(`"alertId":"`))[1], []byte(`"`))
			switch state {
			case "raised":
				open[string(alert)]++
				if bytes.Contains(r.Value, []byte("bus north cannot be reached")) {
					bus++
				}
			case "resolved":
				open[string(alert)]--
			}
		}
		for alert, n := range open {
			if n != 0 {
				e.t.Errorf("%s: the alert %s was raised %d times more than resolved", topic, alert, n)
			}
		}
	}
	if bus < 3 {
		e.t.Errorf("the disturbed bus was told %d times", bus)
	}
	return records, twice
}
