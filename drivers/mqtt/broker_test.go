package mqtt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"gacp-erp.internal/glasshouse/drivers"
)

// broker is an embedded one. Its own listeners hang up on clients through a read lock within a read lock, which can wait
// for ever; so it gets a door that knows the connections, and its Close is never called.
type broker struct {
	*mochi.Server
	listener net.Listener
	mu       sync.Mutex
	guests   map[net.Conn]struct{}
	closed   bool
}

func newBroker(t *testing.T) *broker {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &broker{listener: listener, guests: map[net.Conn]struct{}{},
		Server: mochi.New(&mochi.Options{InlineClient: true, Logger: slog.New(slog.DiscardHandler)})}
	if err := errors.Join(b.AddHook(new(auth.AllowHook), nil), b.AddListener(b), b.Server.Serve()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.stop)
	return b
}

func (b *broker) Init(*slog.Logger) error                { return nil }
func (b *broker) ID() string                             { return "door" }
func (b *broker) Address() string                        { return b.listener.Addr().String() }
func (b *broker) Protocol() string                       { return "tcp" }
func (b *broker) Close(listeners.CloseFn)                {}
func (b *broker) dial(context.Context) (net.Conn, error) { return net.Dial("tcp", b.Address()) }

func (b *broker) Serve(establish listeners.EstablishFn) {
	for {
		c, err := b.listener.Accept()
		if err != nil {
			return
		}
		b.mu.Lock()
		b.guests[c] = struct{}{}
		if b.closed {
			c.Close()
		}
		b.mu.Unlock()
		go func() {
			_ = establish("door", c)
			c.Close()
			b.mu.Lock()
			defer b.mu.Unlock()
			delete(b.guests, c)
		}()
	}
}

// cut hangs up on everybody.
func (b *broker) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.guests {
		c.Close()
	}
}

func (b *broker) stop() {
	b.listener.Close()
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.cut()
}

func (b *broker) send(t *testing.T, topic string, payload []byte, retain bool) {
	t.Helper()
	if err := b.Publish(topic, payload, retain, 1); err != nil {
		t.Fatal(err)
	}
}

// connected is a driver that has subscribed.
func connected(t *testing.T, c Config) *Driver {
	t.Helper()
	d, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	d.Ready()
	until(t, "connected", func() bool { return d.State().Connected })
	return d
}

// until waits for something that must come.
func until(t *testing.T, what string, come func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !come(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain for: " + what)
		}
	}
}

// drain waits for n readings.
func drain(t *testing.T, d *Driver, n int) ([]drivers.Reading, drivers.Delivery) {
	t.Helper()
	var got []drivers.Reading
	var delivery drivers.Delivery
	until(t, fmt.Sprintf("%d readings", n), func() bool {
		got, delivery = d.Drain(got)
		return len(got) >= n
	})
	return got, delivery
}

func TestUnacknowledgedComesAgain(t *testing.T) {
	b := newBroker(t)
	c := plant()
	c.Dial = b.dial
	first := connected(t, c)
	for n := range 5 {
		b.send(t, telemetry, stamped(n, 0).payload, false)
	}
	before, _ := drain(t, first, 5)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := connected(t, c) // a new process: it knows nothing
	after, delivery := drain(t, second, 5)
	ids := map[[16]byte]bool{}
	for _, r := range before {
		ids[r.Message.ID] = true
	}
	for _, r := range after {
		if !ids[r.Message.ID] {
			t.Errorf("%s at %s has another id now", r.Point, r.At)
		}
	}
	if len(ids) != 5 || len(after) != 5 {
		t.Fatalf("%d ids, %d readings", len(ids), len(after))
	}
	// The same process, another connection: recognised. The broker may send a copy twice.
	b.cut()
	until(t, "duplicates", func() bool { return counted(second, Duplicate) >= 5 })
	until(t, "reconnected", func() bool { return second.State().Connected })
	second.Ack(delivery)
	until(t, "acknowledged", func() bool {
		client, ok := b.Clients.Get("gh-1")
		return ok && client.State.Inflight.Len() == 0
	})
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	third := connected(t, c)
	b.send(t, telemetry, stamped(9, 0).payload, false)
	if last, _ := drain(t, third, 1); len(last) != 1 || last[0].Value != 9 {
		t.Errorf("what was acknowledged came again: %s", text(last))
	}
}

