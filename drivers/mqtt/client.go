package mqtt

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
)

const (
	dialTimeout  = 10 * time.Second
	writeTimeout = 10 * time.Second // of one packet: a broker that does not read is gone
	ackInterval  = 5 * time.Millisecond
	ackPause     = time.Millisecond // for acknowledgements to leave together
	ackBytes     = 4 << 10          // that do at most
	perSubscribe = 32               // filters in one SUBSCRIBE

	retainedAlways = 0 // MQTT's retain handling: send what is retained with each subscription,
	retainedIfNew  = 1 // or only when the broker has no such subscription yet
)

// start begins connecting, once.
func (d *Driver) start() {
	d.began.Do(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.closed {
			return
		}
		ctx, stop := context.WithCancel(context.Background())
		d.stop = stop
		manager, err := autopaho.NewConnection(ctx, d.clientConfig())
		if err != nil { // only for a configuration without an address, which New refuses
			stop()
			d.state.LastError = err.Error()
			return
		}
		d.manager = manager
		go d.acknowledge()
	})
}

// clientConfig tells the library what we want.
func (d *Driver) clientConfig() autopaho.ClientConfig {
	return autopaho.ClientConfig{
		ServerUrls:            []*url.URL{d.endpoint},
		KeepAlive:             uint16(min(max(1, d.config.KeepAlive/time.Second), 65535)),
		SessionExpiryInterval: uint32(min(d.config.SessionExpiry/time.Second, 1<<32-1)),
		ConnectTimeout:        dialTimeout,
		ReconnectBackoff:      d.backoff,
		AttemptConnection: func(ctx context.Context, _ autopaho.ClientConfig, _ *url.URL) (net.Conn, error) {
			return d.dial(ctx)
		},
		ConnectUsername:      d.config.Username,
		ConnectPassword:      []byte(d.config.Password),
		ConnectPacketBuilder: d.connectPacket,
		OnConnectionUp: func(m *autopaho.ConnectionManager, _ *paho.Connack) {
			d.mu.Lock()
			defer d.mu.Unlock()
			go d.subscribe(m, d.downs)
		},
		OnConnectionDown: func() bool {
			d.hungUp(time.Now())
			return true
		},
		OnConnectError: d.connectError,
		ClientConfig: paho.ClientConfig{
			ClientID:                   d.config.ClientID,
			EnableManualAcknowledgment: true,
			SendAcksInterval:           ackInterval,
			OnPublishReceived:          []func(paho.PublishReceived) (bool, error){d.published},
			OnClientError:              func(err error) { d.lost(fmt.Sprintf("connection lost: %v", err)) },
			OnServerDisconnect: func(p *paho.Disconnect) {
				d.lost(fmt.Sprintf("the broker hung up (reason 0x%02x%s)", p.ReasonCode, hint(p.ReasonCode)))
			},
		},
	}
}

// connectPacket adds what autopaho has no field for.
func (d *Driver) connectPacket(p *paho.Connect, _ *url.URL) (*paho.Connect, error) {
	if p.Properties == nil {
		p.Properties = &paho.ConnectProperties{}
	}
	receive, packet := d.config.ReceiveMaximum, uint32(maxPacket)
	p.Properties.ReceiveMaximum, p.Properties.MaximumPacketSize = &receive, &packet
	p.CleanStart = false
	return p, nil
}

// published is called by the library's goroutine for each message.
func (d *Driver) published(p paho.PublishReceived) (bool, error) {
	in := &incoming{topic: p.Packet.Topic, payload: p.Packet.Payload, qos: p.Packet.QoS, retained: p.Packet.Retain,
		dup: p.Packet.Duplicate(), packetID: p.Packet.PacketID, at: time.Now()}
	if !d.receive(in, p.Client) {
		d.lost("more messages are waiting than the broker may send; reconnecting so that they come again")
		d.hangUp()
	}
	return true, nil
}

// acknowledge sends what is due until Close.
func (d *Driver) acknowledge() {
	defer close(d.done)
	for {
		select {
		case <-d.ackable:
			d.sendAcks()
		case <-d.closing:
			return
		}
	}
}

