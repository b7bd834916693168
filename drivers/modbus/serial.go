package modbus

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.bug.st/serial"
	"golang.org/x/sys/unix"
)

const (
	defaultBaud = 9600
	minBaud     = 300
	maxBaud     = 4_000_000
	maxDelay    = 100 * time.Millisecond // the kernel's
	parityNone  = "none"
	parityEven  = "even"
	parityOdd   = "odd"
)

// serialLine is a serial port and how it is set. Through a serial server only the timing counts.
type serialLine struct {
	path          string
	baud          int
	parity        string
	stop          int
	rs485         bool          // the kernel switches the transceiver between sending and receiving
	rtsLow        bool          // with rs485: RTS is low while sending
	before, after time.Duration // with rs485: pause between switching and sending, and back
}

// String is the line as technicians write it: "/dev/ttyUSB0 (9600 8E1)".
func (s serialLine) String() string {
	letter := map[string]string{parityNone: "N", parityEven: "E", parityOdd: "O"}[s.parity]
	text := fmt.Sprintf("%s (%d 8%s%d", s.path, s.baud, letter, s.stop)
	if s.rs485 {
		text += ", RS-485"
	}
	return text + ")"
}

// character is how long one is on the line: a start bit, eight data bits, the parity, the stop bits.
func (s serialLine) character() time.Duration {
	bits := 1 + 8 + s.stop
	if s.parity != parityNone {
		bits++
	}
	return time.Duration(bits) * time.Second / time.Duration(s.baud)
}

// open opens the port. Nobody waits for it: a port that is there opens at once.
func (s serialLine) open() (conn, error) {
	mode := &serial.Mode{BaudRate: s.baud, DataBits: 8,
		Parity:   map[string]serial.Parity{parityNone: serial.NoParity, parityEven: serial.EvenParity, parityOdd: serial.OddParity}[s.parity],
		StopBits: map[int]serial.StopBits{1: serial.OneStopBit, 2: serial.TwoStopBits}[s.stop]}
	if !s.rs485 {
		opened, err := serial.Open(s.path, mode)
		return &port{serial: opened}, err
	}
	fd, err := s.transceiver()
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	opened, err := serial.Open(s.path, mode)
	if err != nil {
		return nil, err
	}
	if err := s.drive(fd); err != nil {
		opened.Close()
		return nil, err
	}
	return &port{serial: opened}, nil
}

// slice is how long a read holds the port: a Close from another goroutine waits no longer than that.
const slice = 25 * time.Millisecond

// port is an open serial port with deadlines. The library's Close frees the descriptor while a read or a write may be about
// to use its number, which may by then be another file's; so here they take turns.
type port struct {
	serial   serial.Port
	deadline time.Time
	closing  atomic.Bool
	turn     sync.Mutex
}

var _ conn = (*port)(nil)

// SetDeadline sets when a Read that waits gives up. A write never waits: it empties the port's buffer first.
func (p *port) SetDeadline(t time.Time) error {
	p.deadline = t
	return nil
}

// Read waits for bytes until the deadline; then the error is os.ErrDeadlineExceeded.
func (p *port) Read(b []byte) (int, error) {
	for {
		left := time.Until(p.deadline)
		if left <= 0 {
			return 0, os.ErrDeadlineExceeded
		}
		if n, err := p.read(b, min(left, slice)); n > 0 || err != nil {
			return n, err
		}
	}
}

// read waits for bytes at most that long.
func (p *port) read(b []byte, limit time.Duration) (int, error) {
	if p.closing.Load() {
		return 0, net.ErrClosed
	}
	p.turn.Lock()
	defer p.turn.Unlock()
	if err := p.serial.SetReadTimeout(limit); err != nil {
		return 0, err
	}
	n, err := p.serial.Read(b)
	if closed := new(serial.PortError); errors.As(err, &closed) && closed.Code() == serial.PortClosed && !p.closing.Load() {
		err = errors.New("the port has gone: unplugged?")
	}
	return n, err
}

// Write sends b. What an earlier request has left in the port's buffer is too old to be sent, and is thrown away.
func (p *port) Write(b []byte) (int, error) {
	if p.closing.Load() {
		return 0, net.ErrClosed
	}
	p.turn.Lock()
	defer p.turn.Unlock()
	if err := p.serial.ResetOutputBuffer(); err != nil {
		return 0, err
	}
	return p.serial.Write(b)
}

// Close closes the port and ends a Read. Any goroutine.
func (p *port) Close() error {
	p.closing.Store(true)
	p.turn.Lock()
	defer p.turn.Unlock()
	return p.serial.Close()
}