// The broker here forgets a message that it held back as soon as it sends it, so its quota does not grow again by that
// message's acknowledgement: twice the Receive Maximum is all it can be asked for.
func TestReceiveMaximumHoldsTheBrokerBack(t *testing.T) {
	b := newBroker(t)
	c := plant()
	c.Dial, c.ReceiveMaximum = b.dial, 4
	d := connected(t, c)
	for n := range 8 {
		b.send(t, telemetry, stamped(n, 0).payload, false)
	}
	got, delivery := drain(t, d, 4)
	if len(got) != 4 {
		t.Errorf("%d came without an acknowledgement", len(got))
	}
	d.Ack(delivery)
	more, _ := drain(t, d, 4)
	seen := map[float64]bool{}
	for _, r := range append(got, more...) {
		seen[r.Value] = true
	}
	if len(seen) != 8 {
		t.Errorf("%s then %s", text(got), text(more))
	}
}

func TestResubscribesWhereTheSessionIsLost(t *testing.T) {
	old, fresh := newBroker(t), newBroker(t)
	var mu sync.Mutex
	current := old
	c := plant()
	c.Dial = func(ctx context.Context) (net.Conn, error) {
		mu.Lock()
		defer mu.Unlock()
		return current.dial(ctx)
	}
	d := connected(t, c)
	mu.Lock()
	current = fresh
	mu.Unlock()
	old.stop()
	until(t, "reconnected", func() bool { s := d.State(); return s.Connected && s.Reconnects == 1 })
	fresh.send(t, telemetry, stamped(3, 0).payload, false)
	if got, _ := drain(t, d, 1); got[0].Value != 3 {
		t.Errorf("%s", text(got))
	}
}

func TestLastWillAndRetained(t *testing.T) {
	b := newBroker(t)
	b.send(t, "plug/lux", []byte("5"), true)
	c := plant()
	c.Dial = b.dial
	d := connected(t, c)
	if got, _ := drain(t, d, 1); text(got[:1]) != "plug.lux bad (stale) @"+got[0].At.UTC().Format(time.RFC3339Nano) || !got[0].Message.Retained {
		t.Errorf("%s", text(got))
	}
	device := older(t, b, "veg1-climate", "users/u1/devices/veg1-climate/status", `{"status":"offline"}`)
	device.Close()
	got, _ := drain(t, d, 1)
	if m := got[0].Message; m.Kind != drivers.Status || m.Device != "veg1-climate" || string(m.Raw) != `{"status":"offline"}` || !errors.Is(got[0].Err, ErrNoValue) {
		t.Errorf("%+v", m)
	}
}

// olderClient is a device that speaks MQTT 3.1.1, written by hand: paho.golang cannot.
type olderClient struct {
	net.Conn
	t *testing.T
}

// older connects with a clean session and a retained will of QoS 1, as the platform's devices do.
func older(t *testing.T, b *broker, id, willTopic, will string) *olderClient {
	t.Helper()
	c, err := b.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	device := &olderClient{c, t}
	device.say(0x10, field("MQTT")+"\x04\x2e\x00\x3c"+field(id)+field(willTopic)+field(will), 4)
	return device
}

// field is a string as MQTT has it.
func field(s string) string { return string([]byte{byte(len(s) >> 8), byte(len(s))}) + s }

// say sends a packet and waits for an answer of so many bytes.
func (c *olderClient) say(kind byte, packet string, answer int) {
	c.t.Helper()
	length := []byte{byte(len(packet))}
	if len(packet) > 127 {
		length = []byte{byte(len(packet)) | 0x80, byte(len(packet) >> 7)}
	}
	if _, err := io.WriteString(c, string(kind)+string(length)+packet); err != nil {
		c.t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, answer)); err != nil {
		c.t.Fatal(err)
	}
}

func TestDevicesOfTheOlderVersion(t *testing.T) {
	b := newBroker(t)
	c := plant()
	c.Dial = b.dial
	d := connected(t, c)
	device := older(t, b, "veg1-climate", "users/u1/devices/veg1-climate/status", `{"status":"offline"}`)
	device.say(0x30, field(telemetry)+`{"temperature":20}`, 0)                                               // QoS 0
	device.say(0x32, field(telemetry)+"\x00\x01"+`{"deviceId":"veg1-climate","sensors":{"humidity":61}}`, 4) // QoS 1
	device.say(0x33, field("devices/veg1-climate/telemetry")+"\x00\x02"+`{"temp":21,"custom":{"more":"`+strings.Repeat("x", 100)+`"}}`, 4)
	got, delivery := drain(t, d, 3)
	for i, want := range []struct {
		point drivers.PointID
		value float64
		qos   byte
	}{{"veg1-climate.temperature", 20, 0}, {"veg1-climate.humidity", 61, 1}, {"veg1-climate.temperature", 21, 1}} {
		r := got[i]
		if r.Point != want.point || r.Value != want.value || r.Quality != drivers.Good || r.Message.QoS != want.qos || r.Message.Retained {
			t.Errorf("%d: %+v of %+v", i, r, r.Message)
		}
	}
	d.Ack(delivery)
	until(t, "acknowledged", func() bool {
		client, ok := b.Clients.Get("gh-1")
		return ok && client.State.Inflight.Len() == 0
	})
}

