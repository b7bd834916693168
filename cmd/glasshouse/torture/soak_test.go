package torture

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gacp-erp.internal/glasshouse/configs"
	"gacp-erp.internal/glasshouse/drivers/sim"
	"gacp-erp.internal/glasshouse/drivers/sim/slave"
	"gacp-erp.internal/glasshouse/gateway/api"
)

// What the gateway may use more of in the last third than in the one before, by the medians: room for what a garbage
// collector does, none for a leak. The memory is what is the process' own, without files that it maps.
const (
	memoryShare, memoryRoom = 0.10, 6 << 20 // bytes
	goroutineRoom           = 5
	descriptorRoom          = 4
	soakRate                = 300 // messages a second of the load
	soakSpeed               = 120 // seconds in the greenhouse in one of ours
)

// TestSoak runs a gateway in a simulated greenhouse while everything around it fails at random instants: Kafka, the broker,
// the Modbus slave, the disk; and while it is flooded and told nonsense. In the end it must use no more than before, and its
// books must balance. `go test` soaks it for some seconds, GLASSHOUSE_SOAK=30m for as long as that says.
func TestSoak(t *testing.T) {
	t.Parallel()
	lasts, seed := 4*time.Second, uint64(time.Now().UnixNano())
	if text := os.Getenv("GLASSHOUSE_SOAK"); text != "" {
		var err error
		if lasts, err = time.ParseDuration(text); err != nil {
			t.Fatalf("GLASSHOUSE_SOAK: %v", err)
		}
	}
	numeric(t, "GLASSHOUSE_SEED", func(v uint64) { seed = v })
	t.Logf("GLASSHOUSE_SEED=%d", seed)
	s := newHouse(t, seed)
	eventually(t, "the gateway listens", func() error {
		_, err := s.status()
		return err
	})
	stop := s.load(soakRate)
	s.suffer(lasts)
	stop()
	s.still()
	s.calm()
	s.balance()
	s.book.check()
	if lasts >= time.Minute {
		s.flat()
	}
	s.life.stop()
	t.Logf("%s; %s; faults: %v", lasts, s.progress(), s.suffered)
}

// house is a stage with a greenhouse in it.
type house struct {
	*stage
	life       *life
	door       *api.Client
	greenhouse *sim.Greenhouse
	still      func() // stops the time in the greenhouse
	samples    []sample
	suffered   map[string]int
	nonsense   int // messages that must be refused
}

// sample is what the gateway uses at one instant.
type sample struct {
	memory                  int64 // bytes
	goroutines, descriptors int
}

func newHouse(t *testing.T, seed uint64) *house {
	t.Helper()
	s := &house{stage: newStage(t, seed), suffered: map[string]int{}}
	text, err := fs.ReadFile(configs.Examples(), "demo.yaml")
	if err != nil {
		t.Fatal(err)
	}
	values := strings.NewReplacer("${DEMO_DATA}", filepath.Join(s.dir, "data"), "${DEMO_KAFKA}", s.book.address, "${DEMO_MODBUS}", s.slave.Addr(),
		"${DEMO_MQTT}", s.broker.address(), "256MiB", "64MiB", "every: 1s", "every: 500ms",
		"zones:\n", loadDevices()+"  - {id: flood, profile: platform-device, bus: field, zone: shed}\nzones:\n  - {name: shed, ranges: {co2: {day: 0..40000}}}\n")
	s.configure(values.Replace(string(text)))
	s.greenhouse = sim.New(sim.Options{Seed: seed, Speed: soakSpeed, Every: 200 * time.Millisecond, Publish: func(topic string, payload []byte) error {
		s.broker.publish(&message{topic: topic, payload: payload, qos: 1, number: -1})
		return nil
	}})
	s.greenhouse.Attach(s.slave)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.greenhouse.Run(ctx) }()
	s.still = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(s.still)
	s.life = begin(t, s.file)
	s.door = api.NewClient(filepath.Join(s.dir, "data", "glasshouse.sock"))
	return s
}