// subscribe asks for all we want, at each connection: a broker that lost our session must not leave us deaf.
// The connection may be gone again meanwhile: then downs has changed and it is not ours to call connected. Retained messages
// are wanted once: sent again at each reconnect they would turn points Bad whose live values are good.
func (d *Driver) subscribe(m *autopaho.ConnectionManager, downs uint64) {
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	filters, retained := d.table.filters, byte(retainedAlways)
	d.mu.Lock()
	if d.ups > 0 {
		retained = retainedIfNew
	}
	d.mu.Unlock()
	for len(filters) > 0 {
		batch := filters[:min(perSubscribe, len(filters))]
		filters = filters[len(batch):]
		request := &paho.Subscribe{}
		for _, f := range batch {
			request.Subscriptions = append(request.Subscriptions, paho.SubscribeOptions{Topic: f, QoS: 1, RetainHandling: retained})
		}
		answer, err := m.Subscribe(ctx, request)
		if err == nil {
			continue
		}
		text := fmt.Sprintf("subscribing: %v", err)
		if answer != nil {
			for i, code := range answer.Reasons {
				if code >= 0x80 && i < len(batch) {
					text = fmt.Sprintf("the broker refused the subscription to %s (reason 0x%02x); give the user %q the right to read it",
						batch[i], code, d.config.Username)
				}
			}
		}
		d.lost(text)
		if answer == nil {
			d.hangUp() // and try again
			return
		}
	}
	d.mu.Lock()
	if d.closed || d.downs != downs {
		d.mu.Unlock()
		return
	}
	if d.ups++; d.ups > 1 {
		d.state.Reconnects++
	}
	d.state.Connected, d.state.Since = true, time.Now()
	d.mu.Unlock()
	d.config.Log.Info("connected to the broker", "bus", d.config.Name, "endpoint", d.endpoint.Host, "subscriptions", len(d.table.filters))
}

// backoff is the time before attempt n of a connection: none for the first ever, then from half a second to 30 s. Never
// none again: another client with our id would hang us up as often as we connect.
func (d *Driver) backoff(n int) time.Duration {
	d.mu.Lock()
	first := n == 0 && d.conn == nil
	d.mu.Unlock()
	if first {
		return 0
	}
	wait := min(500*time.Millisecond<<min(n, 10), 30*time.Second)
	return wait*3/4 + time.Duration(rand.Int64N(int64(wait/2)))
}

// lost notes an error in words; the same one again is not logged again.
func (d *Driver) lost(text string) {
	d.mu.Lock()
	repeated := d.state.LastError == text || d.closed
	if !d.closed {
		d.state.LastError = text
	}
	d.mu.Unlock()
	if !repeated {
		d.config.Log.Warn("mqtt connection", "bus", d.config.Name, "endpoint", d.endpoint.Host, "error", text)
	}
}

// connectError says why an attempt failed and what to do.
func (d *Driver) connectError(err error) {
	d.mu.Lock()
	c := d.conn
	d.mu.Unlock()
	var refused *autopaho.ConnackError
	switch {
	case c != nil && c.oldProtocol():
		d.lost("the broker speaks MQTT 3 only (it refused protocol version 5); use one that speaks version 5, such as Mosquitto 2")
	case errors.As(err, &refused):
		d.lost(fmt.Sprintf("the broker refused the connection (reason 0x%02x%s)", refused.ReasonCode, hint(refused.ReasonCode)))
	default:
		d.lost(fmt.Sprintf("connecting to %s: %v", d.endpoint.Host, err))
	}
}

// hint puts MQTT v5 reason codes into words.
func hint(code byte) string {
	switch code {
	case 0x84:
		return ": it does not speak MQTT version 5"
	case 0x85:
		return ": it does not like the client id"
	case 0x86:
		return ": user name or password is wrong"
	case 0x87:
		return ": this user may not connect; check user name, password and the broker's access rules"
	case 0x8a:
		return ": we are banned"
	case 0x8b:
		return ": it is shutting down"
	case 0x8e:
		return ": another client connected with our client id; each needs its own"
	case 0x95:
		return ": a packet was too large"
	case 0x97:
		return ": its quota is exceeded"
	}
	return ""
}

