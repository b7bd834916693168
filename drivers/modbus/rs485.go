package modbus

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rs485 is the kernel's struct serial_rs485.
type rs485 struct {
	flags         uint32
	before, after uint32 // milliseconds
	_             [5]uint32
}

// Flags of struct serial_rs485.
const (
	rs485Enabled  = 1 << 0
	rs485RTSSend  = 1 << 1 // RTS is high while sending
	rs485RTSAfter = 1 << 2 // RTS is high otherwise
)

// settings are the line's in the kernel's form.
func (s serialLine) settings() rs485 {
	r := rs485{flags: rs485Enabled | rs485RTSSend, before: uint32(s.before / time.Millisecond), after: uint32(s.after / time.Millisecond)}
	if s.rtsLow {
		r.flags = rs485Enabled | rs485RTSAfter
	}
	return r
}

// transceiver is a descriptor of the port for its RS-485 settings: they belong to the port, and the library does not give its
// own descriptor away. It must be opened first, because the library then locks the port.
func (s serialLine) transceiver() (fd int, err error) {
	fd, err = unix.Open(s.path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("setting RS-485: %w", err)
	}
	return fd, nil
}

// drive has the kernel switch the transceiver between sending and receiving by RTS.
func (s serialLine) drive(fd int) error {
	settings := s.settings()
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCSRS485, uintptr(unsafe.Pointer(&settings)))
	switch {
	case errno == 0:
		return nil
	case errors.Is(errno, unix.ENOTTY) || errors.Is(errno, unix.EINVAL):
		return fmt.Errorf("its driver cannot switch an RS-485 transceiver by RTS (%w): leave out rs485=on; most adapters switch by themselves", errno)
	}
	return fmt.Errorf("setting RS-485: %w", errno)
}
