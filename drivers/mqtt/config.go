package mqtt

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"regexp"
	"strings"
	"time"

	"gacp-erp.internal/glasshouse/drivers"
)

// Config is one broker and the devices behind it. The zero value of a field without a stated default means "none".
type Config struct {
	Name           string                                      // the bus, as operators know it
	Endpoint       string                                      // mqtt://host:1883 or mqtts://host:8883; the port may be left out
	ClientID       string                                      // names our session at the broker; must be ours alone
	Username       string                                      //
	Password       string                                      // never logged, never part of an error
	TLS            *tls.Config                                 // for mqtts; nil: the system's authorities
	Dial           func(ctx context.Context) (net.Conn, error) // replaces the network, for tests
	ReceiveMaximum uint16                                      // QoS 1 messages the broker may send before an acknowledgement; 0: 1,000
	QoS0           int                                         // QoS 0 messages kept until drained, the rest is dropped and counted; 0: 4,096
	SessionExpiry  time.Duration                               // how long the broker keeps what comes while we are away; 0: 7 days
	KeepAlive      time.Duration                               // 0: 15 s
	WriteTimeout   time.Duration                               // how long an output has to show its new state; 0: 5 s
	Fresh          time.Duration                               // how old a retained message's own time may be; 0: 2 min
	Devices        []Device
	Log            *slog.Logger // nil: silent
}

// Mapping is the language of a device.
type Mapping uint8

// Mappings.
const (
	Platform Mapping = iota // the platform's topics and bodies
	Paths                   // topics of its own, values by JSON path
)

// Device is one MQTT device.
type Device struct {
	ID      string // for Platform also its name in topics: letters, digits, _ and -, at most 64
	User    string // the user in users/{user}/devices/{id}/…; "": any user
	Mapping Mapping
	Status  string // topic of a last will or status, only for Paths; for Platform it is known
	Points  []Point
	Outputs []Output
}

// Point is one value that a device sends.
type Point struct {
	ID drivers.PointID
	// Name is the sensor in a Platform body: temperature, humidity, pressure, batteryLevel, a name in sensors{}, the id of
	// an entry of analogInputs or discreteInputs (also analogInputs.{id}), custom.{name}, system.{name}. With Topic it is the
	// sensor_id that the body must have; "": any. A value is a number; true and false are 1 and 0 only in discreteInputs and,
	// where the point has no unit, in custom and with Paths.
	Name string
	// Topic of a single sensor (gacp/sensors/{zone}/{type}, sensors/{type}/{zone}) or, with Paths, any topic.
	Topic string
	Path  string // where the value is, "a.b[0].c"; with Platform "": value; with Paths "": the whole payload is the number
	Time  string // where the time is; "" with Platform: recorded_at or timestamp; "" with Paths: none, time of arrival
	Scale float64
	// Offset is added after scaling; a Scale of 0 is 1.
	Offset float64
	Unit   string // "": not checked. A body that says another unit is rejected
	// Min and Max are what the sensor can physically measure, after scaling, in Unit. Both 0: the quantity's own limits for
	// temperature (-60..100 °C), humidity (0..100 %), pressure (300..1200 hPa), batteryLevel (0..100 %), else none.
	Min, Max float64
}

// Output is one switch of a device. A write publishes On or Off to CommandTopic and is confirmed by StateTopic.
type Output struct {
	ID           drivers.PointID
	CommandTopic string
	StateTopic   string
	On, Off      string // payloads; "": ON and OFF. Also what the state must read, in either case of letters
	StatePath    string // where the state is in a JSON body; "": the payload itself
	Retain       bool   // publish commands retained
}

const (
	maxPayload  = 64 << 10       // bytes of a message that is looked at
	maxPacket   = 2 * maxPayload // told to the broker: it drops what is larger and nobody need allocate it
	maxInbox    = 16 << 20       // bytes of payloads waiting to be drained
	maxTopic    = 256            // characters
	seenStamped = 16384          // derived ids remembered; a broker without a bound in flight sends thousands again
	futureLimit = time.Hour
	patience    = 3 * time.Second      // with the owner, before messages that nobody takes cost the connection
	roomEvery   = 3 * time.Millisecond // it is looked for room meanwhile
)

