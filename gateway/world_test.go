package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"gacp-erp.internal/glasshouse/buffer"
	"gacp-erp.internal/glasshouse/configs"
	"gacp-erp.internal/glasshouse/drivers/sim/slave"
	"gacp-erp.internal/glasshouse/gateway/contract"
	"gacp-erp.internal/glasshouse/gateway/journal"
)

// testWorld is a greenhouse without a network: a Modbus slave behind pipes, an embedded Kafka on a virtual network, and the
// real gateway between them. It lives in a synctest bubble, where a day takes seconds.
type testWorld struct {
	t       *testing.T
	slave   *slave.Slave
	kafka   *kfake.Cluster
	network kfake.VirtualNetwork
	dir     string
	config  string
	store   *brokenStore
	maxSize int64 // of the buffer, below what a configuration may say; 0: as it says

	mu      sync.Mutex
	away    bool // Kafka
	links   map[net.Conn]struct{}
	gateway *Gateway
	stop    func() error
}

const testConfig = `
gateway:
  id: gh-test-01
  facilityId: 7c1e0b1a-3c1e-4c52-9d2f-0d6a6b9d3c14
  timezone: Europe/Riga
  mode: control
  dataDir: %s
uplink:
  brokers: ["localhost:9092"]
  tls: {enabled: false}
buses:
  - {name: north, modbus: "tcp://127.0.0.1:502", every: 10s}
devices:
  - {id: veg1-climate, profile: xy-md02, bus: north, unit: 1, zone: veg-1}
  - id: veg1-relays
    profile: waveshare-relay-8
    bus: north
    unit: 10
    outputs:
      relay1: {name: exhaust-fan, zone: veg-1, safe: off}
      relay2: {name: heater, zone: veg-1, safe: off, maxRun: 4h}
zones:
  - name: veg-1
    ranges:
      temperature:
        day: 22..26
        hysteresis: 0.3
        for: 30s
        critical: 4
        above: [exhaust-fan=on]
        below: [heater=on]
        within: 10m
      vpd: {day: 0.2..2.5}
`

// newWorld builds the world, its Kafka without the missing topics; nothing runs yet.
func newWorld(t *testing.T, missing ...string) *testWorld {
	t.Helper()
	w := &testWorld{t: t, slave: slave.New(), dir: t.TempDir(), links: map[net.Conn]struct{}{}, store: &brokenStore{}}
	w.config = fmt.Sprintf(testConfig, w.dir)
	w.slave.SetCoil(10, 0, make([]bool, 8)...)
	w.climate(24, 65)
	topics := []string{}
	for _, topic := range contract.Topics() {
		if !slices.Contains(missing, topic.Name) {
			topics = append(topics, topic.Name)
		}
	}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9092), kfake.SeedTopics(3, topics...), kfake.ListenFn(w.network.Listen))
	if err != nil {
		t.Fatal(err)
	}
	w.kafka = cluster
	t.Cleanup(func() {
		cluster.Close()
		w.slave.Close()
	})
	return w
}

// climate sets what the transmitter measures.
func (w *testWorld) climate(celsius, humidity float64) {
	w.slave.SetInput(1, 1, uint16(celsius*10), uint16(humidity*10))
}

// start runs a gateway on the world's data.
func (w *testWorld) start() {
	w.t.Helper()
	config, err := configs.Parse("test.yaml", []byte(w.config), os.LookupEnv, os.ReadFile)
	if err != nil {
		w.t.Fatal(err)
	}
	if w.maxSize > 0 {
		config.Buffer.MaxSize, config.Buffer.Reserve = w.maxSize, w.maxSize/8
	}
	log := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	g, err := New(Options{Config: config, Version: "test", Log: log, World: World{Bus: w.dialBus, Kafka: w.dialKafka, NoDoor: true,
		Store: func(s journal.Store) journal.Store {
			w.store.under = s
			return w.store
		}}})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	w.gateway = g
	w.stop = func() error {
		cancel()
		return <-ended
	}
}