// Retained values are taken once; after a reconnect they must not turn points Bad whose live values are good.
func TestRetainedDoesNotComeAgain(t *testing.T) {
	b := newBroker(t)
	b.send(t, "plug/lux", []byte("5"), true)
	c := plant()
	c.Dial = b.dial
	d := connected(t, c)
	drain(t, d, 1)
	b.send(t, "plug/lux", []byte("6"), true) // live to us, retained for others
	if got, _ := drain(t, d, 1); got[0].Quality != drivers.Good || got[0].Value != 6 {
		t.Errorf("%s", text(got))
	}
	for n := range uint64(3) {
		b.cut()
		until(t, "reconnected", func() bool { s := d.State(); return s.Connected && s.Reconnects == n+1 })
	}
	b.send(t, telemetry, stamped(1, 0).payload, false)
	until(t, "live again", func() bool {
		got, _ := d.Drain(nil)
		for _, r := range got {
			if r.Point == "plug.lux" && r.Quality != drivers.Good {
				t.Errorf("%s", text(got))
			}
		}
		return len(got) > 0 && got[len(got)-1].Point == "veg1-climate.temperature"
	})
}

func TestWrite(t *testing.T) {
	b := newBroker(t)
	c := plant()
	c.Dial, c.WriteTimeout = b.dial, 30*time.Second
	d := connected(t, c)
	commands := make(chan string, 10)
	if err := b.Subscribe("cmnd/plug/POWER", 1, func(_ *mochi.Client, _ packets.Subscription, p packets.Packet) {
		commands <- string(p.Payload)
	}); err != nil {
		t.Fatal(err)
	}
	go func() {
		for state := range commands {
			_ = b.Publish("stat/plug/POWER", []byte(state), false, 1)
		}
	}()
	for _, v := range []float64{1, 0} {
		if err := d.Write(t.Context(), "plug.relay", v); err != nil {
			t.Errorf("writing %g: %v", v, err)
		}
		if got, _ := drain(t, d, 1); got[0].Point != "plug.relay" || got[0].Value != v {
			t.Errorf("%s", text(got))
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := d.Write(ctx, "plug.fan", 1); !errors.Is(err, drivers.ErrNotConfirmed) {
		t.Errorf("a silent device: %v", err)
	}
	if err := d.Write(t.Context(), "plug.power", 1); !errors.Is(err, drivers.ErrNoSuchPoint) {
		t.Errorf("a sensor: %v", err)
	}
	if err := d.Write(t.Context(), "plug.relay", 0.5); !errors.Is(err, drivers.ErrUnit) {
		t.Errorf("half on: %v", err)
	}
	b.stop()
	until(t, "gone", func() bool { return !d.State().Connected })
	if err := d.Write(t.Context(), "plug.relay", 1); !errors.Is(err, drivers.ErrBus) {
		t.Errorf("no broker: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- d.Close() }()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// answering is a peer that answers CONNECT with fixed bytes.
func answering(t *testing.T, bytes string) func(context.Context) (net.Conn, error) {
	return func(context.Context) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer theirs.Close()
			_, _ = theirs.Read(make([]byte, 4096))
			_, _ = io.WriteString(theirs, bytes)
		}()
		return ours, nil
	}
}

func TestRefusalsInWords(t *testing.T) {
	for name, test := range map[string]struct{ answer, want string }{
		"old broker":     {"\x20\x02\x00\x01", "MQTT 3 only"},
		"wrong password": {"\x20\x03\x00\x86\x00", "user name or password is wrong"},
		"not authorised": {"\x20\x03\x00\x87\x00", "may not connect"},
	} {
		t.Run(name, func(t *testing.T) {
			c := plant()
			c.Username, c.Password, c.Dial = "gh", "hidden", answering(t, test.answer)
			d, err := New(c)
			if err != nil {
				t.Fatal(err)
			}
			d.Ready()
			until(t, test.want, func() bool { return strings.Contains(d.State().LastError, test.want) })
			if s := d.State(); s.Connected || strings.Contains(s.LastError, "hidden") {
				t.Errorf("%+v", s)
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestCloseWithAStuckBroker(t *testing.T) {
	c := plant()
	theirs := make(chan net.Conn, 100)
	c.Dial = func(context.Context) (net.Conn, error) {
		a, b := net.Pipe() // nobody reads the other end
		theirs <- b
		return a, nil
	}
	d, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	d.Ready()
	<-theirs
	ended := make(chan error, 1)
	go func() { ended <- d.Close() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(60 * time.Second):
		t.Fatal("Close hangs")
	}
}
