package gateway

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gacp-erp.internal/glasshouse/gateway/contract"
)

// bubble runs a test in fake time.
func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

// expect waits up to a while of fake time until ok.
func (w *testWorld) expect(what string, within time.Duration, ok func() bool) {
	w.t.Helper()
	for began := time.Now(); !ok(); time.Sleep(time.Second) {
		if time.Since(began) > within {
			w.t.Fatalf("not within %v: %s", within, what)
		}
	}
}

func TestABreachIsCorrectedToldAndResolved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.slave.SetCoil(10, 1, true) // found on: the gateway makes it safe
		w.start()
		w.expect("the heater found on goes to safe", time.Minute, func() bool { return !w.coil(1) })
		time.Sleep(time.Minute)
		w.climate(31, 65)
		w.expect("the fan comes on", 50*time.Second, func() bool { return w.coil(0) })
		time.Sleep(time.Minute)
		w.climate(24, 65)
		w.expect("the fan goes off", time.Minute, func() bool { return !w.coil(0) })
		time.Sleep(10 * time.Second)
		if got, want := w.alerts(), []string{"raised temperature 31", "corrected temperature 24", "resolved temperature 24"}; !slices.Equal(got, want) && !slices.Equal(got, slices.Delete(want, 1, 2)) {
			t.Errorf("Kafka holds the alerts %q, want %q", got, want)
		}
		var id any
		for _, r := range w.records(contract.TopicEnvironment) {
			if id == nil {
				id = r.event.Payload["alertId"]
			}
			if r.event.Payload["alertId"] != id {
				t.Errorf("one alert has two ids: %v and %v", id, r.event.Payload["alertId"])
			}
			if r.state == "resolved" {
				if c := r.event.Payload["autoCorrection"].(map[string]any); c["successful"] != true || fmt.Sprint(c["actions"]) != "[exhaust-fan=on]" {
					t.Errorf("the correction is told as %v", c)
				}
			}
		}
		w.climate(31, 65)
		w.expect("the fan comes on again", time.Minute, func() bool { return w.coil(0) })
		w.halt()
		if w.coil(0) {
			t.Error("the fan is on after the stop")
		}
	})
}

func TestASensorDies(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		time.Sleep(time.Minute)
		w.climate(15, 65)
		w.expect("the heater comes on", time.Minute, func() bool { return w.coil(1) })
		w.slave.Mute(1, true)
		w.expect("the heater goes to safe when its value is lost", 10*time.Minute, func() bool { return !w.coil(1) })
		time.Sleep(time.Hour)
		raised := strings.Join(w.faults(), "\n")
		for _, want := range []string{"raised veg1-climate veg1-climate is offline", "raised gh-test-01 temperature in veg-1 is not known"} {
			if !strings.Contains(raised, want) {
				t.Errorf("the device alerts are\n%s\nwithout %q", raised, want)
			}
		}
		if got := w.alerts(); !slices.Equal(got, []string{"raised temperature 15"}) {
			t.Errorf("a blind hour gave the alerts %q", got)
		}
		w.slave.Mute(1, false)
		w.expect("the heater comes on again", 5*time.Minute, func() bool { return w.coil(1) })
		w.climate(24, 65)
		w.expect("the heater goes off", 5*time.Minute, func() bool { return !w.coil(1) })
		time.Sleep(time.Minute)
		if got := w.alerts(); got[len(got)-1] != "resolved temperature 24" {
			t.Errorf("the alerts are %q", got)
		}
		w.halt()
		for _, r := range w.records(contract.TopicTelemetry) {
			if data, ok := r.event.Payload["data"].(map[string]any); ok && r.key == "veg1-climate" && data["temperature"] == nil {
				t.Errorf("a poll without a value was told: %v", data)
			}
		}
	})
}

