package torture

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"gacp-erp.internal/glasshouse/buffer"
	"gacp-erp.internal/glasshouse/drivers/sim/slave"
	"gacp-erp.internal/glasshouse/gateway/contract"
)

const (
	usualKills = 12
	devices    = 6
	unstamped  = 2    // of them: their messages carry no time, so that only their packet tells them apart
	killRate   = 1500 // messages a second of all devices
	maxWaiting = 5000 // in the broker; then the devices wait
	longest    = 600 * time.Millisecond
	dupLimit   = 10_000 // records that may come again after a kill
)

// TestKills ends the gateway by SIGKILL at random instants under load, also while it starts, and after each checks what the
// broker has been told is kept: it must be in Kafka or in the buffer, once, in order. `go test` kills it a dozen times;
// GLASSHOUSE_TORTURE=1000 as often as that says, GLASSHOUSE_SEED=7 repeats a course.
func TestKills(t *testing.T) {
	t.Parallel()
	kills, seed := usualKills, uint64(time.Now().UnixNano())
	numeric(t, "GLASSHOUSE_TORTURE", func(v uint64) { kills = int(v) })
	numeric(t, "GLASSHOUSE_SEED", func(v uint64) { seed = v })
	t.Logf("GLASSHOUSE_SEED=%d", seed)
	s := newStage(t, seed)
	stop := s.load(killRate)
	began, lived := time.Now(), time.Duration(0)
	for kill := range kills {
		s.broker.hear(kill%4 != 1) // else all of this life's messages come again, kept or not
		l := s.begin()
		after := time.Duration(s.random.Int64N(int64(longest)))
		time.Sleep(after)
		l.kill()
		lived += after
		s.audit()
		if s.book.check(); t.Failed() {
			t.Fatalf("after kill %d\n%s", kill+1, l.log)
		}
		if s.random.IntN(6) == 0 {
			s.weather()
		}
		s.book.away.Store(s.random.IntN(12) == 0 || s.book.away.Load() && s.random.IntN(3) > 0)
		if kill%50 == 49 {
			s.book.trim()
			t.Logf("%d kills in %s, %s", kill+1, time.Since(began).Round(time.Second), s)
		}
	}
	took := time.Since(began)
	stop()
	s.broker.hear(true)
	s.book.away.Store(false)
	l := s.begin()
	eventually(t, "all is in Kafka", func() error {
		if n := s.broker.waiting(); n > 0 {
			return fmt.Errorf("%d messages are not acknowledged", n)
		}
		return s.missing()
	})
	eventually(t, "the fan answers to the heat", func() error {
		if on := s.slave.Coils(10, 0, 1)[0]; on != s.hot {
			return fmt.Errorf("the fan is on: %t; the zone is hot: %t", on, s.hot)
		}
		return nil
	})
	l.stop()
	s.audit()
	s.book.check()
	t.Logf("%d kills in %s (alive for %s): %s; lost 0", kills, took.Round(time.Second), lived.Round(time.Second), s)
}

// numeric reads a number from the environment, if it is there.
func numeric(t *testing.T, name string, take func(uint64)) {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return
	}
	v, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	take(v)
}

// stage is a gateway's surroundings with the books about it.
type stage struct {
	t      *testing.T
	random *rand.Rand
	dir    string
	file   string
	broker *broker
	slave  *slave.Slave
	book   *book
	hot    bool

	mu        sync.Mutex
	published int          // numbers below it
	acked     map[int]bool // and, by the last audit, not in Kafka yet
	confirmed int          // acknowledged readings
	born      time.Time    // when the newest process was started
	first     time.Time    // the first acknowledgement since
	starts    []time.Duration

	overlap   int // most records that were in Kafka and still waiting in the buffer at a kill
	total     int // of all kills
	openKills int // kills with an open alert
}

func newStage(t *testing.T, seed uint64) *stage {
	t.Helper()
	s := &stage{t: t, random: rand.New(rand.NewPCG(seed, 1)), dir: t.TempDir(), acked: map[int]bool{}, book: newBook(t)}
	s.broker = newBroker(t, func(m *message) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.born.After(s.first) {
			s.first = time.Now()
			s.starts = append(s.starts, s.first.Sub(s.born))
		}
		if m.number >= 0 { // else it is none of the load
			s.acked[m.number] = true
			s.confirmed++
		}
	})
	var err error
	if s.slave, err = slave.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.slave.Close() })
	s.slave.SetCoil(10, 0, make([]bool, 8)...)
	s.slave.SetInput(1, 1, 240, 650)
	s.file = filepath.Join(s.dir, "gateway.yaml")
	text := fmt.Sprintf(`
gateway: {id: gh-torture, facilityId: 7c1e0b1a-3c1e-4c52-9d2f-0d6a6b9d3c14, timezone: Europe/Riga, mode: control, dataDir: %q}
uplink: {brokers: [%q], tls: {enabled: false}}
buffer: {maxSize: 64MiB, reserve: 8MiB}
buses:
  - {name: north, modbus: "tcp://%s", every: 100ms}
  - {name: field, mqtt: "mqtt://%s"}
zones:
  - {name: veg-1, ranges: {temperature: {day: 22..26, hysteresis: 0.3, critical: 4, above: [exhaust-fan=on], within: 10m}}}
  - {name: shed, ranges: {co2: {day: 0..40000}}}
devices:
  - {id: veg1-climate, profile: xy-md02, bus: north, unit: 1, zone: veg-1}
  - {id: veg1-relays, profile: waveshare-relay-8, bus: north, unit: 10, outputs: {relay1: {name: exhaust-fan, zone: veg-1, safe: off}}}
`, filepath.Join(s.dir, "data"), s.book.address, s.slave.Addr(), s.broker.address())
	s.configure(text + loadDevices())
	return s
}

