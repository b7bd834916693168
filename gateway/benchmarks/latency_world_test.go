package benchmarks

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

func watched(i int) string { return fmt.Sprintf("watched-%02d", i) }
func plug(i int) string    { return fmt.Sprintf("plug-%02d", i) }

// Flips asks for a measure of how long it takes from a sensor to an actuator: one sensor after the other leaves its range,
// or comes back, and the switch of its zone has to follow.
type Flips struct {
	Zones int
	Rate  float64 // flips a second
	Warm  int     // flips that do not count
	Count int     // that do
}

// Latencies are milliseconds from a message's being written to the command's being read.
type Latencies struct {
	P50, P99, Max float64
	Missing       int // switches that did not follow before the next flip of their zone
}

// flipper is a measure under way.
type flipper struct {
	mu    sync.Mutex
	zones []flipZone
	took  []float64
	lost  int
}

// flipZone is a zone whose switch has to become what is wanted.
type flipZone struct {
	hot     bool
	waiting bool
	counts  bool
	since   time.Time
}

// Flip measures. The switches confirm each command at once.
func (w *World) Flip(f Flips, l *Latencies) error {
	plugs, err := connect(w.MQTT, "plugs")
	if err != nil {
		return err
	}
	defer plugs.Close()
	if err := plugs.subscribe("cmnd/+/POWER"); err != nil {
		return err
	}
	source, err := connect(w.MQTT, "watched")
	if err != nil {
		return err
	}
	defer source.Close()
	m := &flipper{zones: make([]flipZone, f.Zones)}
	ended := make(chan error, 1)
	go func() { ended <- m.answer(plugs) }()
	began := time.Now()
	for n := range f.Warm + f.Count {
		time.Sleep(time.Until(began.Add(time.Duration(float64(n) / f.Rate * 1e9))))
		celsius := m.flip(n%f.Zones, n >= f.Warm)
		topic := "devices/" + watched(n%f.Zones) + "/telemetry"
		source.publish(topic, 0, 0, fmt.Appendf(nil, `{"temperature":%g,"humidity":%d.%d}`, celsius, 40+n%30, n%10))
		if err := source.out.Flush(); err != nil {
			return err
		}
	}
	time.Sleep(2 * time.Second)
	plugs.Close()
	<-ended
	*l = m.result()
	return nil
}

// flip turns a zone's climate over, and returns its temperature.
func (m *flipper) flip(zone int, counts bool) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	z := &m.zones[zone]
	if z.waiting && z.counts {
		m.lost++
	}
	*z = flipZone{hot: !z.hot, waiting: true, counts: counts, since: time.Now()}
	if z.hot {
		return highest + 3
	}
	return highest - 5
}

// answer is the switches: it takes commands, tells what they are to the clock, and shows them as done.
func (m *flipper) answer(c *line) error {
	var buf [256]byte
	for {
		first, body, err := c.read(buf[:])
		if err != nil {
			return err
		}
		if first>>4 != publishPacket {
			continue
		}
		topic, payload := message(body)
		name, _, _ := strings.Cut(strings.TrimPrefix(string(topic), "cmnd/"), "/")
		zone, err := strconv.Atoi(strings.TrimPrefix(name, "plug-"))
		if err != nil || zone >= len(m.zones) {
			return errors.New("a command for " + name + ", which nobody has")
		}
		m.switched(zone, string(payload) == "ON")
		c.publish("stat/"+name+"/POWER", 0, 0, payload)
		if err := c.out.Flush(); err != nil {
			return err
		}
	}
}

func (m *flipper) switched(zone int, on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	z := &m.zones[zone]
	if !z.waiting || z.hot != on {
		return
	}
	z.waiting = false
	if z.counts {
		m.took = append(m.took, float64(time.Since(z.since).Microseconds())/1000)
	}
}

func (m *flipper) result() Latencies {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, z := range m.zones {
		if z.waiting && z.counts {
			m.lost++
		}
	}
	if len(m.took) == 0 {
		return Latencies{Missing: m.lost}
	}
	slices.Sort(m.took)
	return Latencies{P50: m.took[len(m.took)/2], P99: m.took[len(m.took)*99/100], Max: m.took[len(m.took)-1], Missing: m.lost}
}

// Echo is the yardstick: a message through the broker to a client that sends it back at once.
func (w *World) Echo(f Flips, l *Latencies) error {
	far, err := connect(w.MQTT, "echo")
	if err != nil {
		return err
	}
	defer far.Close()
	near, err := connect(w.MQTT, "near")
	if err != nil {
		return err
	}
	defer near.Close()
	if err := errors.Join(far.subscribe("there"), near.subscribe("back")); err != nil {
		return err
	}
	go func() {
		var buf [256]byte
		for {
			_, body, err := far.read(buf[:])
			if err != nil {
				return
			}
			_, payload := message(body)
			far.publish("back", 0, 0, payload)
			if far.out.Flush() != nil {
				return
			}
		}
	}()
	m := &flipper{}
	var buf [256]byte
	for n := range f.Warm + f.Count {
		time.Sleep(time.Duration(1e9 / f.Rate))
		began := time.Now()
		near.publish("there", 0, 0, []byte(`{"temperature":31.5}`))
		if err := near.out.Flush(); err != nil {
			return err
		}
		if _, _, err := near.read(buf[:]); err != nil {
			return err
		}
		if n >= f.Warm {
			m.took = append(m.took, float64(time.Since(began).Microseconds())/1000)
		}
	}
	*l = m.result()
	return nil
}
