package modbus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
)

// framing is how requests look on the line.
type framing uint8

const tcp framing = iota // Modbus TCP

// endpoint is a parsed address of a bus.
type endpoint struct {
	framing framing
	host    string // host:port
}

// String is the address for messages.
func (e endpoint) String() string { return e.host }

// parseEndpoint takes tcp://host:502.
func parseEndpoint(text string) (endpoint, error) {
	u, err := url.Parse(text)
	if err != nil {
		return endpoint{}, fmt.Errorf("endpoint %q is no address; it looks like tcp://10.0.0.20:502", text)
	}
	switch u.Scheme {
	case "tcp":
		return parseTCP(u)
	case "rtu", "rtu+tcp":
		return endpoint{}, fmt.Errorf("endpoint %q: %s is not supported yet; use tcp:// with a Modbus gateway", text, u.Scheme)
	}
	return endpoint{}, fmt.Errorf("endpoint %q: unknown scheme %q; use tcp://host:502", text, u.Scheme)
}

// parseTCP takes a host and perhaps a port, and nothing else.
func parseTCP(u *url.URL) (endpoint, error) {
	var faults []error
	if u.Hostname() == "" {
		faults = append(faults, errors.New("the host is missing"))
	}
	port := u.Port()
	if port == "" {
		port = defaultPort
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		faults = append(faults, fmt.Errorf("port %s: it must be 1 to 65535", port))
	}
	if u.User != nil || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" {
		faults = append(faults, errors.New("only host and port belong in it"))
	}
	if len(faults) > 0 {
		return endpoint{}, fmt.Errorf("endpoint %q: %w", u, errors.Join(faults...))
	}
	return endpoint{framing: tcp, host: net.JoinHostPort(u.Hostname(), port)}, nil
}

// dial opens the connection.
func (e endpoint) dial(ctx context.Context) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", e.host)
}

// protocol is a new one of the endpoint's framing.
func (e endpoint) protocol() protocol { return new(mbap) }
