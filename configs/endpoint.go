package configs

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
)

// The faults of an address name no part of it: it may hold a password.

// modbusEndpoint checks the form of a Modbus address; what may follow the ? of a serial line is the driver's.
func modbusEndpoint(s *string) error {
	u, err := url.Parse(*s)
	if err != nil {
		return errors.New("it cannot be read")
	}
	switch u.Scheme {
	case "tcp", "rtu+tcp":
		return host(u)
	case "rtu":
		switch {
		case u.Host != "":
			return errors.New("a device's path begins with a third slash: rtu:///dev/ttyUSB0")
		case !strings.HasPrefix(u.Path, "/") || u.Path == "/":
			return errors.New("the device's path is missing")
		}
		return nil
	case "mqtt", "mqtts":
		return errors.New("use the key mqtt for it")
	}
	return errors.New("it must begin with tcp://, rtu+tcp:// or rtu:///")
}

// mqttEndpoint checks a broker's address.
func mqttEndpoint(s *string) error {
	u, err := url.Parse(*s)
	if err != nil {
		return errors.New("it cannot be read")
	}
	switch u.Scheme {
	case "mqtt", "mqtts":
		if u.Path != "" && u.Path != "/" || u.RawQuery != "" {
			return errors.New("nothing may follow the port")
		}
		return host(u)
	case "tcp", "ssl", "ws", "wss":
		return errors.New("write mqtt:// or mqtts://")
	}
	return errors.New("it must begin with mqtt:// or mqtts://")
}

// host checks the host and the port of an address.
func host(u *url.URL) error {
	if u.User != nil {
		return errors.New("user and password have keys of their own")
	}
	switch {
	case u.Hostname() == "":
		return errors.New("the host is missing")
	case strings.Contains(u.Hostname(), ":") && !strings.HasPrefix(u.Host, "["):
		return errors.New("an IPv6 address stands in [ ], and a port is one number")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return errors.New("the port must be 1 to 65535")
		}
	} else if strings.HasSuffix(u.Host, ":") {
		return errors.New("the port is missing")
	}
	return nil
}
