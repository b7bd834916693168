//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"gacp-erp.internal/glasshouse/gateway/api"
)

// field is one greenhouse of foreign parts: Mosquitto, a pymodbus slave, a Kafka, and our gateway as a process.
type field struct {
	t *testing.T
	*station
	gateway *process
	kafka   string
	broker  int
	dir     string
	env     []string // of the gateway

	mosquittoProcess *process
}

const topics = "cultivation.environment.v1 device.telemetry.v1 device.events.v1 device.alerts.v1 device.commands.responses.v1 audit.events.v1 dlq.events.v1"

// newField starts everything but the gateway.
func newField(t *testing.T) *field {
	t.Helper()
	f := &field{t: t, station: newStation(t), dir: t.TempDir(), broker: freePort(t)}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, strings.Fields(topics)...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	f.kafka = cluster.ListenAddrs()[0]

	f.mosquitto(t)
	f.write(filepath.Join(f.dir, "gateway.yaml"), f.config())
	return f
}

// mosquitto starts the broker; its sessions and queues outlive a restart.
func (f *field) mosquitto(t *testing.T) {
	t.Helper()
	conf := filepath.Join(f.dir, "mosquitto.conf")
	f.write(conf, fmt.Sprintf("listener %d 127.0.0.1\nallow_anonymous true\nmax_queued_messages 200000\nmax_inflight_messages 1000\npersistence true\npersistence_location %s/\nuser root\n", f.broker, f.dir))
	f.mosquittoProcess = start(t, "mosquitto", nil, peer(t, "mosquitto"), "-c", conf).quiet()
	eventually(t, "mosquitto listens", func() error {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", f.broker))
		if err == nil {
			conn.Close()
		}
		return err
	})
}

func (f *field) write(path, text string) {
	f.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f *field) config() string {
	return fmt.Sprintf(`
gateway:
  id: gh-e2e-01
  facilityId: 7c1e0b1a-3c1e-4c52-9d2f-0d6a6b9d3c14
  timezone: Europe/Riga
  mode: control
  dataDir: %s/data
uplink:
  brokers: ["%s"]
  tls: {enabled: false}
buses:
  - {name: north, modbus: "tcp://127.0.0.1:%d", every: 250ms}
  - {name: field, mqtt: "mqtt://127.0.0.1:%d"}
devices:
  - {id: veg1-climate, profile: xy-md02, bus: north, unit: 1, zone: veg-1}
  - {id: air-7, profile: platform-device, bus: field, zone: veg-1}
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
`, f.dir, f.kafka, f.port, f.broker)
}

// run starts the gateway and waits until it answers.
func (f *field) run() {
	f.t.Helper()
	f.gateway = start(f.t, "glasshouse", f.env, binary(f.t), "run", "-c", filepath.Join(f.dir, "gateway.yaml")).quiet()
	eventually(f.t, "the gateway answers", func() error {
		_, err := f.glasshouse("status")
		return err
	})
}

// glasshouse runs one command against the running gateway.
func (f *field) glasshouse(args ...string) (string, error) {
	return output(f.t, binary(f.t), append(args, "--socket", filepath.Join(f.dir, "data", "glasshouse.sock"))...)
}

// doctor looks at the configured Kafka.
func (f *field) doctor(args ...string) (string, error) {
	return outputWith(f.t, f.env, binary(f.t), append([]string{"uplink", "doctor", "-c", filepath.Join(f.dir, "gateway.yaml")}, args...)...)
}

// status asks the running gateway.
func (f *field) status() (api.Status, error) {
	ctx, cancel := context.WithTimeout(f.t.Context(), 5*time.Second)
	defer cancel()
	return api.NewClient(filepath.Join(f.dir, "data", "glasshouse.sock")).Status(ctx)
}

// connected waits until the gateway reaches Kafka and its buses. A broker keeps nothing for a gateway that has not
// subscribed yet.
func (f *field) connected() {
	f.t.Helper()
	eventually(f.t, "the gateway reaches everything", func() error {
		status, err := f.status()
		if err == nil && (!status.Uplink.Connected || slices.ContainsFunc(status.Buses, func(b api.Bus) bool { return !b.Healthy })) {
			err = fmt.Errorf("the uplink says %+v, the buses %+v", status.Uplink, status.Buses)
		}
		return err
	})
}

// event is what kcat shows of one record.
type event struct {
	Key     string   `json:"key"`
	Headers []string `json:"headers"` // key, value, key, value, …
	Payload string   `json:"payload"`
}

// header returns a header's value.
func (e event) header(key string) string {
	for i := 0; i+1 < len(e.Headers); i += 2 {
		if e.Headers[i] == key {
			return e.Headers[i+1]
		}
	}
	return ""
}

