package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
)

// broker is the embedded MQTT broker: open to every client on its address, without memory of earlier runs.
type broker struct {
	server *mqtt.Server
	door   *door
}

// newBroker opens the broker's door; ":0" takes a free port.
func newBroker(address string) (*broker, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("mqtt broker: %w; choose another address with --mqtt-listen", err)
	}
	capabilities := mqtt.NewDefaultServerCapabilities()
	capabilities.MaximumInflight = 65535 // it drops QoS 1 messages beyond without a word
	b := &broker{
		server: mqtt.New(&mqtt.Options{InlineClient: true, Capabilities: capabilities, Logger: slog.New(slog.DiscardHandler)}),
		door:   &door{listener: listener, guests: map[net.Conn]struct{}{}},
	}
	err = errors.Join(b.server.AddHook(new(auth.AllowHook), nil), b.server.AddListener(b.door))
	if err == nil {
		err = b.server.Serve()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("mqtt broker: %w", err), listener.Close())
	}
	return b, nil
}

// address is host:port.
func (b *broker) address() string { return b.door.Address() }

// publish hands a message to all subscribers, QoS 1, not retained.
func (b *broker) publish(topic string, payload []byte) error {
	return b.server.Publish(topic, payload, false, 1)
}

// close hangs up on everybody and ends the broker, at most a few seconds later.
func (b *broker) close() error {
	b.door.Close(nil)
	ended := make(chan error, 1)
	go func() { ended <- b.server.Close() }()
	select {
	case err := <-ended:
		return err
	case <-time.After(5 * time.Second):
		return errors.New("mqtt broker: did not end in 5 s")
	}
}

// door is the broker's listener. The library's own hangs up on clients through a read lock taken inside a read lock; a
// client that leaves in between waits for the write lock, and neither ever ends. So the door knows its guests and shows
// them out itself, and the library is not asked to.
type door struct {
	listener net.Listener
	mu       sync.Mutex
	closed   bool
	guests   map[net.Conn]struct{}
	serving  sync.WaitGroup
}

var _ listeners.Listener = (*door)(nil)

// Init has nothing to do: the listener is open.
func (d *door) Init(*slog.Logger) error { return nil }

// ID names the door within the broker.
func (d *door) ID() string { return "door" }

// Address is host:port.
func (d *door) Address() string { return d.listener.Addr().String() }

// Protocol is tcp.
func (d *door) Protocol() string { return "tcp" }

// Serve lets guests in until Close.
func (d *door) Serve(establish listeners.EstablishFn) {
	for {
		conn, err := d.listener.Accept()
		if err != nil {
			return
		}
		if !d.enter(conn) {
			conn.Close()
			return
		}
		go func() {
			defer d.serving.Done()
			defer d.leave(conn)
			_ = establish(d.ID(), conn) // how a guest left is its own affair
		}()
	}
}

// enter notes a guest; false once the door is closed.
func (d *door) enter(conn net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	d.guests[conn] = struct{}{}
	d.serving.Add(1)
	return true
}

func (d *door) leave(conn net.Conn) {
	conn.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.guests, conn)
}

// Close shows everybody out and waits until they have left, at most three seconds. The broker's own way is not used.
func (d *door) Close(listeners.CloseFn) {
	d.mu.Lock()
	d.closed = true
	for conn := range d.guests {
		conn.Close()
	}
	d.mu.Unlock()
	d.listener.Close()
	left, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	go func() {
		d.serving.Wait()
		cancel()
	}()
	<-left.Done()
}