func (s *house) status() (api.Status, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return s.door.Status(ctx)
}

// fault is something that fails, for a while, and is mended.
type fault struct {
	name string
	on   func(*house)
	off  func(*house)
	most time.Duration
}

var soakFaults = []fault{
	{"kafka away", func(s *house) { s.book.away.Store(true) }, func(s *house) { s.book.away.Store(false) }, 8 * time.Second},
	{"broker away", func(s *house) { s.broker.leave(true) }, func(s *house) { s.broker.leave(false) }, 4 * time.Second},
	{"line to the broker cut", func(s *house) { s.broker.leave(true); s.broker.leave(false) }, nil, 0},
	{"transmitter mute", func(s *house) { s.slave.Mute(1, true) }, func(s *house) { s.slave.Mute(1, false) }, 5 * time.Second},
	{"relays mute", func(s *house) { s.slave.Mute(10, true) }, func(s *house) { s.slave.Mute(10, false) }, 3 * time.Second},
	{"modbus hangs", func(s *house) { s.slave.SetLatency(1500 * time.Millisecond) }, func(s *house) { s.slave.SetLatency(0) }, 4 * time.Second},
	{"modbus reset", func(s *house) { s.slave.HangUp() }, nil, 0},
	{"modbus answers nonsense", func(s *house) {
		for s.slave.Scripted() < 3 { // each costs a bus that waits longer each time: they must not pile up
			s.slave.Script(slave.Fault{Kind: slave.Kind(s.random.IntN(int(slave.Flip) + 1)), Delay: 10 * time.Millisecond, Code: slave.Busy, Bit: s.random.IntN(64)})
		}
	}, nil, 0},
	{"disk fails", func(s *house) { s.life.tell("fail") }, func(s *house) { s.life.tell("well") }, 4 * time.Second},
	{"disk hangs", func(s *house) { s.life.tell("hang") }, func(s *house) { s.life.tell("well") }, 4 * time.Second},
	{"flood", (*house).flood, nil, 0},
	{"nonsense", (*house).babble, nil, 0},
}

// suffer has faults come and go, several at a time, for as long as it lasts, and samples once a second.
func (s *house) suffer(lasts time.Duration) {
	s.t.Helper()
	type standing struct {
		fault
		until time.Time
	}
	var now []standing
	end := time.Now().Add(lasts)
	next := time.Now()
	for tick := 0; time.Now().Before(end); tick++ {
		time.Sleep(100 * time.Millisecond)
		now = slices.DeleteFunc(now, func(f standing) bool {
			over := time.Now().After(f.until)
			if over {
				f.off(s)
			}
			return over
		})
		if time.Now().After(next) {
			next = time.Now().Add(time.Duration(s.random.Int64N(int64(1500 * time.Millisecond))))
			f := soakFaults[s.random.IntN(len(soakFaults))]
			if !slices.ContainsFunc(now, func(other standing) bool {
				return other.name == f.name || strings.HasPrefix(f.name, "disk") && strings.HasPrefix(other.name, "disk")
			}) {
				s.suffered[f.name]++
				f.on(s)
				if f.off != nil {
					now = append(now, standing{f, time.Now().Add(time.Duration(s.random.Int64N(int64(f.most))))})
				}
			}
		}
		if tick%10 == 0 {
			s.sample()
		}
		if tick%300 == 299 {
			s.book.catchUp()
			s.book.trim()
			s.book.check()
			s.t.Logf("%s left; %s; %+v", time.Until(end).Round(time.Second), s.progress(), s.samples[len(s.samples)-1])
		}
	}
	for _, f := range now {
		f.off(s)
	}
}

// flood sends more QoS 0 messages at once than anybody has room for.
func (s *house) flood() {
	for range 6_000 {
		s.broker.publish(&message{topic: "devices/flood/telemetry", payload: []byte(`{"batteryLevel":50}`), number: -1})
	}
}

