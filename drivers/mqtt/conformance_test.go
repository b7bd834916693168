package mqtt

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"gacp-erp.internal/glasshouse/drivers"
	"gacp-erp.internal/glasshouse/drivers/drivertest"
)

// stage is a broker with one plug that answers commands; both can be taken away and come back.
type stage struct {
	mu       sync.Mutex
	broker   *broker
	commands chan string
	hangs    bool
	silent   bool // the plug does not answer
	resists  bool // the plug answers, and does not follow
	on       bool
	pushed   int
}

func (s *stage) dial(ctx context.Context) (net.Conn, error) {
	s.mu.Lock()
	b, hangs := s.broker, s.hangs
	s.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if b == nil {
		return new(net.Dialer).DialContext(ctx, "tcp", "127.0.0.1:1") // which refuses
	}
	return b.dial(ctx)
}

func (s *stage) stop(*testing.T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broker != nil {
		s.broker.stop()
		close(s.commands)
	}
	s.broker, s.hangs, s.silent, s.resists = nil, false, false, false
}

func (s *stage) start(t *testing.T) {
	s.mu.Lock()
	if s.broker != nil { // the broker is there, the plug was silent
		s.silent = false
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	b, commands := newBroker(t), make(chan string, 100)
	if err := b.Subscribe("cmnd/plug/POWER", 1, func(_ *mochi.Client, _ packets.Subscription, p packets.Packet) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.broker == b {
			commands <- string(p.Payload)
		}
	}); err != nil {
		t.Fatal(err)
	}
	go s.plug(b, commands)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broker, s.commands = b, commands
}

// plug is the device.
func (s *stage) plug(b *broker, commands chan string) {
	for command := range commands {
		s.mu.Lock()
		if !s.resists {
			s.on = command == "ON"
		}
		state, silent := "OFF", s.silent
		if s.on {
			state = "ON"
		}
		s.mu.Unlock()
		if !silent {
			_ = b.Publish("stat/plug/POWER", []byte(state), false, 1)
		}
	}
}

func (s *stage) push(t *testing.T, n int) {
	for range n {
		s.pushed++
		s.broker.send(t, telemetry, fmt.Appendf(nil, `{"timestamp":%d,"temperature":21,"humidity":%d}`, time.Now().UnixMilli(), s.pushed%100), false)
	}
}

func rig(*testing.T) drivertest.Rig {
	s := &stage{}
	set := func(flag *bool) func(*testing.T) {
		return func(*testing.T) {
			s.mu.Lock()
			defer s.mu.Unlock()
			*flag = true
		}
	}
	return drivertest.Rig{
		New: func(t *testing.T) drivers.Driver {
			c := plant()
			c.Dial, c.WriteTimeout = s.dial, time.Minute
			d, err := New(c)
			if err != nil {
				t.Fatal(err)
			}
			return d
		},
		Start: s.start,
		Stop:  s.stop,
		Stall: set(&s.silent),
		Hang:  set(&s.hangs),
		Outputs: []drivertest.Output{{Point: "plug.relay", Values: []float64{1, 0, 1, 1}, Refused: []float64{0.5, 2, -1}, Sensor: "plug.power",
			Resist: set(&s.resists),
			State: func(*testing.T) float64 {
				s.mu.Lock()
				defer s.mu.Unlock()
				if s.on {
					return 1
				}
				return 0
			}}},
		Push:   s.push,
		Pushed: []drivers.PointID{"veg1-climate.temperature", "veg1-climate.humidity"},
		Unacknowledged: func(*testing.T) int {
			client, ok := s.broker.Clients.Get("gh-1")
			if !ok {
				return -1
			}
			return client.State.Inflight.Len()
		},
		Ignore: []string{"mochi-mqtt", "mqtt.(*broker)"}, // the broker's own Close can wait for ever
	}
}

func TestConformance(t *testing.T) { drivertest.Run(t, rig) }
