// Package mqtt reads and switches MQTT devices through a broker, on paho.golang's autopaho (MQTT v5; devices may speak any
// version). It knows the platform's topics and bodies and reads any other JSON by path. QoS 1 messages are acknowledged
// only when their owner says that they are kept; what is no use is acknowledged, counted by reason, and never a number.
//
// It is no broker, keeps nothing on disk, and does not decide whether a value is plausible or too old.
//
// Bounds: the broker may send Receive Maximum QoS 1 messages without an acknowledgement. Some send more (Mosquitto 2.0.11);
// up to twice as many are taken, then nothing is read until the owner makes room. When it does not within 3 s the connection
// is dropped and what was not taken comes again. QoS 0 messages beyond their bound are dropped. Both are counted, and
// waiting payloads never exceed 16 MiB.
package mqtt

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
	"github.com/eclipse/paho.golang/paho/session"

	"gacp-erp.internal/glasshouse/drivers"
)

// Driver is one broker with its devices. Methods are safe for any goroutine; Write is for one at a time.
type Driver struct {
	config   Config
	endpoint *url.URL
	table    *table
	ready    chan struct{}
	ackable  chan struct{}
	closing  chan struct{}
	began    sync.Once
	done     chan struct{} // closed when the goroutine that acknowledges has ended

	mu           sync.Mutex
	closed       bool
	manager      *autopaho.ConnectionManager
	stop         context.CancelFunc
	conn         *conn // the newest, maybe gone
	state        State
	ups          uint64
	downs        uint64
	waiter       *waiter
	inbox        []drivers.Reading
	waiting0     int // messages in the inbox, by QoS
	waiting1     int
	waitingBytes int
	delivery     drivers.Delivery // of the newest message in the inbox
	drained      drivers.Delivery
	acked        drivers.Delivery
	pending      []unacked
	due          []unacked // may be acknowledged, is not yet
	refusing     bool
	stamped      *ring[[16]byte]
	unstamped    *ring[arrival]
	messages     uint64
	readings     uint64
	dropped      uint64
	rejected     uint64
	overruns     uint64
	rejections   [reasons]Rejection
}

var (
	_ drivers.Driver = (*Driver)(nil)
	_ drivers.Pusher = (*Driver)(nil)
)

// waiter is a write that waits for its output to show the value.
type waiter struct {
	point drivers.PointID
	value float64
	shown chan struct{}
	// giveUp ends the write: the library would wait for the broker's answer for long after the connection has gone.
	giveUp context.CancelCauseFunc
}

// errGone is why a write was given up that may or may not have reached its device.
var errGone = errors.New("the connection to the broker has gone, and whether the device has the command is not known")

// New checks the configuration, all faults joined, and does no I/O. The first Ready, Drain or Write starts connecting,
// which is retried until Close.
func New(c Config) (*Driver, error) {
	c.defaults()
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("mqtt bus %q: %w", c.Name, err)
	}
	endpoint, err := c.endpoint()
	if err != nil {
		return nil, fmt.Errorf("mqtt bus %q: %w", c.Name, err)
	}
	d := &Driver{
		config: c, endpoint: endpoint, table: newTable(c.Devices),
		ready: make(chan struct{}, 1), ackable: make(chan struct{}, 1), closing: make(chan struct{}), done: make(chan struct{}),
		stamped: newRing[[16]byte](seenStamped), unstamped: newRing[arrival](2 * int(c.ReceiveMaximum)), /* all that can be unacknowledged */
		state: State{Since: time.Now()},
	}
	for i := range d.rejections {
		d.rejections[i].Reason = Reason(i)
	}
	return d, nil
}

// Requests is empty: devices speak first.
func (d *Driver) Requests() []drivers.Request { return nil }

// Read has nothing to read: ErrNoSuchPoint.
func (d *Driver) Read(_ context.Context, r drivers.Request, dst []drivers.Reading) ([]drivers.Reading, error) {
	return dst, fmt.Errorf("mqtt bus %q: reading %q: devices here speak first: %w", d.config.Name, r.Unit, drivers.ErrNoSuchPoint)
}

