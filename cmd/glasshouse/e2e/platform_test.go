//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"gacp-erp.internal/glasshouse/gateway/api"
)

// line is a record as a foreign reader prints it.
type line struct {
	Topic     string
	Partition int32
	Offset    int64
	Key       string
	Headers   map[string]string
	Value     string
	Error     string // what the platform's schemas have against it
}

// place is where a record is.
func (l line) place() string { return fmt.Sprintf("%s/%d/%d", l.Topic, l.Partition, l.Offset) }

// kafkajs has the platform's reader read and check topics.
func (k *kafka) kafkajs(names ...string) ([]line, error) {
	k.t.Helper()
	env := []string{"PASSWORD=" + platform.password, "NODE_PACKAGES=" + needs(k.t, "NODE_PACKAGES")}
	printed, err := outputWith(k.t, env, "node", append([]string{"testdata/platform.mjs", k.address, k.ca, platform.user, "platform-e2e"}, names...)...)
	if err != nil {
		return nil, err
	}
	var lines []line
	for decoder := json.NewDecoder(strings.NewReader(printed)); decoder.More(); {
		var l line
		if err := decoder.Decode(&l); err != nil {
			return nil, err
		}
		lines = append(lines, l)
	}
	return lines, nil
}

// kcat reads a topic over TLS. It logs in by PLAIN: librdkafka before 2.6.1, which Debian still ships, makes an error in
// SCRAM that Kafka 4 no longer overlooks (confluentinc/librdkafka#4895).
func (k *kafka) kcat(topic string) ([]line, error) {
	k.t.Helper()
	printed, err := output(k.t, peer(k.t, "kcat"), "-C", "-q", "-b", k.door, "-t", topic, "-o", "beginning", "-e", "-J",
		"-X", "security.protocol=sasl_ssl", "-X", "sasl.mechanisms=PLAIN", "-X", "sasl.username="+platform.user,
		"-X", "sasl.password="+platform.password, "-X", "ssl.ca.location="+k.ca)
	if err != nil {
		return nil, err
	}
	var lines []line
	for decoder := json.NewDecoder(strings.NewReader(printed)); decoder.More(); {
		var e struct {
			event
			Topic     string `json:"topic"`
			Partition int32  `json:"partition"`
			Offset    int64  `json:"offset"`
		}
		if err := decoder.Decode(&e); err != nil {
			return nil, err
		}
		l := line{Topic: e.Topic, Partition: e.Partition, Offset: e.Offset, Key: e.Key, Value: e.Payload, Headers: map[string]string{}}
		for pair := range slices.Chunk(e.Headers, 2) {
			l.Headers[pair[0]] = pair[1]
		}
		lines = append(lines, l)
	}
	return lines, nil
}

// same compares what a foreign reader read with what is there.
func same(t *testing.T, who string, got []line, want []*kgo.Record) {
	t.Helper()
	records := map[string]*kgo.Record{}
	for _, r := range want {
		records[line{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}.place()] = r
	}
	for _, l := range got {
		r, ok := records[l.place()]
		delete(records, l.place())
		if !ok {
			t.Errorf("%s: %s is there twice, or not at all", who, l.place())
			continue
		}
		headers := map[string]string{}
		for _, h := range r.Headers {
			headers[h.Key] = string(h.Value)
		}
		if l.Key != string(r.Key) || l.Value != string(r.Value) || !maps.Equal(l.Headers, headers) {
			t.Errorf("%s: %s is %+v, want %s %s %v", who, l.place(), l, r.Key, r.Value, headers)
		}
	}
	for place := range records {
		t.Errorf("%s: %s is missing", who, place)
	}
}

// spoilt is an event without a facility.
const spoilt = `{"eventId":"019a242b-21fb-76ae-ac2c-000000000009","eventType":"environment.alert","timestamp":"2026-03-01T12:00:00Z",
"correlationId":"019a242b-21fb-76ae-ac2c-000000000009","source":"nobody","payload":{"alertId":"019a242b-21fb-76ae-ac2c-000000000009",
"zone":"veg-1","alertType":"temperature","severity":"warning","currentValue":31,"expectedRange":{"min":22,"max":26,"unit":"°C"},
"deviation":5,"sensorId":"019a242b-21fb-76ae-ac2c-000000000009","triggeredAt":"2026-03-01T12:00:00Z"}}`

// TestThePlatformReads lets a greenhouse live through what makes the gateway speak, and reads all of it as the platform
// does: with kafkajs over TLS and SCRAM, checked by Zod 3 with the platform's schemas, and with kcat.
func TestThePlatformReads(t *testing.T) {
	t.Parallel()
	k := newKafka(t)
	f := &field{t: t, station: newStation(t), dir: t.TempDir(), broker: freePort(t)}
	f.mosquitto(t)
	f.settle(k, fmt.Sprintf(`
buses:
  - {name: north, modbus: "tcp://127.0.0.1:%d", every: 250ms}
  - {name: field, mqtt: "mqtt://127.0.0.1:%d"}
devices:
  - {id: veg1-climate, profile: xy-md02, bus: north, unit: 1, zone: veg-1, offline: 2s}
  - {id: air-7, profile: platform-device, bus: field, zone: shed}
  - id: veg1-relays
    profile: waveshare-relay-8
    bus: north
    unit: 10
    outputs:
      relay1: {name: exhaust-fan, zone: veg-1, safe: off}
zones:
  - name: veg-1
    ranges:
      temperature: {day: 22..26, hysteresis: 0.3, critical: 8, above: [exhaust-fan=on], within: 10m}
      humidity: {day: "..80"}
  - name: shed
    ranges:
      co2: {day: 400..1200}
`, f.port, f.broker))
	k.allow(platform, kadm.NewACLs().Topics(strings.Fields(written)...).ResourcePatternType(kadm.ACLPatternLiteral).Operations(kadm.OpRead, kadm.OpDescribe))
	k.allow(platform, kadm.NewACLs().Groups("platform-e2e").ResourcePatternType(kadm.ACLPatternLiteral).Operations(kadm.OpRead, kadm.OpDescribe))
	f.run()
	sent := f.live(k)
	if _, code := f.gateway.stop(); code != 0 {
		t.Errorf("SIGTERM: exit code %d", code)
	}

	// One event that nobody may take shows that the platform's schemas look.
	client := k.client(kgo.ProducerBatchCompression(kgo.NoCompression()))
	defer client.Close()
	if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "cultivation.environment.v1", Key: []byte("spoilt"), Value: []byte(spoilt)}).FirstErr(); err != nil {
		t.Fatal(err)
	}

	var all []*kgo.Record
	for _, topic := range strings.Fields(written) {
		records, err := k.all(topic)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, records...)
		lines, err := k.kcat(topic)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "kcat", lines, records)
	}
	lines, err := k.kafkajs(strings.Fields(written)...)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "kafkajs", lines, all)
	f.judge(lines, sent)
}