// halt stops the gateway as SIGTERM would.
func (w *testWorld) halt() {
	w.t.Helper()
	began := time.Now()
	if err := w.stop(); err != nil {
		w.t.Errorf("stop: %v", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		w.t.Errorf("the stop took %v", took)
	}
}

func (w *testWorld) dialBus(context.Context, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	go w.slave.Serve(theirs)
	return ours, nil
}

// dialKafka fails while Kafka is away.
func (w *testWorld) dialKafka(ctx context.Context, network, host string) (net.Conn, error) {
	w.mu.Lock()
	away := w.away
	w.mu.Unlock()
	if away {
		return nil, errors.New("no route to host")
	}
	conn, err := w.network.DialContext(ctx, network, host)
	if err == nil {
		w.mu.Lock()
		w.links[conn] = struct{}{}
		w.mu.Unlock()
	}
	return conn, err
}

// sever cuts the line to Kafka, or mends it.
func (w *testWorld) sever(away bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away = away
	if away {
		for conn := range w.links {
			conn.Close()
		}
		clear(w.links)
	}
}

// coil is what the relay board shows.
func (w *testWorld) coil(number int) bool { return w.slave.Coils(10, 0, 8)[number] }

// told is one record as Kafka holds it.
type told struct {
	key, state, id string
	sequence       string
	replayed       string
	event          struct {
		EventType string         `json:"eventType"`
		Payload   map[string]any `json:"payload"`
	}
}

// records reads a whole topic, in order per partition.
func (w *testWorld) records(topic string) []told {
	w.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers("localhost:9092"), kgo.Dialer(w.network.DialContext), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		w.t.Fatal(err)
	}
	defer client.Close()
	var all []told
	for {
		ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Second)
		fetches := client.PollFetches(ctx)
		cancel()
		if fetches.NumRecords() == 0 {
			return all
		}
		for _, r := range fetches.Records() {
			one := told{key: string(r.Key)}
			for _, h := range r.Headers {
				switch h.Key {
				case contract.HeaderAlertState:
					one.state = string(h.Value)
				case contract.HeaderEventID:
					one.id = string(h.Value)
				case contract.HeaderReplayed:
					one.replayed = string(h.Value)
				case "sequence":
					one.sequence = string(h.Value)
				}
			}
			if err := contract.Validate(topic, r.Value); err != nil {
				w.t.Errorf("Kafka holds what breaks the contract: %v\n%s", err, r.Value)
			}
			if err := json.Unmarshal(r.Value, &one.event); err != nil {
				w.t.Fatal(err)
			}
			all = append(all, one)
		}
	}
}

// alerts is the life of all climate alerts, such as "raised temperature 31".
func (w *testWorld) alerts() []string {
	var lines []string
	for _, r := range w.records(contract.TopicEnvironment) {
		lines = append(lines, fmt.Sprintf("%s %v %v", r.state, r.event.Payload["alertType"], r.event.Payload["currentValue"]))
	}
	return lines
}

// faults is the life of all device alerts: "raised veg1-climate …".
func (w *testWorld) faults() []string {
	var lines []string
	for _, r := range w.records(contract.TopicDeviceAlerts) {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s %v", r.state, r.key, r.event.Payload["title"])))
	}
	return lines
}

// brokenStore refuses or hangs while it is told to.
type brokenStore struct {
	under journal.Store

	mu   sync.Mutex
	err  error
	hang time.Duration
}

func (b *brokenStore) set(err error, hang time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err, b.hang = err, hang
}

func (b *brokenStore) Commit(recs []buffer.Record, notes buffer.Notes) error {
	b.mu.Lock()
	err, hang := b.err, b.hang
	b.mu.Unlock()
	time.Sleep(hang)
	if err != nil {
		return err
	}
	return b.under.Commit(recs, notes)
}