var deviceID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// defaults fills in what is left out.
func (c *Config) defaults() {
	if c.ReceiveMaximum == 0 {
		c.ReceiveMaximum = 1000
	}
	if c.QoS0 <= 0 {
		c.QoS0 = 4096
	}
	c.SessionExpiry = orElse(c.SessionExpiry, 7*24*time.Hour)
	c.KeepAlive = orElse(c.KeepAlive, 15*time.Second)
	c.WriteTimeout = orElse(c.WriteTimeout, 5*time.Second)
	c.Fresh = orElse(c.Fresh, 2*time.Minute)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

func orElse(d, otherwise time.Duration) time.Duration {
	if d <= 0 {
		return otherwise
	}
	return d
}

// endpoint checks and completes the broker's address.
func (c *Config) endpoint() (*url.URL, error) {
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Hostname() == "" || u.User != nil || (u.Scheme != "mqtt" && u.Scheme != "mqtts") {
		// The parse error repeats the text, which may hold a password.
		return nil, errors.New("endpoint must be mqtt://host:1883 or mqtts://host:8883, without user or password in it")
	}
	if u.Port() == "" {
		port := "1883"
		if u.Scheme == "mqtts" {
			port = "8883"
		}
		u.Host = net.JoinHostPort(u.Hostname(), port)
	}
	return u, nil
}

// validate reports all faults at once.
func (c *Config) validate() error {
	var faults []error
	if _, err := c.endpoint(); err != nil {
		faults = append(faults, err)
	}
	if c.ClientID == "" {
		faults = append(faults, errors.New("client id is missing; without one the broker cannot keep what comes while we are away"))
	}
	if c.Password != "" && c.Username == "" {
		faults = append(faults, errors.New("password without username"))
	}
	points := map[drivers.PointID]bool{}
	devices := map[string]bool{}
	for i := range c.Devices {
		d := &c.Devices[i]
		if devices[d.ID] {
			faults = append(faults, fmt.Errorf("device %q is there twice", d.ID))
		}
		devices[d.ID] = true
		for _, err := range d.faults(points) {
			faults = append(faults, fmt.Errorf("device %q: %w", d.ID, err))
		}
	}
	return errors.Join(faults...)
}

// faults are those of one device; points collects the ids of the whole bus.
func (d *Device) faults(points map[drivers.PointID]bool) []error {
	var faults []error
	fault := func(format string, a ...any) { faults = append(faults, fmt.Errorf(format, a...)) }
	if d.Mapping == Platform && !deviceID.MatchString(d.ID) {
		fault("id must be 1 to 64 letters, digits, _ or -")
	}
	if strings.ContainsAny(d.User, "/+#") {
		fault("user %q must not contain / + #", d.User)
	}
	if d.Status != "" && !topicName(d.Status) {
		fault("status topic %q is no topic name", d.Status)
	}
	unique := func(id drivers.PointID) {
		if id == "" || points[id] {
			fault("point id %q is empty or there twice", id)
		}
		points[id] = true
	}
	names := map[string]bool{}
	for _, p := range d.Points {
		unique(p.ID)
		switch {
		case p.Topic != "" && !topicName(p.Topic):
			fault("point %q: topic %q is no topic name (1 to %d characters, no + or #)", p.ID, p.Topic, maxTopic)
		case p.Topic == "" && d.Mapping == Paths:
			fault("point %q: a topic is needed", p.ID)
		case p.Topic == "" && p.Name == "":
			fault("point %q: the sensor's name in the body is needed", p.ID)
		case p.Topic == "" && names[p.Name]:
			fault("point %q: another point has the name %q in the body", p.ID, p.Name)
		case p.Topic == "":
			names[p.Name] = true
		}
		if _, err := parsePath(p.Path); err != nil {
			fault("point %q: %w", p.ID, err)
		}
		if _, err := parsePath(p.Time); err != nil {
			fault("point %q: time: %w", p.ID, err)
		}
		if p.Min > p.Max {
			fault("point %q: min %g is above max %g", p.ID, p.Min, p.Max)
		}
	}
	for _, o := range d.Outputs {
		unique(o.ID)
		if !topicName(o.CommandTopic) || !topicName(o.StateTopic) || o.CommandTopic == o.StateTopic {
			fault("output %q: command and state topic must be two topic names; the state is what confirms a command", o.ID)
		}
		if on, off := o.payloads(); strings.EqualFold(on, off) {
			fault("output %q: on and off are the same payload", o.ID)
		}
		if _, err := parsePath(o.StatePath); err != nil {
			fault("output %q: %w", o.ID, err)
		}
	}
	return faults
}

// payloads are the words for on and off.
func (o *Output) payloads() (on, off string) {
	on, off = o.On, o.Off
	if on == "" {
		on = "ON"
	}
	if off == "" {
		off = "OFF"
	}
	return on, off
}

// topicName says whether one can publish to it.
func topicName(topic string) bool {
	return topic != "" && len(topic) <= maxTopic && !strings.ContainsAny(topic, "+#\x00")
}
