package benchmarks

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
)

// line is a device's connection to the broker: as little of MQTT 3.1.1 as it takes, so that a device costs next to nothing.
// Reading is for one goroutine and writing for another.
type line struct {
	net.Conn
	in  *bufio.Reader
	out *bufio.Writer
}

// Kinds of packets, in the upper half of the first byte.
const (
	connectPacket   = 1
	connackPacket   = 2
	publishPacket   = 3
	pubackPacket    = 4
	subscribePacket = 8
	subackPacket    = 9
	pingPacket      = 12
	pongPacket      = 13
)

// connect opens a connection with a clean session that never has to say that it is alive.
func connect(address, client string) (*line, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	l := &line{conn, bufio.NewReaderSize(conn, 64<<10), bufio.NewWriterSize(conn, 64<<10)}
	hello := append(text(nil, "MQTT"), 4, 2, 0, 0)
	l.packet(connectPacket<<4, text(hello, client))
	if err := l.expect(connackPacket); err != nil {
		conn.Close()
		return nil, fmt.Errorf("connecting %s to the broker: %w", client, err)
	}
	return l, nil
}

// subscribe asks for a topic, QoS 0.
func (l *line) subscribe(filter string) error {
	l.packet(subscribePacket<<4|2, append(text([]byte{0, 1}, filter), 0))
	return l.expect(subackPacket)
}

// expect sends what is buffered and reads a packet of a kind.
func (l *line) expect(kind byte) error {
	if err := l.out.Flush(); err != nil {
		return err
	}
	got, _, err := l.read(nil)
	if err == nil && got>>4 != kind {
		err = fmt.Errorf("packet %#x came instead of kind %d", got, kind)
	}
	return err
}

// publish buffers a message; id counts only with QoS 1.
func (l *line) publish(topic string, qos byte, id uint16, payload []byte) {
	size := 2 + len(topic) + len(payload) + 2*int(qos)
	l.out.WriteByte(publishPacket<<4 | qos<<1)
	l.length(size)
	l.short(len(topic))
	l.out.WriteString(topic)
	if qos > 0 {
		l.short(int(id))
	}
	l.out.Write(payload)
}

func (l *line) packet(first byte, body []byte) {
	l.out.WriteByte(first)
	l.length(len(body))
	l.out.Write(body)
}

func (l *line) short(n int) {
	l.out.WriteByte(byte(n >> 8))
	l.out.WriteByte(byte(n))
}

func (l *line) length(n int) {
	for ; n >= 0x80; n >>= 7 {
		l.out.WriteByte(byte(n) | 0x80)
	}
	l.out.WriteByte(byte(n))
}

// read takes a packet; its body lies in buf if that is large enough.
func (l *line) read(buf []byte) (first byte, body []byte, err error) {
	if first, err = l.in.ReadByte(); err != nil {
		return 0, nil, err
	}
	size, err := binary.ReadUvarint(l.in)
	if err != nil {
		return 0, nil, err
	}
	if uint64(cap(buf)) < size {
		buf = make([]byte, size)
	}
	_, err = io.ReadFull(l.in, buf[:size])
	return first, buf[:size], err
}

// message takes a QoS 0 message apart.
func message(body []byte) (topic, payload []byte) {
	n := 2 + int(binary.BigEndian.Uint16(body))
	return body[2:n], body[n:]
}

func text(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}