// read returns all records of a topic, read by kcat from the start to the end.
func (f *field) read(topic string) ([]event, error) {
	printed, err := output(f.t, peer(f.t, "kcat"), "-C", "-q", "-b", f.kafka, "-t", topic, "-o", "beginning", "-e", "-J")
	if err != nil {
		return nil, err
	}
	var events []event
	decoder := json.NewDecoder(bytes.NewReader([]byte(printed)))
	for decoder.More() {
		var e event
		if err := decoder.Decode(&e); err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, nil
}

// await waits for a record of a topic that fits.
func (f *field) await(topic, what string, fits func(event) bool) event {
	f.t.Helper()
	var found event
	eventually(f.t, what, func() error {
		events, err := f.read(topic)
		if err != nil {
			return err
		}
		for _, e := range events {
			if fits(e) {
				found = e
				return nil
			}
		}
		return fmt.Errorf("%d records of %s, none fits", len(events), topic)
	})
	return found
}

// TestBreachOnAForeignSlave is the spine: a foreign sensor leaves its range; the alert is in Kafka and the foreign coil is
// switched; the sensor recovers, the coil goes back and the alert resolves; SIGTERM leaves everything safe.
func TestBreachOnAForeignSlave(t *testing.T) {
	f := newField(t)
	f.run()
	eventually(t, "the sensor is read", func() error {
		printed, err := f.glasshouse("points")
		if err == nil && !strings.Contains(printed, "24 °C") {
			err = fmt.Errorf("points says:\n%s", printed)
		}
		return err
	})

	f.climate(31, 65)
	began := time.Now()
	switched := f.coil(0, '1')
	raised := f.await("cultivation.environment.v1", "an alert is raised", func(e event) bool { return e.header("alert-state") == "raised" })
	t.Logf("breach to switched coil %v, to alert read by kcat %v", switched.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	var alert struct {
		EventType string `json:"eventType"`
		Payload   struct {
			AlertID      string  `json:"alertId"`
			Zone         string  `json:"zone"`
			AlertType    string  `json:"alertType"`
			CurrentValue float64 `json:"currentValue"`
			Deviation    float64 `json:"deviation"`
		} `json:"payload"`
	}
	if err := json.Unmarshal([]byte(raised.Payload), &alert); err != nil {
		t.Fatal(err)
	}
	if p := alert.Payload; alert.EventType != "environment.alert" || p.Zone != "veg-1" || p.AlertType != "temperature" || p.CurrentValue != 31 || p.Deviation != 5 {
		t.Errorf("the alert is %s", raised.Payload)
	}
	if status, err := f.glasshouse("status"); err != nil || !strings.Contains(status, "firing") {
		t.Errorf("status during the alert: %v\n%s", err, status)
	}

	f.climate(24, 65)
	f.coil(0, '0')
	resolved := f.await("cultivation.environment.v1", "the alert resolves", func(e event) bool { return e.header("alert-state") == "resolved" })
	if !strings.Contains(resolved.Payload, alert.Payload.AlertID) {
		t.Errorf("resolved %s, raised %s", resolved.Payload, alert.Payload.AlertID)
	}

	f.climate(31, 65)
	f.coil(0, '1')
	took, code := f.gateway.stop()
	if code != 0 || took > 10*time.Second {
		t.Errorf("SIGTERM: exit code %d after %v", code, took)
	}
	if all := f.coils(); all != "00000000" {
		t.Errorf("after the stop the coils are %s", all)
	}
}

// TestMosquittoPub sends the platform's telemetry with a foreign client through a foreign broker.
func TestMosquittoPub(t *testing.T) {
	f := newField(t)
	f.run()
	pub := func(message string) {
		t.Helper()
		if _, err := output(t, peer(t, "mosquitto_pub"), "-p", fmt.Sprint(f.broker), "-q", "1", "-t", "devices/air-7/telemetry", "-m", message); err != nil {
			t.Fatal(err)
		}
	}
	// Published again until it arrives: the gateway may still be subscribing.
	at := time.Now().UTC()
	var got event
	eventually(t, "the reading is in Kafka", func() error {
		pub(fmt.Sprintf(`{"timestamp":%q,"temperature":23.5,"humidity":61}`, at.Format(time.RFC3339Nano)))
		events, err := f.read("device.telemetry.v1")
		if err != nil {
			return err
		}
		for _, e := range events {
			if e.Key == "air-7" {
				got = e
				return nil
			}
		}
		return fmt.Errorf("%d records, none of air-7", len(events))
	})
	if !strings.Contains(got.Payload, `"temperature":23.5`) || !strings.Contains(got.Payload, `"humidity":61`) {
		t.Errorf("got %s", got.Payload)
	}
	if got.header("event-type") != "device.telemetry.received" || got.header("event-id") == "" || got.header("sequence") == "" {
		t.Errorf("got the headers %q", got.Headers)
	}

	// Rubbish is refused, counted, and does no harm.
	for _, rubbish := range []string{`{`, `[]`, `{"temperature":"hot"}`, `{"temperature":1e400}`, `{"timestamp":"2099-01-01T00:00:00Z","temperature":20}`, `{"temperature":500}`} {
		pub(rubbish)
	}
	pub(fmt.Sprintf(`{"timestamp":%q,"temperature":23.75}`, time.Now().UTC().Format(time.RFC3339Nano)))
	f.await("device.telemetry.v1", "good after bad", func(e event) bool { return strings.Contains(e.Payload, `"temperature":23.75`) })
	events, err := f.read("device.telemetry.v1")
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for _, e := range events {
		if ids[e.header("event-id")] {
			t.Errorf("the event %s is there twice", e.header("event-id"))
		}
		ids[e.header("event-id")] = true
		if e.Key == "air-7" && (strings.Contains(e.Payload, "500") && strings.Contains(e.Payload, `"temperature":500`) || strings.Contains(e.Payload, "2099")) {
			t.Errorf("a reading that cannot be true was sent on: %s", e.Payload)
		}
	}
}
