package demo

import (
	"context"
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	"gacp-erp.internal/glasshouse/drivers/sim"
	"gacp-erp.internal/glasshouse/gateway/api"
	"gacp-erp.internal/glasshouse/gateway/contract"
	"gacp-erp.internal/glasshouse/gateway/scan"
	"gacp-erp.internal/glasshouse/rules"
)

const (
	weatherEvery = 15 * time.Second       // between two lines on how things are
	lookEvery    = 100 * time.Millisecond // at outputs that have not confirmed yet
	patience     = 5 * time.Second        // for an output to confirm
)

// story tells what the gateway decides, in lines that a visitor can read.
type story struct {
	events  chan scan.Event
	pending []pending

	mu  sync.Mutex // one line at a time
	out io.Writer
}

// pending is an output that was switched and has not confirmed yet.
type pending struct {
	index int
	value float64
	until time.Time
}

func newStory(out io.Writer) *story {
	return &story{out: out, events: make(chan scan.Event, 256)}
}

// tell takes an event from the cycle, which must not wait: when a terminal hangs the story has a gap.
func (s *story) tell(e scan.Event) {
	select {
	case s.events <- e:
	default:
	}
}

// say writes a line with the time of day.
func (s *story) say(format string, a ...any) { s.sayAt(time.Now(), format, a...) }

func (s *story) sayAt(at time.Time, format string, a ...any) {
	s.print(at.Local().Format("15:04:05") + "  " + fmt.Sprintf(format, a...) + "\n")
}

func (s *story) print(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = io.WriteString(s.out, text) // a terminal that is gone must not end the demo
}

// welcome says what runs and where.
func (s *story) welcome(w *world, o Options, file, socket string) {
	ask := o.Program + " status"
	if o.DataDir != defaultDir { // else it is one of the places where the command looks
		ask += " --socket " + socket
	}
	s.print(fmt.Sprintf(`Glasshouse demo: the real gateway beside a simulated greenhouse, where time passes %g times as fast.

  MQTT    %-22s mosquitto_sub -p %s -t 'devices/#' -v
  Kafka   %-22s kcat -C -b %s -t %s
  Modbus  %-22s unit 1 is an XY-MD02 transmitter, unit 10 a board of eight relays
  API     %s
          %s
  config  %s
          %s check -c %s

The sun shines, the exhaust fan is off: veg-1 will soon be warmer than the 26 °C it may have. Ctrl-C ends the demo.

`, o.Speed, w.broker.address(), port(w.broker.address()), w.kafkaAddress, w.kafkaAddress, contract.TopicEnvironment, w.slave.Addr(), socket, ask, file, o.Program, file))
}

// run tells what happens until ctx ends; what is still waiting then is told first. Once stopping is closed the outputs go to
// safe, which the last line of the demo says for all of them.
func (s *story) run(ctx context.Context, stopping <-chan struct{}, status func() api.Status, g *sim.Greenhouse) {
	weather := time.NewTicker(weatherEvery)
	defer weather.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	s.weather(g)
	for {
		select {
		case e := <-s.events:
			if stopping != nil || e.Kind != scan.OutputSwitched {
				s.event(e)
			}
		case <-weather.C:
			s.weather(g)
		case <-look.C:
			if len(s.pending) > 0 {
				s.confirmations(status())
			}
		case <-stopping:
			stopping = nil
			s.pending = nil
			weather.Stop()
		case <-ctx.Done():
			for len(s.events) > 0 {
				if e := <-s.events; e.Kind != scan.OutputSwitched {
					s.event(e)
				}
			}
			return
		}
	}
}

// weather says how things are.
func (s *story) weather(g *sim.Greenhouse) {
	veg, flower := g.Reading(sim.Veg), g.Reading(sim.Flower)
	outside, _ := g.Outside()
	s.say("  (%s in there: veg-1 %.1f °C %.0f %%, flower-1 %.1f °C %.0f %% %.0f ppm CO2, outside %.1f °C)",
		g.Now().Format("15:04"), veg.Temperature, veg.Humidity, flower.Temperature, flower.Humidity, flower.CO2, outside)
}

// event tells one event, if it belongs into the story.
func (s *story) event(e scan.Event) {
	switch e.Kind {
	case scan.AlertRaised:
		side, limit := "below", e.Min
		if e.Above {
			side, limit = "above", e.Max
		}
		s.sayAt(e.At, "%s, %s %s: alert raised", is(e), side, amount(limit, e))
	case scan.AlertEscalated:
		s.sayAt(e.At, "%s: now %s", is(e), severities[min(int(e.Severity), len(severities)-1)])
	case scan.AlertCorrected:
		if e.Success == rules.No {
			s.sayAt(e.At, "%s: %s", is(e), e.Description)
		}
	case scan.AlertResolved:
		how := ""
		if e.Success == rules.Yes {
			how = ", the correction worked"
		}
		s.sayAt(e.At, "%s again: resolved after %.0f s%s", is(e), e.At.Sub(e.Since).Seconds(), how)
	case scan.FaultRaised:
		s.sayAt(e.At, "fault: %s. %s", e.Title, e.Description)
	case scan.FaultResolved:
		s.sayAt(e.At, "over: %s", e.Title)
	case scan.OutputSwitched:
		s.pending = append(s.pending, pending{index: e.Output, value: e.Value, until: time.Now().Add(patience)})
	}
}

// confirmations tells of the outputs that have confirmed, or did not in time.
func (s *story) confirmations(status api.Status) {
	rest := s.pending[:0]
	for _, p := range s.pending {
		if p.index >= len(status.Outputs) {
			continue
		}
		o := &status.Outputs[p.index]
		switch {
		case o.Desired != p.value: // switched again meanwhile
		case o.Confirmed:
			s.say("%s %s over Modbus, confirmed by the relay board", o.Name, onOff(p.value))
		case time.Now().After(p.until):
			s.say("%s does not confirm that it is %s; the gateway goes on trying", o.Name, onOff(p.value))
		default:
			rest = append(rest, p)
		}
	}
	s.pending = rest
}

var severities = []string{rules.Info: "back in range", rules.Warning: "a warning", rules.Critical: "critical", rules.Emergency: "an emergency"}

// is says what a zone's quantity is.
func is(e scan.Event) string {
	switch e.Quantity {
	case "temperature":
		return fmt.Sprintf("%s is %s", e.Zone, amount(e.Value, e))
	case "co2":
		return fmt.Sprintf("%s has %s CO2", e.Zone, amount(e.Value, e))
	}
	return fmt.Sprintf("%s has %s %s", e.Zone, amount(e.Value, e), e.Quantity)
}

// amount is a number with the event's unit, to one decimal where that says something.
func amount(v float64, e scan.Event) string {
	if math.Abs(v) >= 100 {
		return fmt.Sprintf("%.0f %s", v, e.Unit)
	}
	return fmt.Sprintf("%g %s", math.Round(v*10)/10, e.Unit)
}

func onOff(v float64) string {
	if v == 0 {
		return "off"
	}
	return "on"
}