// dial opens the network connection, in at most dialTimeout.
func (d *Driver) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var raw net.Conn
	var err error
	if d.config.Dial != nil {
		raw, err = d.config.Dial(ctx)
	} else {
		raw, err = new(net.Dialer).DialContext(ctx, "tcp", d.endpoint.Host)
	}
	if err == nil && d.endpoint.Scheme == "mqtts" {
		raw, err = secure(ctx, raw, d.config.TLS, d.endpoint.Hostname())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conn = &conn{Conn: raw}
	if err != nil {
		return nil, err
	}
	if d.closed {
		return nil, errors.Join(net.ErrClosed, raw.Close())
	}
	d.conn.reader = bufio.NewReaderSize(raw, 16<<10)
	return d.conn, nil
}

// secure does the TLS handshake.
func secure(ctx context.Context, raw net.Conn, config *tls.Config, host string) (net.Conn, error) {
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if config.ServerName == "" {
		config = config.Clone()
		config.ServerName = host
	}
	c := tls.Client(raw, config)
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("tls handshake: %w", err), raw.Close())
	}
	return c, nil
}

// hangUp closes the newest connection; the library then makes a new one unless Close was called.
func (d *Driver) hangUp() {
	d.mu.Lock()
	c := d.conn
	d.mu.Unlock()
	if c != nil && c.Conn != nil {
		_ = c.Close()
	}
}

// conn reads through a buffer (the library asks for single bytes), sends a packet in one write and acknowledgements many in
// one, bounds how long that may take, and remembers the broker's first bytes. The library holds it as a sync.Locker around
// the writes of each packet.
type conn struct {
	net.Conn
	reader *bufio.Reader

	writing sync.Mutex
	out     []byte      // not sent yet
	packet  int         // where in it the newest packet begins
	later   *time.Timer // sends acknowledgements that nothing else takes along; nil until there was one
	waiting bool        // later runs

	reading sync.Mutex
	first   []byte
}

// Read is called by one goroutine.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.reader.Read(p)
	c.reading.Lock()
	if missing := 4 - len(c.first); missing > 0 {
		c.first = append(c.first, p[:min(missing, n)]...)
	}
	c.reading.Unlock()
	return n, err
}

// Lock begins a packet.
func (c *conn) Lock() {
	c.writing.Lock()
	c.packet = len(c.out)
}

// Write adds to the packet; Unlock sends it.
func (c *conn) Write(p []byte) (int, error) {
	c.out = append(c.out, p...)
	return len(p), nil
}

// Unlock sends the packet and what waits before it. An acknowledgement waits a moment for others: with a system call for
// each they would cost as much as everything else that is done for a message.
func (c *conn) Unlock() {
	defer c.writing.Unlock()
	const puback = 0x40
	if c.packet == len(c.out) || c.out[c.packet] != puback || len(c.out) >= ackBytes {
		c.send()
		return
	}
	switch {
	case c.waiting:
	case c.later == nil:
		c.later = time.AfterFunc(ackPause, c.sendLater)
	default:
		c.later.Reset(ackPause)
	}
	c.waiting = true
}

func (c *conn) sendLater() {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.waiting = false
	c.send()
}

// send writes what waits. When it cannot, the connection is closed, which the reader notices. The mutex is held.
func (c *conn) send() {
	if len(c.out) == 0 {
		return
	}
	err := c.SetWriteDeadline(time.Now().Add(writeTimeout))
	if err == nil {
		_, err = c.Conn.Write(c.out)
	}
	c.out = c.out[:0]
	if err != nil {
		_ = c.Close()
	}
}

// oldProtocol says whether the broker answered as MQTT 3 does to a version it does not know: a CONNACK of two bytes, code 1.
func (c *conn) oldProtocol() bool {
	c.reading.Lock()
	defer c.reading.Unlock()
	b := c.first
	return len(b) == 4 && b[0] == 0x20 && b[1] == 2 && b[3] == 1
}
