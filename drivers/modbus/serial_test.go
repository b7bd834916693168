package modbus

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gacp-erp.internal/glasshouse/drivers"
	"gacp-erp.internal/glasshouse/drivers/sim/slave"
)

// pty is a pseudo terminal: what it is plugged into has the name of a serial port, and a slave sits at its other end.
type pty struct {
	master *os.File
	port   string // /dev/pts/3
	held   int    // an open descriptor of the port
}

func openPTY(t *testing.T) *pty {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("this machine has no pseudo terminals: %v", err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	p := &pty{master: os.NewFile(uintptr(fd), "pty"), port: fmt.Sprintf("/dev/pts/%d", number)}
	t.Cleanup(func() { p.master.Close() })
	// A terminal whose port nobody has open has hung up for its other end: hold it while the test lasts.
	p.held, err = unix.Open(p.port, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("this machine has no %s: %v", p.port, err)
	}
	t.Cleanup(func() { unix.Close(p.held) })
	return p
}

// socket is the place where an adapter is plugged in: a name that stays, as in /dev/serial/by-path.
type socket struct {
	t     *testing.T
	name  string
	pty   *pty
	slave *slave.Slave
}

func newSocket(t *testing.T) *socket {
	s := &socket{t: t, name: filepath.Join(t.TempDir(), "pci-0000:00:14.0-usb-0:2:1.0-port0")}
	t.Cleanup(s.unplug)
	return s
}

func (s *socket) plug() {
	s.t.Helper()
	s.pty, s.slave = openPTY(s.t), slave.New()
	furnish(s.slave)
	if err := os.Symlink(s.pty.port, s.name); err != nil {
		s.t.Fatal(err)
	}
	go s.slave.ServeRTU(s.pty.master)
}

func (s *socket) unplug() {
	if s.slave == nil {
		return
	}
	os.Remove(s.name)
	s.slave.Close() // and the terminal with it
	s.slave = nil
}

// driver is one on the socket; its units are as quick as a pseudo terminal.
func (s *socket) driver(settings string) *Driver {
	s.t.Helper()
	c := greenhouseAt("rtu://" + s.name + settings)
	for i := range c.Units {
		c.Units[i].TurnAround = 20 * time.Millisecond
	}
	return made(s.t, c)
}

// TestSerial: every kind of point over a serial port, several units on one line.
func TestSerial(t *testing.T) {
	s := newSocket(t)
	s.plug()
	d := s.driver("?baud=115200&parity=even&stop=1")
	got := readAll(t, d)
	for id, want := range map[drivers.PointID]float64{"climate.temperature": 23.7, "relays.1": 0, "meter.setpoint": 21.5, "meter.door": 1} {
		if r := got[id]; r.Value != want || r.Quality != drivers.Good {
			t.Errorf("%s: %+v, want %g", id, r, want)
		}
	}
	for point, value := range map[drivers.PointID]float64{"relays.2": 1, "meter.setpoint": 18.25, "meter.pump": 0, "meter.offset": -40} {
		if err := d.Write(t.Context(), point, value); err != nil || readAll(t, d)[point].Value != value {
			t.Errorf("%s: %v", point, err)
		}
	}
	if !s.slave.Coils(10, 1, 1)[0] {
		t.Error("the coil is off")
	}
	modes, err := unix.IoctlGetTermios(s.pty.held, unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	if modes.Cflag&(unix.CBAUD|unix.CSTOPB) != unix.B115200 || modes.Lflag&(unix.ECHO|unix.ICANON) != 0 {
		t.Errorf("the port's modes: %+v", modes)
	}
}

// TestUnpluggedAndBack: the reads of an adapter that is pulled out are the bus' errors, at once; plugged in again it is found
// under its name, though it is another port.
func TestUnpluggedAndBack(t *testing.T) {
	s := newSocket(t)
	d := s.driver("")
	fails := func(words string) {
		t.Helper()
		began := time.Now()
		_, err := d.Read(t.Context(), d.Requests()[0], nil)
		if !errors.Is(err, drivers.ErrBus) || errors.Is(err, drivers.ErrUnit) || !strings.Contains(err.Error(), words) {
			t.Errorf("%v, want %q", err, words)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("after %s", took)
		}
	}
	fails("check that it is plugged in")
	for range 3 {
		s.plug()
		readAll(t, d)
		old := s.slave
		s.slave.Mute(1, true)
		time.AfterFunc(50*time.Millisecond, func() { old.Close() }) // in the middle of a call whose timeout is a minute
		os.Remove(s.name)
		fails("") // the call in progress
		s.unplug()
		fails("no such file or directory: check that it is plugged in")
	}
}

// TestSerialCallEnds: by its context, and by Close from another goroutine.
func TestSerialCallEnds(t *testing.T) {
	s := newSocket(t)
	s.plug()
	s.slave.Mute(1, true)
	d := s.driver("")
	for _, end := range []func(context.CancelFunc){
		func(cancel context.CancelFunc) { cancel() },
		func(context.CancelFunc) { d.Close() },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(60*time.Millisecond, func() { end(cancel) })
		began := time.Now()
		if got, err := d.Read(ctx, d.Requests()[0], nil); err == nil || len(got) != 0 || time.Since(began) > 20*time.Second {
			t.Errorf("%v, %v after %s", got, err, time.Since(began))
		}
		cancel()
	}
	if _, err := d.Read(t.Context(), d.Requests()[0], nil); !errors.Is(err, drivers.ErrBus) {
		t.Errorf("%v", err)
	}
}

// TestPortClosedWhileInUse: no read or write touches the descriptor after Close, whose number may be another file's by then.
func TestPortClosedWhileInUse(t *testing.T) {
	terminal := openPTY(t)
	for range 20 {
		c, err := serialLine{path: terminal.port, baud: 9600, parity: parityNone, stop: 1}.open()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		var users sync.WaitGroup
		users.Go(func() {
			for {
				if _, err := c.Read(make([]byte, 10)); err != nil {
					return
				}
			}
		})
		users.Go(func() {
			for {
				if _, err := c.Write([]byte("x")); err != nil {
					return
				}
			}
		})
		time.Sleep(time.Duration(rand.IntN(1000)) * time.Microsecond)
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		users.Wait()
	}
}

// TestRS485IsAskedOfTheKernel: a pseudo terminal has no transceiver, and says so.
func TestRS485IsAskedOfTheKernel(t *testing.T) {
	s := newSocket(t)
	s.plug()
	d := s.driver("?rs485=on")
	if _, err := d.Read(t.Context(), d.Requests()[0], nil); !errors.Is(err, drivers.ErrBus) || !strings.Contains(err.Error(), "cannot switch an RS-485 transceiver") {
		t.Errorf("%v", err)
	}
}