// babble sends what must be refused, and acknowledged.
func (s *house) babble() {
	future := time.Now().Add(3 * time.Hour).UTC().Format(time.RFC3339)
	for _, m := range []message{
		{topic: "devices/load-0/telemetry", payload: []byte(`{"co2":`)},
		{topic: "devices/load-0/telemetry", payload: []byte(`{"timestamp":"` + future + `","co2":1}`)},
		{topic: "devices/load-0/telemetry", payload: []byte(`{"deviceId":"somebody else","co2":1}`)},
		{topic: "devices/load-0/telemetry", payload: []byte(`{"timestamp":"yesterday","co2":1}`)},
		{topic: "devices/load-0/telemetry", payload: slices.Concat([]byte(`{"co2":1,"pad":"`), slices.Repeat([]byte("x"), 70<<10), []byte(`"}`))},
	} {
		m.qos, m.number = 1, -1
		s.broker.publish(&m)
		s.nonsense++
	}
}

// progress is what has happened so far.
func (s *house) progress() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	return fmt.Sprintf("%d readings published, %d acknowledged, %d in Kafka; %d records sent twice; %d alerts raised", s.published, s.confirmed, len(s.book.readings), s.book.again, s.book.raised)
}

// sample looks at the process from outside, and asks it for its goroutines.
func (s *house) sample() {
	s.t.Helper()
	proc := fmt.Sprintf("/proc/%d/", s.life.cmd.Process.Pid)
	status, err := os.ReadFile(proc + "status")
	files, err2 := os.ReadDir(proc + "fd")
	if err := errors.Join(err, err2); err != nil {
		s.t.Fatalf("the gateway has gone: %v\n%s", err, s.life.log)
	}
	now := sample{descriptors: len(files)}
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(text), " kB"), 10, 64)
			if err != nil {
				s.t.Fatal(err)
			}
			now.memory = kb << 10
		}
	}
	s.life.tell("count")
	if !s.life.out.Scan() {
		s.t.Fatalf("the gateway has gone\n%s", s.life.log)
	}
	if now.goroutines, err = strconv.Atoi(s.life.out.Text()); err != nil {
		s.t.Fatal(err)
	}
	s.samples = append(s.samples, now)
}

// calm waits until everything that came has been dealt with.
func (s *house) calm() {
	s.t.Helper()
	eventually(s.t, "calm", func() error {
		status, err := s.status()
		if err != nil {
			return err
		}
		waiting := status.Buffer.Pending
		for _, l := range status.Buffer.Lanes {
			waiting += int(l.Waiting)
		}
		if n := s.broker.waiting(); n > 100 || waiting > 100 || status.Buffer.DegradedSince != nil {
			return fmt.Errorf("%d messages at the broker, %d records in the gateway, the disk is away since %v", n, waiting, status.Buffer.DegradedSince)
		}
		for _, b := range status.Buses {
			if !b.Healthy {
				return fmt.Errorf("bus %s: %s", b.Name, b.Error)
			}
		}
		for _, o := range status.Outputs {
			if !o.Confirmed {
				return fmt.Errorf("output %s does not confirm", o.Name)
			}
		}
		return nil
	})
}

// balance compares the gateway's books with each other and with ours. The polls go on, so it may take a try or two.
func (s *house) balance() {
	s.t.Helper()
	var words string
	eventually(s.t, "the books balance", func() error {
		before, err := s.status()
		if err != nil {
			return err
		}
		s.book.catchUp()
		after, err := s.status()
		if err != nil {
			return err
		}
		if before.Cycles.Heard != after.Cycles.Heard || before.Buffer.Sequence != after.Buffer.Sequence {
			return errors.New("something came meanwhile")
		}
		words, err = s.compare(&after)
		return err
	})
	s.t.Log(words)
}

