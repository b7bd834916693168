package modbus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// framing is how requests look on the line.
type framing uint8

const (
	tcp    framing = iota // Modbus TCP
	rtu                   // Modbus RTU on a serial line
	stream                // Modbus RTU through a TCP connection: a serial server without a Modbus gateway in it
)

// endpoint is a parsed address of a bus.
type endpoint struct {
	framing framing
	host    string // host:port; "" on a serial line
	serial  serialLine
}

// String is the address for messages.
func (e endpoint) String() string {
	if e.framing == rtu {
		return e.serial.String()
	}
	return e.host
}

const endpointForms = "tcp://10.0.0.20:502, rtu+tcp://10.0.0.20:4001 or rtu:///dev/serial/by-path/…?baud=9600&parity=none"

// parseEndpoint takes an address of one of the three forms. Faults name no part of it but what is wrong: what stands before
// an @ may be a password.
func parseEndpoint(text string) (endpoint, error) {
	u, err := url.Parse(text)
	if err != nil {
		return endpoint{}, fmt.Errorf("endpoint %q is no address; it looks like %s", text, endpointForms)
	}
	e := endpoint{serial: serialLine{baud: defaultBaud, parity: parityNone, stop: 1}}
	var faults []error
	switch u.Scheme {
	case "tcp":
		e.framing = tcp
		faults = e.parseHost(u, defaultPort)
		if u.RawQuery != "" {
			faults = append(faults, errors.New("only host and port belong in it"))
		}
	case "rtu+tcp":
		e.framing = stream
		faults = e.parseHost(u, "")
		faults = append(faults, e.serial.parse(u.RawQuery, "baud", "parity", "stop")...)
	case "rtu":
		e.framing = rtu
		faults = e.parseDevice(u)
		faults = append(faults, e.serial.parse(u.RawQuery, "baud", "parity", "stop", "rs485", "rtsOnSend", "rtsDelayBefore", "rtsDelayAfter")...)
	default:
		return endpoint{}, fmt.Errorf("endpoint %q: unknown scheme %q; it looks like %s", text, u.Scheme, endpointForms)
	}
	if len(faults) > 0 {
		return endpoint{}, fmt.Errorf("endpoint %q: %w", u.Redacted(), errors.Join(faults...))
	}
	return e, nil
}

// parseHost takes a host and a port, which may be left out where there is a usual one.
func (e *endpoint) parseHost(u *url.URL, port string) (faults []error) {
	if u.Hostname() == "" {
		faults = append(faults, errors.New("the host is missing"))
	}
	if u.Port() != "" {
		port = u.Port()
	}
	if n, err := strconv.Atoi(port); port == "" {
		faults = append(faults, errors.New("the port is missing; a serial server has one for each of its lines"))
	} else if err != nil || n < 1 || n > 65535 {
		faults = append(faults, fmt.Errorf("port %s: it must be 1 to 65535", port))
	}
	if u.User != nil || (u.Path != "" && u.Path != "/") || u.Fragment != "" {
		faults = append(faults, errors.New("only host and port belong in it"))
	}
	e.host = net.JoinHostPort(u.Hostname(), port)
	return faults
}

// parseDevice takes the path of a serial port.
func (e *endpoint) parseDevice(u *url.URL) (faults []error) {
	switch {
	case u.Host != "" || u.User != nil:
		faults = append(faults, errors.New("a device's path begins with a third slash: rtu:///dev/ttyUSB0"))
	case !strings.HasPrefix(u.Path, "/") || u.Path == "/":
		faults = append(faults, errors.New("the device's path is missing: rtu:///dev/ttyUSB0"))
	}
	if u.Fragment != "" {
		faults = append(faults, errors.New("# does not belong in it"))
	}
	e.serial.path = u.Path
	return faults
}

// parse takes the settings of a line behind the ? of an address, of those that are known there.
func (s *serialLine) parse(query string, known ...string) (faults []error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return []error{fmt.Errorf("what follows the ? cannot be read: %w", err)}
	}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		switch {
		case !slices.Contains(known, name):
			err = fmt.Errorf("unknown setting %q; there are %s", name, strings.Join(known, ", "))
		case len(values[name]) > 1:
			err = fmt.Errorf("%s is there twice", name)
		default:
			err = s.set(name, values[name][0])
		}
		if err != nil {
			faults = append(faults, err)
		}
	}
	if !s.rs485 && (values.Has("rtsOnSend") || values.Has("rtsDelayBefore") || values.Has("rtsDelayAfter")) {
		faults = append(faults, errors.New("the settings of RTS are for rs485=on"))
	}
	return faults
}

// set is one setting.
func (s *serialLine) set(name, value string) error {
	one := func(words ...string) error {
		if !slices.Contains(words, value) {
			return fmt.Errorf("%s=%s: it is one of %s", name, value, strings.Join(words, ", "))
		}
		return nil
	}
	var err error
	switch name {
	case "baud":
		if s.baud, err = strconv.Atoi(value); err != nil || s.baud < minBaud || s.baud > maxBaud {
			return fmt.Errorf("baud=%s: it must be %d to %d", value, minBaud, maxBaud)
		}
	case "parity":
		s.parity = value
		return one(parityNone, parityEven, parityOdd)
	case "stop":
		s.stop = len(value) // 1, or anything that one refuses
		if value == "2" {
			s.stop = 2
		}
		return one("1", "2")
	case "rs485":
		s.rs485 = value == "on"
		return one("on", "off")
	case "rtsOnSend":
		s.rtsLow = value == "low"
		return one("high", "low")
	case "rtsDelayBefore":
		s.before, err = delay(name, value)
	case "rtsDelayAfter":
		s.after, err = delay(name, value)
	}
	return err
}

// delay is a pause of the transceiver, which the kernel knows in milliseconds.
func delay(name, value string) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	if err != nil || d < 0 || d > maxDelay || d%time.Millisecond != 0 {
		return 0, fmt.Errorf("%s=%s: it must be whole milliseconds up to %s, such as 2ms", name, value, maxDelay)
	}
	return d, nil
}

// dial opens the connection.
func (e endpoint) dial(ctx context.Context) (conn, error) {
	if e.framing == rtu {
		return e.serial.open()
	}
	return new(net.Dialer).DialContext(ctx, "tcp", e.host)
}

// hint is what to look at when there is no connection.
func (e endpoint) hint() string {
	if e.framing == rtu {
		return "check that it is plugged in, that nobody else uses it, and that the gateway may open it (group dialout)"
	}
	return "check the address, and that it is switched on"
}

// protocol is a new one of the endpoint's framing.
func (e endpoint) protocol(timeout time.Duration, blocks []block) protocol {
	if e.framing == tcp {
		return new(mbap)
	}
	return newRTU(e.serial.character(), timeout, e.framing == stream, blocks)
}
