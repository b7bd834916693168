//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gacp-erp.internal/glasshouse/drivers/sim/slave"
	"gacp-erp.internal/glasshouse/gateway/api"
)

// site is a greenhouse on a disk that can go bad. What surrounds the gateway lives in this process, so that it can be
// looked into: a Modbus slave, an MQTT broker that knows what was acknowledged, an embedded Kafka.
type site struct {
	t       *testing.T
	disk    *disk
	slave   *slave.Slave
	broker  *sender
	kafka   string
	away    atomic.Bool // Kafka answers nobody
	dir     string
	gateway *process
	door    *api.Client
	book    *book
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, disk: newDisk(t), dir: t.TempDir()}
	var err error
	if s.slave, err = slave.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.slave.Close() })
	s.slave.SetCoil(10, 0, make([]bool, 8)...)
	s.slave.SetInput(1, 1, 240, 650)
	s.broker = newSender(t)
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, strings.Fields(topics)...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	cluster.Control(func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		return nil, errors.New("away"), s.away.Load()
	})
	s.kafka = cluster.ListenAddrs()[0]
	s.book = newBook(t, s.kafka)
	socket := filepath.Join(s.dir, "glasshouse.sock")
	s.door = api.NewClient(socket)
	(&field{t: t}).write(filepath.Join(s.dir, "gateway.yaml"), fmt.Sprintf(`
gateway:
  id: gh-e2e-01
  facilityId: 7c1e0b1a-3c1e-4c52-9d2f-0d6a6b9d3c14
  timezone: Europe/Riga
  mode: control
  dataDir: %s/data
  socket: %s
uplink:
  brokers: ["%s"]
  tls: {enabled: false}
buffer: {maxSize: 64MiB}
buses:
  - {name: north, modbus: "tcp://%s", every: 250ms}
  - {name: field, mqtt: "mqtt://%s"}
devices:
  - {id: veg1-climate, profile: xy-md02, bus: north, unit: 1, zone: veg-1}
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
      temperature: {day: 22..26, hysteresis: 0.3, above: [exhaust-fan=on], within: 10m}
  - name: shed
    ranges:
      temperature: {day: -59..99}
`, s.disk.path, socket, s.kafka, s.slave.Addr(), s.broker.address))
	return s
}

// run starts the gateway and waits until it has read the sensor.
func (s *site) run() time.Duration {
	s.t.Helper()
	s.launch()
	return eventually(s.t, "the gateway reads the sensor", func() error {
		select {
		case <-s.gateway.done:
			s.t.Fatalf("the gateway has ended: %v\n%s", s.gateway.err, s.gateway.log)
		default:
		}
		status, err := s.status()
		if err == nil && (len(status.Zones) == 0 || status.Zones[0].Ranges[0].Value == nil) {
			err = errors.New("there is no temperature")
		}
		if err == nil && !status.Buses[1].Healthy {
			err = errors.New("it is not subscribed yet")
		}
		return err
	})
}

func (s *site) launch() {
	s.t.Helper()
	s.gateway = start(s.t, "glasshouse", nil, binary(s.t), "run", "-c", filepath.Join(s.dir, "gateway.yaml")).quiet()
	s.t.Cleanup(func() { s.disk.ail(ills{}) }) // before the process is killed: it cannot end while its disk hangs
}

func (s *site) status() (api.Status, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
	defer cancel()
	return s.door.Status(ctx)
}

// degraded waits until the journal is degraded, or is well again, and returns what status says then.
func (s *site) degraded(want bool) (status api.Status) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("the journal is degraded: %t", want), func() (err error) {
		if status, err = s.status(); err == nil && (status.Buffer.DegradedSince != nil) != want {
			err = fmt.Errorf("the buffer is %+v", status.Buffer)
		}
		return err
	})
	return status
}

// send sends readings and waits until they are acknowledged; it returns the first number and the one after the last.
func (s *site) send(n int) [2]int {
	s.t.Helper()
	from, _ := s.broker.numbers()
	for range n {
		s.broker.publish()
		time.Sleep(2 * time.Millisecond)
	}
	eventually(s.t, "the readings are acknowledged", func() error {
		if _, acked := s.broker.numbers(); acked < from+n {
			return errNotYet
		}
		return nil
	})
	return [2]int{from, from + n}
}

// sendMuch is send with all that a device can measure, none of it easy to compress.
func (s *site) sendMuch(n int) {
	s.t.Helper()
	from, _ := s.broker.numbers()
	for range n {
		s.broker.publishMuch()
		time.Sleep(time.Millisecond)
	}
	eventually(s.t, "the readings are acknowledged", func() error {
		if _, acked := s.broker.numbers(); acked < from+n {
			return errNotYet
		}
		return nil
	})
}

// nextSegment has the buffer begin another file: one that cannot be flushed is left.
func (s *site) nextSegment() {
	s.t.Helper()
	status, err := s.status()
	if err != nil {
		s.t.Fatal(err)
	}
	before, refused := status.Buffer.Segments, s.disk.counted().refused
	s.disk.ail(flushesFail)
	s.degraded(true)
	eventually(s.t, "the next segment has begun", func() error {
		if s.disk.counted().refused >= refused+2 {
			s.disk.ail(ills{})
		}
		status, err := s.status()
		if err == nil && status.Buffer.Segments == before {
			err = errNotYet
		}
		return err
	})
	s.degraded(false)
}

// arrived waits until readings are in Kafka.
func (s *site) arrived(numbers [2]int) {
	s.t.Helper()
	eventually(s.t, "the readings are in Kafka", func() error {
		missing, _, _ := s.book.sum(numbers[1])
		for _, n := range missing {
			if n >= numbers[0] {
				return fmt.Errorf("reading %d is missing", n)
			}
		}
		return nil
	})
}