// compare says how the books stand.
func (s *house) compare(status *api.Status) (string, error) {
	var faults []error
	equal := func(what string, a, b uint64) {
		if a != b {
			faults = append(faults, fmt.Errorf("%s: %d and %d", what, a, b))
		}
	}
	c, b := &status.Cycles, &status.Buffer
	var came, refused, dropped, overruns, answers uint64
	for _, bus := range status.Buses {
		came, refused, dropped, overruns = came+bus.Messages, refused+bus.Rejected, dropped+bus.Dropped, overruns+bus.Overruns
		for _, u := range bus.Units {
			answers += u.Requests - u.Errors
		}
	}
	equal("what came and was neither refused nor dropped, and what was heard", came-refused-dropped-overruns+answers, c.Heard)
	equal("what was heard, and what was told, unsaid or invalid", c.Heard, c.Told+c.Unsaid+c.Invalid)
	equal("what was made, and what was stored, waits for the disk or found no room", c.Records, b.Records+uint64(b.Pending)+b.Dropped)
	equal("what was stored by the journal and by the buffer", b.Records, b.Sequence)
	var delivered, waiting, aside, lost uint64
	for _, l := range b.Lanes {
		delivered, waiting, aside, lost = delivered+l.Delivered, waiting+l.Waiting, aside+l.SetAside, lost+l.Dropped
	}
	equal("what was stored, and what was delivered, waits, was set aside or dropped", b.Sequence, delivered+waiting+aside+lost)
	s.book.mu.Lock()
	inKafka := uint64(len(s.book.places[b.Epoch]))
	readings := len(s.book.readings)
	s.book.mu.Unlock()
	if waiting == 0 {
		equal("what was delivered, and what Kafka has", delivered, inKafka)
	} else {
		faults = append(faults, fmt.Errorf("%d records wait", waiting))
	}
	s.mu.Lock()
	published, confirmed := s.published, s.confirmed
	s.mu.Unlock()
	equal("readings published and acknowledged", uint64(published), uint64(confirmed))
	if missing := published - readings; missing < 0 || uint64(missing) > b.Dropped+lost {
		faults = append(faults, fmt.Errorf("%d of %d readings are not in Kafka, and %d records were dropped", missing, published, b.Dropped+lost))
	}
	if refused < uint64(s.nonsense) {
		faults = append(faults, fmt.Errorf("%d messages were refused, %d should have been", refused, s.nonsense))
	}
	return fmt.Sprintf("%d messages came: %d refused, %d dropped (QoS 0), %d overran; %d polls were answered; %d heard = %d told + %d unsaid + %d invalid; "+
		"%d records = %d stored + %d found no room; stored = %d delivered + %d waiting + %d set aside + %d dropped; %d in Kafka; %d of %d readings published are there",
		came, refused, dropped, overruns, answers, c.Heard, c.Told, c.Unsaid, c.Invalid, c.Records, b.Records, b.Dropped,
		delivered, waiting, aside, lost, inKafka, readings, published), errors.Join(faults...)
}

// flat compares the medians of the last third of the samples with those of the third before.
func (s *house) flat() {
	s.t.Helper()
	third := len(s.samples) / 3
	median := func(from int, of func(sample) int64) int64 {
		var values []int64
		for _, one := range s.samples[from : from+third] {
			values = append(values, of(one))
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	for _, use := range []struct {
		name string
		of   func(sample) int64
		room func(before int64) int64
	}{
		{"bytes of memory", func(o sample) int64 { return o.memory }, func(before int64) int64 { return int64(memoryShare*float64(before)) + memoryRoom }},
		{"goroutines", func(o sample) int64 { return int64(o.goroutines) }, func(int64) int64 { return goroutineRoom }},
		{"file descriptors", func(o sample) int64 { return int64(o.descriptors) }, func(int64) int64 { return descriptorRoom }},
	} {
		before, after := median(third, use.of), median(2*third, use.of)
		s.t.Logf("%s: median %d in the second third, %d in the last", use.name, before, after)
		if after > before+use.room(before) {
			s.t.Errorf("%d %s in the last third, %d in the one before", after, use.name, before)
		}
	}
}
