// Package slave is a Modbus slave for tests and the demo, TCP or RTU, with several units and scripted faults: late, dropped,
// torn, foreign, repeated and damaged answers. It is written from the specification and shares nothing with the gateway's client,
// so that one misreading cannot hide the other. Functions 1 to 6, 15, 16, 22 and 23; an address that was never set does not
// exist, and a unit without any does not answer.
//
// It is no gateway to real devices.
package slave

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Slave is the units behind one address. All methods are safe for any goroutine.
type Slave struct {
	listener net.Listener   // nil: connections come by Serve only
	serving  sync.WaitGroup // connections and the listener

	mu       sync.Mutex
	units    [256]*unit
	onWrite  func(unit byte, table Table, address uint16, value uint16)
	latency  time.Duration
	script   []Fault
	requests uint64
	conns    map[Conn]struct{}
	closed   bool
}

// Conn is what a connection must be able to do: a net.Conn, or one end of a pseudo terminal.
type Conn interface {
	io.ReadWriteCloser
	SetReadDeadline(t time.Time) error
}

// New is a slave without a listener: connections come by Serve.
func New() *Slave { return &Slave{conns: map[Conn]struct{}{}} }

// Listen is a slave that takes Modbus TCP connections at an address ("127.0.0.1:0": any free port) until Close.
func Listen(address string) (*Slave, error) { return listen(address, (*Slave).Serve) }

// ListenRTU is the same for RTU through TCP connections.
func ListenRTU(address string) (*Slave, error) { return listen(address, (*Slave).ServeRTU) }

func listen(address string, serve func(*Slave, Conn)) (*Slave, error) {
	s := New()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("modbus slave: %w", err)
	}
	s.listener = listener
	s.serving.Go(func() { s.accept(serve) })
	return s, nil
}

// Addr is where it listens, "host:port"; empty without a listener.
func (s *Slave) Addr() string {
	if s.listener == nil {
		return ""
	}
	return s.listener.Addr().String()
}

// OnWrite has f called for each value that a request writes, before the request is answered, from the goroutine of the
// connection. f may call the slave's methods, so it can also undo what was written.
func (s *Slave) OnWrite(f func(unit byte, table Table, address uint16, value uint16)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onWrite = f
}

// SetLatency is the time that each request takes, as behind a slow serial line. 0: none.
func (s *Slave) SetLatency(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latency = d
}

// Requests is how many requests have come.
func (s *Slave) Requests() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// HangUp closes all connections; new ones are taken.
func (s *Slave) HangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
	}
}

// Close ends the listener, all connections and their goroutines. A second call does nothing.
func (s *Slave) Close() error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if closed {
		return nil
	}
	var err error
	if s.listener != nil {
		err = s.listener.Close()
	}
	s.HangUp()
	s.serving.Wait()
	return err
}

func (s *Slave) accept(serve func(*Slave, Conn)) {
	for {
		conn, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of files, or the peer was gone again
			time.Sleep(10 * time.Millisecond)
			continue
		}
		go serve(s, conn)
	}
}

// Serve answers the Modbus TCP requests of one connection until it or the slave is closed, and closes it.
func (s *Slave) Serve(conn Conn) {
	s.serve(conn, readTCP, (*message).appendTCP, headerSize+1)
}

// ServeRTU does the same for RTU: on a serial line, or through a connection.
func (s *Slave) ServeRTU(conn Conn) {
	s.serve(conn, readRTU, (*message).appendRTU, maxRTU)
}

// serve is the loop of one connection, whatever its framing; a Flip stays within its first flipped bytes.
func (s *Slave) serve(conn Conn, read func(Conn, *message) error, frame func(*message, []byte) []byte, flipped int) {
	if !s.enter(conn) {
		conn.Close()
		return
	}
	l := newLine(conn)
	defer func() {
		l.end()
		s.leave(conn)
	}()
	request := message{pdu: make([]byte, 0, maxPDU)}
	answer := message{pdu: make([]byte, 0, maxPDU)}
	for read(conn, &request) == nil {
		fault, latency := s.next()
		if latency > 0 {
			time.Sleep(latency)
		}
		pdu, ok := s.answer(request.unit, request.pdu, answer.pdu[:0])
		if !ok {
			continue
		}
		answer = message{transaction: request.transaction, unit: request.unit, pdu: pdu}
		fault.spoil(&answer)
		bytes := frame(&answer, nil)
		if fault.Kind == Flip {
			fault.flip(bytes, flipped)
		}
		if l.send(fault, bytes) != nil {
			return
		}
	}
}

// enter notes a connection, so that Close and HangUp find it.
func (s *Slave) enter(conn Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.conns[conn] = struct{}{}
		s.serving.Add(1) // before Close can wait
	}
	return !s.closed
}

func (s *Slave) leave(conn Conn) {
	defer s.serving.Done()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
}

const headerSize = 7

// readTCP takes one request off a stream. An error ends the connection: a stream that has lost its frames never finds them.
func readTCP(r Conn, request *message) error {
	var header [headerSize]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return err
	}
	length := int(binary.BigEndian.Uint16(header[4:])) - 1
	if binary.BigEndian.Uint16(header[2:]) != 0 || length < 1 || length > maxPDU {
		return errors.New("no Modbus TCP")
	}
	request.transaction, request.unit = binary.BigEndian.Uint16(header[:]), header[6]
	request.pdu = request.pdu[:length]
	_, err := io.ReadFull(r, request.pdu)
	return err
}