// Write publishes an output's command, QoS 1, and returns nil once a live message on its state topic shows v (0 or 1).
// Errors: ErrNoSuchPoint; ErrBus when there is no connection; ErrNotConfirmed when the state did not come in time. The
// command expires at the broker after the same time, so a device that comes back later is not switched by an old wish.
func (d *Driver) Write(ctx context.Context, p drivers.PointID, v float64) error {
	d.start()
	o := d.table.outputs[p]
	if o == nil {
		return fmt.Errorf("mqtt bus %q: writing %q: %w", d.config.Name, p, drivers.ErrNoSuchPoint)
	}
	payload := o.off
	switch v {
	case 0:
	case 1:
		payload = o.on
	default:
		return fmt.Errorf("mqtt bus %q: writing %g to %q: an output is 0 or 1: %w", d.config.Name, v, p, drivers.ErrUnit)
	}
	ctx, cancel := context.WithTimeout(ctx, d.config.WriteTimeout)
	defer cancel()
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	go func() { // Close ends a write in progress
		select {
		case <-d.closing:
			giveUp(errGone)
		case <-ctx.Done():
		}
	}()
	w := &waiter{point: p, value: v, shown: make(chan struct{}), giveUp: giveUp}
	d.mu.Lock()
	manager, connected := d.manager, d.state.Connected
	d.waiter = w
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		d.waiter = nil
		d.mu.Unlock()
	}()
	if manager == nil || !connected {
		return fmt.Errorf("mqtt bus %q: writing %q: no connection to the broker: %w", d.config.Name, p, drivers.ErrBus)
	}
	expiry := uint32(max(1, d.config.WriteTimeout/time.Second))
	_, err := manager.Publish(ctx, &paho.Publish{QoS: 1, Retain: o.Retain, Topic: o.CommandTopic, Payload: []byte(payload),
		Properties: &paho.PublishProperties{MessageExpiry: &expiry}})
	switch {
	case errors.Is(context.Cause(ctx), errGone), errors.Is(err, autopaho.ConnectionDownError), errors.Is(err, paho.ErrConnectionLost),
		errors.Is(err, session.ErrNoConnection):
		return fmt.Errorf("mqtt bus %q: writing %q: %w: %w", d.config.Name, p, errGone, drivers.ErrBus)
	case err != nil:
		return fmt.Errorf("mqtt bus %q: writing %q: %w: %w", d.config.Name, p, err, drivers.ErrNotConfirmed)
	}
	select {
	case <-w.shown:
		return nil
	case <-ctx.Done():
	}
	if errors.Is(context.Cause(ctx), errGone) {
		return fmt.Errorf("mqtt bus %q: writing %q: %w: %w", d.config.Name, p, errGone, drivers.ErrBus)
	}
	return fmt.Errorf("mqtt bus %q: %s did not show %s on %s: %w", d.config.Name, p, payload, o.StateTopic, drivers.ErrNotConfirmed)
}

// Link is nil while the broker has us connected and subscribed, else why not, as ErrBus.
func (d *Driver) Link() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.state.Connected:
		return nil
	case d.state.LastError == "":
		return fmt.Errorf("mqtt bus %q: not connected to %s yet: %w", d.config.Name, d.endpoint.Host, drivers.ErrBus)
	}
	return fmt.Errorf("mqtt bus %q: %s: %w", d.config.Name, d.state.LastError, drivers.ErrBus)
}

// State is the connection now.
func (d *Driver) State() State {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state
}

// Close ends the connection; the broker keeps our session. It takes a few seconds at most, also when the broker is stuck,
// and closes Ready. A second call does nothing.
func (d *Driver) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	d.state.Connected = false
	manager, stop := d.manager, d.stop
	close(d.closing)
	close(d.ready)
	d.mu.Unlock()
	if manager == nil {
		return nil
	}
	ended, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	err := manager.Disconnect(ended)
	stop()
	d.hangUp()
	if err != nil { // the goodbye did not get through; with the connection closed the rest ends soon
		select {
		case <-manager.Done():
		case <-time.After(2 * time.Second):
			return fmt.Errorf("mqtt bus %q: closing: the connection did not end in time: %w", d.config.Name, err)
		}
	}
	select {
	case <-d.done:
	case <-time.After(2 * time.Second):
		return fmt.Errorf("mqtt bus %q: closing: acknowledging did not end in time", d.config.Name)
	}
	return nil
}
