package benchmarks

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/rpc"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gacp-erp.internal/glasshouse/gateway/contract"
)

// Surroundings say what world a child is to be.
type Surroundings struct {
	Own   bool          // the embedded broker, which tells of acknowledgements, even where Mosquitto is installed
	Delay time.Duration // between the gateway and Kafka
	Keep  bool          // Kafka can be read back; otherwise it throws away what it took
}

// Addresses are where a world can be reached.
type Addresses struct{ MQTT, Kafka, Broker string }

// Counts is what Kafka was given so far.
type Counts struct {
	Telemetry   int   // records of the fullest topic
	First, Last int64 // instants of the first and the newest request, unix ns; 0: none
	Requests    int
}

// Marks are instants of a gateway's start as its broker sees them, unix ns; 0: not yet.
type Marks struct{ Subscribed, Acked int64 }

// World is the child's side; its methods are called over net/rpc.
type World struct {
	Addresses
	embedded *mqtt.Server

	mu     sync.Mutex
	topics map[string]int
	counts Counts
	marks  Marks
}

// playWorld serves until standard input ends.
func playWorld(args []string) error {
	var s Surroundings
	if err := json.Unmarshal([]byte(args[0]), &s); err != nil {
		return err
	}
	w := &World{topics: map[string]int{}}
	stop, err := w.startBroker(s.Own)
	if err != nil {
		return err
	}
	defer stop()
	cluster, err := w.startKafka(s)
	if err != nil {
		return err
	}
	defer cluster.Close()
	server := rpc.NewServer()
	if err := server.Register(w); err != nil {
		return err
	}
	server.ServeConn(pipes{os.Stdin, os.Stdout})
	return nil
}

// newWorld starts a world and returns the way to call it.
func newWorld(tb testing.TB, s Surroundings) (*rpc.Client, Addresses) {
	tb.Helper()
	args, err := json.Marshal(s)
	if err != nil {
		tb.Fatal(err)
	}
	_, way := child(tb, "world", string(args))
	client := rpc.NewClient(way)
	tb.Cleanup(func() { client.Close() })
	var a Addresses
	call(tb, client, "World.Where", 0, &a)
	return client, a
}

// call calls a world.
func call(tb testing.TB, world *rpc.Client, method string, args, reply any) {
	tb.Helper()
	if err := world.Call(method, args, reply); err != nil {
		tb.Fatalf("%s: %v", method, err)
	}
}

// Where tells where the world can be reached.
func (w *World) Where(_ int, a *Addresses) error {
	*a = w.Addresses
	return nil
}

// startBroker starts Mosquitto where it is installed, with the limits that the manual asks for.
func (w *World) startBroker(own bool) (stop func(), err error) {
	program, err := exec.LookPath("mosquitto")
	if err != nil {
		program, err = exec.LookPath("/usr/sbin/mosquitto")
	}
	if own || err != nil {
		return w.startEmbedded()
	}
	dir, err := os.MkdirTemp("", "glasshouse-broker-")
	if err != nil {
		return nil, err
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w.MQTT, w.Broker = free.Addr().String(), "mosquitto"
	port := free.Addr().(*net.TCPAddr).Port
	free.Close()
	file := filepath.Join(dir, "mosquitto.conf")
	settings := fmt.Sprintf("listener %d 127.0.0.1\nallow_anonymous true\nmax_queued_messages 200000\nmax_inflight_messages 1000\nset_tcp_nodelay true\nlog_type none\n", port)
	if os.Getuid() == 0 {
		settings += "user root\n"
	}
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(program, "-c", file)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = os.RemoveAll(dir)
	}
	for range 100 {
		conn, err := net.Dial("tcp", w.MQTT)
		if err == nil {
			conn.Close()
			return stop, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	stop()
	return nil, errors.New("mosquitto does not listen")
}

func (w *World) startEmbedded() (stop func(), err error) {
	capabilities := mqtt.NewDefaultServerCapabilities()
	capabilities.MaximumInflight, capabilities.MaximumClientWritesPending = 65535, 65535 // it drops what is beyond
	s := mqtt.New(&mqtt.Options{InlineClient: true, Capabilities: capabilities, Logger: slog.New(slog.DiscardHandler)})
	door := listeners.NewTCP(listeners.Config{ID: "door", Address: "127.0.0.1:0"})
	if err := errors.Join(s.AddHook(new(auth.AllowHook), nil), s.AddHook(&witness{world: w}, nil), s.AddListener(door), s.Serve()); err != nil {
		return nil, err
	}
	w.MQTT, w.Broker, w.embedded = door.Address(), "embedded broker", s
	return func() { _ = s.Close() }, nil
}

// witness tells the world what the gateway does with the embedded broker.
type witness struct {
	mqtt.HookBase
	world *World
}

func (*witness) ID() string           { return "witness" }
func (*witness) Provides(b byte) bool { return b == mqtt.OnSubscribed || b == mqtt.OnQosComplete }

// OnSubscribed sends the gateway its first message, as soon as it listens to all of its topics.
func (h *witness) OnSubscribed(c *mqtt.Client, p packets.Packet, _ []byte) {
	w := h.world
	w.mu.Lock()
	first := w.marks.Subscribed == 0
	if first {
		w.marks.Subscribed = time.Now().UnixNano()
	}
	w.mu.Unlock()
	if first && c.ID != "" {
		topic, payload := reading(0, 0, 23.5, time.Now())
		go func() { _ = w.embedded.Publish(topic, payload, false, 1) }()
	}
}

// OnQosComplete notes the first message that the gateway acknowledged, which it does when it is durable.
func (h *witness) OnQosComplete(_ *mqtt.Client, p packets.Packet) {
	w := h.world
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.marks.Acked == 0 {
		w.marks.Acked = time.Now().UnixNano()
	}
}

// Reset forgets marks and counts.
func (w *World) Reset(_ int, _ *int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.marks, w.counts = Marks{}, Counts{}
	clear(w.topics)
	return nil
}

// Marked tells how far a gateway's start has come.
func (w *World) Marked(_ int, m *Marks) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	*m = w.marks
	return nil
}

// Counted tells what Kafka has been given.
func (w *World) Counted(_ int, c *Counts) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	*c = w.counts
	return nil
}