// live makes the gateway say all it can say, and returns the readings that air-7 sent.
func (f *field) live(k *kafka) (sent []float64) {
	f.t.Helper()
	await := func(topic string, texts ...string) {
		f.t.Helper()
		eventually(f.t, fmt.Sprintf("%q is in %s", texts, topic), func() error {
			records, err := k.all(topic)
			if err != nil {
				return err
			}
			for _, r := range records {
				if !slices.ContainsFunc(texts, func(text string) bool { return !bytes.Contains(r.Value, []byte(text)) }) {
					return nil
				}
			}
			return fmt.Errorf("%d records, none fits", len(records))
		})
	}
	for n := range 20 {
		value := 23 + float64(n)/100
		message := fmt.Sprintf(`{"timestamp":%q,"temperature":%.2f,"humidity":61.5,"co2":812,"batteryLevel":87,"custom":{"leaf":"wet"}}`, time.Now().UTC().Format(time.RFC3339Nano), value)
		if _, err := output(f.t, peer(f.t, "mosquitto_pub"), "-p", fmt.Sprint(f.broker), "-q", "1", "-t", "devices/air-7/telemetry", "-m", message); err != nil {
			f.t.Fatal(err)
		}
		if n == 0 { // the gateway may still be subscribing
			eventually(f.t, "air-7 is heard", func() error {
				status, err := f.status()
				if err == nil && !slices.ContainsFunc(status.Points, func(p api.Point) bool { return p.Device == "air-7" && p.Value != nil }) {
					err = errors.New("it is not")
				}
				return err
			})
		}
		sent = append(sent, value)
	}
	f.climate(31, 65)
	f.coil(0, '1')
	await("cultivation.environment.v1", `"alertType":"temperature"`, `"severity":"warning"`)
	f.climate(35, 90)
	await("cultivation.environment.v1", `"alertType":"temperature"`, `"severity":"critical"`)
	await("cultivation.environment.v1", `"alertType":"humidity"`)
	f.climate(24, 60)
	f.coil(0, '0')
	await("cultivation.environment.v1", `"severity":"info"`, `"alertType":"temperature"`)
	f.process.kill()
	await("device.alerts.v1", "device.alert.raised", "bus north")
	await("device.events.v1", "device.status.changed", "veg1-climate", `"currentStatus":"offline"`)
	f.serve()
	await("device.alerts.v1", "device.alert.resolved")
	await("device.events.v1", "device.status.changed", "veg1-climate", `"previousStatus":"offline"`)
	return sent
}

// judge compares what the platform read with what happened.
func (f *field) judge(lines []line, sent []float64) {
	f.t.Helper()
	types, got := map[string]int{}, map[float64]int{}
	ids := map[string]bool{}
	for _, l := range lines {
		if l.Key == "spoilt" {
			if l.Error != "payload.facilityId: Required" {
				f.t.Errorf("of the spoilt event the platform says %q", l.Error)
			}
			continue
		}
		if l.Error != "" {
			f.t.Errorf("the platform refuses %s: %s\n%s", l.place(), l.Error, l.Value)
		}
		types[l.Headers["event-type"]]++
		if id := l.Headers["event-id"]; id == "" || ids[id] {
			f.t.Errorf("the event id %q is there twice, or empty", id)
		} else {
			ids[id] = true
		}
		var e struct {
			EventType string
			Payload   struct{ Data struct{ Temperature float64 } }
		}
		if err := json.Unmarshal([]byte(l.Value), &e); err != nil {
			f.t.Error(err)
		}
		if e.EventType != l.Headers["event-type"] {
			f.t.Errorf("%s: header %q, body %q", l.place(), l.Headers["event-type"], e.EventType)
		}
		if l.Key == "air-7" && e.EventType == "device.telemetry.received" {
			got[e.Payload.Data.Temperature]++
		}
	}
	for _, want := range []string{"environment.alert", "device.telemetry.received", "device.registered", "device.status.changed", "device.alert.raised", "device.alert.resolved"} {
		if types[want] == 0 {
			f.t.Errorf("there is no %s", want)
		}
	}
	for _, value := range sent {
		if got[value] != 1 {
			f.t.Errorf("the reading %g of air-7 is there %d times", value, got[value])
		}
	}
	f.t.Logf("%d records read by kafkajs and kcat, all of ours valid: %v", len(lines), types)
}
