// Package profile holds device types as data: which points and outputs a device has, where they are in its registers or
// messages, and what they can physically be. It talks to no device and knows no driver; the gateway turns a profile into
// a driver's configuration. A new device type is a YAML file in profiles/.
package profile

import (
	"embed"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Profile is one device type. It is shared and must not be changed.
type Profile struct {
	ID           string   `yaml:"id"` // as configurations name it: xy-md02
	Manufacturer string   `yaml:"manufacturer"`
	Model        string   `yaml:"model"`
	Description  string   `yaml:"description"` // one line for people
	Protocol     string   `yaml:"protocol"`    // modbus or mqtt
	Datasheet    string   `yaml:"datasheet"`   // where the map was published; "": it is the platform's own
	Capabilities []string `yaml:"capabilities"`
	// Verified says that the map was checked against what the manufacturer publishes and what others have read from one.
	// Readings of an unverified profile are Uncertain.
	Verified bool          `yaml:"verified"`
	Offline  time.Duration `yaml:"offline"` // silence after which a device counts as offline; 0: the gateway's default
	Modbus   ModbusTiming  `yaml:"modbus"`
	MQTT     MQTT          `yaml:"mqtt"`
	Points   []Point       `yaml:"points"`
	Outputs  []Output      `yaml:"outputs"`
}

// ModbusTiming is what a unit asks of its master.
type ModbusTiming struct {
	Gap          int           `yaml:"gap"`          // registers or coils between two points that a request may read over; 0: none
	MaxRegisters int           `yaml:"maxRegisters"` // registers in one request; 0: 125. Coils: 16 times as many
	TurnAround   time.Duration `yaml:"turnAround"`   // the longest it may take to begin an answer; 0: twice the bus' timeout
	InterFrame   time.Duration `yaml:"interFrame"`   // least pause before a request to it
	AfterConnect time.Duration `yaml:"afterConnect"` // between opening the connection and the first request
}

// MQTT is the language of a device.
type MQTT struct {
	Mapping string `yaml:"mapping"` // platform: the platform's topics and bodies; paths: topics of its own, values by path
	Status  string `yaml:"status"`  // topic of its last will, only for paths; "": none
}

// Point is one value that a device has.
type Point struct {
	Name         string        `yaml:"name"`     // unique in the profile
	Quantity     string        `yaml:"quantity"` // what it is: temperature, humidity, co2, …
	Unit         string        `yaml:"unit"`     // of the value after scaling; "": none
	Min          float64       `yaml:"min"`      // what it can physically be, in Unit; in force when Min < Max
	Max          float64       `yaml:"max"`
	MaxAge       time.Duration `yaml:"maxAge"`       // older readings are stale; 0: the gateway's default
	Every        time.Duration `yaml:"every"`        // how often it is polled; 0: the bus' default
	UseUncertain bool          `yaml:"useUncertain"` // rules may use Uncertain readings of it
	// Optional points need not exist: the gateway knows one from its first reading on, or when a configuration names it.
	Optional bool      `yaml:"optional"`
	Register *Register `yaml:"register"` // on Modbus
	Message  *Message  `yaml:"message"`  // on MQTT
}

// Register is where a value is in a Modbus unit.
type Register struct {
	Table     string   `yaml:"table"`     // input, holding, coil, discrete
	Address   int      `yaml:"address"`   // 0..65535, as on the wire
	Type      string   `yaml:"type"`      // u16 s16 u32 s32 u64 s64 f32 f64 bool; coil and discrete are always bool
	WordOrder string   `yaml:"wordOrder"` // of values of several registers: big (high word first) or little
	ByteOrder string   `yaml:"byteOrder"` // within a register: big or little
	Bit       *int     `yaml:"bit"`       // of a bool in a register: 0 to 15; nil: the whole register, true when it is not 0
	Scale     float64  `yaml:"scale"`
	Offset    float64  `yaml:"offset"`  // added after scaling
	Invalid   []uint64 `yaml:"invalid"` // raw values by which the device says that it has none
}

// Message is where a value is in MQTT messages. The fields mean what they mean in drivers/mqtt; texts may hold {id}, the
// device's id, and {zone}, the platform's id of the point's zone, else its name.
type Message struct {
	Name   string  `yaml:"name"`
	Topic  string  `yaml:"topic"`
	Path   string  `yaml:"path"`
	Time   string  `yaml:"time"`
	Scale  float64 `yaml:"scale"`
	Offset float64 `yaml:"offset"` // added after scaling
}

// Output is one switch or setpoint of a device.
type Output struct {
	Name         string    `yaml:"name"`         // unique in the profile, points included
	Register     *Register `yaml:"register"`     // on Modbus: where it is written
	ReadBack     *Register `yaml:"readBack"`     // on Modbus: where its state is read, by table and address; nil: where it is written
	CommandTopic string    `yaml:"commandTopic"` // on MQTT, as are all up to Retain; {id} and {zone} as in Message
	StateTopic   string    `yaml:"stateTopic"`
	StatePath    string    `yaml:"statePath"`
	On           string    `yaml:"on"` // payloads; "": ON and OFF
	Off          string    `yaml:"off"`
	Retain       bool      `yaml:"retain"`
	Analog       bool      `yaml:"analog"` // a number from Min to Max; else a switch, 0 and 1
	Min          float64   `yaml:"min"`    // of an analog output, in the unit it is written in
	Max          float64   `yaml:"max"`
}

// Expand replaces {id} and {zone} in a topic or a name.
func Expand(text, id, zone string) string {
	return strings.NewReplacer("{id}", id, "{zone}", zone).Replace(text)
}

// Point returns the point of a name.
func (p *Profile) Point(name string) (*Point, bool) {
	i := slices.IndexFunc(p.Points, func(q Point) bool { return q.Name == name })
	if i < 0 {
		return nil, false
	}
	return &p.Points[i], true
}

// Output returns the output of a name.
func (p *Profile) Output(name string) (*Output, bool) {
	i := slices.IndexFunc(p.Outputs, func(o Output) bool { return o.Name == name })
	if i < 0 {
		return nil, false
	}
	return &p.Outputs[i], true
}

// PointNames are the names of all points, in the profile's order.
func (p *Profile) PointNames() []string {
	names := make([]string, len(p.Points))
	for i := range p.Points {
		names[i] = p.Points[i].Name
	}
	return names
}

// OutputNames are the names of all outputs, in the profile's order.
func (p *Profile) OutputNames() []string {
	names := make([]string, len(p.Outputs))
	for i := range p.Outputs {
		names[i] = p.Outputs[i].Name
	}
	return names
}

//go:embed profiles/*.yaml
var files embed.FS

// shipped are the profiles in the binary, parsed at first use.
var shipped = sync.OnceValue(func() map[string]*Profile {
	all := map[string]*Profile{}
	entries, err := files.ReadDir("profiles")
	if err != nil {
		panic(err) // the folder is in the binary
	}
	for _, entry := range entries {
		data, err := files.ReadFile("profiles/" + entry.Name())
		if err != nil {
			panic(err)
		}
		p, err := Parse(data)
		if err != nil {
			panic(fmt.Errorf("profiles/%s: %w", entry.Name(), err)) // a test has parsed each of them
		}
		all[p.ID] = p
	}
	return all
})

// Lookup returns a shipped profile.
func Lookup(id string) (*Profile, bool) {
	p, ok := shipped()[id]
	return p, ok
}

// IDs are the shipped profiles, sorted.
func IDs() []string {
	ids := make([]string, 0, len(shipped()))
	for id := range shipped() {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