func (w *World) startKafka(s Surroundings) (*kfake.Cluster, error) {
	var topics []string
	for _, t := range contract.Topics() {
		topics = append(topics, t.Name)
	}
	options := []kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(3, topics...), kfake.ListenFn(func(network, address string) (net.Listener, error) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		return &farListener{l, s.Delay}, err
	})}
	if !s.Keep {
		options = append(options, kfake.BlackholeProduce())
	}
	cluster, err := kfake.NewCluster(options...)
	if err != nil {
		return nil, err
	}
	cluster.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		w.count(r.(*kmsg.ProduceRequest))
		return nil, nil, false
	})
	w.Kafka = cluster.ListenAddrs()[0]
	return cluster, nil
}

// count adds up a request. The number of records stands at the end of a batch's header.
func (w *World) count(r *kmsg.ProduceRequest) {
	const sizeAt, countAt, header = 8, 57, 61
	now := time.Now().UnixNano()
	w.mu.Lock()
	defer w.mu.Unlock()
	c := &w.counts
	if c.First == 0 {
		c.First = now
	}
	c.Last = now
	c.Requests++
	for i := range r.Topics {
		name := r.Topics[i].Topic + string(r.Topics[i].TopicID[:])
		for _, p := range r.Topics[i].Partitions {
			for rest := p.Records; len(rest) >= header; {
				w.topics[name] += int(binary.BigEndian.Uint32(rest[countAt:]))
				rest = rest[min(len(rest), sizeAt+4+int(binary.BigEndian.Uint32(rest[sizeAt:]))):]
			}
		}
		c.Telemetry = max(c.Telemetry, w.topics[name])
	}
}

// farListener gives connections whose bytes arrive late, all of them alike: distance, not a narrow line.
type farListener struct {
	net.Listener
	delay time.Duration
}

func (l *farListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil || l.delay == 0 {
		return conn, err
	}
	late := &lateConn{Conn: conn, pieces: make(chan piece, 4096)}
	go late.fetch(l.delay)
	return late, nil
}

// lateConn is a connection from afar.
type lateConn struct {
	net.Conn
	pieces chan piece
	now    []byte
}

type piece struct {
	due   time.Time
	bytes []byte
}

func (c *lateConn) fetch(delay time.Duration) {
	defer close(c.pieces)
	for {
		b := make([]byte, 64<<10)
		n, err := c.Conn.Read(b)
		if err != nil {
			return
		}
		c.pieces <- piece{time.Now().Add(delay), b[:n]}
	}
}

func (c *lateConn) Read(b []byte) (int, error) {
	for len(c.now) == 0 {
		p, ok := <-c.pieces
		if !ok {
			return 0, io.EOF
		}
		time.Sleep(time.Until(p.due))
		c.now = p.bytes
	}
	n := copy(b, c.now)
	c.now = c.now[n:]
	return n, nil
}

// reading is what a sensor sends: the platform's telemetry. No two are alike.
func reading(device, number int, celsius float64, now time.Time) (topic string, payload []byte) {
	name := sensor(device)
	b := append(make([]byte, 0, 128), `{"deviceId":"`...)
	b = now.UTC().AppendFormat(append(append(b, name...), `","timestamp":"`...), "2006-01-02T15:04:05.000Z")
	b = strconv.AppendFloat(append(b, `","temperature":`...), celsius, 'f', 2, 64)
	b = strconv.AppendFloat(append(b, `,"humidity":`...), 40+float64(number%3000)/100, 'f', 2, 64)
	return "devices/" + name + "/telemetry", append(b, '}')
}

func sensor(device int) string { return fmt.Sprintf("greenhouse-sensor-%02d", device) }
