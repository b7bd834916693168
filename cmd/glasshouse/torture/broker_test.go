package torture

import (
	"bufio"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/eclipse/paho.golang/packets"
)

const mostAtOnce = 256 // messages that are written together

// broker is an MQTT broker with one client, whose session outlives its connections. It is written by hand for what matters
// here and embedded brokers do not have: what was not acknowledged comes again in the order in which it was published, and
// somebody knows of every acknowledgement.
type broker struct {
	listener net.Listener
	acked    func(*message) // told of each acknowledgement, with the mutex held
	serving  sync.WaitGroup

	mu     sync.Mutex
	change *sync.Cond // queue, flight, line or away has changed
	queue  []*message // QoS 1, not acknowledged, in the order of publishing
	flight int        // how many of them were sent on this line
	loose  []*message // QoS 0, not sent
	limit  int        // the client's Receive Maximum
	lastID uint16
	line   *line // nil: nobody is connected
	away   bool
	deaf   bool // acknowledgements get lost
	closed bool
	sent   uint64 // publications, of both QoS, also those that came again
}

// message is one publication. A QoS 1 message that was sent before says so when it comes again.
type message struct {
	topic   string
	payload []byte
	qos     byte
	number  int
	id      uint16
	before  bool
}

// line is one connection; its writers take turns.
type line struct {
	net.Conn
	mu  sync.Mutex
	out *bufio.Writer
}

func newBroker(t *testing.T, acked func(*message)) *broker {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &broker{listener: listener, acked: acked}
	b.change = sync.NewCond(&b.mu)
	b.serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			b.serving.Go(func() { b.serve(&line{Conn: conn, out: bufio.NewWriterSize(conn, 32<<10)}) })
		}
	})
	t.Cleanup(b.close)
	return b
}

func (b *broker) address() string { return b.listener.Addr().String() }

func (b *broker) close() {
	b.listener.Close()
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.leave(true)
	b.serving.Wait()
}

// leave hangs up and lets nobody in, or opens the door again.
func (b *broker) leave(away bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.away = away
	if away && b.line != nil {
		b.line.Close()
	}
	b.change.Broadcast()
}

// hear says whether acknowledgements arrive, or are lost as on a line that is about to break.
func (b *broker) hear(well bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.deaf = !well
}

// publish hands a message to the client's session. QoS 0 is dropped while nobody is connected.
func (b *broker) publish(m *message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if m.qos > 0 {
		b.queue = append(b.queue, m)
	} else if b.line != nil {
		b.loose = append(b.loose, m)
	}
	b.change.Broadcast()
}

// waiting is how many messages are not acknowledged.
func (b *broker) waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queue)
}

// quiet waits until nobody is connected: then no acknowledgement is on its way any more.
func (b *broker) quiet() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.line != nil {
		b.change.Wait()
	}
}

// serve speaks with one client until it leaves.
func (b *broker) serve(l *line) {
	defer l.Close()
	in := bufio.NewReader(l)
	hello, err := packets.ReadPacket(in)
	if err != nil || !b.enter(l, hello) {
		return
	}
	defer b.exit(l)
	if l.send(&packets.Connack{Properties: &packets.Properties{}, SessionPresent: true}) != nil {
		return
	}
	b.serving.Go(func() { b.deliver(l) })
	for {
		p, err := packets.ReadPacket(in)
		if err != nil || b.answer(l, p) != nil || p.Type == packets.DISCONNECT {
			return
		}
	}
}

func (b *broker) answer(l *line, p *packets.ControlPacket) error {
	switch c := p.Content.(type) {
	case *packets.Subscribe:
		return l.send(&packets.Suback{PacketID: c.PacketID, Properties: &packets.Properties{}, Reasons: slices.Repeat([]byte{1}, len(c.Subscriptions))})
	case *packets.Puback:
		b.acknowledge(l, c.PacketID)
	case *packets.Pingreq:
		return l.send(&packets.Pingresp{})
	}
	return nil
}

// enter gives the session to a line that said hello.
func (b *broker) enter(l *line, hello *packets.ControlPacket) bool {
	connect, ok := hello.Content.(*packets.Connect)
	b.mu.Lock()
	defer b.mu.Unlock()
	if !ok || b.away || b.closed {
		return false
	}
	if b.line != nil {
		b.line.Close()
	}
	b.line, b.flight, b.limit = l, 0, 65535
	if r := connect.Properties.ReceiveMaximum; r != nil {
		b.limit = int(*r)
	}
	return true
}

func (b *broker) exit(l *line) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.line == l {
		b.line, b.loose = nil, nil
	}
	b.change.Broadcast()
}

// deliver sends what waits for as long as the line is the session's.
func (b *broker) deliver(l *line) {
	for {
		batch, dups := b.next(l)
		if batch == nil {
			return
		}
		l.mu.Lock()
		var err error
		for i, m := range batch {
			p := packets.Publish{Topic: m.topic, Payload: m.payload, QoS: m.qos, PacketID: m.id, Duplicate: dups[i], Properties: &packets.Properties{}}
			if _, err = p.WriteTo(l.out); err != nil {
				break
			}
		}
		if err == nil {
			err = l.out.Flush()
		}
		l.mu.Unlock()
		if err != nil {
			l.Close()
			return
		}
	}
}

// next waits for messages that may be sent; nil when the line is not the session's any more.
func (b *broker) next(l *line) (batch []*message, dups []bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.line == l && len(b.loose) == 0 && (b.flight >= len(b.queue) || b.flight >= b.limit) {
		b.change.Wait()
	}
	if b.line != l {
		return nil, nil
	}
	batch, b.loose = b.loose, nil
	dups = make([]bool, len(batch))
	for len(batch) < mostAtOnce && b.flight < len(b.queue) && b.flight < b.limit {
		m := b.queue[b.flight]
		b.flight++
		if !m.before {
			if b.lastID++; b.lastID == 0 {
				b.lastID = 1
			}
			m.id = b.lastID
		}
		batch, dups = append(batch, m), append(dups, m.before)
		m.before = true
	}
	b.sent += uint64(len(batch))
	return batch, dups
}

// acknowledge lets go of a message.
func (b *broker) acknowledge(l *line, id uint16) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.line != l || b.deaf {
		return
	}
	for i, m := range b.queue[:b.flight] {
		if m.id != id {
			continue
		}
		b.acked(m)
		if i == 0 {
			b.queue = b.queue[1:]
		} else {
			b.queue = slices.Delete(b.queue, i, i+1)
		}
		b.flight--
		b.change.Broadcast()
		return
	}
}

// send sends one packet.
func (l *line) send(p packets.Packet) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := p.WriteTo(l.out); err != nil {
		return err
	}
	return l.out.Flush()
}
