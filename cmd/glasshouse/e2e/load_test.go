//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The load of goals: 100,000 QoS 1 readings in 60 s, from 20 devices.
const (
	loadDevices    = 20
	loadPerDevice  = 5000
	loadDuration   = 60 * time.Second
	loadTopic      = "device.telemetry.v1"
	loadStep       = 0.01 // °C between two readings of a device, so that the value tells which one it is
	loadFirstValue = 10.0
)

// newLoadField is Mosquitto, Apache Kafka and a gateway with nothing but the load's devices.
func newLoadField(t *testing.T) (*field, *kafka) {
	t.Helper()
	k := newKafka(t)
	f := &field{t: t, dir: t.TempDir(), broker: freePort(t), env: gatekeep.env()}
	f.mosquitto(k.t)
	var devices strings.Builder
	for d := range loadDevices {
		fmt.Fprintf(&devices, "  - {id: load-%02d, profile: platform-device, bus: field, zone: veg-1}\n", d)
	}
	f.settle(k, fmt.Sprintf(`
buses:
  - {name: field, mqtt: "mqtt://127.0.0.1:%d"}
devices:
%s
zones:
  - name: veg-1
    ranges:
      temperature: {day: 0..70, hysteresis: 0.3}
`, f.broker, devices.String()))
	return f, k
}

// publish sends one device's readings at its pace.
func (f *field) publish(ctx context.Context, device int, began time.Time) error {
	id := fmt.Sprintf("load-%02d", device)
	var client *paho.Client
	for n := range loadPerDevice {
		time.Sleep(time.Until(began.Add(loadDuration * time.Duration(n) / loadPerDevice)))
		var err error
		if client, err = f.deliver(ctx, client, id, n); err != nil {
			return err
		}
	}
	return client.Disconnect(&paho.Disconnect{})
}

// deliver sends a device's reading number n until the broker has acknowledged it, and returns the connection to go on with.
func (f *field) deliver(ctx context.Context, client *paho.Client, id string, n int) (*paho.Client, error) {
	body := fmt.Appendf(nil, `{"timestamp":%q,"temperature":%.2f}`, time.Now().UTC().Format(time.RFC3339Nano), loadFirstValue+loadStep*float64(n))
	for {
		if client == nil {
			client = f.connect(ctx, id)
		}
		if client != nil {
			once, cancel := context.WithTimeout(ctx, 5*time.Second)
			_, err := client.Publish(once, &paho.Publish{Topic: "devices/" + id + "/telemetry", QoS: 1, Payload: body})
			cancel()
			if err == nil {
				return client, nil
			}
			client = nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// connect logs in at the broker; nil when it is away.
func (f *field) connect(ctx context.Context, id string) *paho.Client {
	conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", f.broker), time.Second)
	if err != nil {
		return nil
	}
	client := paho.NewClient(paho.ClientConfig{Conn: conn})
	once, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if _, err := client.Connect(once, &paho.Connect{ClientID: id, CleanStart: true, KeepAlive: 30}); err != nil {
		conn.Close()
		return nil
	}
	return client
}

// books is what the load's topic holds, compared with what was sent.
type books struct {
	missing, twice, newID, disordered int
	records                           int
	first                             []string // some of what is missing: device/number
}

// audit reads the topic and compares it, record by record, with how many readings each device has sent.
func (k *kafka) audit(sent map[string]int) (books, error) {
	records, err := k.all(loadTopic)
	if err != nil {
		return books{}, err
	}
	var b books
	ids := map[string]map[int]string{} // device and number -> event id
	next := map[string]int{}
	for device, n := range sent {
		ids[device] = map[int]string{}
		b.missing += n
	}
	for _, record := range records {
		device := string(record.Key)
		if _, ours := sent[device]; !ours {
			continue
		}
		b.records++
		var event struct {
			Payload struct{ Data struct{ Temperature float64 } }
		}
		if err := json.Unmarshal(record.Value, &event); err != nil {
			return b, err
		}
		number := int(math.Round((event.Payload.Data.Temperature - loadFirstValue) / loadStep))
		if number >= sent[device] {
			continue // sent after we were asked
		}
		switch first, seen := ids[device][number]; {
		case !seen:
			ids[device][number] = header(record, "event-id")
			b.missing--
			if number < next[device] {
				b.disordered++
			}
			next[device] = number
		case first != header(record, "event-id"):
			b.newID++
		default:
			b.twice++
		}
	}
	for device, n := range sent {
		for number := range n {
			if ids[device][number] == "" && len(b.first) < 10 {
				b.first = append(b.first, fmt.Sprintf("%s/%d", device, number))
			}
		}
	}
	return b, nil
}

// header returns a header's value.
func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// load sends everything while disturb does its worst, and checks the books.
func load(t *testing.T, disturb func(f *field, k *kafka)) {
	t.Helper()
	f, k := newLoadField(t)
	f.run()
	f.connected()
	ctx, cancel := context.WithTimeout(t.Context(), loadDuration+4*time.Minute)
	defer cancel()
	began := time.Now()
	sent := map[string]int{}
	var senders sync.WaitGroup
	for d := range loadDevices {
		sent[fmt.Sprintf("load-%02d", d)] = loadPerDevice
		senders.Go(func() {
			if err := f.publish(ctx, d, began); err != nil {
				t.Errorf("device %d: %v", d, err)
			}
		})
	}
	if disturb != nil {
		time.Sleep(loadDuration / 3)
		disturb(f, k)
	}
	senders.Wait()
	took := time.Since(began)
	var b books
	eventually(t, "everything is in Kafka", func() (err error) {
		if b, err = k.audit(sent); err == nil && b.missing > 0 {
			err = fmt.Errorf("%d of %d readings are missing, such as %s", b.missing, loadDevices*loadPerDevice, b.first)
			time.Sleep(time.Second)
		}
		return err
	})
	t.Logf("%d readings sent in %v, all in Kafka after %v: %d records, sent twice with the same id %d", loadDevices*loadPerDevice, took.Round(time.Second), time.Since(began).Round(time.Second), b.records, b.twice)
	if b.newID > 0 || b.disordered > 0 {
		t.Errorf("%d readings have a second event id, %d are out of order", b.newID, b.disordered)
	}
	if took, code := f.gateway.stop(); code != 0 {
		t.Errorf("SIGTERM: exit code %d after %v", code, took)
	}
}

func TestLoad(t *testing.T) { load(t, nil) }

func TestLoadKafkaStopped(t *testing.T) {
	load(t, func(_ *field, k *kafka) {
		if took, _ := k.process.stop(); took > patience {
			t.Logf("kafka took %v to stop", took)
		}
		time.Sleep(30 * time.Second)
		k.start()
	})
}

func TestLoadKafkaKilled(t *testing.T) {
	load(t, func(_ *field, k *kafka) {
		k.process.kill()
		k.start()
	})
}

func TestLoadMosquittoRestarted(t *testing.T) {
	load(t, func(f *field, _ *kafka) {
		if err := f.mosquittoProcess.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		<-f.mosquittoProcess.done
		f.mosquitto(t)
	})
}

func TestLoadGatewayKilled(t *testing.T) {
	load(t, func(f *field, _ *kafka) {
		for range 3 {
			f.gateway.kill()
			f.run()
			time.Sleep(5 * time.Second)
		}
	})
}