func TestKafkaAwayForTwoDays(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.config = strings.Replace(w.config, "every: 10s", "every: 60s", 1)
		w.start()
		time.Sleep(10 * time.Minute)
		w.sever(true)
		time.Sleep(24 * time.Hour)
		w.climate(31, 65)
		w.expect("the fan comes on without Kafka", 3*time.Minute, func() bool { return w.coil(0) })
		w.climate(24, 65)
		time.Sleep(24 * time.Hour)
		w.sever(false)
		w.expect("everything is sent", 10*time.Minute, func() bool {
			for _, l := range w.gateway.buffer.Stats().Lanes {
				if l.Waiting > 60 {
					return false
				}
			}
			return true
		})
		w.halt()
		records, ids, last := 0, map[string]bool{}, map[string]uint64{}
		for _, r := range w.records(contract.TopicTelemetry) {
			sequence, err := strconv.ParseUint(r.sequence, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			if ids[r.id] {
				continue // sent twice with the same id
			}
			ids[r.id] = true
			if sequence <= last[r.key] {
				t.Errorf("%s: sequence %d after %d", r.key, sequence, last[r.key])
			}
			last[r.key] = sequence
			if r.key == "veg1-climate" {
				records++
			}
		}
		if want := 48 * 60; records < want || records > want+30 {
			t.Errorf("Kafka holds %d polls of two days, want some %d", records, want)
		}
		if got := w.alerts(); len(got) < 2 || got[0] != "raised temperature 31" || got[len(got)-1] != "resolved temperature 24" {
			t.Errorf("the alerts are %q", got)
		}
	})
}

func TestARestartInMidAlarm(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		time.Sleep(time.Minute)
		w.climate(31, 65)
		w.expect("the fan comes on", time.Minute, func() bool { return w.coil(0) })
		w.halt()
		if w.coil(0) {
			t.Error("the fan is on after the stop")
		}
		time.Sleep(5 * time.Minute)
		w.start()
		w.expect("the correction starts anew", time.Minute, func() bool { return w.coil(0) })
		time.Sleep(time.Minute)
		w.climate(24, 65)
		w.expect("the fan goes off", 2*time.Minute, func() bool { return !w.coil(0) })
		time.Sleep(10 * time.Second)
		w.halt()
		raised := 0
		ids := map[any]bool{}
		for _, r := range w.records(contract.TopicEnvironment) {
			if r.state == "raised" {
				raised++
			}
			ids[r.event.Payload["alertId"]] = true
		}
		if raised != 1 || len(ids) != 1 {
			t.Errorf("one breach was raised %d times under %d ids: %q", raised, len(ids), w.alerts())
		}
		registered := map[string]int{}
		for _, r := range w.records(contract.TopicDeviceEvents) {
			if r.event.EventType == "device.registered" {
				registered[r.key]++
			}
		}
		if len(registered) != 3 || registered["veg1-climate"] != 1 || registered["gh-test-01"] != 1 {
			t.Errorf("registered: %v", registered)
		}
	})
}

func TestARuleThatIsGoneEndsItsAlert(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		time.Sleep(time.Minute)
		w.climate(31, 65)
		w.expect("the fan comes on", time.Minute, func() bool { return w.coil(0) })
		w.halt()
		before, _, _ := strings.Cut(w.config, "      temperature:")
		w.config = before + "      vpd: {day: 0.2..2.5}\n"
		w.start()
		time.Sleep(time.Minute)
		w.halt()
		got := w.records(contract.TopicEnvironment)
		if last := got[len(got)-1]; last.state != "resolved" || last.event.Payload["alertId"] != got[0].event.Payload["alertId"] {
			t.Errorf("the alerts are %q", w.alerts())
		}
	})
}

func TestTheDiskFailsAndComesBack(t *testing.T) {
	for name, fault := range map[string]struct {
		err  error
		hang time.Duration
	}{"errors": {errors.New("no space left on device"), 0}, "hangs": {nil, time.Minute}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t)
				w.start()
				time.Sleep(time.Minute)
				w.store.set(fault.err, fault.hang)
				time.Sleep(10 * time.Second)
				w.climate(31, 65)
				w.expect("the fan comes on without a disk", time.Minute, func() bool { return w.coil(0) })
				if degraded, _ := w.gateway.journal.Degraded(); !degraded {
					t.Error("the journal is not degraded")
				}
				w.climate(24, 65)
				time.Sleep(5 * time.Minute)
				w.store.set(nil, 0)
				time.Sleep(3 * time.Minute)
				w.halt()
				if got := w.alerts(); len(got) < 2 || got[0] != "raised temperature 31" || got[len(got)-1] != "resolved temperature 24" {
					t.Errorf("the alerts are %q", got)
				}
				if got := strings.Join(w.faults(), "\n"); !strings.Contains(got, "raised gh-test-01 the disk does not take what happens") || !strings.Contains(got, "resolved gh-test-01") {
					t.Errorf("the device alerts are\n%s", got)
				}
			})
		})
	}
}