// loadDevices are the devices of the load as the configuration lists them.
func loadDevices() (lines string) {
	for d := range devices {
		lines += fmt.Sprintf("  - {id: load-%d, profile: platform-device, bus: field, zone: shed}\n", d)
	}
	return lines
}

func (s *stage) configure(text string) {
	s.t.Helper()
	if err := os.WriteFile(s.file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// String is the balance so far.
func (s *stage) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	start := time.Duration(0)
	if slices.Sort(s.starts); len(s.starts) > 0 {
		start = s.starts[len(s.starts)/2].Round(time.Millisecond)
	}
	return fmt.Sprintf("%d readings published, %d acknowledged, %d in Kafka; %d records sent twice (%d could be, at most %d after one kill); %d alerts raised, %d kills while one was open; median %s from start to the first acknowledgement",
		s.published, s.confirmed, len(s.book.readings), s.book.again, s.total, s.overlap, s.book.raised, s.openKills, start)
}

// begin starts a gateway.
func (s *stage) begin() *life {
	s.t.Helper()
	s.mu.Lock()
	s.born = time.Now()
	s.mu.Unlock()
	return begin(s.t, s.file)
}

// load publishes so many messages a second until the returned function is called.
func (s *stage) load(rate int) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
			}
			for range rate / 100 {
				if s.broker.waiting() < maxWaiting {
					s.publish()
				}
			}
		}
	}()
	return func() { close(quit); <-done }
}

// publish sends the next reading.
func (s *stage) publish() {
	s.mu.Lock()
	n := s.published
	s.published++
	s.mu.Unlock()
	body := fmt.Sprintf(`{"co2":%.2f}`, value(n))
	if n%devices >= unstamped {
		body = fmt.Sprintf(`{"timestamp":%q,"co2":%.2f}`, time.Now().UTC().Format(time.RFC3339Nano), value(n))
	}
	s.broker.publish(&message{topic: fmt.Sprintf("devices/load-%d/telemetry", n%devices), payload: []byte(body), qos: 1, number: n})
}

// weather makes the zone too hot, or mild again.
func (s *stage) weather() {
	if s.hot = !s.hot; s.hot {
		s.slave.SetInput(1, 1, 310)
	} else {
		s.slave.SetInput(1, 1, 240)
	}
}

// missing says which readings are not in Kafka.
func (s *stage) missing() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	if n := s.published - len(s.book.readings); n != 0 {
		return fmt.Errorf("%d of %d readings are missing", n, s.published)
	}
	return nil
}

// audit looks at a gateway that is dead: every acknowledged reading must be in Kafka or wait in the buffer.
func (s *stage) audit() {
	s.t.Helper()
	s.broker.quiet()
	s.mu.Lock()
	acked := make([]int, 0, len(s.acked))
	for n := range s.acked {
		acked = append(acked, n)
	}
	s.mu.Unlock()
	s.book.catchUp()
	waiting, overlap := s.buffered()
	s.total += overlap
	s.overlap = max(s.overlap, overlap)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	if len(s.book.open) > 0 {
		s.openKills++
	}
	if overlap > dupLimit {
		s.book.fault("%d records are in Kafka and will come again, %d may", overlap, dupLimit)
	}
	for _, n := range acked {
		if _, sent := s.book.readings[n]; sent {
			delete(s.acked, n)
		} else if !waiting[n] {
			s.book.fault("reading %d was acknowledged and is neither in Kafka nor in the buffer", n)
		}
	}
}

// buffered opens a copy of the dead gateway's buffer, and returns the readings that wait in it, and how many of its records
// Kafka has already.
func (s *stage) buffered() (waiting map[int]bool, overlap int) {
	s.t.Helper()
	waiting = map[int]bool{}
	from, to := filepath.Join(s.dir, "data", "buffer"), filepath.Join(s.dir, "copy")
	if _, err := os.Stat(from); errors.Is(err, os.ErrNotExist) {
		return waiting, 0
	}
	if err := errors.Join(os.RemoveAll(to), os.CopyFS(to, os.DirFS(from))); err != nil {
		s.t.Fatal(err)
	}
	o := buffer.Options{Dir: to, Log: slog.New(slog.DiscardHandler)}
	for _, topic := range contract.Topics() {
		o.Lanes = append(o.Lanes, buffer.LaneSpec{Name: buffer.Lane(topic.Name), Critical: topic.Critical})
	}
	b, err := buffer.Open(o)
	if err != nil {
		s.t.Fatalf("the buffer after a kill: %v", err)
	}
	defer b.Close()
	if found := b.Found(); len(found) > 0 {
		s.t.Errorf("a kill must not damage the buffer: %q", found)
	}
	for _, lane := range o.Lanes {
		for after := uint64(0); ; {
			entries, err := b.Peek(lane.Name, after, 1<<20)
			if err != nil {
				s.t.Fatal(err)
			}
			if len(entries) == 0 {
				break
			}
			for _, e := range entries {
				after = e.Sequence
				if s.book.has(b.Epoch(), e.Sequence) {
					overlap++
				}
				if n, err := numberOf(e.Body); err == nil && lane.Name == contract.TopicTelemetry {
					waiting[n] = true
				}
			}
		}
	}
	return waiting, overlap
}