// quarantined waits until status names the file as put aside.
func (s *site) quarantined(file string) (status api.Status) {
	s.t.Helper()
	eventually(s.t, file+" is put aside", func() (err error) {
		status, err = s.status()
		if err == nil && !slices.ContainsFunc(status.Buffer.Quarantined, func(name string) bool { return strings.HasPrefix(name, file) }) {
			err = fmt.Errorf("status names %q", status.Buffer.Quarantined)
		}
		return err
	})
	return status
}

// restart starts the gateway until it stays, as systemd does, and returns how often.
func (s *site) restart() (starts int) {
	s.t.Helper()
	for starts = 1; ; starts++ {
		s.launch()
		answers := false
		eventually(s.t, "the gateway reads the sensor or ends", func() error {
			select {
			case <-s.gateway.done:
				return nil
			default:
			}
			status, err := s.status()
			answers = err == nil && len(status.Zones) > 0 && status.Zones[0].Ranges[0].Value != nil
			if !answers {
				return errors.Join(errNotYet, err)
			}
			return nil
		})
		if answers {
			return starts
		}
		if starts > 5 {
			s.t.Fatalf("the gateway does not start: %v\n%s", s.gateway.err, s.gateway.log)
		}
	}
}

// alert is the open alert of the zone's temperature; empty: there is none.
func (s *site) alert() (id string) {
	s.t.Helper()
	eventually(s.t, "status answers", func() error {
		status, err := s.status()
		if err == nil {
			id = status.Zones[0].Ranges[0].AlertID
		}
		return err
	})
	return id
}

// opened waits for the alert to be open.
func (s *site) opened() (id string) {
	s.t.Helper()
	eventually(s.t, "an alert is open", func() error {
		if id = s.alert(); id == "" {
			return errNotYet
		}
		return nil
	})
	return id
}

// longestCycle asks /metrics.
func (s *site) longestCycle() time.Duration {
	s.t.Helper()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(s.dir, "glasshouse.sock"))
	}
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	answer, err := client.Get("http://glasshouse/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), "glasshouse_cycle_max_seconds "); ok {
			seconds, err := strconv.ParseFloat(text, 64)
			if err != nil {
				s.t.Fatal(err)
			}
			return time.Duration(seconds * float64(time.Second))
		}
	}
	s.t.Fatal("there is no glasshouse_cycle_max_seconds")
	return 0
}

// temperature is what the slave measures from now on, in tenths of a degree; it returns how long the fan takes to answer.
func (s *site) temperature(tenths uint16, fan bool) time.Duration {
	s.t.Helper()
	s.slave.SetInput(1, 1, tenths)
	began := time.Now()
	for s.slave.Coils(10, 0, 1)[0] != fan {
		if time.Since(began) > patience {
			s.t.Fatalf("at %d tenths of a degree the fan is not %t after %v", tenths, fan, patience)
		}
		time.Sleep(time.Millisecond)
	}
	return time.Since(began)
}

// swing leaves the range and comes back to it for as long as it should, at least twice; it returns the slowest answer.
func (s *site) swing(lasts time.Duration) (slowest time.Duration, times int) {
	s.t.Helper()
	for began := time.Now(); times < 2 || time.Since(began) < lasts; times++ {
		slowest = max(slowest, s.temperature(310, true), s.temperature(240, false))
	}
	return slowest, times
}

// complete waits until every reading that the gateway acknowledged is in Kafka, and checks that nothing is there that should
// not be. A message that the broker itself lost while the gateway came back, and so was never acknowledged, is counted.
func (s *site) complete() (words string) {
	s.t.Helper()
	sent, _ := s.broker.numbers()
	var lost, unacked []int
	var sameID, newID int
	began := time.Now()
	eventually(s.t, "every reading is in Kafka", func() error {
		var missing []int
		missing, sameID, newID = s.book.sum(sent)
		lost, unacked = s.broker.divide(missing)
		if len(lost) > 0 || len(unacked) > 0 && time.Since(began) < 10*time.Second {
			return fmt.Errorf("%d of %d readings are missing that were acknowledged (%d), and %d others", len(lost), sent, lost[:min(5, len(lost))], len(unacked))
		}
		return nil
	})
	took := time.Since(began)
	if newID > 0 || s.book.clashes > 0 {
		s.t.Errorf("%d readings have a second event id, %d places in the buffer were given twice", newID, s.book.clashes)
	}
	return fmt.Sprintf("%d readings, %d lost (by the broker: %d), %d twice with the same id, all in Kafka %v later", sent, len(lost), unacked, sameID, took.Round(time.Millisecond))
}

// fault waits for a fault of the gateway's own to be raised, and resolved if it should, in Kafka.
func (s *site) fault(title string, resolved bool) alertEvent {
	s.t.Helper()
	var raised alertEvent
	eventually(s.t, fmt.Sprintf("%q is told (resolved: %t)", title, resolved), func() error {
		found := s.book.find(func(e alertEvent) bool { return e.Payload.Title == title })
		if len(found) == 0 {
			return errors.New("not raised")
		}
		raised = found[0]
		if resolved && len(s.book.find(func(e alertEvent) bool { return e.Payload.AlertID == raised.Payload.AlertID && e.Payload.Title == "" })) == 0 {
			return errors.New("not resolved")
		}
		return nil
	})
	return raised
}

// done stops the gateway.
func (s *site) done() time.Duration {
	s.t.Helper()
	took, code := s.gateway.stop()
	if code != 0 {
		s.t.Errorf("SIGTERM: exit code %d after %v", code, took)
	}
	return took
}
