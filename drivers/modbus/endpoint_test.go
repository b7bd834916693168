package modbus

import (
	"strings"
	"testing"
	"time"
)

func TestEndpoints(t *testing.T) {
	for text, want := range map[string]string{
		"tcp://10.0.0.20": "10.0.0.20:502", "tcp://host:1502": "host:1502", "tcp://[fe80::1]:502": "[fe80::1]:502", "tcp://h/": "h:502",
		"rtu+tcp://10.0.0.20:4001": "10.0.0.20:4001", "rtu+tcp://[::1]:4001?baud=19200": "[::1]:4001",
		"rtu:///dev/ttyUSB0": "/dev/ttyUSB0 (9600 8N1)", "rtu:///dev/ttyS1?baud=115200&parity=even&stop=2": "/dev/ttyS1 (115200 8E2)",
		"rtu:///dev/serial/by-path/pci-0000:00:14.0-usb-0:2:1.0-port0?parity=odd": "/dev/serial/by-path/pci-0000:00:14.0-usb-0:2:1.0-port0 (9600 8O1)",
		"rtu:///dev/ttyS1?rs485=on&rtsOnSend=low&rtsDelayBefore=2ms":              "/dev/ttyS1 (9600 8N1, RS-485)",
	} {
		e, err := parseEndpoint(text)
		if err != nil || e.String() != want {
			t.Errorf("%s: %v, %v", text, e, err)
		}
	}
	for text, want := range map[string]string{
		"": "unknown scheme", "tcp://": "host is missing", "tcp://:502": "host is missing", "tcp://h:0": "port 0", "tcp://h:99999": "port 99999",
		"tcp://u:p@h": "only host and port", "tcp://h/x": "only host and port", "tcp://h?x=1": "only host and port", "://": "is no address",
		"rtu+tcp://h": "the port is missing", "rtu+tcp://h:1?rs485=on": `unknown setting "rs485"; there are baud, parity, stop`,
		"rtu://dev/ttyUSB0": "third slash", "rtu:///": "path is missing", "rtu:///dev/x#1": "# does not belong",
		"rtu:///dev/x?baud=96": "it must be 300 to 4000000", "rtu:///dev/x?baud=fast": "baud=fast", "rtu:///dev/x?parity=mark": "one of none, even, odd",
		"rtu:///dev/x?stop=3": "stop=3: it is one of 1, 2", "rtu:///dev/x?baud=9600&baud=1200": "baud is there twice", "rtu:///dev/x?speed=1": `unknown setting "speed"`,
		"rtu:///dev/x?rs485=yes": "one of on, off", "rtu:///dev/x?rtsDelayAfter=1ms": "are for rs485=on", "rtu:///dev/x?a=%zz": "cannot be read",
		"rtu:///dev/x?rs485=on&rtsDelayAfter=1s": "up to 100ms", "rtu:///dev/x?rs485=on&rtsDelayBefore=1": "whole milliseconds", "rtu:///dev/x?rs485=on&rtsOnSend=1": "high, low",
	} {
		if _, err := parseEndpoint(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// TestSerialSettings: what the kernel is told, and how long a character and the silence between frames are.
func TestSerialSettings(t *testing.T) {
	for text, want := range map[string]struct {
		char, gap time.Duration
		rs485     rs485
	}{
		"rtu:///dev/x":                             {10 * time.Second / 9600, 3645833, rs485{}},
		"rtu:///dev/x?parity=even":                 {11 * time.Second / 9600, 4010415, rs485{}},
		"rtu:///dev/x?baud=1200&stop=2&parity=odd": {10 * time.Millisecond, 35 * time.Millisecond, rs485{}},
		"rtu:///dev/x?baud=115200":                 {86805, fastGap, rs485{}},
		"rtu:///dev/x?rs485=on":                    {10 * time.Second / 9600, 3645833, rs485{flags: 0b011}},
		"rtu:///dev/x?rs485=on&rtsOnSend=low&rtsDelayBefore=1ms&rtsDelayAfter=20ms": {10 * time.Second / 9600, 3645833, rs485{flags: 0b101, before: 1, after: 20}},
	} {
		e, err := parseEndpoint(text)
		if err != nil {
			t.Fatal(err)
		}
		r := newRTU(e.serial.character(), time.Second, false, nil)
		if r.char != want.char || r.gap < want.gap-10 || r.gap > want.gap+10 {
			t.Errorf("%s: a character is %s, the gap %s; want %s, %s", text, r.char, r.gap, want.char, want.gap)
		}
		if e.serial.rs485 && e.serial.settings() != want.rs485 {
			t.Errorf("%s: %+v", text, e.serial.settings())
		}
	}
}
