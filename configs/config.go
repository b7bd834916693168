// Package configs is the configuration of a gateway: its schema, a strict loader that reports every fault of a file at
// once with line and column, and the examples. It reads the file and the secrets it names and opens nothing else; whether
// a profile has the points that a device names, or a bus can be built, is found by the gateway, which reports it with
// Config.Fault in the same form.
package configs

import (
	"log/slog"
	"time"
)

// Config is a whole configuration. Texts are resolved, times and sizes parsed, defaults filled in. It never changes once
// loaded and may be read from any goroutine.
type Config struct {
	File    string `json:"-"` // as it was named
	Gateway Gateway
	Uplink  Uplink
	Buffer  Buffer
	Buses   []Bus
	Devices []Device
	Zones   []Zone

	places map[string]Pos
	redact func(string) string // a function, so that no printer can show what it hides
}

// Mode is whether outputs are switched.
type Mode string

// Modes.
const (
	Control Mode = "control" // outputs are switched
	Observe Mode = "observe" // everything is decided and told, nothing is switched
)

// Gateway is the box itself.
type Gateway struct {
	Pos        `json:"-"`
	ID         string // names the gateway on the platform, as a device id
	FacilityID string // uuid, lower case
	Timezone   string // of day and night: Europe/Riga
	Mode       Mode
	DataDir    string        // default /var/lib/glasshouse
	Socket     string        // of the local API; default glasshouse.sock in DataDir
	Level      string        // debug, info (default), warn or error; LogLevel has it for slog
	Grace      time.Duration // how long outputs stay safe after a start while sensors have not spoken; default 30 s
	UserID     string        // uuid of the platform's user in whose name local changes are told; "": none

	Location *time.Location `json:"-"` // Timezone, loaded
}

// LogLevel is the configured level of the log.
func (g *Gateway) LogLevel() slog.Level {
	var level slog.Level
	_ = level.UnmarshalText([]byte(g.Level)) // one of four words, or the zero value: info
	return level
}

// Uplink is the way to the platform's Kafka.
type Uplink struct {
	Pos     `json:"-"`
	Brokers []string // host:port; none: there is no uplink
	TLS     TLS      // Enabled unless said otherwise
	SASL    SASL
	Topics  map[string]string // default topic name → the name it has in this cluster
}

// SASL is how the gateway logs in to Kafka. The zero value: not at all.
type SASL struct {
	Pos       `json:"-"`
	Mechanism string // plain, scram-sha-256 or scram-sha-512; "": none
	Username  string
	Password  Secret
}

// TLS names the files of an encrypted connection. TLS.Client loads them.
type TLS struct {
	Pos        `json:"-"`
	Enabled    bool
	CA         string // file of the authorities to trust, PEM; "": the system's
	Cert, Key  string // files of our own certificate and key, PEM; both or none
	ServerName string // the name the certificate must have; "": the host's
}

// Buffer is the budget of the durable queue.
type Buffer struct {
	Pos     `json:"-"`
	MaxSize int64 // bytes; default 2 GiB
	Reserve int64 // bytes of MaxSize kept for critical records; default 64 MiB, at most a quarter of MaxSize
}

// Bus is one connection to devices: exactly one of Modbus and MQTT is set.
type Bus struct {
	Pos      `json:"-"`
	Name     string
	Modbus   string        // tcp://host:502, rtu+tcp://host:port, rtu:///dev/ttyUSB0?baud=9600&parity=even
	MQTT     string        // mqtt://host:1883 or mqtts://host:8883
	Every    time.Duration // poll period of a Modbus bus; 0: the driver's default
	Timeout  time.Duration // of one transaction; 0: the driver's default
	Username string        // MQTT
	Password Secret        // MQTT
	ClientID string        // MQTT; default glasshouse-<gateway id>
	TLS      TLS           // of mqtts
}

// Protocol is "modbus" or "mqtt".
func (b *Bus) Protocol() string {
	if b.MQTT != "" {
		return "mqtt"
	}
	return "modbus"
}

// Endpoint is the address of either protocol.
func (b *Bus) Endpoint() string { return b.Modbus + b.MQTT }

// Device is one device on a bus.
type Device struct {
	Pos          `json:"-"`
	ID           string
	Profile      string
	Bus          string
	Unit         int    // Modbus address, 1 to 247; 0 on MQTT
	User         string // MQTT: the user in users/{user}/devices/{id}; "": any
	Zone         string // of its points and outputs unless they say otherwise; "": none
	Offline      time.Duration
	Every        time.Duration // poll period; 0: the profile's, else the bus'
	Points       []PointOverride
	Outputs      []Output
	Manufacturer string // what the platform is told instead of the profile's
	Model        string
	Serial       string
	Firmware     string
}

// PointOverride changes what the profile says of one point.
type PointOverride struct {
	Pos      `json:"-"`
	Point    string        // its name in the profile
	Zone     string        // "": the device's
	SensorID string        // uuid on the platform, lower case; "": derived
	Limits   Limits        // what the sensor can physically measure; NaN: the profile's
	MaxAge   time.Duration // 0: the profile's
}

// Output gives an output of the profile a name and its safety limits.
type Output struct {
	Pos    `json:"-"`
	Output string // its name in the profile
	Name   string // unique on the gateway: exhaust-fan
	Zone   string // "": the device's
	Safe   float64
	Hold   bool          // stays as it is when the gateway stops, instead of going to Safe
	MinOn  time.Duration // shortest time on
	MinOff time.Duration // shortest time off
	MaxRun time.Duration // longest time away from Safe at a stretch; 0: no limit
}

// Zone is a place with one climate.
type Zone struct {
	Pos         `json:"-"`
	Name        string
	PlatformIDs []string // the zone's uuids, codes or names on the platform
	Stage       string   // of the crop; "": unknown
	Day         Day
	Ranges      []Range
}

// Day is the part of the day that ranges call day. It may go over midnight.
type Day struct {
	Pos      `json:"-"`
	Set      bool          // false: it is always day
	From, To time.Duration // since local midnight; To may be 24 h
}

// Range is what one quantity may be in a zone, and what happens when it is not.
type Range struct {
	Pos        `json:"-"`
	Quantity   string
	Day, Night Limits
	Hysteresis float64       // how far inside the limit a value must come back; in the quantity's unit, as are all up to Emergency
	For        time.Duration // how long a breach lasts before it is told
	KeepFor    time.Duration // how long it must be over before that is told
	Critical   float64       // deviation beyond the limit; 0: never
	Emergency  float64       // deviation beyond the limit; 0: never
	Above      []Action      // correction of a value that is too high
	Below      []Action
	Within     time.Duration // a correction that has not worked by then is told; default 10 min
	Loss       time.Duration // how long a correction goes on when the value is lost; default 2 min
}

// Action sets an output to a value.
type Action struct {
	Pos    `json:"-"`
	Output string  // its name on the gateway
	Value  float64 // 1 and 0 are on and off
}

// Bus returns the bus of a name.
func (c *Config) Bus(name string) (*Bus, bool) {
	for i := range c.Buses {
		if c.Buses[i].Name == name {
			return &c.Buses[i], true
		}
	}
	return nil, false
}

// Zone returns the zone of a name.
func (c *Config) Zone(name string) (*Zone, bool) {
	for i := range c.Zones {
		if c.Zones[i].Name == name {
			return &c.Zones[i], true
		}
	}
	return nil, false
}

// Point returns what the configuration says of a point of the profile.
func (d *Device) Point(name string) (*PointOverride, bool) {
	for i := range d.Points {
		if d.Points[i].Point == name {
			return &d.Points[i], true
		}
	}
	return nil, false
}
