//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

// sender is an MQTT broker and the one device behind it. A reading's temperature tells its number.
type sender struct {
	mqtt.HookBase
	t       *testing.T
	server  *mqtt.Server
	address string

	mu      sync.Mutex
	sent    int
	flight  map[uint16]sending // by packet id
	acked   map[int]bool
	slowest time.Duration // of acknowledgements since it was last set to zero
}

type sending struct {
	number int
	at     time.Time
}

var errNotYet = errors.New("not yet")

const firstTemperature, temperatureStep = -50.0, 0.001

func newSender(t *testing.T) *sender {
	t.Helper()
	s := &sender{t: t, flight: map[uint16]sending{}, acked: map[int]bool{}, address: fmt.Sprintf("127.0.0.1:%d", freePort(t))}
	capabilities := mqtt.NewDefaultServerCapabilities()
	capabilities.MaximumInflight, capabilities.MaximumClientWritesPending = 65535, 65535
	s.server = mqtt.New(&mqtt.Options{InlineClient: true, Capabilities: capabilities, Logger: slog.New(slog.DiscardHandler)})
	err := errors.Join(s.server.AddHook(new(auth.AllowHook), nil), s.server.AddHook(s, nil),
		s.server.AddListener(listeners.NewTCP(listeners.Config{ID: "door", Address: s.address})))
	if err == nil {
		err = s.server.Serve()
	}
	if err != nil {
		t.Fatal(err)
	}
	return s // it ends with the process: the library's Close can hang on a client that leaves
}

// ID names the hook.
func (s *sender) ID() string { return "sender" }

// Provides says which events the hook wants.
func (s *sender) Provides(event byte) bool {
	return event == mqtt.OnQosPublish || event == mqtt.OnQosComplete
}

// OnQosPublish notes a message that a client has to acknowledge.
func (s *sender) OnQosPublish(_ *mqtt.Client, p packets.Packet, _ int64, _ int) {
	var reading struct{ Temperature float64 }
	if json.Unmarshal(p.Payload, &reading) != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flight[p.PacketID] = sending{number(reading.Temperature), time.Now()}
}

// OnQosComplete notes an acknowledgement.
func (s *sender) OnQosComplete(_ *mqtt.Client, p packets.Packet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f, ok := s.flight[p.PacketID]; ok {
		delete(s.flight, p.PacketID)
		s.acked[f.number] = true
		s.slowest = max(s.slowest, time.Since(f.at))
	}
}

func number(temperature float64) int {
	return int(math.Round((temperature - firstTemperature) / temperatureStep))
}

// publish sends the next reading.
func (s *sender) publish() { s.send("") }

func (s *sender) send(more string) {
	s.mu.Lock()
	n := s.sent
	s.sent++
	s.mu.Unlock()
	body := fmt.Appendf(nil, `{%s"timestamp":%q,"temperature":%.3f}`, more, time.Now().UTC().Format(time.RFC3339Nano), firstTemperature+temperatureStep*float64(n))
	_ = s.server.Publish("devices/air-7/telemetry", body, false, 1) // to a client that is away it stays in flight
}

// publishMuch sends the next reading with all that a device can measure, none of it easy to compress.
func (s *sender) publishMuch() {
	body := fmt.Appendf(nil, `"humidity":%v,"pressure":%v,"co2":%v,"light":%v,"vpd":%v,"ph":%v,"ec":%v,"water_level":%v,"batteryLevel":%v`,
		100*rand.Float64(), 300+900*rand.Float64(), 4e4*rand.Float64(), 5e3*rand.Float64(), 20*rand.Float64(), 14*rand.Float64(), 50*rand.Float64(), 100*rand.Float64(), 100*rand.Float64())
	s.send(string(body) + ",")
}

// feed sends a reading now and then until the returned function is called.
func (s *sender) feed(every time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for ctx.Err() == nil {
			s.publish()
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	}()
	return func() { cancel(); <-done }
}

// numbers are how many readings were sent and how many of them acknowledged.
func (s *sender) numbers() (sent, acked int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent, len(s.acked)
}

// divide divides readings into those that were acknowledged and the others.
func (s *sender) divide(numbers []int) (acked, others []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range numbers {
		if s.acked[n] {
			acked = append(acked, n)
		} else {
			others = append(others, n)
		}
	}
	return acked, others
}

// latency is the slowest acknowledgement since the last call.
func (s *sender) latency() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	slowest := s.slowest
	for _, f := range s.flight {
		slowest = max(slowest, time.Since(f.at)) // still waiting
	}
	s.slowest = 0
	return slowest
}
